//! Apache Kafka, by a client of our own over the codec of `kafka-protocol`.
//!
//! A queue is a topic; its identity is the topic's id, so Kafka 2.8 is the oldest that will do.
//! Readers assign themselves all partitions. Between two clusters record batches pass as they
//! are: see `batch`.
//!
//! ```text
//!  KafkaBroker ─ topics, access, consumers, offsets      short requests, shared connections
//!      │
//!      ├─ KafkaReader ◄─ Fetcher ◄─ one connection per leader, one long poll on each
//!      │                    └─ Watcher: one long poll per leader for all readers at rest
//!      └─ KafkaWriter ─► Sender  ─► one connection per leader, up to five requests on each
//!                           ├─ PositionStore: how far the source has been copied
//!                           └─ Transaction, Coordinator: both at once, or neither
//! ```

mod access;
mod batch;
mod checksum;
mod cluster;
mod compression;
mod config;
mod connection;
mod consumers;
mod coordinator;
mod error;
mod fence;
mod fetched;
mod fetcher;
mod frames;
mod hanging;
mod lane;
mod offsets;
mod positions;
mod produce;
mod producer;
mod quotas;
mod reader;
mod records;
mod sasl;
mod sender;
mod settings;
mod source_epochs;
mod tickets;
mod topics;
mod transaction;
mod transport;
mod watcher;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use eson_protocol::{BrokerKind, Positions};

use self::cluster::Cluster;
pub use self::config::{
    Advertised, KafkaConfig, KafkaSasl, KafkaTls, SaslMechanism, UnknownSaslMechanism,
};
use self::reader::KafkaReader;
use self::writer::KafkaWriter;
use crate::backoff::Backoff;
use crate::{
    Broker, BrokerError, Consumer, Credential, Lease, QueueDescription, QueueId, QueueReader,
    QueueSpec, QueueUpdate, QueueWriter, Rates, ReaderOptions, WriterOptions,
};

/// How long what only looks is repeated while a partition moves from one broker to another.
const PATIENCE: Duration = Duration::from_secs(3);

/// A Kafka cluster.
///
/// Nothing is connected until it is needed; connections end with the broker and the readers and
/// writers it opened.
pub struct KafkaBroker {
    cluster: Arc<Cluster>,
}

impl KafkaBroker {
    /// A cluster reached as `config` says.
    ///
    /// # Errors
    /// [`BrokerError::Protocol`] when the certificate authorities can't be read.
    pub fn new(config: KafkaConfig) -> Result<Self, BrokerError> {
        Ok(Self {
            cluster: Arc::new(Cluster::new(config)?),
        })
    }

    /// How many requests have been sent to the cluster so far, for whatever purpose: what its
    /// brokers' work grows with.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.cluster.requests()
    }

    /// How many readers have come to rest, counted once for each broker that leads partitions of
    /// theirs: nothing has come for a few fetches, and all that rest at a broker wait for the
    /// answer to one request.
    #[must_use]
    pub fn resting(&self) -> usize {
        self.cluster.resting()
    }
}

#[async_trait]
impl Broker for KafkaBroker {
    fn kind(&self) -> BrokerKind {
        BrokerKind::Kafka
    }

    async fn check(&self) -> Result<(), BrokerError> {
        self.cluster.brokers().await.map(drop)
    }

    async fn create_queue(&self, spec: &QueueSpec) -> Result<QueueId, BrokerError> {
        topics::create(&self.cluster, spec).await
    }

    async fn describe_queue(&self, queue: &str) -> Result<QueueDescription, BrokerError> {
        Backoff::retry(PATIENCE, || topics::describe(&self.cluster, queue)).await
    }

    async fn update_queue(&self, queue: &str, update: &QueueUpdate) -> Result<(), BrokerError> {
        topics::update(&self.cluster, queue, update).await
    }

    async fn delete_queue(&self, queue: &str, id: &QueueId) -> Result<(), BrokerError> {
        topics::delete(&self.cluster, queue, id).await
    }

    async fn trim_queue(&self, queue: &str, before: &Positions) -> Result<(), BrokerError> {
        Backoff::retry(PATIENCE, || topics::trim(&self.cluster, queue, before)).await
    }

    async fn forget_positions(&self, family: &str) -> Result<(), BrokerError> {
        positions::forget(&self.cluster, family).await
    }

    async fn list_consumers(&self, queue: &str) -> Result<Vec<Consumer>, BrokerError> {
        Backoff::retry(PATIENCE, || consumers::list(&self.cluster, queue)).await
    }

    async fn grant(
        &self,
        queue: &str,
        credential: &Credential,
        lease: Lease,
    ) -> Result<(), BrokerError> {
        access::grant(&self.cluster, queue, credential, lease).await
    }

    async fn revoke(&self, queue: &str, username: &str) -> Result<(), BrokerError> {
        access::revoke(&self.cluster, queue, username).await
    }

    /// Its client quotas know of no events.
    fn enforces(&self, rates: Rates) -> Rates {
        Rates { events: 0, ..rates }
    }

    async fn limit_reader(
        &self,
        _queue: &str,
        username: &str,
        rates: Rates,
    ) -> Result<(), BrokerError> {
        quotas::set(&self.cluster, username, rates.bytes).await
    }

    async fn open_reader(
        &self,
        queue: &str,
        options: ReaderOptions,
    ) -> Result<Box<dyn QueueReader>, BrokerError> {
        let reader = KafkaReader::open(self.cluster.clone(), queue, options).await?;
        Ok(Box::new(reader))
    }

    async fn open_writer(
        &self,
        queue: &str,
        options: WriterOptions,
    ) -> Result<Box<dyn QueueWriter>, BrokerError> {
        let writer = KafkaWriter::open(self.cluster.clone(), queue, options).await?;
        Ok(Box::new(writer))
    }
}
