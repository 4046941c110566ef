//! How far a source has been copied, kept beside the copy: a compacted topic of the destination
//! cluster with one record for each source partition.
//!
//! Group offsets would not do: the broker wants the topic and partition they name to exist in
//! its own cluster, and forgets them after a week without members. The records are written by
//! the producer that writes the data, after the data is acknowledged, so that a crash between
//! the two repeats records and loses none. Its producer has a name: whoever takes it over later
//! fences the one before, whose next position is refused.

use std::sync::Arc;

use bytes::Bytes;
use eson_protocol::{Positions, Record, Start};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, ProduceRequest};
use serde::{Deserialize, Serialize};

use super::batch::Producer;
use super::cluster::{Cluster, Topic};
use super::connection::Connection;
use super::error::Subject;
use super::fetched::{Fetched, next_offset};
use super::offsets::{self, READ_COMMITTED};
use super::produce::{self, Outbound};
use super::records::BatchBuilder;
use super::{fence, producer, topics};
use crate::backoff::Backoff;
use crate::{BrokerError, Payload, ProcessorSource};

/// The topic that keeps positions.
pub(crate) const TOPIC: &str = "eson-positions";

/// Enough that what has to be read at the start is a small part of it.
const PARTITIONS: u32 = 16;

/// How much is read at once, in bytes.
const READ: i32 = 1 << 20;

/// The positions of one processor's copy of one source.
pub(crate) struct PositionStore {
    cluster: Arc<Cluster>,
    key: Key,
    name: String,
    partition: u32,
    producer: Producer,
    sequence: i32,
    topic: Topic,
    connection: Option<Arc<Connection>>,
}

/// Whose position a record is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    processor: String,
    source: String,
    /// The id of the destination topic: a topic that was created again has nothing yet.
    topic: String,
    /// The source's partition; none in the record that a writer announces itself with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partition: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Position {
    offset: u64,
}

impl PositionStore {
    /// Takes over from whoever wrote these positions before, and reads them.
    pub(crate) async fn open(
        cluster: Arc<Cluster>,
        source: &ProcessorSource,
        destination: &Topic,
    ) -> Result<(Self, Positions), BrokerError> {
        let patience = cluster.config().delivery_timeout;
        let topic = Backoff::retry(patience, || topic(&cluster)).await?;
        let key = Key {
            processor: source.processor.clone(),
            source: source.source.clone(),
            topic: destination.queue_id().0,
            partition: None,
        };
        let name = format!("eson/{}/{}/{}", key.processor, key.source, key.topic);
        let producer = producer::named(&cluster, TOPIC, &name, None).await?;
        fence::fence(&cluster, destination, &name, producer).await?;
        let mut store = Self {
            cluster,
            partition: crc32c::crc32c(name.as_bytes()) % topic.partitions().max(1),
            key,
            name,
            producer,
            sequence: 0,
            topic,
            connection: None,
        };
        store.announce().await?;
        let positions = Backoff::retry(patience, || store.load()).await?;
        Ok((store, positions))
    }

    /// The producer for the data.
    pub(crate) fn producer(&self) -> Producer {
        self.producer
    }

    /// Becomes a new producer, unless somebody else has.
    pub(crate) async fn renew(&mut self) -> Result<Producer, BrokerError> {
        let former = Some(self.producer);
        self.producer = producer::named(&self.cluster, TOPIC, &self.name, former).await?;
        self.sequence = 0;
        Ok(self.producer)
    }

    /// Stores positions, however long that takes within the delivery time.
    ///
    /// # Errors
    /// [`BrokerError::Fenced`] when somebody has taken over.
    pub(crate) async fn save(&mut self, positions: &Positions) -> Result<(), BrokerError> {
        let records = positions.iter().map(|(partition, offset)| {
            let key = Key {
                partition: Some(*partition),
                ..self.key.clone()
            };
            (key, Some(Position { offset: *offset }))
        });
        let records = records.collect();
        self.write(records).await
    }

    /// Writes a record that says nothing, so that the partition's leader knows the producer's
    /// epoch and refuses older ones from now on.
    async fn announce(&mut self) -> Result<(), BrokerError> {
        self.write(vec![(self.key.clone(), None)]).await
    }

    async fn write(&mut self, records: Vec<(Key, Option<Position>)>) -> Result<(), BrokerError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut builder = BatchBuilder::default();
        for (key, position) in records {
            builder.push(&record(&key, position.as_ref())?);
        }
        let batch = builder.finish().map_err(|cause| BrokerError::Invalid {
            queue: TOPIC.to_owned(),
            cause: cause.to_string(),
        })?;
        let deadline = tokio::time::Instant::now() + self.cluster.config().delivery_timeout;
        let mut backoff = Backoff::default();
        while let Err(error) = self.attempt(&batch).await {
            backoff.failed();
            let late = tokio::time::Instant::now() + backoff.wait() > deadline;
            if late || !(error.is_transient() || matches!(error, BrokerError::NotFound(_))) {
                return Err(error);
            }
            self.connection = None;
            tokio::time::sleep(backoff.wait()).await;
        }
        self.sequence = self.sequence.wrapping_add(batch.count) & i32::MAX;
        Ok(())
    }

    async fn attempt(&mut self, batch: &super::batch::Batch) -> Result<(), BrokerError> {
        let connection = self.connected().await?;
        let version = produce::version(&connection)?;
        let wait = self.cluster.config().request_timeout;
        let outbound = Outbound {
            partition: self.partition,
            batch,
            sequence: self.sequence,
        };
        let timeout = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let body = produce::encode(version, &self.topic, self.producer, timeout, &[outbound]);
        let pending = connection.try_send::<ProduceRequest>(version, body)?;
        let response = pending
            .receive_within::<ProduceRequest>(version, &connection, wait)
            .await?;
        for result in response
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses)
        {
            check(connection.subject(TOPIC), result.error_code)?;
        }
        Ok(())
    }

    async fn connected(&mut self) -> Result<Arc<Connection>, BrokerError> {
        if let Some(open) = self.connection.as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        self.topic = self.cluster.topic(TOPIC).await?;
        let leader = leader(&self.cluster, &self.topic, self.partition)?;
        let connection = self.cluster.broker(leader).await?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    async fn load(&self) -> Result<Positions, BrokerError> {
        let topic = self.cluster.topic(TOPIC).await?;
        let one = || std::iter::once(self.partition);
        let begin = offsets::resolve(&self.cluster, &topic, one(), Start::Earliest).await?;
        let end = offsets::resolve(&self.cluster, &topic, one(), Start::Latest).await?;
        let mut at = begin.get(&self.partition).copied().unwrap_or(0);
        let end = end.get(&self.partition).copied().unwrap_or(0);
        let leader = leader(&self.cluster, &topic, self.partition)?;
        let connection = self.cluster.broker(leader).await?;
        let mut positions = Positions::new();
        while at < end {
            let bytes = self.read(&connection, &topic, at).await?;
            let next = next_offset(&bytes);
            self.collect(&connection, at, bytes, &mut positions)?;
            at = next.filter(|next| *next > at).ok_or_else(|| {
                connection.broken(format!(
                    "no records of {TOPIC} at offset {at}, before its end"
                ))
            })?;
        }
        Ok(positions)
    }

    async fn read(
        &self,
        connection: &Connection,
        topic: &Topic,
        at: u64,
    ) -> Result<Bytes, BrokerError> {
        let partition = FetchPartition::default()
            .with_partition(self.partition.cast_signed())
            .with_fetch_offset(at.cast_signed())
            .with_partition_max_bytes(READ);
        let topic = FetchTopic::default()
            .with_topic(topic.name.clone())
            .with_topic_id(topic.id)
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_max_wait_ms(0)
            .with_max_bytes(READ)
            .with_isolation_level(READ_COMMITTED)
            .with_topics(vec![topic]);
        let version = connection.version::<FetchRequest>(super::fetcher::NEWEST_FETCH)?;
        let wait = self.cluster.config().request_timeout;
        let response = connection.call_version(&request, version, wait).await?;
        let subject = connection.subject(TOPIC);
        subject.check(response.error_code, None)?;
        let mut found = Bytes::new();
        for data in response
            .responses
            .into_iter()
            .flat_map(|topic| topic.partitions)
        {
            subject.check(data.error_code, None)?;
            found = data.records.unwrap_or_default();
        }
        Ok(found)
    }

    fn collect(
        &self,
        connection: &Connection,
        at: u64,
        bytes: Bytes,
        positions: &mut Positions,
    ) -> Result<(), BrokerError> {
        let mut fetched = Fetched::new(self.partition, at, 0, bytes);
        let broken = |cause: std::io::Error| connection.broken(cause.to_string());
        while let Some(chunk) = fetched.next().map_err(broken)? {
            let Payload::Records(records) = chunk.payload else {
                continue;
            };
            for record in records {
                if let Some((partition, offset)) = self.position(&record) {
                    positions.insert(partition, offset);
                }
            }
        }
        Ok(())
    }

    /// What a record says, if it is one of ours.
    fn position(&self, record: &Record) -> Option<(u32, u64)> {
        let mut key: Key = serde_json::from_slice(record.key.as_deref()?).ok()?;
        let partition = key.partition.take()?;
        if key != self.key {
            return None;
        }
        let position: Position = serde_json::from_slice(record.value.as_deref()?).ok()?;
        Some((partition, position.offset))
    }
}

/// The topic, created if it has to be.
async fn topic(cluster: &Cluster) -> Result<Topic, BrokerError> {
    match cluster.topic(TOPIC).await {
        Err(BrokerError::NotFound(_)) => {}
        found => return found,
    }
    let configs = vec![
        ("cleanup.policy", "compact".to_owned()),
        // What is never written to again is compacted too, and soon.
        ("segment.ms", "600000".to_owned()),
        ("segment.bytes", (16 << 20).to_string()),
        ("min.cleanable.dirty.ratio", "0.1".to_owned()),
    ];
    match topics::create_configured(cluster, TOPIC, PARTITIONS, configs).await {
        Ok(_) | Err(BrokerError::Exists(_)) => cluster.topic(TOPIC).await,
        Err(error) => Err(error),
    }
}

fn leader(
    cluster: &Cluster,
    topic: &Topic,
    partition: u32,
) -> Result<kafka_protocol::messages::BrokerId, BrokerError> {
    topic
        .leader(partition)
        .ok_or_else(|| BrokerError::Unreachable {
            server: cluster.config().server_list(),
            cause: format!("partition {partition} of {TOPIC} has no leader"),
        })
}

fn check(subject: Subject<'_>, code: i16) -> Result<(), BrokerError> {
    match kafka_protocol::ResponseError::try_from_code(code) {
        // It was written, and the answer had been lost.
        Some(kafka_protocol::ResponseError::DuplicateSequenceNumber) => Ok(()),
        _ => subject.check(code, None),
    }
}

fn record(key: &Key, position: Option<&Position>) -> Result<Record, BrokerError> {
    let broken = |cause: serde_json::Error| BrokerError::Invalid {
        queue: TOPIC.to_owned(),
        cause: cause.to_string(),
    };
    let value = position
        .map(serde_json::to_vec)
        .transpose()
        .map_err(broken)?;
    Ok(Record {
        offset: 0,
        timestamp: now(),
        key: Some(serde_json::to_vec(key).map_err(broken)?.into()),
        value: value.map(Bytes::from),
        headers: vec![],
    })
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
