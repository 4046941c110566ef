//! One real Kafka for a whole test binary.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use eson_broker::{
    Broker, Chunk, Credential, Epochs, KafkaBroker, KafkaConfig, KafkaSasl, Payload,
    ProcessorSource, QueueReader, QueueSpec, QueueWriter, ReaderOptions, WriterOptions,
};
use eson_client::{Dialer, SystemLookup};
use eson_protocol::{AddressPolicy, Positions, Record, Start};
use eson_tests::Kafka;
use eson_tests::kafka::Authorization;
use eson_tests::records::Sample;

/// The broker that all tests of a binary share; it ends with the process.
pub(crate) fn kafka() -> &'static Kafka {
    static KAFKA: OnceLock<Kafka> = OnceLock::new();
    KAFKA.get_or_init(|| Kafka::start("broker-kafka", Authorization::Acls))
}

/// How to reach a listener of it, quick to notice what changes.
pub(crate) fn config(address: &str) -> KafkaConfig {
    let dialer = Dialer::new(Arc::new(SystemLookup), AddressPolicy::unrestricted());
    KafkaConfig {
        metadata_max_age: Duration::from_secs(1),
        fetch_wait: Duration::from_millis(500),
        hanging_after: Duration::from_secs(1),
        ..KafkaConfig::new(vec![address.parse().expect("an address")], dialer)
    }
}

/// The administrator of the shared broker.
pub(crate) fn admin() -> KafkaBroker {
    KafkaBroker::new(config(&kafka().plaintext())).expect("a broker")
}

/// A user that logs in with a credential.
pub(crate) fn user(credential: &Credential) -> KafkaBroker {
    let sasl = KafkaSasl {
        mechanism: credential.mechanism.parse().expect("known"),
        username: credential.username.clone(),
        password: credential.password.clone(),
    };
    KafkaBroker::new(config(&kafka().sasl()).with_sasl(sasl)).expect("a broker")
}

/// A queue name that nobody else has.
pub(crate) fn queue() -> String {
    static QUEUES: AtomicU32 = AtomicU32::new(0);
    let number = QUEUES.fetch_add(1, Ordering::Relaxed);
    format!("queue-{number}.flows.orange.example")
}

/// Creates a queue of a new name.
pub(crate) async fn created(broker: &dyn Broker, partitions: u32) -> String {
    let spec = QueueSpec {
        name: queue(),
        partitions,
        retention: Some(QueueSpec::FOREVER),
        retention_bytes: None,
    };
    broker.create_queue(&spec).await.expect("created");
    spec.name
}

pub(crate) fn from_earliest(encoded: bool) -> ReaderOptions {
    ReaderOptions {
        positions: Positions::new(),
        epochs: Epochs::new(),
        start: Start::Earliest,
        encoded,
        buffer: 4 << 20,
    }
}

/// A writer that keeps positions for a processor.
pub(crate) fn on_behalf(processor: &str) -> WriterOptions {
    WriterOptions::new(
        Some(ProcessorSource {
            processor: processor.to_owned(),
            source: "source".to_owned(),
        }),
        4 << 20,
    )
}

/// How the records came in a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ways {
    pub(crate) encoded: u64,
    pub(crate) decoded: u64,
}

/// Copies partition by partition until everything before `end` is acknowledged.
pub(crate) async fn copy(
    reader: &mut Box<dyn QueueReader>,
    writer: &mut Box<dyn QueueWriter>,
    end: &Positions,
) -> Ways {
    let mut ways = Ways::default();
    let mut read = writer.stored();
    while !reached(&read, end) {
        let chunk = soon(reader.next()).await.expect("a chunk");
        match &chunk.payload {
            Payload::Records(records) => ways.decoded += records.len() as u64,
            Payload::Encoded(batches) => ways.encoded += batches.records,
        }
        read.insert(chunk.partition, chunk.next);
        soon(writer.write(chunk.partition, chunk))
            .await
            .expect("written");
    }
    soon(writer.flush()).await.expect("flushed");
    assert!(reached(&writer.acknowledged(), end));
    ways
}

/// Copies a whole queue into another of the same cluster.
pub(crate) async fn copy_all(broker: &KafkaBroker, from: &str, to: &str, encoded: bool) -> Ways {
    let reader = broker.open_reader(from, from_earliest(encoded)).await;
    let writer = broker.open_writer(to, on_behalf(to)).await;
    let end = end_of(broker, from).await;
    copy(
        &mut reader.expect("a reader"),
        &mut writer.expect("a writer"),
        &end,
    )
    .await
}

/// Where each partition that has records ends.
pub(crate) async fn end_of(broker: &KafkaBroker, queue: &str) -> Positions {
    let found = broker.describe_queue(queue).await.expect("there");
    let ends = found.partitions.into_iter();
    let ends = ends.filter(|(_, (first, next))| first < next);
    ends.map(|(partition, (_, next))| (partition, next))
        .collect()
}

fn reached(positions: &Positions, end: &Positions) -> bool {
    end.iter()
        .all(|(partition, end)| positions.get(partition).is_some_and(|at| at >= end))
}

/// Waits until so many readers have come to rest.
pub(crate) async fn at_rest(broker: &KafkaBroker, readers: usize) {
    soon(until(|| broker.resting() == readers)).await;
}

/// Looks until it holds.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for what must come.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let deadline = Duration::from_secs(120);
    tokio::time::timeout(deadline, future)
        .await
        .expect("comes in time")
}

/// Records that differ in everything, over so many partitions.
pub(crate) fn samples(count: i32, partitions: i32) -> Vec<Sample> {
    let sample = |number: i32| Sample {
        partition: number % partitions,
        timestamp: 1_700_000_000_000 + i64::from(number),
        key: (number % 7 != 0).then(|| format!("key-{number}").into_bytes()),
        value: (number % 11 != 5).then(|| format!("{number} {}", "event ".repeat(60)).into_bytes()),
        headers: vec![
            ("number".to_owned(), Some(number.to_string().into_bytes())),
            ("number".to_owned(), None),
        ],
    };
    (0..count).map(sample).collect()
}

/// A chunk of a partition 0 whose records are numbered.
pub(crate) fn numbered(numbers: std::ops::Range<u64>) -> Chunk {
    let record = |number: u64| Record {
        offset: number,
        timestamp: 1_700_000_000_000,
        key: None,
        value: Some(number.to_string().into_bytes().into()),
        headers: vec![],
    };
    Chunk {
        partition: 0,
        first: numbers.start,
        next: numbers.end,
        high_watermark: numbers.end,
        epoch: None,
        payload: Payload::Records(numbers.map(record).collect()),
    }
}

/// In the background: other clients and Kafka's tools take seconds.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}
