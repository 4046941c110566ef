//! Becoming a producer: InitProducerId (KIP-98, KIP-360).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::{
    BrokerId, DescribeProducersRequest, FindCoordinatorRequest, InitProducerIdRequest, ProducerId,
    TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use super::batch::Producer;
use super::cluster::{Cluster, Topic};
use super::connection::Connection;
use crate::BrokerError;
use crate::backoff::Backoff;

/// The first use of transactions makes a cluster create a topic for them, which takes a while.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kafka's number for the coordinators of transactions.
const TRANSACTION: i8 = 1;

/// From this version on several coordinators are asked for at once.
const COORDINATORS: i16 = 4;

/// How long the coordinator waits before it aborts a transaction, in milliseconds. There are
/// none yet, but it asks.
const TRANSACTION_TIMEOUT: i32 = 60_000;

/// A new producer without a name: nobody is fenced.
pub(crate) async fn anonymous(cluster: &Cluster, queue: &str) -> Result<Producer, BrokerError> {
    Backoff::retry(PATIENCE, async || {
        let connection = cluster.any().await?;
        let request = init(None, None);
        let response = connection.call(&request).await?;
        connection.subject(queue).check(response.error_code, None)?;
        Ok(Producer {
            id: response.producer_id.0,
            epoch: response.producer_epoch,
        })
    })
    .await
}

/// The producer called `name`, with a new epoch: whoever was it before is fenced. With `former`,
/// only if that is still the newest.
pub(crate) async fn named(
    cluster: &Cluster,
    queue: &str,
    name: &str,
    former: Option<Producer>,
) -> Result<Producer, BrokerError> {
    Backoff::retry(PATIENCE, async || {
        let connection = coordinator(cluster, queue, name).await?;
        let response = connection.call(&init(Some(name), former)).await?;
        connection.subject(queue).check(response.error_code, None)?;
        Ok(Producer {
            id: response.producer_id.0,
            epoch: response.producer_epoch,
        })
    })
    .await
}

/// What a partition's leader remembers of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) epoch: i32,
    /// The sequence number of the last record that it has written.
    pub(crate) last_sequence: i32,
}

/// What the leaders remember of the producer, for each partition to which it has written.
pub(crate) async fn memories(
    cluster: &Cluster,
    topic: &Topic,
    producer: i64,
) -> Result<BTreeMap<u32, Memory>, BrokerError> {
    let mut by_leader: HashMap<BrokerId, Vec<i32>> = HashMap::new();
    for partition in 0..topic.partitions() {
        if let Some(leader) = topic.leader(partition) {
            let of_leader = by_leader.entry(leader).or_default();
            of_leader.push(partition.cast_signed());
        }
    }
    let mut memories = BTreeMap::new();
    for (leader, partitions) in by_leader {
        let topics = vec![
            TopicRequest::default()
                .with_name(topic.name.clone())
                .with_partition_indexes(partitions),
        ];
        let request = DescribeProducersRequest::default().with_topics(topics);
        let connection = cluster.broker(leader).await?;
        let response = connection.call(&request).await?;
        let subject = connection.subject(&topic.name.0);
        for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
            subject.check(partition.error_code, partition.error_message.as_deref())?;
            let mut states = partition.active_producers.iter();
            if let Some(state) = states.find(|state| state.producer_id.0 == producer) {
                let memory = Memory {
                    epoch: state.producer_epoch,
                    last_sequence: state.last_sequence,
                };
                memories.insert(partition.partition_index.cast_unsigned(), memory);
            }
        }
    }
    Ok(memories)
}

fn init(name: Option<&str>, former: Option<Producer>) -> InitProducerIdRequest {
    let former = former.unwrap_or(Producer { id: -1, epoch: -1 });
    let name = name.map(|name| TransactionalId(StrBytes::from_string(name.to_owned())));
    InitProducerIdRequest::default()
        .with_transactional_id(name)
        .with_transaction_timeout_ms(TRANSACTION_TIMEOUT)
        .with_producer_id(ProducerId(former.id))
        .with_producer_epoch(former.epoch)
}

/// A connection to the broker that looks after the producer called `name`.
pub(crate) async fn coordinator(
    cluster: &Cluster,
    queue: &str,
    name: &str,
) -> Result<Arc<Connection>, BrokerError> {
    // The brokers have to be known by number before one of them can be found.
    cluster.brokers().await?;
    let connection = cluster.any().await?;
    let version = connection.version::<FindCoordinatorRequest>(COORDINATORS)?;
    let key = StrBytes::from_string(name.to_owned());
    let request = FindCoordinatorRequest::default().with_key_type(TRANSACTION);
    let request = if version < COORDINATORS {
        request.with_key(key)
    } else {
        request.with_coordinator_keys(vec![key])
    };
    let wait = cluster.config().request_timeout;
    let response = connection.call_version(&request, version, wait).await?;
    let subject = connection.subject(queue);
    subject.check(response.error_code, response.error_message.as_deref())?;
    if version < COORDINATORS {
        return cluster.broker(response.node_id).await;
    }
    let Some(found) = response.coordinators.into_iter().next() else {
        return Err(connection.broken("no answer about a coordinator".to_owned()));
    };
    subject.check(found.error_code, found.error_message.as_deref())?;
    cluster.broker(found.node_id).await
}
