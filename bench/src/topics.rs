//! The load of the bridge: a topic of JSON records, and whether a copy of it is the same.

use std::fmt::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use eson_tests::records::{create_topic, plain_client};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sha2::{Digest, Sha256};

pub(crate) const PARTITIONS: i32 = 4;
pub(crate) const RECORD_BYTES: usize = 512;

const PATIENCE: Duration = Duration::from_secs(30);

/// Fills a new topic with `count` JSON records.
pub(crate) fn preload(server: &str, topic: &str, codec: &str, count: u32) {
    let mut client = plain_client(server);
    create_topic(&client, topic, PARTITIONS);
    client
        .set("compression.type", codec)
        .set("batch.size", "131072")
        .set("linger.ms", "10")
        .set("enable.idempotence", "true");
    let producer: BaseProducer = client.create().unwrap();
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let time = i64::try_from(time).unwrap();
    for number in 0..count {
        let (key, value) = (number.to_string(), json(number));
        let partition = i32::try_from(number % 4).unwrap();
        let mut record = BaseRecord::to(topic).partition(partition).timestamp(time);
        record = record.key(&key).payload(&value);
        while let Err((error, unsent)) = producer.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert_eq!(error, full);
            producer.poll(Duration::from_millis(20));
            record = unsent;
        }
    }
    producer.flush(Duration::from_secs(300)).unwrap();
}

/// One record: as an event of an order system looks, 512 bytes, not all alike.
fn json(number: u32) -> String {
    let mut text = format!(r#"{{"order":{number},"items":["#);
    let mut state = u64::from(number) + 1;
    while text.len() < RECORD_BYTES - 60 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let (article, amount) = (state >> 44, (state >> 30) % 9 + 1);
        write!(text, r#"{{"article":"{article:06}","amount":{amount}}},"#).unwrap();
    }
    text.pop();
    let padding = RECORD_BYTES - text.len() - 12;
    write!(text, r#"],"note":"{:x<padding$}"}}"#, "").unwrap();
    text.truncate(RECORD_BYTES);
    text
}

/// How many records a topic has; none before it is there.
pub(crate) fn count(consumer: &BaseConsumer, topic: &str) -> u64 {
    let ends = (0..PARTITIONS).map(|partition| {
        let range = consumer.fetch_watermarks(topic, partition, PATIENCE);
        range.map_or(0, |(_, end)| u64::try_from(end).unwrap())
    });
    ends.sum()
}

/// A client that asks for watermarks.
pub(crate) fn watcher(server: &str) -> BaseConsumer {
    let mut client = plain_client(server);
    client
        .set("group.id", "bench")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false");
    client.create().unwrap()
}

/// Lets a client read all partitions of a topic from `offset` on.
pub(crate) fn assign(consumer: &BaseConsumer, topic: &str, offset: Offset) {
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions
            .add_partition_offset(topic, partition, offset)
            .unwrap();
    }
    consumer.assign(&partitions).unwrap();
}

/// A hash of each partition: keys and values in their order.
pub(crate) fn hashes(server: &str, topic: &str) -> Vec<String> {
    let consumer = watcher(server);
    (0..PARTITIONS)
        .map(|partition| hash(&consumer, topic, partition))
        .collect()
}

/// The numbered records that a topic's broker says to have appended since then, and when.
pub(crate) fn appended(server: &str, topic: &str, since: SystemTime) -> Vec<(u32, SystemTime)> {
    let consumer = watcher(server);
    let since = since.duration_since(UNIX_EPOCH).unwrap().as_millis();
    let since = Offset::Offset(since.try_into().unwrap());
    let mut appended = vec![];
    for partition in 0..PARTITIONS {
        let mut times = TopicPartitionList::new();
        times.add_partition_offset(topic, partition, since).unwrap();
        let begin = consumer.offsets_for_times(times, PATIENCE).unwrap();
        consumer.assign(&begin).unwrap();
        // Where records keep coming, a reader never comes to the end.
        let (_, end) = consumer
            .fetch_watermarks(topic, partition, PATIENCE)
            .unwrap();
        while let Some(message) = next_message(&consumer, topic) {
            if message.offset() >= end {
                break;
            }
            let key = std::str::from_utf8(message.key().unwrap()).unwrap();
            let at = message.timestamp().to_millis().unwrap();
            let at = UNIX_EPOCH + Duration::from_millis(at.try_into().unwrap());
            appended.push((key.parse().unwrap(), at));
        }
    }
    appended
}

/// Up to where the partition ends now for a reader of committed records.
fn hash(consumer: &BaseConsumer, topic: &str, partition: i32) -> String {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
    let mut hash = Sha256::new();
    while let Some(message) = next_message(consumer, topic) {
        for part in [message.key(), message.payload()] {
            let part = part.unwrap_or_default();
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    hash.finalize()
        .iter()
        .fold(String::new(), |text, octet| format!("{text}{octet:02x}"))
}

/// None at the end. The consumer's poll may end early, after an event that is no message.
fn next_message<'a>(consumer: &'a BaseConsumer, topic: &str) -> Option<BorrowedMessage<'a>> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        match consumer.poll(PATIENCE) {
            Some(Err(KafkaError::PartitionEOF(_))) => return None,
            Some(message) => return Some(message.unwrap()),
            None => {}
        }
    }
    panic!("{topic} does not go on")
}
