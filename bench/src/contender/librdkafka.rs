//! A plain loop around librdkafka: what somebody writes in an afternoon.

use std::time::Duration;

use eson_tests::records::plain_client;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord};
use rdkafka::topic_partition_list::Offset;
use serde_json::Value;

use crate::topics;

/// The last argument with which it leaves out every other record.
pub(super) const FILTER: &str = "even";

/// The last argument with which it sends each record at once.
pub(super) const AT_ONCE: &str = "at-once";

const POLL: Duration = Duration::from_millis(5);

/// Copies `topic` at `from` to `copy` at `to`, packed with `codec`, until it is killed: idempotent,
/// acknowledged by all replicas, and, if nothing else is asked for, lingering for 20 ms.
pub(crate) fn copy_for_ever(arguments: &[String]) -> ! {
    let [from, to, topic, copy, codec, rest @ ..] = arguments else {
        panic!("wanted: FROM TO TOPIC COPY CODEC [{FILTER}|{AT_ONCE}]");
    };
    let asked = |word: &str| rest.iter().any(|argument| argument == word);
    let filter = asked(FILTER);
    let linger = if asked(AT_ONCE) { "0" } else { "20" };
    let consumer = consumer(from, topic);
    let producer: BaseProducer = plain_client(to)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", linger)
        .set("batch.size", "262144")
        .set("compression.type", codec)
        .create()
        .unwrap();
    loop {
        if let Some(message) = consumer.poll(POLL) {
            let message = message.unwrap();
            if !filter || is_even(&message) {
                send(&producer, copy, &message);
            }
        }
        producer.poll(Duration::ZERO);
    }
}

fn is_even(message: &BorrowedMessage<'_>) -> bool {
    let order: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
    order["order"].as_u64().unwrap().is_multiple_of(2)
}

fn consumer(from: &str, topic: &str) -> BaseConsumer {
    let consumer: BaseConsumer = plain_client(from)
        .set("group.id", "loop")
        .set("enable.auto.commit", "true")
        .set("fetch.wait.max.ms", "500")
        .create()
        .unwrap();
    topics::assign(&consumer, topic, Offset::Beginning);
    consumer
}

fn send(producer: &BaseProducer, copy: &str, message: &BorrowedMessage<'_>) {
    let mut record = BaseRecord::to(copy)
        .partition(message.partition())
        .key(message.key().unwrap_or_default())
        .payload(message.payload().unwrap_or_default());
    if let Some(time) = message.timestamp().to_millis() {
        record = record.timestamp(time);
    }
    while let Err((error, unsent)) = producer.send(record) {
        let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        assert_eq!(error, full);
        producer.poll(POLL);
        record = unsent;
    }
}
