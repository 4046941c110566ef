//! Transactions: ours at the destination, and other people's at the source.

use std::time::Duration;

use eson_broker::{
    Broker, BrokerError, Chunk, Delivery, KafkaBroker, KafkaConfig, Payload, WriterOptions,
};
use eson_protocol::{Positions, Record};
use eson_tests::Kafka;
use eson_tests::kafka::Authorization;
use eson_tests::records::{await_copy, await_end, plain_client, produce};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::support::{
    admin, config, copy, created, end_of, from_earliest, kafka, on_behalf, samples, soon,
};

const WAIT: Duration = Duration::from_secs(60);

/// A cluster that does not add partitions to transactions by itself (before KIP-890).
#[tokio::test(flavor = "multi_thread")]
async fn an_older_clusters_transactions_are_exact_too() {
    let start = || Kafka::start_with("explicit", Authorization::Open, &["transaction.version=1"]);
    let kafka = tokio::task::spawn_blocking(start).await.expect("started");
    let broker = KafkaBroker::new(config(&kafka.plaintext())).expect("a broker");
    let (from, to) = (created(&broker, 3).await, created(&broker, 3).await);
    let client = plain_client(&kafka.plaintext());
    let records = samples(900, 3);
    let mut committed = Positions::new();
    for part in records.chunks(300) {
        let (client, topic, part) = (client.clone(), from.clone(), part.to_vec());
        let filled = tokio::task::spawn_blocking(move || produce(&client, &topic, &part));
        filled.await.expect("filled");
        let writer = broker.open_writer(&to, on_behalf("bridge")).await;
        let mut writer = writer.expect("a writer");
        assert_eq!(writer.delivery(), Delivery::ExactlyOnce);
        assert_eq!(writer.stored(), committed);
        let mut options = from_earliest(true);
        options.positions = writer.stored();
        let mut reader = broker.open_reader(&from, options).await.expect("a reader");
        committed = end_of(&broker, &from).await;
        copy(&mut reader, &mut writer, &committed).await;
        assert_eq!(writer.stored(), committed);
    }
    let copied = tokio::task::spawn_blocking(move || await_copy(&client, &to, &records, WAIT));
    assert_eq!(copied.await.expect("all of them"), 0);
}

/// What a writer has handed over and not committed is not there for its successor.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_committed_is_aborted_by_the_next_writer() {
    let broker = admin();
    let (from, to) = (created(&broker, 2).await, created(&broker, 2).await);
    let records = samples(400, 2);
    let (topic, source) = (from.clone(), records.clone());
    let client = plain_client(&kafka().plaintext());
    let filling = client.clone();
    let filled = tokio::task::spawn_blocking(move || produce(&filling, &topic, &source));
    filled.await.expect("filled");
    let end = end_of(&broker, &from).await;
    let patient = WriterOptions {
        commit_interval: Duration::from_secs(50),
        ..on_behalf("bridge")
    };
    let mut first = broker.open_writer(&to, patient).await.expect("a writer");
    let reader = broker.open_reader(&from, from_earliest(true)).await;
    let mut reader = reader.expect("a reader");
    // The first transaction ends at once, the second one does not.
    let one = soon(reader.next()).await.expect("a chunk");
    soon(first.write(one.partition, one))
        .await
        .expect("written");
    soon(first.flush()).await.expect("committed");
    let committed = first.stored();
    let two = soon(reader.next()).await.expect("a chunk");
    soon(first.write(two.partition, two))
        .await
        .expect("written");

    let second = broker.open_writer(&to, on_behalf("bridge")).await;
    let mut second = second.expect("a writer");
    assert_eq!(second.stored(), committed);
    let refused = soon(first.flush()).await;
    assert!(matches!(refused, Err(BrokerError::Fenced(queue)) if queue == to));
    let mut options = from_earliest(true);
    options.positions = committed;
    let reader = broker.open_reader(&from, options).await;
    copy(&mut reader.expect("a reader"), &mut second, &end).await;
    let copied = tokio::task::spawn_blocking(move || await_copy(&client, &to, &records, WAIT));
    assert_eq!(copied.await.expect("all of them"), 0);
}

/// Where a writer ends, properly or not, nothing is hidden from readers that is behind what it had
/// not committed. Its transaction would time out only after the test's patience.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_writer_leaves_open_is_aborted() {
    let config = KafkaConfig {
        transaction_timeout: Duration::from_secs(600),
        ..config(&kafka().plaintext())
    };
    let broker = KafkaBroker::new(config).expect("a broker");
    for closes in [true, false] {
        let to = created(&broker, 1).await;
        let patient = WriterOptions {
            commit_interval: Duration::from_secs(300),
            ..on_behalf("bridge")
        };
        let mut writer = broker.open_writer(&to, patient).await.expect("a writer");
        for next in [1, 2] {
            soon(writer.write(0, one_record(next)))
                .await
                .expect("written");
            if next == 1 {
                soon(writer.flush()).await.expect("committed");
            }
        }
        // Two records and the end of the first transaction.
        until_end(&to, 3).await;
        assert_eq!(end_of(&broker, &to).await[&0], 2, "the second is hidden");
        if closes {
            soon(writer.close()).await;
            assert!(writer.flush().await.is_err(), "of no more use");
        }
        drop(writer);
        soon(async { while end_of(&broker, &to).await[&0] < 4 {} }).await;
    }
}

fn one_record(next: u64) -> Chunk {
    let record = Record {
        offset: next - 1,
        timestamp: 5,
        key: None,
        value: Some("one".into()),
        headers: vec![],
    };
    Chunk {
        partition: 0,
        first: next - 1,
        next,
        high_watermark: next,
        epoch: None,
        payload: Payload::Records(vec![record]),
    }
}

/// Waits until the first partition's log has so many entries, open transactions included.
async fn until_end(topic: &str, wanted: i64) {
    let (client, topic) = (plain_client(&kafka().plaintext()), topic.to_owned());
    let waiting = tokio::task::spawn_blocking(move || await_end(&client, &topic, wanted, WAIT));
    waiting.await.expect("reached");
}

#[tokio::test]
async fn a_commit_interval_beyond_the_transaction_timeout_is_refused() {
    let queue = created(&admin(), 1).await;
    let config = KafkaConfig {
        transaction_timeout: Duration::from_secs(1),
        ..config(&kafka().plaintext())
    };
    let broker = KafkaBroker::new(config).expect("a broker");
    let options = WriterOptions {
        commit_interval: Duration::from_secs(1),
        ..on_behalf("bridge")
    };
    let refused = broker.open_writer(&queue, options).await.map(drop);
    let refused = refused.expect_err("never committed in time");
    assert!(refused.to_string().contains("commit interval"), "{refused}");
}

/// A transaction that its writer leaves open hides what is behind it, and the reader says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_nobody_ends_is_named() {
    let broker = admin();
    let from = created(&broker, 1).await;
    let topic = from.clone();
    let hanging = tokio::task::spawn_blocking(move || {
        let mut client = plain_client(&kafka().plaintext());
        client.set("transactional.id", &topic);
        let producer: BaseProducer = client.create().expect("a producer");
        producer.init_transactions(WAIT).expect("a producer");
        producer.begin_transaction().expect("begun");
        let record = BaseRecord::<[u8], [u8]>::to(&topic)
            .partition(0)
            .payload(b"open");
        producer.send(record).expect("queued");
        producer.flush(WAIT).expect("sent");
        producer
    });
    let producer = hanging.await.expect("an open transaction");
    let reader = broker.open_reader(&from, from_earliest(true)).await;
    let mut reader = reader.expect("a reader");
    let told = soon(reader.next()).await.expect_err("nothing to read");
    assert!(
        matches!(&told, BrokerError::Hanging { queue, partition: 0, offset: 0, producer: Some(_), .. }
            if *queue == from),
        "{told:?}"
    );
    let commit = tokio::task::spawn_blocking(move || producer.commit_transaction(WAIT));
    commit.await.expect("no panic").expect("committed");
    let chunk = soon(reader.next()).await.expect("what was hidden");
    assert_eq!(chunk.partition, 0);
}
