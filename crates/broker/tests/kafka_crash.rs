//! A broker that is killed in the middle of a copy: nothing is lost, and order is kept.

#[path = "kafka/support.rs"]
#[allow(dead_code, reason = "shared with the tests of a broker that lives")]
mod support;

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use eson_broker::{
    Broker, BrokerError, Delivery, KafkaBroker, LocalBroker, LocalOptions, QueueReader,
    QueueWriter, ReaderOptions, WriterOptions,
};
use eson_protocol::{Positions, Server};
use eson_tests::Kafka;
use eson_tests::kafka::Authorization;
use eson_tests::records::{Sample, await_copy, plain_client, produce};
use support::{at_rest, config, created, end_of, from_earliest, on_behalf, samples, soon};
use tokio::task::spawn_blocking;

const PARTITIONS: i32 = 4;
const RECORDS: i32 = 40_000;
const FEW: i32 = 200;

/// One reader and one writer go through all of it; only the broker comes and goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_costs_nothing() {
    let mut kafka = Kafka::start("broker-crash", Authorization::Open);
    let address = kafka.plaintext();
    let broker = KafkaBroker::new(config(&address)).expect("a broker");
    let from = created(&broker, PARTITIONS.cast_unsigned()).await;
    let to = created(&broker, PARTITIONS.cast_unsigned()).await;
    let records = recent_samples();
    let client = plain_client(&address);
    {
        let (client, topic, records) = (client.clone(), from.clone(), records.clone());
        let filled = spawn_blocking(move || produce(&client, &topic, &records));
        filled.await.expect("filled");
    }
    let end = end_of(&broker, &from).await;
    let options = ReaderOptions {
        buffer: 128 << 10,
        ..from_earliest(true)
    };
    let mut reader = broker.open_reader(&from, options).await.expect("a reader");
    let mut writer = broker
        .open_writer(&to, on_behalf("bridge"))
        .await
        .expect("a writer");
    let mut read = Positions::new();
    for part in 1..=3 {
        let until = total(&end) * part / 3;
        copy_part(&mut reader, &mut writer, &mut read, until).await;
        if part < 3 {
            // While the last chunks are on their way.
            kafka.kill9();
            kafka = restarted(kafka).await;
        }
    }
    soon(writer.flush()).await.expect("flushed");
    assert_eq!(writer.acknowledged(), end);
    assert_eq!(writer.stored(), end);
    let deadline = Duration::from_secs(60);
    let repeats = spawn_blocking(move || await_copy(&client, &to, &records, deadline));
    assert_eq!(
        repeats.await.expect("compared"),
        0,
        "a writer repeats nothing"
    );
}

/// The log has grown again when the reader, which was at rest, comes back, or not: what it has read is
/// gone, which it says, and goes on where the log is another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_off_is_noticed() {
    let kafka = Kafka::start("broker-loss", Authorization::Open);
    let broker = KafkaBroker::new(config(&kafka.plaintext())).expect("a broker");
    let queue = created(&broker, 1).await;
    fill(&kafka, &queue).await;
    let reader = broker.open_reader(&queue, from_earliest(true)).await;
    let mut reader = reader.expect("a reader");
    let mut read = 0;
    while read < u64::from(FEW.unsigned_abs()) {
        read = soon(reader.next()).await.expect("a chunk").next;
    }
    at_rest(&broker, 1).await;
    let (_kafka, left) = cut_off(kafka, &broker, &queue, read).await;
    is_told(&mut reader, &queue, read, left).await;
    let (mut next, end) = (left, end_of(&broker, &queue).await[&0]);
    while next < end {
        let chunk = soon(reader.next()).await.expect("a chunk");
        assert_eq!(chunk.first, next);
        next = chunk.next;
    }
}

/// Neither reader nor writer live meanwhile: what was copied is known from the positions beside the
/// copy, and so is under which leader it was written.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_off_while_nobody_read_is_noticed_by_who_goes_on() {
    let kafka = Kafka::start("broker-amnesia", Authorization::Open);
    let broker = KafkaBroker::new(config(&kafka.plaintext())).expect("a broker");
    let directory = tempfile::tempdir().expect("a directory");
    let embedded = embedded(directory.path());
    let from = created(&broker, 1).await;
    let to = [created(&broker, 1).await, created(&embedded, 1).await];
    let copies: [(&dyn Broker, &str, Delivery); 3] = [
        (&broker, &to[0], Delivery::AtLeastOnce),
        (&broker, &to[0], Delivery::ExactlyOnce),
        (&embedded, &to[1], Delivery::ExactlyOnce),
    ];
    fill(&kafka, &from).await;
    let read = u64::from(FEW.unsigned_abs());
    for (destination, to, delivery) in copies {
        let mut writer = written(destination, to, delivery).await;
        let mut reader = going_on(&broker, &from, &*writer).await;
        copy_part(&mut reader, &mut writer, &mut Positions::new(), read).await;
        soon(writer.flush()).await.expect("flushed");
        soon(writer.close()).await;
    }
    let (kafka, left) = cut_off(kafka, &broker, &from, read).await;
    let end = end_of(&broker, &from).await[&0];
    for (destination, to, delivery) in copies {
        let mut writer = written(destination, to, delivery).await;
        assert_eq!(writer.stored(), [(0, read)].into(), "{to} {delivery:?}");
        let mut reader = going_on(&broker, &from, &*writer).await;
        is_told(&mut reader, &from, read, left).await;
        soon(writer.rewind(0, left)).await.expect("gone back");
        let mut copied = Positions::from([(0, left)]);
        copy_part(&mut reader, &mut writer, &mut copied, end).await;
        soon(writer.flush()).await.expect("flushed");
        soon(writer.close()).await;
    }
    fill(&kafka, &from).await;
    for (destination, to, delivery) in copies {
        let writer = written(destination, to, delivery).await;
        assert_eq!(writer.stored(), [(0, end)].into(), "{to} {delivery:?}");
        let mut reader = going_on(&broker, &from, &*writer).await;
        assert_eq!(soon(reader.next()).await.expect("a chunk").first, end);
    }
    let copy = embedded.describe_queue(&to[1]).await.expect("the copy");
    assert_eq!(copy.partitions[&0], (0, read + end - left));
}

/// Kills the broker, takes the end of the log away and lets the log grow again. Returns what was left
/// of the `read` records.
async fn cut_off(kafka: Kafka, broker: &KafkaBroker, queue: &str, read: u64) -> (Kafka, u64) {
    let mut kafka = kafka;
    kafka.kill9();
    kafka.lose_half(queue, 0);
    kafka = restarted(kafka).await;
    let left = end_of(broker, queue).await[&0];
    assert!((1..read).contains(&left), "{left} records are left");
    fill(&kafka, queue).await;
    (kafka, left)
}

/// The next thing that a reader says is that what it has read was cut off.
async fn is_told(reader: &mut Box<dyn QueueReader>, queue: &str, read: u64, end: u64) {
    let told = soon(reader.next()).await.expect_err("some are gone");
    let expected = BrokerError::Truncated {
        queue: queue.to_owned(),
        partition: 0,
        read,
        end,
    };
    assert_eq!(format!("{told:?}"), format!("{expected:?}"));
}

async fn written(broker: &dyn Broker, to: &str, delivery: Delivery) -> Box<dyn QueueWriter> {
    let options = WriterOptions {
        delivery,
        ..on_behalf(&format!("{delivery:?}"))
    };
    broker.open_writer(to, options).await.expect("a writer")
}

/// A reader that goes on where a writer is.
async fn going_on(
    broker: &KafkaBroker,
    from: &str,
    writer: &dyn QueueWriter,
) -> Box<dyn QueueReader> {
    let options = ReaderOptions {
        positions: writer.stored(),
        epochs: writer.epochs(),
        ..from_earliest(writer.takes_encoded())
    };
    broker.open_reader(from, options).await.expect("a reader")
}

fn embedded(directory: &Path) -> LocalBroker {
    let server = Server {
        host: "fnaa.orange.example".to_owned(),
        port: 61000,
    };
    LocalBroker::open(&LocalOptions::new(directory.join("queues.redb"), server)).expect("opens")
}

/// Some records, in many batches.
async fn fill(kafka: &Kafka, queue: &str) {
    let mut client = plain_client(&kafka.plaintext());
    client.set("batch.num.messages", "10");
    let topic = queue.to_owned();
    let filled = spawn_blocking(move || produce(&client, &topic, &samples(FEW, 1)));
    filled.await.expect("filled");
}

/// Records of today: a broker that restarts forgets producers whose last record is older than a
/// day, by the record's own time, and then can't tell that a batch comes again.
fn recent_samples() -> Vec<Sample> {
    let now = UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    let begin = i64::try_from(now).expect("before the year 292,000,000") - i64::from(RECORDS);
    let mut records = samples(RECORDS, PARTITIONS);
    for (record, timestamp) in records.iter_mut().zip(begin..) {
        record.timestamp = timestamp;
    }
    records
}

/// Copies until so many records are handed over.
async fn copy_part(
    reader: &mut Box<dyn QueueReader>,
    writer: &mut Box<dyn QueueWriter>,
    read: &mut Positions,
    until: u64,
) {
    while total(read) < until {
        let chunk = soon(reader.next()).await.expect("a chunk");
        read.insert(chunk.partition, chunk.next);
        soon(writer.write(chunk.partition, chunk))
            .await
            .expect("written");
    }
}

fn total(positions: &Positions) -> u64 {
    positions.values().sum()
}

async fn restarted(mut kafka: Kafka) -> Kafka {
    let restarted = spawn_blocking(move || {
        kafka.restart();
        kafka
    });
    tokio::time::timeout(Duration::from_secs(120), restarted)
        .await
        .expect("in time")
        .expect("restarted")
}
