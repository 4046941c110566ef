//! Records as librdkafka, a Kafka client that is not the product's, writes and reads them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext};

use crate::kafka::{ADMIN, Kafka};
use crate::wait::{check, until};

const PATIENCE: Duration = Duration::from_secs(60);

/// Everything of a record but its offset.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sample {
    /// The partition it is in.
    pub partition: i32,
    /// Its time in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers in their order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Bytes that can't be packed, the same ones each time.
#[must_use]
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// A client's settings for a server that wants SCRAM-SHA-256 without TLS.
#[must_use]
pub fn scram_client(server: &str, user: &str, password: &str) -> ClientConfig {
    let mut config = plain_client(server);
    config
        .set("security.protocol", "SASL_PLAINTEXT")
        .set("sasl.mechanism", "SCRAM-SHA-256")
        .set("sasl.username", user)
        .set("sasl.password", password);
    config
}

/// A client's settings for a server that wants nothing.
#[must_use]
pub fn plain_client(server: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", server)
        .set("broker.address.family", "v4")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "500");
    config
}

/// The settings of the user who may do everything at a broker with authorization.
#[must_use]
pub fn admin_client(kafka: &Kafka) -> ClientConfig {
    scram_client(&kafka.sasl(), ADMIN.0, ADMIN.1)
}

/// Creates a topic as a platform team would, before anybody thought of flows.
///
/// # Panics
/// When the broker refuses.
pub fn create_topic(client: &ClientConfig, topic: &str, partitions: i32) {
    create_topics(client, &[topic], partitions);
}

/// Creates topics that are alike.
///
/// # Panics
/// When the broker refuses one of them.
pub fn create_topics(client: &ClientConfig, topics: &[&str], partitions: i32) {
    let wanted = topics
        .iter()
        .map(|topic| NewTopic::new(topic, partitions, TopicReplication::Fixed(1)));
    create(client, wanted.collect());
}

/// Creates a topic with settings of its own.
///
/// # Panics
/// When the broker refuses.
pub fn create_topic_with(
    client: &ClientConfig,
    topic: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) {
    let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let set = settings
        .iter()
        .fold(wanted, |topic, (name, value)| topic.set(name, value));
    create(client, vec![set]);
}

fn create(client: &ClientConfig, wanted: Vec<NewTopic<'_>>) {
    let admin: AdminClient<_> = client.create().unwrap();
    let done = wait_for(admin.create_topics(&wanted, &AdminOptions::new())).unwrap();
    for topic in done {
        topic.unwrap_or_else(|(topic, cause)| panic!("{topic}: {cause:?}"));
    }
}

/// Gives a topic this setting, and all others their defaults.
///
/// # Panics
/// When the broker refuses.
pub fn configure_topic(client: &ClientConfig, topic: &str, name: &str, value: &str) {
    let admin: AdminClient<_> = client.create().unwrap();
    let wanted = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
    let done = wait_for(admin.alter_configs(&[wanted], &AdminOptions::new())).unwrap();
    for topic in done {
        topic.unwrap_or_else(|(topic, cause)| panic!("{topic:?}: {cause:?}"));
    }
}

/// Deletes a topic.
///
/// # Panics
/// When the broker refuses.
pub fn delete_topic(client: &ClientConfig, topic: &str) {
    let admin: AdminClient<_> = client.create().unwrap();
    let done = wait_for(admin.delete_topics(&[topic], &AdminOptions::new())).unwrap();
    for topic in done {
        topic.unwrap_or_else(|(topic, cause)| panic!("{topic}: {cause:?}"));
    }
}

/// Gives a topic more partitions, so many in all.
///
/// # Panics
/// When the broker refuses.
pub fn grow_topic(client: &ClientConfig, topic: &str, partitions: usize) {
    let admin: AdminClient<_> = client.create().unwrap();
    let wanted = NewPartitions::new(topic, partitions);
    let done = wait_for(admin.create_partitions(&[wanted], &AdminOptions::new())).unwrap();
    for topic in done {
        topic.unwrap_or_else(|(topic, cause)| panic!("{topic}: {cause:?}"));
    }
}

/// Drops what a topic's first partition has before an offset, as retention does.
///
/// # Panics
/// When the broker refuses.
pub fn delete_before(client: &ClientConfig, topic: &str, offset: i64) {
    let admin: AdminClient<_> = client.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset))
        .unwrap();
    wait_for(admin.delete_records(&list, &AdminOptions::new())).unwrap();
}

/// The names of all topics but the broker's own.
///
/// # Panics
/// When the broker does not answer.
#[must_use]
pub fn topics(client: &ClientConfig) -> Vec<String> {
    let consumer: BaseConsumer = client.create().unwrap();
    let metadata = consumer.fetch_metadata(None, PATIENCE).unwrap();
    let names = metadata
        .topics()
        .iter()
        .map(|topic| topic.name().to_owned());
    names.filter(|name| !name.starts_with("__")).collect()
}

/// Who leads each partition of a topic, by the brokers' numbers, and who has all of it.
///
/// # Errors
/// When the cluster does not answer, or does not know the topic.
pub fn leaders(client: &ClientConfig, topic: &str) -> Result<Vec<Leadership>, String> {
    let consumer: BaseConsumer = client.create().map_err(|cause| cause.to_string())?;
    let metadata = consumer
        .fetch_metadata(Some(topic), Duration::from_secs(10))
        .map_err(|cause| cause.to_string())?;
    let partitions = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions());
    let found: Vec<_> = partitions
        .map(|partition| Leadership {
            leader: partition.leader(),
            in_sync: partition.isr().len(),
        })
        .collect();
    check(!found.is_empty(), || format!("{topic} is unknown")).map(|()| found)
}

/// Who looks after a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The leader's number; -1 where there is none.
    pub leader: i32,
    /// How many brokers have everything.
    pub in_sync: usize,
}

/// Writes records as they are said, each into its partition, and waits until the broker has all.
/// Goes on through a broker that is away for a while.
///
/// # Panics
/// When one is refused or not acknowledged within five minutes.
pub fn produce<'a>(
    client: &ClientConfig,
    topic: &str,
    samples: impl IntoIterator<Item = &'a Sample>,
) {
    let mut client = client.clone();
    client
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("message.timeout.ms", "300000")
        .set("debug", "eos,broker,security")
        .set_log_level(RDKafkaLogLevel::Debug);
    let deliveries = Deliveries::default();
    let producer: BaseProducer<Deliveries> =
        client.create_with_context(deliveries.clone()).unwrap();
    for sample in samples {
        let mut record = Some(record(topic, sample));
        while let Some(unsent) = record.take() {
            match producer.send(unsent) {
                Ok(()) => {}
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    producer.poll(Duration::from_millis(50));
                    record = Some(again);
                }
                Err((cause, _)) => panic!("{topic}: {cause}"),
            }
        }
    }
    producer
        .flush(Duration::from_secs(300))
        .unwrap_or_else(|cause| panic!("{topic}: not all acknowledged: {cause}\n{deliveries}"));
    assert!(!deliveries.any_failed(), "{topic}: {deliveries}");
}

/// What became of a producer's records, and what the producer last said of its work.
#[derive(Clone, Default)]
struct Deliveries(Arc<Mutex<(VecDeque<String>, Option<String>)>>);

impl Deliveries {
    const LINES: usize = 300;

    fn any_failed(&self) -> bool {
        self.0.lock().unwrap().1.is_some()
    }
}

impl fmt::Display for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lines, failure) = &*self.0.lock().unwrap();
        let failure = failure.as_deref().unwrap_or("none");
        writeln!(
            f,
            "first failed delivery: {failure}; the client's last lines:"
        )?;
        lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl ClientContext for Deliveries {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        let lines = &mut self.0.lock().unwrap().0;
        if lines.len() == Self::LINES {
            lines.pop_front();
        }
        lines.push_back(format!("{facility} {message}"));
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((cause, _)) = result {
            let failure = &mut self.0.lock().unwrap().1;
            failure.get_or_insert_with(|| cause.to_string());
        }
    }
}

fn record<'a>(topic: &'a str, sample: &'a Sample) -> BaseRecord<'a, [u8], [u8]> {
    let mut headers = OwnedHeaders::new_with_capacity(sample.headers.len());
    for (key, value) in &sample.headers {
        headers = headers.insert(Header {
            key,
            value: value.as_ref(),
        });
    }
    let mut record = BaseRecord::to(topic)
        .partition(sample.partition)
        .timestamp(sample.timestamp)
        .headers(headers);
    record.key = sample.key.as_deref();
    record.payload = sample.value.as_deref();
    record
}

/// Reads a topic from its beginning to where it ends now; in each partition in its order.
///
/// # Errors
/// When the broker is away or refuses.
pub fn read_topic(client: &ClientConfig, topic: &str) -> Result<Vec<Sample>, String> {
    let mut client = client.clone();
    client
        .set("group.id", "eson-test-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed");
    let consumer: BaseConsumer = client.create().map_err(|cause| cause.to_string())?;
    let partitions = partitions(&consumer, topic)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)
            .map_err(|cause| cause.to_string())?;
    }
    consumer.assign(&list).map_err(|cause| cause.to_string())?;
    drain(&consumer, partitions)
}

/// How many records the topic has: cheaper to ask than to read them.
fn count(client: &ClientConfig, topic: &str) -> Result<i64, String> {
    let text = |cause: KafkaError| cause.to_string();
    let consumer: BaseConsumer = client.create().map_err(text)?;
    let mut records = 0;
    for partition in 0..partitions(&consumer, topic)? {
        let ends = consumer.fetch_watermarks(topic, partition, Duration::from_secs(10));
        let (low, high) = ends.map_err(text)?;
        records += high - low;
    }
    Ok(records)
}

/// Waits until the log of the topic's first partition has so many entries, among them the markers
/// of transactions and what belongs to open ones.
///
/// # Panics
/// After `deadline`.
pub fn await_end(client: &ClientConfig, topic: &str, wanted: i64, deadline: Duration) {
    let mut client = client.clone();
    client.set("isolation.level", "read_uncommitted");
    let consumer: BaseConsumer = client.create().unwrap();
    until(&format!("{wanted} entries in {topic}"), deadline, || {
        let ends = consumer.fetch_watermarks(topic, 0, PATIENCE);
        let (_, end) = ends.map_err(|cause| cause.to_string())?;
        check(end >= wanted, || format!("{end} are there"))
    });
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<i32, String> {
    let metadata = consumer
        .fetch_metadata(Some(topic), Duration::from_secs(10))
        .map_err(|cause| cause.to_string())?;
    match metadata.topics() {
        [one] if one.error().is_none() => Ok(one.partitions().len() as i32),
        [one] => Err(format!("{topic}: {:?}", one.error())),
        _ => Err(format!("{topic} is unknown")),
    }
}

/// Reads until every partition has said that it ends here.
fn drain(consumer: &BaseConsumer, partitions: i32) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    let mut open = partitions;
    while open > 0 {
        match consumer.poll(Duration::from_secs(20)) {
            None => return Err(format!("{open} partitions have not ended after 20 s")),
            Some(Ok(message)) => samples.push(sample(&message)),
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(cause)) => return Err(cause.to_string()),
        }
    }
    Ok(samples)
}

fn sample(message: &impl Message) -> Sample {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let owned =
            |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
        headers.iter().map(owned).collect()
    });
    Sample {
        partition: message.partition(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}

/// Waits until `arrived` is what [`compare`] accepts for `source`, reading the topic again and
/// again, and returns how many records came more than once.
///
/// # Panics
/// After `deadline`, with the first difference; at once, when something came that was never sent.
pub fn await_copy(
    client: &ClientConfig,
    topic: &str,
    source: &[Sample],
    deadline: Duration,
) -> usize {
    until(
        &format!("{} records in {topic}", source.len()),
        deadline,
        || {
            let there = count(client, topic)?;
            if there < source.len() as i64 {
                return Err(format!("{there} are there"));
            }
            compare(source, &read_topic(client, topic)?)
        },
    )
}

/// Whether `arrived` has, in each partition, exactly the records of `source` in their order; a
/// record may come again later, if it is the same in every byte. Says how many did. The records
/// of `source` have to differ from each other.
///
/// # Errors
/// The first thing that is missing.
///
/// # Panics
/// When something arrived that was not sent, or in another order: waiting can't mend that.
pub fn compare(source: &[Sample], arrived: &[Sample]) -> Result<usize, String> {
    let number: HashMap<&Sample, usize> = source.iter().zip(0..).collect();
    assert_eq!(
        source.len(),
        number.len(),
        "the source's records are not all different"
    );
    let mut seen = vec![false; source.len()];
    let mut last: HashMap<i32, usize> = HashMap::new();
    let mut repeats = 0;
    for sample in arrived {
        let Some(&at) = number.get(sample) else {
            panic!("this was never sent: {sample:?}");
        };
        if std::mem::replace(&mut seen[at], true) {
            repeats += 1;
            continue;
        }
        let before = last.insert(sample.partition, at);
        assert!(
            before < Some(at),
            "out of order, behind record {before:?}: {at} {sample:?}"
        );
    }
    match seen.iter().position(|seen| !seen) {
        None => Ok(repeats),
        Some(at) => Err(format!(
            "{} of {} are there; the first missing is {:?}",
            arrived.len() - repeats,
            source.len(),
            source[at]
        )),
    }
}

/// Awaits a librdkafka call on a thread without a runtime.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    use std::task::{Context, Poll, Waker};
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    until("the broker's answer", PATIENCE, || {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(answer) => Ok(answer),
            Poll::Pending => Err("none".to_owned()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(count: u8) -> Vec<Sample> {
        let sample = |number| Sample {
            partition: i32::from(number % 2),
            timestamp: 1_000 + i64::from(number),
            key: Some(vec![number]),
            value: Some(vec![number; 3]),
            headers: vec![("n".into(), Some(vec![number])), ("n".into(), None)],
        };
        (0..count).map(sample).collect()
    }

    #[test]
    fn repeats_are_counted() {
        let source = samples(6);
        let mut arrived = source.clone();
        arrived.extend_from_slice(&source[2..4]);
        assert_eq!(Ok(2), compare(&source, &arrived));
    }

    #[test]
    fn what_is_missing_is_named() {
        let source = samples(6);
        let missing = compare(&source, &source[..5]).unwrap_err();
        assert!(missing.starts_with("5 of 6 are there"), "{missing}");
    }

    #[test]
    #[should_panic(expected = "never sent")]
    fn a_changed_header_is_seen() {
        let source = samples(2);
        let mut arrived = source.clone();
        arrived[1].headers.swap(0, 1);
        let _ = compare(&source, &arrived);
    }

    #[test]
    #[should_panic(expected = "out of order")]
    fn a_swap_within_a_partition_is_seen() {
        let source = samples(4);
        let mut arrived = source.clone();
        arrived.swap(0, 2);
        let _ = compare(&source, &arrived);
    }

    #[test]
    fn a_broker_keeps_its_records_through_kill9() {
        let mut kafka = Kafka::start("kafka", crate::kafka::Authorization::Acls);
        let client = admin_client(&kafka);
        let source = samples(50);
        create_topic(&client, "orders_v1", 2);
        produce(&client, "orders_v1", &source);
        kafka.kill9();
        kafka.restart();
        assert_eq!(0, await_copy(&client, "orders_v1", &source, PATIENCE));
        assert_eq!(["orders_v1"], *topics(&client));
        let stranger = scram_client(&kafka.sasl(), "nobody", "x");
        assert!(read_topic(&stranger, "orders_v1").is_err());
    }
}
