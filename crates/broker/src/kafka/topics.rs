//! Queues are topics: create, describe, change, delete and trim them.

use std::collections::HashMap;
use std::time::Duration;

use eson_protocol::{BrokerKind, Connection, Positions};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest,
    DeleteTopicsRequest,
};
use kafka_protocol::protocol::StrBytes;
use tokio::time::{Instant, sleep};

use super::cluster::{Cluster, Topic, queue_id, topic_id, topic_name};
use super::{offsets, settings};
use crate::backoff::Backoff;
use crate::{BrokerError, QueueDescription, QueueId, QueueSpec, QueueUpdate};

/// How long the controller may take for a change, in milliseconds.
const CHANGE_TIMEOUT: i32 = 30_000;

/// How long the brokers may take until they know of a change that the controller has made.
const PROPAGATION: Duration = Duration::from_secs(15);

/// How often it is looked whether they know.
const PROPAGATION_POLL: Duration = Duration::from_millis(20);

/// The first version of DeleteTopics that takes topic ids (KIP-516).
const DELETE_BY_ID: i16 = 6;

/// Creates a topic and waits until the brokers lead it.
pub(crate) async fn create(cluster: &Cluster, spec: &QueueSpec) -> Result<QueueId, BrokerError> {
    let (retention, bytes) = (spec.retention, spec.retention_bytes);
    let limits = settings::of_limits(retention, bytes, settings::DEFAULT_MAX_MESSAGE);
    let limits = limits.into_iter();
    let configs = limits.filter_map(|(name, value)| Some((name, value?)));
    let id = create_configured(cluster, &spec.name, spec.partitions, configs.collect()).await?;
    // Its brokers may take larger batches than others do.
    if bytes.is_some() && !settings::kept(cluster, &spec.name).await?.limits_hold {
        settings::limit(cluster, &spec.name, None, bytes).await?;
    }
    Ok(id)
}

/// Creates a topic with this configuration and waits until the brokers lead it.
pub(crate) async fn create_configured(
    cluster: &Cluster,
    queue: &str,
    partitions: u32,
    configs: Vec<(&'static str, String)>,
) -> Result<QueueId, BrokerError> {
    check_name(queue)?;
    let partitions = partition_count(queue, partitions)?;
    let config = |(name, value)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(StrBytes::from_string(value)))
    };
    let topic = CreatableTopic::default()
        .with_name(topic_name(queue))
        .with_num_partitions(partitions)
        // KIP-464: as many replicas as the broker's own default says.
        .with_replication_factor(-1)
        .with_configs(configs.into_iter().map(config).collect());
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(CHANGE_TIMEOUT);
    let connection = cluster.controller().await?;
    let response = connection.call(&request).await?;
    let Some(created) = response.topics.first() else {
        return Err(connection.broken("no answer about the new topic".to_owned()));
    };
    let message = created.error_message.as_deref();
    connection
        .subject(queue)
        .check(created.error_code, message)?;
    await_leaders(cluster, queue, |topic| topic.id == created.topic_id).await?;
    Ok(queue_id(created.topic_id))
}

/// Describes a topic.
pub(crate) async fn describe(
    cluster: &Cluster,
    queue: &str,
) -> Result<QueueDescription, BrokerError> {
    check_name(queue).map_err(|_| BrokerError::NotFound(queue.to_owned()))?;
    let topic = cluster.topic(queue).await?;
    let advertised = cluster.config().advertised();
    let kept = settings::kept(cluster, queue).await?;
    Ok(QueueDescription {
        id: topic.queue_id(),
        connection: Connection {
            kind: BrokerKind::Kafka,
            queue: queue.to_owned(),
            servers: advertised.servers,
            security: advertised.security,
        },
        partitions: offsets::ranges(cluster, &topic).await?,
        retention: kept.retention,
        retention_bytes: kept.retention_bytes,
        limits_hold: kept.limits_hold,
    })
}

/// Changes a topic.
pub(crate) async fn update(
    cluster: &Cluster,
    queue: &str,
    update: &QueueUpdate,
) -> Result<(), BrokerError> {
    let topic = cluster.topic(queue).await?;
    if let Some(partitions) = update
        .partitions
        .filter(|count| *count != topic.partitions())
    {
        add_partitions(cluster, &topic, partitions).await?;
    }
    settings::limit(cluster, queue, update.retention, update.retention_bytes).await
}

/// Deletes a topic, by its id, and waits until the brokers have forgotten it.
pub(crate) async fn delete(
    cluster: &Cluster,
    queue: &str,
    id: &QueueId,
) -> Result<(), BrokerError> {
    match cluster.topic(queue).await {
        Ok(found) => same(queue, id, &found)?,
        Err(BrokerError::NotFound(_)) => return Ok(()),
        Err(error) => return Err(error),
    }
    let invalid = || BrokerError::Invalid {
        queue: queue.to_owned(),
        cause: format!("`{id}` is no topic id"),
    };
    let state = DeleteTopicState::default()
        .with_name(None)
        .with_topic_id(topic_id(id).ok_or_else(invalid)?);
    let request = DeleteTopicsRequest::default()
        .with_topics(vec![state])
        .with_timeout_ms(CHANGE_TIMEOUT);
    let connection = cluster.controller().await?;
    let wait = cluster.config().request_timeout;
    let response = connection
        .call_version(&request, DELETE_BY_ID, wait)
        .await?;
    for result in &response.responses {
        let message = result.error_message.as_deref();
        match connection.subject(queue).check(result.error_code, message) {
            // Somebody else was faster.
            Ok(()) | Err(BrokerError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    await_topic(cluster, queue, |topic| {
        topic.is_none_or(|topic| topic.queue_id() != *id)
    })
    .await
}

/// Drops the records before each offset.
pub(crate) async fn trim(
    cluster: &Cluster,
    queue: &str,
    before: &Positions,
) -> Result<(), BrokerError> {
    let topic = cluster.topic(queue).await?;
    let ranges = offsets::ranges(cluster, &topic).await?;
    let mut by_leader: HashMap<BrokerId, Vec<DeleteRecordsPartition>> = HashMap::new();
    for (partition, wanted) in before {
        let (Some((first, next)), Some(leader)) = (ranges.get(partition), topic.leader(*partition))
        else {
            continue;
        };
        let offset = (*wanted).clamp(*first, *next);
        if offset > *first {
            let record = DeleteRecordsPartition::default()
                .with_partition_index(partition.cast_signed())
                .with_offset(offset.cast_signed());
            by_leader.entry(leader).or_default().push(record);
        }
    }
    for (leader, partitions) in by_leader {
        delete_records(cluster, &topic, leader, partitions).await?;
    }
    Ok(())
}

/// Whether the topic found is the one that is meant.
pub(crate) fn same(queue: &str, expected: &QueueId, found: &Topic) -> Result<(), BrokerError> {
    let found = found.queue_id();
    if found == *expected {
        return Ok(());
    }
    Err(BrokerError::Replaced {
        queue: queue.to_owned(),
        expected: expected.to_string(),
        found: found.to_string(),
    })
}

/// What is known of a topic now, given what some broker says of it. Kafka takes no partitions away:
/// who tells of fewer has not heard of all of them yet. A leader is not given up for one before it.
pub(crate) fn follow(cluster: &Cluster, known: &Topic, found: Topic) -> Result<Topic, BrokerError> {
    let queue = known.name.0.as_str();
    same(queue, &known.queue_id(), &found)?;
    let (before, now) = (known.partitions(), found.partitions());
    if now < before {
        return Err(BrokerError::Unreachable {
            server: cluster.config().server_list(),
            cause: format!("only {now} of the {before} partitions of `{queue}` are told of"),
        });
    }
    Ok(found.newer_than(known))
}

/// What Kafka allows as a topic's name, said before it is asked.
fn check_name(queue: &str) -> Result<(), BrokerError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let cause = if queue.is_empty() || queue == "." || queue == ".." {
        "a topic needs a name other than `.` and `..`"
    } else if queue.len() > 249 {
        "a topic's name has at most 249 characters"
    } else if !queue.chars().all(allowed) {
        "a topic's name has only letters, digits, `.`, `_` and `-`"
    } else {
        return Ok(());
    };
    Err(BrokerError::BadName {
        queue: queue.to_owned(),
        cause: cause.to_owned(),
    })
}

fn partition_count(queue: &str, partitions: u32) -> Result<i32, BrokerError> {
    i32::try_from(partitions)
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| BrokerError::Invalid {
            queue: queue.to_owned(),
            cause: format!("it can't have {partitions} partitions"),
        })
}

/// Waits until the topic is there as wanted and its leaders answer for it.
async fn await_leaders(
    cluster: &Cluster,
    queue: &str,
    wanted: impl Fn(&Topic) -> bool,
) -> Result<(), BrokerError> {
    let ready = |topic: &Topic| topic.is_ready() && wanted(topic);
    await_topic(cluster, queue, |topic| topic.is_some_and(ready)).await?;
    let answers = async || {
        let topic = cluster.topic(queue).await?;
        offsets::ranges(cluster, &topic).await.map(drop)
    };
    // One broker knows the topic; the next one that is asked may not have heard of it yet.
    let answers = async || match answers().await {
        Err(unheard @ BrokerError::NotFound(_)) => Err(BrokerError::Unreachable {
            server: cluster.config().server_list(),
            cause: unheard.to_string(),
        }),
        other => other,
    };
    Backoff::retry(PROPAGATION, answers).await
}

async fn await_topic(
    cluster: &Cluster,
    queue: &str,
    reached: impl Fn(Option<&Topic>) -> bool,
) -> Result<(), BrokerError> {
    let deadline = Instant::now() + PROPAGATION;
    loop {
        let found = match cluster.topic(queue).await {
            Ok(topic) => Ok(Some(topic)),
            Err(BrokerError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        };
        match found {
            Ok(topic) if reached(topic.as_ref()) => return Ok(()),
            Err(error) if !error.is_transient() => return Err(error),
            Err(error) if Instant::now() >= deadline => return Err(error),
            _ if Instant::now() >= deadline => {
                return Err(BrokerError::Unreachable {
                    server: cluster.config().server_list(),
                    cause: format!("the brokers have not heard of the change of `{queue}`"),
                });
            }
            _ => sleep(PROPAGATION_POLL).await,
        }
    }
}

async fn add_partitions(cluster: &Cluster, topic: &Topic, count: u32) -> Result<(), BrokerError> {
    let queue = topic.name.0.as_str();
    if count < topic.partitions() {
        return Err(BrokerError::Invalid {
            queue: queue.to_owned(),
            cause: format!(
                "it has {} partitions and Kafka can't make them fewer",
                topic.partitions()
            ),
        });
    }
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![
            CreatePartitionsTopic::default()
                .with_name(topic.name.clone())
                .with_count(partition_count(queue, count)?)
                .with_assignments(None),
        ])
        .with_timeout_ms(CHANGE_TIMEOUT);
    let connection = cluster.controller().await?;
    let response = connection.call(&request).await?;
    for result in &response.results {
        let message = result.error_message.as_deref();
        connection
            .subject(queue)
            .check(result.error_code, message)?;
    }
    await_leaders(cluster, queue, |topic| topic.partitions() >= count).await
}

async fn delete_records(
    cluster: &Cluster,
    topic: &Topic,
    leader: BrokerId,
    partitions: Vec<DeleteRecordsPartition>,
) -> Result<(), BrokerError> {
    let request = DeleteRecordsRequest::default()
        .with_topics(vec![
            DeleteRecordsTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions),
        ])
        .with_timeout_ms(CHANGE_TIMEOUT);
    let connection = cluster.broker(leader).await?;
    let response = connection.call(&request).await?;
    let subject = connection.subject(&topic.name.0);
    for result in response.topics.iter().flat_map(|topic| &topic.partitions) {
        subject.check(result.error_code, None)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_kafka_is_asked() {
        for good in [
            "a",
            "orders_v1",
            "time.flows.orange.example",
            &"x".repeat(249),
        ] {
            check_name(good).expect(good);
        }
        for bad in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(250)] {
            let error = check_name(bad).expect_err(bad);
            assert!(matches!(error, BrokerError::BadName { .. }), "{error}");
        }
    }
}
