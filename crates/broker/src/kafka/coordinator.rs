//! The broker that looks after a named producer's transactions (KIP-98, KIP-360, KIP-890).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, FindCoordinatorRequest, InitProducerIdRequest,
    ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use super::batch::Producer;
use super::cluster::Cluster;
use super::connection::Connection;
use crate::BrokerError;
use crate::backoff::Backoff;

/// The first use of transactions makes a cluster create a topic for them, which takes a while;
/// and a former producer's transaction has to be ended first.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kafka's number for the coordinators of transactions.
const TRANSACTION: i8 = 1;

/// From this version on several coordinators are asked for at once.
const COORDINATORS: i16 = 4;

/// The last version of AddPartitionsToTxn that clients use.
const ADD_PARTITIONS: i16 = 3;

/// The last version of EndTxn that leaves the epoch as it is, and the first that moves it on.
const END_EXPLICIT: i16 = 4;
const END_IMPLICIT: i16 = 5;

/// From this level of `transaction.version` on transactions are [`Style::Implicit`].
const IMPLICIT: i16 = 2;

/// How partitions join a transaction, and whether the next one has another epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// The client adds them before it writes; the epoch stays.
    Explicit,
    /// The first batch adds them; each transaction has its own epoch (KIP-890, Kafka 4.0).
    Implicit,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    Abort,
}

/// The coordinator of one named producer, wherever it is. Clones share what they know of it.
#[derive(Clone)]
pub(crate) struct Coordinator {
    cluster: Arc<Cluster>,
    /// What error messages are about.
    queue: Arc<str>,
    name: Arc<str>,
    found: Arc<Mutex<Option<Arc<Connection>>>>,
}

impl Coordinator {
    /// The coordinator of the producer called `name`.
    pub(crate) fn new(cluster: Arc<Cluster>, queue: &str, name: &str) -> Self {
        Self {
            cluster,
            queue: queue.into(),
            name: name.into(),
            found: Arc::default(),
        }
    }

    pub(crate) fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// Becomes the producer, with a new epoch: whoever was it before is fenced, and its
    /// transaction has ended when this returns. With `former`, only if that is still the newest.
    pub(crate) async fn init(
        &self,
        former: Option<Producer>,
    ) -> Result<(Producer, Style), BrokerError> {
        let timeout = self.cluster.config().transaction_timeout.as_millis();
        let expected = former.map_or((-1, -1), |former| (former.id, former.epoch));
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.transactional_id()))
            .with_transaction_timeout_ms(i32::try_from(timeout).unwrap_or(i32::MAX))
            .with_producer_id(ProducerId(expected.0))
            .with_producer_epoch(expected.1);
        self.retry(PATIENCE, async || {
            let connection = self.connection().await?;
            let response = connection.call(&request).await?;
            self.check(&connection, response.error_code)?;
            let producer = Producer {
                id: response.producer_id.0,
                epoch: response.producer_epoch,
                transactional: false,
            };
            let style = match connection.transaction_version() {
                IMPLICIT.. => Style::Implicit,
                _ => Style::Explicit,
            };
            Ok(Ok((producer, style)))
        })
        .await
    }

    /// Adds partitions of a topic to the transaction, and begins it if there is none.
    pub(crate) async fn add(
        &self,
        producer: Producer,
        topic: &TopicName,
        partitions: &[u32],
    ) -> Result<(), BrokerError> {
        let partitions = partitions.iter().map(|partition| partition.cast_signed());
        let topics = vec![
            AddPartitionsToTxnTopic::default()
                .with_name(topic.clone())
                .with_partitions(partitions.collect()),
        ];
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.transactional_id())
            .with_v3_and_below_producer_id(ProducerId(producer.id))
            .with_v3_and_below_producer_epoch(producer.epoch)
            .with_v3_and_below_topics(topics);
        let wait = self.cluster.config().request_timeout;
        self.retry(self.cluster.config().delivery_timeout, async || {
            let connection = self.connection().await?;
            let version = connection.version::<AddPartitionsToTxnRequest>(ADD_PARTITIONS)?;
            let response = connection.call_version(&request, version, wait).await?;
            let topics = response.results_by_topic_v3_and_below.iter();
            for result in topics.flat_map(|topic| &topic.results_by_partition) {
                if let Some(lost) = self.lost(&connection, result.partition_error_code) {
                    return Ok(Err(lost));
                }
                self.check(&connection, result.partition_error_code)?;
            }
            Ok(Ok(()))
        })
        .await
    }

    /// Ends the transaction: it is decided when this returns, though readers may see so a moment
    /// later. Returns as whom the next one is to be written.
    ///
    /// # Errors
    /// [`BrokerError::Fenced`] when somebody has taken over or the transaction had timed out.
    /// After a transient error nobody knows how it ended, until [`Coordinator::init`] has.
    pub(crate) async fn end(
        &self,
        producer: Producer,
        style: Style,
        end: End,
    ) -> Result<Producer, BrokerError> {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_committed(end == End::Commit);
        let newest = match style {
            Style::Explicit => END_EXPLICIT,
            Style::Implicit => END_IMPLICIT,
        };
        let wait = self.cluster.config().request_timeout;
        self.retry(self.cluster.config().delivery_timeout, async || {
            let connection = self.connection().await?;
            let version = connection.version::<EndTxnRequest>(newest)?;
            let response = connection.call_version(&request, version, wait).await?;
            if let Some(lost) = self.lost(&connection, response.error_code) {
                return Ok(Err(lost));
            }
            self.check(&connection, response.error_code)?;
            Ok(Ok(match version {
                END_IMPLICIT.. => Producer {
                    id: response.producer_id.0,
                    epoch: response.producer_epoch,
                    ..producer
                },
                _ => producer,
            }))
        })
        .await
    }

    /// Repeats what may pass; another broker may have become the coordinator meanwhile.
    async fn retry<T, A: Future<Output = Result<Result<T, BrokerError>, BrokerError>>>(
        &self,
        patience: Duration,
        mut attempt: impl FnMut() -> A,
    ) -> Result<T, BrokerError> {
        let done = Backoff::retry(patience, || {
            let attempt = attempt();
            async {
                let done = attempt.await;
                if done.is_err() {
                    *self.found() = None;
                }
                done
            }
        });
        done.await?
    }

    /// The error of a transaction that can't be saved by asking again.
    fn lost(&self, connection: &Connection, code: i16) -> Option<BrokerError> {
        use ResponseError as E;
        let code = ResponseError::try_from_code(code)?;
        let lost = matches!(
            code,
            E::InvalidTxnState | E::InvalidProducerIdMapping | E::TransactionAbortable
        );
        lost.then(|| connection.subject(&self.queue).error(code, None))
    }

    fn check(&self, connection: &Connection, code: i16) -> Result<(), BrokerError> {
        connection.subject(&self.queue).check(code, None)
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Option<Arc<Connection>>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(&self) -> Result<Arc<Connection>, BrokerError> {
        if let Some(open) = self.found().clone().filter(|open| !open.is_closed()) {
            return Ok(open);
        }
        let connection = self.find().await?;
        *self.found() = Some(connection.clone());
        Ok(connection)
    }

    async fn find(&self) -> Result<Arc<Connection>, BrokerError> {
        // The brokers have to be known by number before one of them can be found.
        self.cluster.brokers().await?;
        let connection = self.cluster.any().await?;
        let version = connection.version::<FindCoordinatorRequest>(COORDINATORS)?;
        let key = StrBytes::from_string(self.name.to_string());
        let request = FindCoordinatorRequest::default().with_key_type(TRANSACTION);
        let request = if version < COORDINATORS {
            request.with_key(key)
        } else {
            request.with_coordinator_keys(vec![key])
        };
        let wait = self.cluster.config().request_timeout;
        let response = connection.call_version(&request, version, wait).await?;
        let subject = connection.subject(&self.queue);
        subject.check(response.error_code, response.error_message.as_deref())?;
        if version < COORDINATORS {
            return self.cluster.broker(response.node_id).await;
        }
        let Some(found) = response.coordinators.into_iter().next() else {
            return Err(connection.broken("no answer about a coordinator".to_owned()));
        };
        subject.check(found.error_code, found.error_message.as_deref())?;
        self.cluster.broker(found.node_id).await
    }

    fn transactional_id(&self) -> TransactionalId {
        TransactionalId(StrBytes::from_string(self.name.to_string()))
    }
}
