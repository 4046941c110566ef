//! Who reads a topic: the consumer groups that have committed offsets of it.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{GroupId, ListGroupsRequest, OffsetFetchRequest};

use super::cluster::{Cluster, Topic};
use super::connection::Connection;
use super::offsets;
use crate::{BrokerError, Consumer};

/// The versions of OffsetFetch that ask for several groups and name topics.
const GROUPS: i16 = 8;
const NEWEST: i16 = 9;

/// The groups that have read the topic, with their lag.
pub(crate) async fn list(cluster: &Cluster, queue: &str) -> Result<Vec<Consumer>, BrokerError> {
    let topic = cluster.topic(queue).await?;
    let ranges = offsets::ranges(cluster, &topic).await?;
    let mut consumers = vec![];
    // Each broker knows the groups that it coordinates.
    for broker in cluster.brokers().await? {
        let connection = cluster.broker(broker).await?;
        let listed = connection.call(&ListGroupsRequest::default()).await?;
        connection.subject(queue).check(listed.error_code, None)?;
        for group in listed.groups {
            let committed = committed(&connection, &topic, &group.group_id).await?;
            if !committed.is_empty() {
                consumers.push(Consumer {
                    name: group.group_id.to_string(),
                    lag: Some(lag(&ranges, &committed)),
                });
            }
        }
    }
    consumers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(consumers)
}

async fn committed(
    connection: &Connection,
    topic: &Topic,
    group: &GroupId,
) -> Result<BTreeMap<u32, u64>, BrokerError> {
    let partitions = (0..topic.partitions()).map(u32::cast_signed).collect();
    let wanted = OffsetFetchRequestTopics::default()
        .with_name(topic.name.clone())
        .with_partition_indexes(partitions);
    let request = OffsetFetchRequest::default().with_groups(vec![
        OffsetFetchRequestGroup::default()
            .with_group_id(group.clone())
            .with_topics(Some(vec![wanted])),
    ]);
    let version = connection.version::<OffsetFetchRequest>(NEWEST)?;
    if version < GROUPS {
        return Err(BrokerError::Unsupported {
            kind: "kafka".to_owned(),
            what: "list consumers before Kafka 3.0".to_owned(),
        });
    }
    let wait = std::time::Duration::from_secs(30);
    let response = connection.call_version(&request, version, wait).await?;
    let mut committed = BTreeMap::new();
    for group in response.groups {
        match ResponseError::try_from_code(group.error_code) {
            // It has gone, or moved, since it was listed.
            Some(ResponseError::GroupIdNotFound | ResponseError::NotCoordinator) => continue,
            _ => connection
                .subject(&topic.name.0)
                .check(group.error_code, None)?,
        }
        for partition in group.topics.iter().flat_map(|topic| &topic.partitions) {
            connection
                .subject(&topic.name.0)
                .check(partition.error_code, None)?;
            if let Ok(offset) = u64::try_from(partition.committed_offset) {
                committed.insert(partition.partition_index.cast_unsigned(), offset);
            }
        }
    }
    Ok(committed)
}

/// How many offsets lie between what is committed and the end; a partition without a commit
/// counts whole.
fn lag(ranges: &BTreeMap<u32, (u64, u64)>, committed: &BTreeMap<u32, u64>) -> u64 {
    let behind = |(partition, (first, next)): (&u32, &(u64, u64))| {
        let at = committed.get(partition).copied().unwrap_or(*first);
        next.saturating_sub(at.max(*first))
    };
    ranges.iter().map(behind).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_can_still_be_read() {
        let ranges = BTreeMap::from([(0, (5, 10)), (1, (0, 7)), (2, (0, 3))]);
        let committed = BTreeMap::from([(0, 2), (1, 4)]);
        assert_eq!(lag(&ranges, &committed), 5 + 3 + 3);
    }
}
