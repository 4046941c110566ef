//! Producers without a name (InitProducerId, KIP-98), and what leaders remember of any.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::{
    BrokerId, DescribeProducersRequest, InitProducerIdRequest, ProducerId,
};

use super::batch::Producer;
use super::cluster::{Cluster, Topic};
use super::topics;
use crate::BrokerError;
use crate::backoff::Backoff;

/// The first producer of a cluster makes it prepare for them, which takes a while.
const PATIENCE: Duration = Duration::from_secs(60);

/// A new producer without a name: nobody is fenced.
pub(crate) async fn anonymous(cluster: &Cluster, queue: &str) -> Result<Producer, BrokerError> {
    // The codec's own default for the name is one that brokers refuse.
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    Backoff::retry(PATIENCE, async || {
        let connection = cluster.any().await?;
        let response = connection.call(&request).await?;
        connection.subject(queue).check(response.error_code, None)?;
        Ok(Producer {
            id: response.producer_id.0,
            epoch: response.producer_epoch,
            transactional: false,
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

/// What the leaders, as they are now, remember of the producer, for each partition to which it has
/// written. A partition without a leader is an error that may pass: nobody knows what it has.
pub(crate) async fn memories(
    cluster: &Cluster,
    topic: &Topic,
    producer: i64,
) -> Result<BTreeMap<u32, Memory>, BrokerError> {
    let queue = topic.name.0.as_str();
    let now = topics::follow(cluster, topic, cluster.topic(queue).await?)?;
    let mut by_leader: HashMap<BrokerId, Vec<i32>> = HashMap::new();
    for partition in 0..now.partitions() {
        let leader = now.some_leader(cluster, partition)?;
        let of_leader = by_leader.entry(leader).or_default();
        of_leader.push(partition.cast_signed());
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
        let subject = connection.subject(queue);
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
