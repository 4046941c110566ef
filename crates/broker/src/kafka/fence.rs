//! Shutting a former writer out at once, and not only when it next stores a position.
//!
//! A broker refuses a producer's older epochs as soon as it has seen a newer one, partition by
//! partition. An empty transaction, aborted, shows it the newer one: its marker is written to
//! the partitions to which the former writer has written. Readers don't see markers.

use std::time::Duration;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, ProducerId, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use super::batch::Producer;
use super::cluster::{Cluster, Topic};
use super::producer;
use crate::BrokerError;
use crate::backoff::Backoff;

/// How long the coordinator and the leaders may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The last version of AddPartitionsToTxn that clients use.
const ADD_PARTITIONS: i16 = 3;

/// The last version of EndTxn that leaves the epoch as it is (KIP-890 moves it on).
const END: i16 = 4;

/// Makes every partition refuse what older epochs of `producer`, called `name`, still send.
pub(crate) async fn fence(
    cluster: &Cluster,
    topic: &Topic,
    name: &str,
    producer: Producer,
) -> Result<(), BrokerError> {
    let behind = Backoff::retry(PATIENCE, || behind(cluster, topic, producer)).await?;
    if behind.is_empty() {
        return Ok(());
    }
    let begin = || begin(cluster, topic, name, producer, &behind);
    Backoff::retry(PATIENCE, begin).await?;
    Backoff::retry(PATIENCE, || abort(cluster, topic, name, producer)).await?;
    Backoff::retry(PATIENCE, async || {
        if self::behind(cluster, topic, producer).await?.is_empty() {
            return Ok(());
        }
        Err(BrokerError::Unreachable {
            server: cluster.config().server_list(),
            cause: format!("a former writer of `{}` is not shut out yet", topic.name.0),
        })
    })
    .await
}

/// The partitions that know an older epoch of the producer.
async fn behind(
    cluster: &Cluster,
    topic: &Topic,
    producer: Producer,
) -> Result<Vec<i32>, BrokerError> {
    let memories = producer::memories(cluster, topic, producer.id).await?;
    let older = memories
        .into_iter()
        .filter(|(_, memory)| memory.epoch < producer.epoch.into());
    Ok(older
        .map(|(partition, _)| partition.cast_signed())
        .collect())
}

async fn begin(
    cluster: &Cluster,
    topic: &Topic,
    name: &str,
    producer: Producer,
    partitions: &[i32],
) -> Result<(), BrokerError> {
    let topics = vec![
        AddPartitionsToTxnTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.to_vec()),
    ];
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(transactional_id(name))
        .with_v3_and_below_producer_id(ProducerId(producer.id))
        .with_v3_and_below_producer_epoch(producer.epoch)
        .with_v3_and_below_topics(topics);
    let connection = producer::coordinator(cluster, &topic.name.0, name).await?;
    let version = connection.version::<AddPartitionsToTxnRequest>(ADD_PARTITIONS)?;
    let wait = cluster.config().request_timeout;
    let response = connection.call_version(&request, version, wait).await?;
    let subject = connection.subject(&topic.name.0);
    let results = response.results_by_topic_v3_and_below.iter();
    for result in results.flat_map(|topic| &topic.results_by_partition) {
        subject.check(result.partition_error_code, None)?;
    }
    Ok(())
}

async fn abort(
    cluster: &Cluster,
    topic: &Topic,
    name: &str,
    producer: Producer,
) -> Result<(), BrokerError> {
    let request = EndTxnRequest::default()
        .with_transactional_id(transactional_id(name))
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
        .with_committed(false);
    let connection = producer::coordinator(cluster, &topic.name.0, name).await?;
    let version = connection.version::<EndTxnRequest>(END)?;
    let wait = cluster.config().request_timeout;
    let response = connection.call_version(&request, version, wait).await?;
    let subject = connection.subject(&topic.name.0);
    subject.check(response.error_code, None)
}

fn transactional_id(name: &str) -> TransactionalId {
    TransactionalId(StrBytes::from_string(name.to_owned()))
}
