//! The embedded queue: the contract, and what only it promises.

mod contract;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use eson_broker::{
    AppendTo, Broker, BrokerError, Consumer, Credential, Epochs, Lease, LocalBroker, LocalOptions,
    OpenError, Payload, QueueReader, QueueSpec, Rates, Reached, ReaderOptions, Secret,
    WriterOptions, partition_of_key,
};
use eson_protocol::{Positions, Record, Server, Start, StorePosition};
use redb::TableDefinition;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

struct Local {
    broker: LocalBroker,
    queues: AtomicU32,
    _directory: TempDir,
}

#[async_trait]
impl contract::Fixture for Local {
    fn broker(&self) -> &dyn Broker {
        &self.broker
    }

    fn queue(&self) -> String {
        let number = self.queues.fetch_add(1, Ordering::Relaxed);
        format!("queue-{number}.flows.orange.example")
    }

    async fn open_reader_as(
        &self,
        credential: &Credential,
        queue: &str,
        options: ReaderOptions,
    ) -> Result<Box<dyn QueueReader>, BrokerError> {
        let reader = self
            .broker
            .open_reader_as(&credential.username, queue, options);
        reader.await
    }
}

fn options(directory: &Path) -> LocalOptions {
    let server = Server {
        host: "fnaa.orange.example".to_owned(),
        port: 61000,
    };
    LocalOptions::new(directory.join("queues.redb"), server)
}

async fn fixture() -> Local {
    let directory = tempfile::tempdir().expect("a directory");
    Local {
        broker: LocalBroker::open(&options(directory.path())).expect("opens"),
        queues: AtomicU32::new(0),
        _directory: directory,
    }
}

contract::tests!(fixture);

/// How long anything may take before it is taken for never.
const DEADLINE: Duration = Duration::from_secs(60);

const QUEUE: &str = "arrivals.flows.orange.example";

async fn with_queue(partitions: u32) -> Local {
    let local = fixture().await;
    let created = local.broker.create_queue(&spec(partitions)).await;
    created.expect("created");
    local
}

fn spec(partitions: u32) -> QueueSpec {
    QueueSpec {
        name: QUEUE.to_owned(),
        partitions,
        retention: None,
        retention_bytes: None,
    }
}

fn record(offset: u64, key: Option<&str>, value: &str) -> Record {
    Record {
        offset,
        timestamp: 1_700_000_000_000,
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Vec::new(),
    }
}

fn numbered(offsets: std::ops::Range<u64>) -> Vec<Record> {
    offsets
        .map(|offset| record(offset, None, &offset.to_string()))
        .collect()
}

fn from_earliest() -> ReaderOptions {
    ReaderOptions {
        positions: Positions::new(),
        epochs: Epochs::new(),
        start: Start::Earliest,
        encoded: false,
        buffer: 1 << 20,
    }
}

/// Everything in the queue: partition and record.
async fn everything(broker: &LocalBroker) -> Vec<(u32, Record)> {
    let found = broker.describe_queue(QUEUE).await.expect("there");
    let count: u64 = found.partitions.values().map(|it| it.1 - it.0).sum();
    let reader = broker.open_reader(QUEUE, from_earliest()).await;
    let mut reader = reader.expect("a reader");
    let mut records = Vec::new();
    while (records.len() as u64) < count {
        let chunk = reader.next().await.expect("a chunk");
        let Payload::Records(part) = chunk.payload else {
            panic!("encoded batches that nobody asked for");
        };
        records.extend(part.into_iter().map(|record| (chunk.partition, record)));
    }
    records
}

fn position(first: u64, next: u64) -> Option<StorePosition> {
    Some(StorePosition {
        processor: "bridge@source-1".to_owned(),
        partition: 4,
        first,
        next,
        to: 1,
        epoch: Some(7),
    })
}

#[tokio::test]
async fn everything_is_there_after_closing_and_opening_again() {
    let local = with_queue(2).await;
    let (broker, directory) = (&local.broker, local._directory.path());
    let to = AppendTo::Partition(1);
    let appended = broker.append(QUEUE, to.clone(), numbered(0..100), position(0, 100));
    assert_eq!(appended.await.expect("appended"), 100);
    let trimmed = broker.trim_queue(QUEUE, &[(1, 40)].into()).await;
    trimmed.expect("trimmed");
    let granted = broker.grant(QUEUE, &credential(), Lease::Suspended).await;
    granted.expect("granted");
    let before = broker.describe_queue(QUEUE).await.expect("there");
    let records = everything(broker).await;
    assert_eq!(records.len(), 60);
    broker.close().await;
    let closed = broker.append(QUEUE, to, numbered(0..1), None).await;
    assert!(
        matches!(closed, Err(BrokerError::Storage { .. })),
        "{closed:?}"
    );

    let broker = LocalBroker::open(&options(directory)).expect("opens");
    assert_eq!(broker.describe_queue(QUEUE).await.expect("there"), before);
    assert_eq!(everything(&broker).await, records);
    let reached = broker.reached(QUEUE, "bridge@source-1").await;
    let expected = Reached {
        positions: [(4, 100)].into(),
        epochs: [(4, 7)].into(),
    };
    assert_eq!(reached.expect("positions"), expected);
    assert!(!broker.may_read("alice", QUEUE));
    let consumers = broker.list_consumers(QUEUE).await.expect("a list");
    assert_eq!(consumers.len(), 1);
    let taken = broker.create_queue(&spec(1)).await;
    assert!(matches!(taken, Err(BrokerError::Exists(_))));
}

#[tokio::test]
async fn a_file_in_use_is_not_opened_twice() {
    let local = fixture().await;
    let again = LocalBroker::open(&options(local._directory.path())).err();
    assert!(matches!(again, Some(OpenError::InUse(_))), "{again:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(directory.path());
    let text = "not a database, but something that somebody may miss ".repeat(100);
    std::fs::write(&options.path, &text).expect("written");
    let error = LocalBroker::open(&options).err().expect("refused");
    assert!(error.to_string().contains("queues.redb"), "{error}");
    assert_eq!(std::fs::read_to_string(&options.path).expect("there"), text);
    let missing = LocalOptions {
        path: directory.path().join("missing").join("queues.redb"),
        ..options
    };
    let error = LocalBroker::open(&missing).err().expect("refused");
    assert!(matches!(error, OpenError::File { .. }), "{error:?}");
}

#[tokio::test]
async fn records_with_keys_go_where_kafka_puts_them_and_the_others_stay_together() {
    let local = with_queue(5).await;
    let keyed: Vec<Record> = (0..100)
        .map(|number| record(0, Some(&format!("flight-{number}")), "x"))
        .collect();
    let appended = local.broker.append(QUEUE, AppendTo::Key, keyed, None);
    assert_eq!(appended.await.expect("appended"), 100);
    for (partition, record) in everything(&local.broker).await {
        let key = record.key.expect("a key");
        assert_eq!(partition, partition_of_key(&key, 5));
    }
    for count in 1..=5 {
        let before = local.broker.describe_queue(QUEUE).await.expect("there");
        let keyless = local
            .broker
            .append(QUEUE, AppendTo::Key, numbered(0..10), None);
        keyless.await.expect("appended");
        let after = local.broker.describe_queue(QUEUE).await.expect("there");
        let grown = after
            .partitions
            .iter()
            .filter(|(partition, range)| before.partitions[*partition] != **range);
        assert_eq!(grown.count(), 1, "batch {count} is spread");
    }
}

#[tokio::test]
async fn a_batch_is_written_as_a_whole_or_not_at_all() {
    let local = with_queue(3).await;
    let mut batch = numbered(0..10);
    batch.push(record(10, Some("large"), &"x".repeat(2 << 20)));
    let refused = local.broker.append(QUEUE, AppendTo::Key, batch, None).await;
    assert!(
        matches!(refused, Err(BrokerError::TooLarge { .. })),
        "{refused:?}"
    );
    for to in [
        AppendTo::Partition(3),
        AppendTo::Each(vec![Some(0), Some(3)]),
    ] {
        let refused = local.broker.append(QUEUE, to, numbered(0..10), None).await;
        assert!(
            matches!(refused, Err(BrokerError::Invalid { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(everything(&local.broker).await, []);
}

#[tokio::test]
async fn a_batch_may_name_the_partition_of_each_record() {
    let local = with_queue(3).await;
    let records = vec![
        record(7, None, "to 2"),
        record(8, Some("flight-1"), "by its key"),
        record(9, None, "to 0"),
    ];
    let to = || AppendTo::Each(vec![Some(2), None, Some(0)]);
    let position = || StorePosition {
        processor: "bridge@source-1".to_owned(),
        partition: 4,
        first: 7,
        next: 10,
        to: 0,
        epoch: None,
    };
    for new in [3, 0] {
        let appended = local
            .broker
            .append(QUEUE, to(), records.clone(), Some(position()));
        assert_eq!(appended.await.expect("appended"), new);
    }
    let mut found: Vec<_> = everything(&local.broker)
        .await
        .into_iter()
        .map(|(partition, record)| (record.value.expect("a value"), partition))
        .collect();
    found.sort();
    let by_key = partition_of_key(b"flight-1", 3);
    let expected = [("by its key", by_key), ("to 0", 0), ("to 2", 2)];
    assert!(
        found
            .iter()
            .map(|(value, partition)| (value.as_ref(), *partition))
            .eq(expected.map(|(value, partition)| (value.as_bytes(), partition)))
    );
}

#[tokio::test]
async fn what_a_processor_has_written_is_left_out() {
    let local = with_queue(2).await;
    let append = |records, position| {
        let to = AppendTo::Partition(1);
        local.broker.append(QUEUE, to, records, position)
    };
    assert_eq!(
        append(numbered(0..10), position(0, 10)).await.expect("new"),
        10
    );
    assert_eq!(
        append(numbered(0..10), position(0, 10))
            .await
            .expect("known"),
        0
    );
    assert_eq!(
        append(numbered(5..15), position(5, 15))
            .await
            .expect("half"),
        5
    );
    assert_eq!(
        append(Vec::new(), position(15, 20)).await.expect("empty"),
        0
    );
    assert_eq!(
        append(numbered(18..22), position(18, 22))
            .await
            .expect("cut"),
        2
    );
    let values: Vec<String> = everything(&local.broker)
        .await
        .into_iter()
        .map(|(_, it)| String::from_utf8(it.value.expect("a value").to_vec()).expect("text"))
        .collect();
    let expected = (0..15).chain(20..22).map(|number: u64| number.to_string());
    assert!(values.iter().cloned().eq(expected), "{values:?}");
}

#[tokio::test]
async fn old_records_go_after_their_time_also_where_nobody_writes() {
    let local = fixture().await;
    let spec = QueueSpec {
        retention: Some(100),
        ..spec(2)
    };
    local.broker.create_queue(&spec).await.expect("created");
    for partition in 0..2 {
        let to = AppendTo::Partition(partition);
        let appended = local.broker.append(QUEUE, to, numbered(0..1_000), None);
        appended.await.expect("appended");
    }
    let expired = [(0, (1_000, 1_000)), (1, (1_000, 1_000))].into();
    becomes(&local.broker, |partitions| *partitions == expired).await;
}

#[tokio::test]
async fn a_partition_keeps_about_as_many_bytes_as_it_may() {
    let local = fixture().await;
    let spec = QueueSpec {
        retention_bytes: Some(300_000),
        ..spec(1)
    };
    local.broker.create_queue(&spec).await.expect("created");
    for number in 0..100_u64 {
        let records = vec![record(number, None, &"x".repeat(20_000))];
        let appended = local
            .broker
            .append(QUEUE, AppendTo::Partition(0), records, None);
        appended.await.expect("appended");
    }
    let found = local.broker.describe_queue(QUEUE).await.expect("there");
    let (earliest, latest) = found.partitions[&0];
    assert_eq!(latest, 100);
    assert!((80..=85).contains(&earliest), "keeps from {earliest}");
    let kept = everything(&local.broker).await;
    assert_eq!(
        kept.first().map(|(_, record)| record.offset),
        Some(earliest)
    );
}

async fn becomes(
    broker: &LocalBroker,
    wanted: impl Fn(&std::collections::BTreeMap<u32, (u64, u64)>) -> bool,
) {
    let condition = async {
        while !wanted(
            &broker
                .describe_queue(QUEUE)
                .await
                .expect("there")
                .partitions,
        ) {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, condition).await.expect("comes in time");
}

fn credential() -> Credential {
    Credential {
        mechanism: "SCRAM-SHA-256".to_owned(),
        username: "alice".to_owned(),
        password: Secret::new("a password".to_owned()),
    }
}

#[tokio::test]
async fn a_reader_that_waits_ends_when_its_right_does() {
    let local = with_queue(1).await;
    for lease in [Some(Lease::Suspended), None] {
        let granted = local
            .broker
            .grant(QUEUE, &credential(), Lease::Granted)
            .await;
        granted.expect("granted");
        assert!(local.broker.may_read("alice", QUEUE));
        let reader = local.broker.open_reader_as("alice", QUEUE, from_earliest());
        let mut reader = reader.await.expect("a reader");
        let taking = async {
            tokio::task::yield_now().await;
            match lease {
                Some(lease) => local.broker.grant(QUEUE, &credential(), lease).await,
                None => local.broker.revoke(QUEUE, "alice").await,
            }
        };
        let (end, taken) = tokio::join!(timeout(DEADLINE, reader.next()), taking);
        taken.expect("taken");
        let end = end.expect("ends in time");
        assert!(matches!(end, Err(BrokerError::Denied { .. })), "{end:?}");
        assert!(!local.broker.may_read("alice", QUEUE));
    }
    let stranger = local
        .broker
        .open_reader_as("mallory", QUEUE, from_earliest());
    assert!(matches!(
        stranger.await.err(),
        Some(BrokerError::Denied { .. })
    ));
}

#[tokio::test]
async fn consumers_have_the_lag_of_their_readers() {
    let local = with_queue(1).await;
    let lag = || async {
        let consumers = local.broker.list_consumers(QUEUE).await.expect("a list");
        let [Consumer { name, lag }] = consumers.as_slice() else {
            panic!("{consumers:?}");
        };
        assert_eq!(name, "alice");
        *lag
    };
    let granted = local
        .broker
        .grant(QUEUE, &credential(), Lease::Granted)
        .await;
    granted.expect("granted");
    assert_eq!(lag().await, None);
    let reader = local.broker.open_reader_as("alice", QUEUE, from_earliest());
    let mut reader = reader.await.expect("a reader");
    let to = AppendTo::Partition(0);
    let appended = local.broker.append(QUEUE, to.clone(), numbered(0..5), None);
    appended.await.expect("appended");
    reader.next().await.expect("a chunk");
    assert_eq!(lag().await, Some(0));
    let appended = local.broker.append(QUEUE, to, numbered(5..8), None);
    appended.await.expect("appended");
    assert_eq!(lag().await, Some(3));
}

#[tokio::test]
async fn a_writer_holds_no_more_than_its_buffer() {
    let local = with_queue(1).await;
    let options = WriterOptions::new(None, 1);
    let writer = local.broker.open_writer(QUEUE, options).await;
    let mut writer = writer.expect("a writer");
    for number in 0..3 {
        let chunk = eson_broker::Chunk {
            partition: 0,
            first: number,
            next: number + 1,
            high_watermark: number + 1,
            epoch: None,
            payload: Payload::Records(numbered(number..number + 1)),
        };
        writer.write(0, chunk).await.expect("written");
        // Room for the newest chunk came only with the acknowledgement of those before.
        let acknowledged = writer.acknowledged().get(&0).copied();
        assert!(acknowledged.unwrap_or_default() >= number);
    }
}

const USER: &str = "sub-7";

/// Somebody who may read the queue, at these rates.
async fn admit(broker: &LocalBroker, rates: Rates) {
    let credential = Credential {
        mechanism: "SCRAM-SHA-256".to_owned(),
        username: USER.to_owned(),
        password: Secret::new("a password".to_owned()),
    };
    let granted = broker.grant(QUEUE, &credential, Lease::Granted).await;
    granted.expect("granted");
    let limited = broker.limit_reader(QUEUE, USER, rates).await;
    limited.expect("limited");
}

async fn reader_of_user(broker: &LocalBroker) -> Box<dyn QueueReader> {
    let reader = broker.open_reader_as(USER, QUEUE, from_earliest()).await;
    reader.expect("a reader")
}

/// Reads so many records; returns how many seconds that took.
async fn seconds_for(reader: &mut dyn QueueReader, mut records: usize) -> u64 {
    let begun = Instant::now();
    while records > 0 {
        let chunk = reader.next().await.expect("records");
        let Payload::Records(read) = chunk.payload else {
            panic!("encoded batches that nobody asked for");
        };
        records = records.checked_sub(read.len()).expect("no more than asked");
    }
    begun.elapsed().as_secs()
}

/// The clock goes on only when everybody waits for it.
#[tokio::test(start_paused = true)]
async fn a_user_is_held_to_his_rates_by_all_his_readers_together_and_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = LocalBroker::open(&options(directory.path())).expect("opens");
    broker.create_queue(&spec(1)).await.expect("created");
    let to = AppendTo::Partition(0);
    let written = broker.append(QUEUE, to, numbered(0..100), None).await;
    written.expect("written");
    let ten_a_second = Rates {
        events: 10,
        bytes: 0,
    };
    admit(&broker, ten_a_second).await;
    let mut unlimited = broker.open_reader(QUEUE, from_earliest()).await.unwrap();
    assert_eq!(seconds_for(&mut *unlimited, 100).await, 0);
    let mut one = reader_of_user(&broker).await;
    assert_eq!(seconds_for(&mut *one, 100).await, 9);
    broker.close().await;
    drop((one, unlimited, broker));

    let broker = LocalBroker::open(&options(directory.path())).expect("opens again");
    let (mut one, mut other) = (reader_of_user(&broker).await, reader_of_user(&broker).await);
    let both = tokio::join!(seconds_for(&mut *one, 100), seconds_for(&mut *other, 100));
    assert!((18..=19).contains(&both.0.max(both.1)), "{both:?}");
}

/// A file of before there were rates and epochs.
#[tokio::test]
async fn a_file_without_the_younger_tables_is_opened_and_gets_them() {
    const RATES: TableDefinition<'_, (u64, &str), (u64, u64)> = TableDefinition::new("rates");
    const EPOCHS: TableDefinition<'_, (u64, &str, u32), (u64, i32)> =
        TableDefinition::new("epochs");
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(directory.path());
    let broker = LocalBroker::open(&options).expect("opens");
    broker.create_queue(&spec(1)).await.expect("created");
    broker.close().await;
    drop(broker);
    let file = redb::Database::open(&options.path).expect("a file");
    let change = file.begin_write().expect("a transaction");
    assert!(change.delete_table(RATES).expect("deleted"), "it was there");
    assert!(
        change.delete_table(EPOCHS).expect("deleted"),
        "it was there"
    );
    change.commit().expect("committed");
    drop(file);
    let broker = LocalBroker::open(&options).expect("opens again");
    let reached = broker.reached(QUEUE, "bridge@source-1").await;
    assert_eq!(reached.expect("positions"), Reached::default());
    let rates = Rates {
        events: 1,
        bytes: 2,
    };
    admit(&broker, rates).await;
    broker.close().await;
    drop(broker);
    let broker = LocalBroker::open(&options).expect("and with them");
    let to = AppendTo::Partition(0);
    let records = vec![record(0, None, "a"), record(1, None, "b")];
    let position = StorePosition {
        to: 0,
        ..position(0, 2).expect("a position")
    };
    let written = broker.append(QUEUE, to, records, Some(position)).await;
    assert_eq!(written.expect("written"), 2);
    let reached = broker.reached(QUEUE, "bridge@source-1").await;
    assert_eq!(reached.expect("positions").epochs, [(4, 7)].into());
}

/// And from then on the clock does not wait for anybody, for what follows is done by a thread.
async fn a_minute_goes_by() {
    sleep(Duration::from_secs(60)).await;
    tokio::time::resume();
}

#[tokio::test(start_paused = true)]
async fn a_lifted_limit_and_a_lost_right_end_the_wait() {
    let local = with_queue(1).await;
    let broker = &local.broker;
    let large: Vec<_> = numbered(0..2)
        .into_iter()
        .map(|record| Record {
            value: Some(vec![7; 1 << 20].into()),
            ..record
        })
        .collect();
    let to = AppendTo::Partition(0);
    let written = broker
        .append(QUEUE, to, [large.clone(), large].concat(), None)
        .await;
    written.expect("written");
    let a_byte_a_second = Rates {
        events: 0,
        bytes: 1,
    };
    admit(broker, a_byte_a_second).await;
    let mut reader = reader_of_user(broker).await;
    assert_eq!(seconds_for(&mut *reader, 1).await, 0, "one passes");
    let (second, ()) = tokio::join!(seconds_for(&mut *reader, 1), async {
        a_minute_goes_by().await;
        let limited = broker.limit_reader(QUEUE, USER, Rates::default()).await;
        limited.expect("lifted");
    });
    assert!((60..600).contains(&second), "{second}");
    tokio::time::pause();
    admit(broker, a_byte_a_second).await;
    assert_eq!(seconds_for(&mut *reader, 1).await, 0, "one passes");
    let (denied, ()) = tokio::join!(reader.next(), async {
        a_minute_goes_by().await;
        broker.revoke(QUEUE, USER).await.expect("revoked");
    });
    assert!(
        matches!(denied, Err(BrokerError::Denied { .. })),
        "{denied:?}"
    );
}
