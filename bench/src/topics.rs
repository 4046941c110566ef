//! The load of the bridge: a topic of JSON records, and whether a copy of it is the same.

use std::fmt::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use eson_tests::records::{create_topic_with, plain_client};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub(crate) const PARTITIONS: i32 = 4;
pub(crate) const RECORD_BYTES: usize = 512;

const PATIENCE: Duration = Duration::from_secs(30);

/// How a topic of JSON records is written.
#[derive(Clone, Copy)]
pub(crate) struct Load<'a> {
    /// What its batches are packed with.
    pub(crate) codec: &'a str,
    pub(crate) records: u32,
    /// Whether every other record of a partition has the same key, in place of one of its own.
    pub(crate) repeats: bool,
    /// What is set for the topic.
    pub(crate) topic: &'a [Setting],
    /// What is set for its producer, on top of the batches of 128 KiB.
    pub(crate) producer: &'a [Setting],
}

/// A name of Kafka's or librdkafka's, and a value.
pub(crate) type Setting = (&'static str, &'static str);

impl<'a> Load<'a> {
    /// Large batches, a key for each record.
    pub(crate) const fn new(codec: &'a str, records: u32) -> Self {
        Self {
            codec,
            records,
            repeats: false,
            topic: &[],
            producer: &[],
        }
    }

    /// Fills a new topic.
    pub(crate) fn write(&self, server: &str, topic: &str) {
        let mut client = plain_client(server);
        create_topic_with(&client, topic, PARTITIONS, self.topic);
        client
            .set("compression.type", self.codec)
            .set("batch.size", "131072")
            .set("linger.ms", "10")
            .set("enable.idempotence", "true");
        for (name, value) in self.producer {
            client.set(*name, *value);
        }
        let producer: BaseProducer = client.create().unwrap();
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis();
        let time = i64::try_from(time).unwrap();
        for number in 0..self.records {
            let (key, value) = (self.key(number), json(number));
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
}

impl Load<'_> {
    fn key(&self, number: u32) -> String {
        let in_partition = number / PARTITIONS.cast_unsigned();
        match self.repeats && !in_partition.is_multiple_of(2) {
            true => "the same".to_owned(),
            false => number.to_string(),
        }
    }
}

/// What is in a topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// How many records each partition has.
    pub(crate) counts: Vec<u64>,
    /// Of each partition: keys and values in their order.
    hashes: Vec<String>,
}

impl Contents {
    pub(crate) fn records(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// A topic that is copied.
pub(crate) struct Original {
    pub(crate) topic: String,
    pub(crate) contents: Contents,
    /// Its partitions' ends, all together: where the log is compacted, more than it has records.
    pub(crate) end: u64,
}

impl Original {
    pub(crate) fn read(server: &str, topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            contents: contents(server, topic),
            end: count(&watcher(server), topic),
        }
    }
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

/// How many records were written to a topic; none before it is there.
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
        // Of a second otherwise, once a reader has got ahead of what hashes its records.
        .set("fetch.queue.backoff.ms", "5")
        // Nothing else is answered to a reader while a fetch at a partition's end waits for more.
        .set("fetch.wait.max.ms", "5")
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

/// Reads all of a topic.
pub(crate) fn contents(server: &str, topic: &str) -> Contents {
    let consumer = watcher(server);
    let partitions = (0..PARTITIONS).map(|partition| hash(&consumer, topic, partition));
    let (counts, hashes) = partitions.unzip();
    Contents { counts, hashes }
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

/// The numbers of a topic's orders.
pub(crate) fn orders(server: &str, topic: &str) -> Vec<u32> {
    let consumer = watcher(server);
    let mut orders = vec![];
    for partition in 0..PARTITIONS {
        read_from_beginning(&consumer, topic, partition);
        while let Some(message) = next_message(&consumer, topic) {
            let order: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
            orders.push(order["order"].as_u64().unwrap().try_into().unwrap());
        }
    }
    orders
}

fn read_from_beginning(consumer: &BaseConsumer, topic: &str, partition: i32) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
}

/// How many records a partition has for a reader of committed ones, and their hash.
fn hash(consumer: &BaseConsumer, topic: &str, partition: i32) -> (u64, String) {
    read_from_beginning(consumer, topic, partition);
    let (mut records, mut hash) = (0, Sha256::new());
    while let Some(message) = next_message(consumer, topic) {
        records += 1;
        for part in [message.key(), message.payload()] {
            let part = part.unwrap_or_default();
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    let digest = hash.finalize();
    let digest = digest
        .iter()
        .fold(String::new(), |text, octet| format!("{text}{octet:02x}"));
    (records, digest)
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
