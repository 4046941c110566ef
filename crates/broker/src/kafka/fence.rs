//! Shutting a former writer out at once, and not only when it next stores a position.
//!
//! A broker refuses a producer's older epochs as soon as it has seen a newer one, partition by
//! partition. An empty transaction, aborted, shows it the newer one: its marker is written to
//! the partitions to which the former writer has written. Readers don't see markers.

use std::time::Duration;

use super::batch::Producer;
use super::cluster::{Cluster, Topic};
use super::coordinator::{Coordinator, End, Style};
use super::producer;
use crate::BrokerError;
use crate::backoff::Backoff;

/// How long the leaders may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes every partition refuse what older epochs of `producer` still send.
pub(crate) async fn fence(
    cluster: &Cluster,
    topic: &Topic,
    coordinator: &Coordinator,
    producer: Producer,
) -> Result<(), BrokerError> {
    let behind = Backoff::retry(PATIENCE, || behind(cluster, topic, producer)).await?;
    if behind.is_empty() {
        return Ok(());
    }
    coordinator.add(producer, &topic.name, &behind).await?;
    // It leaves the epoch as it is, whatever the cluster is able to.
    let end = coordinator.end(producer, Style::Explicit, End::Abort);
    end.await?;
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
) -> Result<Vec<u32>, BrokerError> {
    let memories = producer::memories(cluster, topic, producer.id).await?;
    let older = memories
        .into_iter()
        .filter(|(_, memory)| memory.epoch < producer.epoch.into());
    Ok(older.map(|(partition, _)| partition).collect())
}
