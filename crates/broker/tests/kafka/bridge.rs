//! Copies between topics, checked with librdkafka on both ends.

use std::time::Duration;

use eson_broker::{Broker, EncodedBatches, Payload, QueueReader};
use eson_tests::records::{Sample, await_copy, plain_client, produce, read_topic};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::support::{Ways, admin, copy_all, created, from_earliest, kafka, samples, soon};
use crate::topics::{PARTITIONS, topic};

fn client() -> ClientConfig {
    plain_client(&kafka().plaintext())
}

/// librdkafka blocks its thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

/// A new topic with these records, written as `settings` say.
async fn source(records: &[Sample], settings: &'static [(&str, &str)]) -> String {
    let queue = created(&admin(), PARTITIONS.cast_unsigned()).await;
    fill(&queue, records, settings).await;
    queue
}

async fn fill(queue: &str, records: &[Sample], settings: &'static [(&str, &str)]) {
    let (topic, records) = (queue.to_owned(), records.to_vec());
    blocking(move || {
        let mut client = client();
        for (name, value) in settings {
            client.set(*name, *value);
        }
        produce(&client, &topic, &records);
    })
    .await;
}

/// Checks that the topic has these records once, in their order. Readers see a transaction a
/// moment after it was committed.
async fn holds(queue: &str, records: &[Sample]) {
    let (topic, records) = (queue.to_owned(), records.to_vec());
    let deadline = Duration::from_secs(60);
    let repeats = blocking(move || await_copy(&client(), &topic, &records, deadline));
    assert_eq!(repeats.await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_every_compression_pass_as_they_are_and_as_records() {
    let records = samples(3_000, PARTITIONS);
    let all = records.len() as u64;
    for settings in [
        &[("compression.type", "none")],
        &[("compression.type", "gzip")],
        &[("compression.type", "snappy")],
        &[("compression.type", "lz4")],
    ] {
        let from = source(&records, settings).await;
        for encoded in [true, false] {
            let to = created(&admin(), PARTITIONS.cast_unsigned()).await;
            let ways = copy_all(&admin(), &from, &to, encoded).await;
            let expected = match encoded {
                true => Ways {
                    encoded: all,
                    decoded: 0,
                },
                false => Ways {
                    encoded: 0,
                    decoded: all,
                },
            };
            assert_eq!(ways, expected, "{settings:?}");
            holds(&to, &records).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_one_record_are_joined_on_the_way() {
    let records = samples(2_000, PARTITIONS);
    let from = source(&records, &[("batch.num.messages", "1")]).await;
    let to = created(&admin(), PARTITIONS.cast_unsigned()).await;
    let ways = copy_all(&admin(), &from, &to, true).await;
    assert_eq!(ways.encoded, 2_000);
    holds(&to, &records).await;
    let (before, after) = (batches(&from, 2_000).await, batches(&to, 2_000).await);
    assert_eq!(before, 2_000);
    assert!(after < before / 10, "{after} batches");
}

/// How many batches a topic with so many records has.
async fn batches(queue: &str, records: u64) -> usize {
    let broker = admin();
    let mut reader = broker
        .open_reader(queue, from_earliest(true))
        .await
        .expect("a reader");
    let (mut seen, mut batches) = (0, 0);
    while seen < records {
        let next = soon(QueueReader::next(&mut *reader))
            .await
            .expect("a chunk");
        match next.payload {
            Payload::Encoded(part) => {
                seen += part.records;
                batches += count(&part);
            }
            Payload::Records(records) => assert!(records.is_empty(), "more than a marker"),
        }
    }
    batches
}

fn count(batches: &EncodedBatches) -> usize {
    let mut rest = &batches.bytes[..];
    let mut count = 0;
    while let Some(length) = rest.get(8..12) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
        rest = &rest[12 + length as usize..];
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_transactions_are_left_out() {
    let records = samples(300, PARTITIONS);
    let from = created(&admin(), PARTITIONS.cast_unsigned()).await;
    let topic = from.clone();
    let sent = records.clone();
    blocking(move || {
        let mut client = client();
        client.set("transactional.id", &topic);
        let producer: BaseProducer = client.create().expect("a producer");
        let wait = Duration::from_secs(60);
        producer
            .init_transactions(wait)
            .expect("a transactional producer");
        for (number, part) in sent.chunks(100).enumerate() {
            producer.begin_transaction().expect("begun");
            for sample in part {
                let number = sample.headers[0].1.clone().expect("a number");
                let record = BaseRecord::<[u8], [u8]>::to(&topic)
                    .partition(sample.partition)
                    .timestamp(sample.timestamp)
                    .key(&number);
                producer.send(record).expect("queued");
            }
            producer.flush(wait).expect("sent");
            match number {
                1 => producer.abort_transaction(wait).expect("aborted"),
                _ => producer.commit_transaction(wait).expect("committed"),
            }
        }
    })
    .await;
    let kept: Vec<_> = [&records[..100], &records[200..]].concat();
    let kept: Vec<_> = kept
        .into_iter()
        .map(|sample| Sample {
            key: sample.headers[0].1.clone(),
            value: None,
            headers: vec![],
            ..sample
        })
        .collect();
    for encoded in [true, false] {
        let to = created(&admin(), PARTITIONS.cast_unsigned()).await;
        let ways = copy_all(&admin(), &from, &to, encoded).await;
        assert_eq!(ways.encoded + ways.decoded, 200);
        holds(&to, &kept).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_the_broker_are_kept() {
    let from = topic(&[("message.timestamp.type", "LogAppendTime")]).await;
    fill(&from, &samples(200, PARTITIONS), &[]).await;
    let to = created(&admin(), PARTITIONS.cast_unsigned()).await;
    let ways = copy_all(&admin(), &from, &to, true).await;
    assert_eq!(
        ways,
        Ways {
            encoded: 0,
            decoded: 200
        }
    );
    let name = from.clone();
    let stamped = blocking(move || read_topic(&client(), &name).expect("readable")).await;
    assert!(
        stamped
            .iter()
            .all(|sample| sample.timestamp > 1_700_000_001_000)
    );
    holds(&to, &stamped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_are_too_large_for_the_destination_are_divided() {
    let records = samples(3_000, PARTITIONS);
    let from = source(&records, &[("linger.ms", "100"), ("batch.size", "500000")]).await;
    let to = topic(&[("max.message.bytes", "20000")]).await;
    let ways = copy_all(&admin(), &from, &to, true).await;
    assert_eq!(ways.encoded, 3_000);
    holds(&to, &records).await;
    assert!(batches(&to, 3_000).await > 40);
}
