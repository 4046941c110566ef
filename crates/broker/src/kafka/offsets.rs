//! Where a topic's partitions begin and end (ListOffsets).

use std::collections::{BTreeMap, HashMap};

use eson_protocol::{Positions, Start};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest};

use super::cluster::{Cluster, Topic};
use crate::BrokerError;

/// Stands for the oldest record kept.
const EARLIEST: i64 = -2;

/// Stands for the offset behind the newest record that is readable.
const LATEST: i64 = -1;

/// What a reader of committed data may see; aborted and open transactions are hidden.
pub(crate) const READ_COMMITTED: i8 = 1;

/// The first and the next offset of every partition.
pub(crate) async fn ranges(
    cluster: &Cluster,
    topic: &Topic,
) -> Result<BTreeMap<u32, (u64, u64)>, BrokerError> {
    let all = || 0..topic.partitions();
    let earliest = resolve(cluster, topic, all(), Start::Earliest).await?;
    let mut latest = resolve(cluster, topic, all(), Start::Latest).await?;
    Ok(earliest
        .into_iter()
        .filter_map(|(partition, first)| Some((partition, (first, latest.remove(&partition)?))))
        .collect())
}

/// The offset at which each partition begins, as `start` says.
pub(crate) async fn resolve(
    cluster: &Cluster,
    topic: &Topic,
    partitions: impl Iterator<Item = u32>,
    start: Start,
) -> Result<Positions, BrokerError> {
    let partitions: Vec<_> = partitions.collect();
    let mut begin = Positions::new();
    for timestamp in questions(start) {
        for (partition, offset) in list(cluster, topic, &partitions, timestamp).await? {
            // -1 says nothing.
            if let Ok(offset) = u64::try_from(offset) {
                begin.insert(partition, offset);
            }
        }
    }
    Ok(begin)
}

/// The timestamps to ask for, one after the other: the last answer that there is counts. Where no
/// record is as young as a time, that is the end as it was before: what was written since is.
fn questions(start: Start) -> Vec<i64> {
    match start {
        Start::Earliest => vec![EARLIEST],
        Start::Latest => vec![LATEST],
        // Negative times have meanings of their own.
        Start::Timestamp(time) => vec![LATEST, time.max(0)],
    }
}

/// Asks each partition's leader; -1 where no record is as young as `timestamp`.
async fn list(
    cluster: &Cluster,
    topic: &Topic,
    partitions: &[u32],
    timestamp: i64,
) -> Result<BTreeMap<u32, i64>, BrokerError> {
    let mut by_leader: HashMap<BrokerId, Vec<u32>> = HashMap::new();
    for partition in partitions {
        let leader = topic.some_leader(cluster, *partition)?;
        by_leader.entry(leader).or_default().push(*partition);
    }
    let mut found = BTreeMap::new();
    for (leader, partitions) in by_leader {
        found.append(&mut ask(cluster, topic, leader, &partitions, timestamp).await?);
    }
    Ok(found)
}

async fn ask(
    cluster: &Cluster,
    topic: &Topic,
    leader: BrokerId,
    partitions: &[u32],
    timestamp: i64,
) -> Result<BTreeMap<u32, i64>, BrokerError> {
    let wanted = |partition: &u32| {
        ListOffsetsPartition::default()
            .with_partition_index(partition.cast_signed())
            .with_current_leader_epoch(-1)
            .with_timestamp(timestamp)
    };
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(READ_COMMITTED)
        .with_topics(vec![
            ListOffsetsTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.iter().map(wanted).collect()),
        ]);
    let connection = cluster.broker(leader).await?;
    let response = connection.call(&request).await?;
    let subject = connection.subject(&topic.name.0);
    let mut found = BTreeMap::new();
    for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
        subject.check(partition.error_code, None)?;
        found.insert(partition.partition_index.cast_unsigned(), partition.offset);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_log_ends_is_asked_before_what_it_has() {
        assert_eq!(questions(Start::Timestamp(7)), [LATEST, 7]);
        assert_eq!(questions(Start::Timestamp(EARLIEST)), [LATEST, 0]);
        assert_eq!(questions(Start::Latest), [LATEST]);
        assert_eq!(questions(Start::Earliest), [EARLIEST]);
    }
}
