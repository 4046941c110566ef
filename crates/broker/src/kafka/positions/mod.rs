//! How far a source has been copied, kept beside the copy: a compacted topic of the destination
//! cluster with one record for each source partition.
//!
//! Group offsets would not do: the broker wants the topic and partition they name to exist in
//! its own cluster, and forgets them after a week without members. The records are written by
//! the producer that writes the data: in the same transaction, so that both are there or neither
//! is; or, at least once, after the data is acknowledged, so that a crash between the two repeats
//! records and loses none. The producer has a name: whoever takes it over later fences the one
//! before, whose next position is refused.

mod forgetting;
mod log;
mod record;

use std::sync::Arc;

use eson_protocol::Positions;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::ProduceRequest;
use tokio::time::{Instant, sleep};

pub(crate) use self::forgetting::forget;
use self::log::PositionLog;
use self::record::{Entry, Key, Owner, Position};
use super::batch::{Batch, Producer};
use super::cluster::{Cluster, Topic};
use super::connection::Connection;
use super::coordinator::{Coordinator, End, Style};
use super::error::Subject;
use super::produce::{self, Author, Outbound};
use super::{fence, topics};
use crate::backoff::Backoff;
use crate::{BrokerError, Delivery, Epochs, ProcessorSource, Reached};

/// The topic that keeps positions.
pub(crate) const TOPIC: &str = "eson-positions";

/// Enough that what has to be read at the start is a small part of it.
const PARTITIONS: u32 = 16;

/// The positions of one processor's copy of one source.
pub(crate) struct PositionStore {
    log: PositionLog,
    coordinator: Coordinator,
    author: Author,
    /// What this store has announced itself as.
    owner: Owner,
    sequence: i32,
    topic: Topic,
    connection: Option<Arc<Connection>>,
}

/// Looks whether a store is still the one that took over last.
#[derive(Clone)]
pub(crate) struct Ownership {
    log: PositionLog,
    owner: Owner,
}

#[cfg(test)]
impl Ownership {
    /// Of a store that is not there.
    pub(crate) fn of_nothing(cluster: Arc<Cluster>, producer: Producer) -> Self {
        let key = Key {
            processor: String::new(),
            source: String::new(),
            topic: String::new(),
            partition: None,
        };
        Self {
            log: PositionLog {
                cluster,
                key,
                partition: 0,
            },
            owner: producer.into(),
        }
    }
}

impl PositionStore {
    /// Takes over from whoever wrote these positions before, and reads them.
    pub(crate) async fn open(
        cluster: Arc<Cluster>,
        source: &ProcessorSource,
        destination: &Topic,
        delivery: Delivery,
    ) -> Result<(Self, Reached), BrokerError> {
        let patience = cluster.config().delivery_timeout;
        let topic = Backoff::retry(patience, || topic(&cluster)).await?;
        let key = Key {
            processor: source.processor.clone(),
            source: source.source.clone(),
            topic: destination.queue_id().0,
            partition: None,
        };
        let name = key.name();
        let coordinator = Coordinator::new(cluster.clone(), TOPIC, &name);
        let (producer, style) = coordinator.init(None).await?;
        fence::fence(&cluster, destination, &coordinator, producer).await?;
        let log = PositionLog {
            partition: crc32c::crc32c(name.as_bytes()) % topic.partitions().max(1),
            cluster,
            key,
        };
        let mut store = Self {
            log,
            author: author(&coordinator, producer, style, delivery),
            coordinator,
            owner: producer.into(),
            sequence: 0,
            topic,
            connection: None,
        };
        store.announce().await?;
        let reached = Backoff::retry(patience, || store.load()).await?;
        Ok((store, reached))
    }

    /// As whom the data is to be written.
    pub(crate) fn author(&self) -> Author {
        self.author.clone()
    }

    /// Who decides about transactions.
    pub(crate) fn coordinator(&self) -> Coordinator {
        self.coordinator.clone()
    }

    pub(crate) fn ownership(&self) -> Ownership {
        Ownership {
            log: self.log.clone(),
            owner: self.owner,
        }
    }

    /// Becomes a new producer, unless somebody else has. Only outside of transactions.
    pub(crate) async fn renew(&mut self) -> Result<Producer, BrokerError> {
        let former = Some(self.author.producer);
        let (producer, _) = self.coordinator.init(former).await?;
        self.author.producer = producer;
        self.sequence = 0;
        Ok(producer)
    }

    /// Goes on as `producer`, which the end of a transaction may have made another one.
    pub(crate) fn go_on_as(&mut self, producer: Producer) {
        if self.author.producer != producer {
            self.author.producer = producer;
            self.sequence = 0;
        }
    }

    /// Stores positions, however long that takes within the delivery time; in a transaction,
    /// they are stored when that is committed.
    ///
    /// # Errors
    /// [`BrokerError::Fenced`] when somebody has taken over.
    pub(crate) async fn save(
        &mut self,
        positions: &Positions,
        epochs: &Epochs,
    ) -> Result<(), BrokerError> {
        if positions.is_empty() {
            return Ok(());
        }
        let entry = |(partition, offset): (&u32, &u64)| {
            let (offset, epoch) = (*offset, epochs.get(partition).copied());
            Entry::Position(*partition, Position { offset, epoch })
        };
        let batch = self.log.key.batch(positions.iter().map(entry))?;
        self.write(&batch).await
    }

    /// Says who has taken over. The partition's leader knows the producer's epoch from then on
    /// and refuses older ones.
    async fn announce(&mut self) -> Result<(), BrokerError> {
        let batch = self.log.key.batch([Entry::Owner(self.owner)])?;
        self.write(&batch).await?;
        let Some((_, style)) = self.author.transaction else {
            return Ok(());
        };
        let end = self
            .coordinator
            .end(self.author.producer, style, End::Commit);
        self.go_on_as(end.await?);
        Ok(())
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), BrokerError> {
        if let Some((_, Style::Explicit)) = self.author.transaction {
            let partition = [self.log.partition];
            let producer = self.author.producer;
            let added = self.coordinator.add(producer, &self.topic.name, &partition);
            added.await?;
        }
        let deadline = Instant::now() + self.log.cluster.config().delivery_timeout;
        let mut backoff = Backoff::default();
        while let Err(error) = self.attempt(batch).await {
            backoff.failed();
            let late = Instant::now() + backoff.wait() > deadline;
            if late || !(error.is_transient() || matches!(error, BrokerError::NotFound(_))) {
                return Err(error);
            }
            self.connection = None;
            sleep(backoff.wait()).await;
        }
        self.sequence = self.sequence.wrapping_add(batch.count) & i32::MAX;
        Ok(())
    }

    async fn attempt(&mut self, batch: &Batch) -> Result<(), BrokerError> {
        let connection = self.connected().await?;
        let version = produce::version(&connection, &self.author)?;
        let wait = self.log.cluster.config().request_timeout;
        let outbound = Outbound {
            partition: self.log.partition,
            batch,
            sequence: self.sequence,
        };
        let timeout = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let body = produce::encode(version, &self.topic, &self.author, timeout, &[outbound]);
        let response = connection
            .call_encoded::<ProduceRequest>(version, body, wait)
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
        let cluster = &self.log.cluster;
        self.topic = cluster.topic(TOPIC).await?;
        let leader = self.topic.some_leader(cluster, self.log.partition)?;
        let connection = cluster.for_positions(leader).await?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    /// What is stored, up to our own announcement at least.
    async fn load(&self) -> Result<Reached, BrokerError> {
        let stored = self.log.load().await?;
        if stored.owner == Some(self.owner) {
            return Ok(stored.reached());
        }
        Err(BrokerError::Unreachable {
            server: self.log.cluster.config().server_list(),
            cause: format!("{TOPIC} can't be read up to its end yet"),
        })
    }
}

impl Ownership {
    /// Whether nobody has taken over since.
    pub(crate) async fn is_ours(&self) -> Result<bool, BrokerError> {
        let patience = self.log.cluster.config().request_timeout;
        let stored = Backoff::retry(patience, || self.log.load()).await?;
        Ok(stored.owner == Some(self.owner))
    }
}

fn author(
    coordinator: &Coordinator,
    producer: Producer,
    style: Style,
    delivery: Delivery,
) -> Author {
    let transactional = delivery == Delivery::ExactlyOnce;
    Author {
        producer: Producer {
            transactional,
            ..producer
        },
        transaction: transactional.then(|| (coordinator.name(), style)),
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

fn check(subject: Subject<'_>, code: i16) -> Result<(), BrokerError> {
    match ResponseError::try_from_code(code) {
        // It was written, and the answer had been lost.
        Some(ResponseError::DuplicateSequenceNumber) => Ok(()),
        _ => subject.check(code, None),
    }
}
