//! The embedded queue against a model of it in memory, by random steps: what is appended, left
//! out, trimmed and opened again is the same in both.

use std::collections::BTreeMap;

use bytes::Bytes;
use eson_broker::{
    AppendTo, Broker, Epochs, LocalBroker, LocalOptions, Payload, QueueSpec, QueueUpdate,
    ReaderOptions, partition_of_key,
};
use eson_protocol::{Positions, Record, Server, Start, StorePosition};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;

const QUEUE: &str = "arrivals.flows.orange.example";
const PROCESSOR: &str = "bridge@source-1";

/// One thing that is done to the queue.
#[derive(Clone, Debug)]
enum Step {
    Append {
        to: To,
        sizes: Vec<usize>,
    },
    /// A processor's batch, which begins so far before or behind what it has stored.
    Copy {
        back: u64,
        ahead: u64,
        sizes: Vec<usize>,
        to: Index,
    },
    Trim {
        partition: Index,
        before: Index,
    },
    AddPartition,
    Reopen,
    Read {
        partition: Index,
        from: Index,
        buffer: usize,
    },
}

#[derive(Clone, Debug)]
enum To {
    Partition(Index),
    Key,
    Each(Vec<Option<Index>>),
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    // Now and then a record that is longer than a run of records may be.
    vec(
        prop_oneof![20 => 0..2_000_usize, 1 => 60_000..70_000_usize],
        0..40,
    )
}

fn step() -> impl Strategy<Value = Step> {
    let to = prop_oneof![
        any::<Index>().prop_map(To::Partition),
        Just(To::Key),
        vec(any::<Option<Index>>(), 40).prop_map(To::Each),
    ];
    prop_oneof![
        5 => (to, sizes()).prop_map(|(to, sizes)| Step::Append { to, sizes }),
        5 => (0..8_u64, 0..4_u64, sizes(), any::<Index>())
            .prop_map(|(back, ahead, sizes, to)| Step::Copy { back, ahead, sizes, to }),
        2 => any::<(Index, Index)>()
            .prop_map(|(partition, before)| Step::Trim { partition, before }),
        1 => Just(Step::AddPartition),
        1 => Just(Step::Reopen),
        3 => (any::<(Index, Index)>(), 1..200_000_usize)
            .prop_map(|((partition, from), buffer)| Step::Read { partition, from, buffer }),
    ]
}

/// What the queue should be.
#[derive(Default)]
struct Model {
    partitions: Vec<Partition>,
    /// The processor's source position.
    position: u64,
    /// Makes every record another one.
    written: u64,
}

#[derive(Default)]
struct Partition {
    records: Vec<Record>,
    earliest: usize,
}

struct Both {
    directory: TempDir,
    broker: LocalBroker,
    model: Model,
}

impl Both {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let broker = open(&directory);
        let spec = QueueSpec {
            name: QUEUE.to_owned(),
            partitions: 2,
            retention: None,
            retention_bytes: None,
        };
        broker.create_queue(&spec).await.expect("created");
        let mut model = Model::default();
        model.partitions.resize_with(2, Partition::default);
        Self {
            directory,
            broker,
            model,
        }
    }

    async fn take(&mut self, step: Step) {
        let count = self.model.partitions.len();
        match step {
            Step::Append { to, sizes } => self.append(to, &sizes).await,
            Step::Copy {
                back,
                ahead,
                sizes,
                to,
            } => {
                let first = self.model.position.saturating_sub(back) + ahead;
                self.copy(first, &sizes, to.index(count)).await;
            }
            Step::Trim { partition, before } => {
                self.trim(partition.index(count), before).await;
            }
            Step::AddPartition => self.add_partition().await,
            Step::Reopen => {
                self.broker.close().await;
                self.broker = open(&self.directory);
            }
            Step::Read {
                partition,
                from,
                buffer,
            } => {
                let partition = partition.index(count);
                let Partition { records, earliest } = &self.model.partitions[partition];
                let from = earliest + from.index(records.len() - earliest + 1);
                self.check_records(partition, from, buffer).await;
            }
        }
        self.check_ranges().await;
    }

    async fn append(&mut self, to: To, sizes: &[usize]) {
        let count = self.model.partitions.len();
        let records = self.model.new_records(0, sizes);
        let by_key = |record: &Record| {
            let key = record.key.as_deref().expect("a key");
            partition_of_key(key, u32::try_from(count).expect("few")) as usize
        };
        let (to, targets): (_, Vec<usize>) = match to {
            To::Partition(partition) => {
                let partition = partition.index(count);
                let targets = vec![partition; records.len()];
                (AppendTo::Partition(number(partition)), targets)
            }
            To::Key => (AppendTo::Key, records.iter().map(by_key).collect()),
            To::Each(partitions) => {
                let chosen: Vec<_> = partitions
                    .iter()
                    .map(|it| it.map(|it| it.index(count)))
                    .collect();
                let targets = records.iter().zip(&chosen);
                let targets = targets.map(|(record, it)| it.unwrap_or_else(|| by_key(record)));
                let targets = targets.collect();
                let each = chosen.iter().map(|it| it.map(number)).collect();
                (AppendTo::Each(each), targets)
            }
        };
        let appended = self.broker.append(QUEUE, to, records.clone(), None).await;
        assert_eq!(appended.expect("appended"), records.len() as u64);
        for (record, target) in records.into_iter().zip(targets) {
            self.model.partitions[target].push(record);
        }
    }

    async fn copy(&mut self, first: u64, sizes: &[usize], to: usize) {
        let records = self.model.new_records(first, sizes);
        let position = StorePosition {
            processor: PROCESSOR.to_owned(),
            partition: 9,
            first,
            next: first + records.len() as u64,
            to: number(to),
            epoch: None,
        };
        let new: Vec<Record> = records
            .iter()
            .filter(|record| record.offset >= self.model.position)
            .cloned()
            .collect();
        let next = position.next;
        let target = AppendTo::Partition(number(to));
        let appended = self.broker.append(QUEUE, target, records, Some(position));
        assert_eq!(appended.await.expect("appended"), new.len() as u64);
        for record in new {
            self.model.partitions[to].push(record);
        }
        self.model.position = self.model.position.max(next);
        let stored = self.broker.reached(QUEUE, PROCESSOR).await;
        let stored = stored.expect("positions").positions.get(&9).copied();
        assert_eq!(stored.unwrap_or_default(), self.model.position);
    }

    async fn trim(&mut self, partition: usize, before: Index) {
        let Partition { records, earliest } = &mut self.model.partitions[partition];
        let before = before.index(records.len() + 5);
        *earliest = before.clamp(*earliest, records.len());
        let positions = Positions::from([(number(partition), before as u64)]);
        let trimmed = self.broker.trim_queue(QUEUE, &positions).await;
        trimmed.expect("trimmed");
    }

    async fn add_partition(&mut self) {
        self.model.partitions.push(Partition::default());
        let update = QueueUpdate {
            partitions: Some(number(self.model.partitions.len())),
            ..QueueUpdate::default()
        };
        let updated = self.broker.update_queue(QUEUE, &update).await;
        updated.expect("updated");
    }

    async fn check_ranges(&self) {
        let found = self.broker.describe_queue(QUEUE).await.expect("there");
        let range = |partition: &Partition| {
            let latest = partition.records.len() as u64;
            (partition.earliest as u64, latest)
        };
        let partitions = self.model.partitions.iter().map(range);
        let expected: BTreeMap<u32, (u64, u64)> = (0..).zip(partitions).collect();
        assert_eq!(found.partitions, expected);
    }

    /// Reads a partition from an offset to its end.
    async fn check_records(&self, partition: usize, from: usize, buffer: usize) {
        let expected = &self.model.partitions[partition].records[from..];
        let options = ReaderOptions {
            positions: Positions::from([(number(partition), from as u64)]),
            epochs: Epochs::new(),
            start: Start::Latest,
            encoded: false,
            buffer,
        };
        let reader = self.broker.open_reader(QUEUE, options).await;
        let mut reader = reader.expect("a reader");
        let mut found = Vec::new();
        while found.len() < expected.len() {
            let chunk = reader.next().await.expect("a chunk");
            let Payload::Records(records) = chunk.payload else {
                panic!("encoded batches that nobody asked for");
            };
            assert!(!records.is_empty(), "a chunk that tells nothing");
            found.extend(records);
        }
        assert_eq!(found, expected);
    }
}

impl Model {
    fn new_records(&mut self, first: u64, sizes: &[usize]) -> Vec<Record> {
        let records = (first..).zip(sizes).map(|(offset, size)| {
            self.written += 1;
            let text = self.written.to_string();
            let mut value = text.clone().into_bytes();
            value.resize(value.len().max(*size), b' ');
            Record {
                offset,
                timestamp: 1_700_000_000_000 + i64::try_from(self.written).expect("few"),
                key: Some(Bytes::from(text)),
                value: Some(Bytes::from(value)),
                headers: Vec::new(),
            }
        });
        records.collect()
    }
}

impl Partition {
    fn push(&mut self, mut record: Record) {
        record.offset = self.records.len() as u64;
        self.records.push(record);
    }
}

fn open(directory: &TempDir) -> LocalBroker {
    let server = Server {
        host: "fnaa.orange.example".to_owned(),
        port: 61000,
    };
    let options = LocalOptions::new(directory.path().join("queues.redb"), server);
    LocalBroker::open(&options).expect("opens")
}

fn number(partition: usize) -> u32 {
    u32::try_from(partition).expect("few")
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_queue_is_what_its_model_says(steps in vec(step(), 1..40)) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let mut both = Both::new().await;
            for step in steps {
                both.take(step).await;
            }
            both.broker.close().await;
            both.broker = open(&both.directory);
            both.check_ranges().await;
            for partition in 0..both.model.partitions.len() {
                let earliest = both.model.partitions[partition].earliest;
                both.check_records(partition, earliest, 50_000).await;
            }
        });
    }
}
