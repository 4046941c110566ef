//! What is set on a topic itself: how much of it is kept, and in segments of which size.
//!
//! Kafka drops a partition's records by whole segments, and only those that are no longer written to.
//! With segments as large as brokers make them unless they are told otherwise (1 GiB, seven days), a
//! limit below that would hold nothing: so what has a limit gets segments that are a part of it.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use kafka_protocol::protocol::StrBytes;

use super::cluster::Cluster;
use crate::{BrokerError, QueueSpec};

/// The largest batch that a broker takes unless it says otherwise, in bytes.
pub(crate) const DEFAULT_MAX_MESSAGE: usize = 1_048_588;

/// How many segments a limit is made of, beside the one that is being written.
const SEGMENTS: u64 = 4;

/// The smallest segment that Kafka 4 allows, and the largest that is made: Kafka's own default.
const SEGMENT_BYTES: (u64, u64) = (1 << 20, 1 << 30);

/// How long a segment is written to, in milliseconds: no less, since each is some files, and no longer
/// than Kafka's own default.
const SEGMENT_MS: (u64, u64) = (10_000, 7 * 24 * 3_600_000);

/// Kafka's number for a topic among the things that have a configuration.
const TOPIC_RESOURCE: i8 = 2;

/// Kafka's number for values that were set on the topic itself.
const DYNAMIC_TOPIC_CONFIG: i8 = 1;

/// Kafka's numbers for setting a value, and for going back to the broker's own.
const SET: i8 = 0;
const DELETE: i8 = 1;

const RETENTION: &str = "retention.ms";
const RETENTION_BYTES: &str = "retention.bytes";
const SEGMENT_TIME: &str = "segment.ms";
const SEGMENT_SIZE: &str = "segment.bytes";
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

/// A setting's name and its value; none is the broker's own.
pub(crate) type Setting = (&'static str, Option<String>);

/// How long and how much is kept of a topic, as far as that is set on the topic itself and we may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// In milliseconds.
    pub(crate) retention: Option<u64>,
    /// In bytes, of each partition.
    pub(crate) retention_bytes: Option<u64>,
    /// Whether the segments are no larger than these limits want them.
    pub(crate) limits_hold: bool,
}

/// What has to be set for limits, of which one that is none stays as it is. A batch may have up to
/// `max_message` bytes: Kafka refuses one that is larger than a segment.
pub(crate) fn of_limits(
    retention: Option<u64>,
    retention_bytes: Option<u64>,
    max_message: usize,
) -> Vec<Setting> {
    let mut settings = vec![];
    if let Some(retention) = retention {
        let time = segment_time(retention).map(|time| time.to_string());
        settings.push((RETENTION, Some(limit_value(retention))));
        settings.push((SEGMENT_TIME, time));
    }
    if let Some(bytes) = retention_bytes {
        let size = segment_size(bytes, max_message).map(|size| size.to_string());
        settings.push((RETENTION_BYTES, Some(limit_value(bytes))));
        settings.push((SEGMENT_SIZE, size));
    }
    settings
}

fn segment_time(retention: u64) -> Option<u64> {
    let (least, most) = SEGMENT_MS;
    (retention != QueueSpec::FOREVER).then(|| (retention / SEGMENTS).clamp(least, most))
}

fn segment_size(retention_bytes: u64, max_message: usize) -> Option<u64> {
    let (least, most) = SEGMENT_BYTES;
    let size = (retention_bytes / SEGMENTS).clamp(least, most);
    (retention_bytes != QueueSpec::FOREVER).then(|| size.max(max_message as u64))
}

fn limit_value(limit: u64) -> String {
    i64::try_from(limit).unwrap_or(-1).to_string()
}

/// What is kept of a topic. Nothing of that is known to those who may not ask.
pub(crate) async fn kept(cluster: &Cluster, queue: &str) -> Result<Kept, BrokerError> {
    let names = [
        RETENTION,
        RETENTION_BYTES,
        SEGMENT_TIME,
        SEGMENT_SIZE,
        MAX_MESSAGE_BYTES,
    ];
    let found = match describe(cluster, queue, &names).await {
        Ok(found) => found,
        Err(BrokerError::Denied { .. }) => {
            return Ok(Kept {
                retention: None,
                retention_bytes: None,
                limits_hold: true,
            });
        }
        Err(error) => return Err(error),
    };
    let find = |name: &str| found.iter().find(|config| config.name.as_str() == name);
    let own = |name| {
        let config = find(name)?;
        let value = config.value.as_ref()?;
        (config.config_source == DYNAMIC_TOPIC_CONFIG)
            .then(|| value.parse().unwrap_or(QueueSpec::FOREVER))
    };
    let number = |name| find(name)?.value.as_ref()?.parse::<u64>().ok();
    let max_message = number(MAX_MESSAGE_BYTES).unwrap_or(DEFAULT_MAX_MESSAGE as u64);
    let (retention, retention_bytes) = (own(RETENTION), own(RETENTION_BYTES));
    let time = retention.and_then(segment_time);
    let size = retention_bytes.and_then(|bytes| segment_size(bytes, max_message as usize));
    let is_within = |name, least, most: Option<u64>| match (number(name), most) {
        (Some(found), Some(most)) => (least..=most).contains(&found),
        _ => true,
    };
    Ok(Kept {
        retention,
        retention_bytes,
        limits_hold: is_within(SEGMENT_TIME, 0, time) && is_within(SEGMENT_SIZE, max_message, size),
    })
}

/// The largest batch that the topic takes; none when we may not know.
pub(crate) async fn max_message_bytes(
    cluster: &Cluster,
    queue: &str,
) -> Result<Option<usize>, BrokerError> {
    match describe(cluster, queue, &[MAX_MESSAGE_BYTES]).await {
        Ok(found) => Ok(found
            .first()
            .and_then(|config| config.value.as_ref()?.parse().ok())),
        Err(BrokerError::Denied { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sets limits with the segments that they need; one that is none stays as it is.
pub(crate) async fn limit(
    cluster: &Cluster,
    queue: &str,
    retention: Option<u64>,
    retention_bytes: Option<u64>,
) -> Result<(), BrokerError> {
    let max_message = match retention_bytes {
        Some(_) => max_message_bytes(cluster, queue).await?,
        None => None,
    };
    let max_message = max_message.unwrap_or(DEFAULT_MAX_MESSAGE);
    let settings = of_limits(retention, retention_bytes, max_message);
    if settings.is_empty() {
        return Ok(());
    }
    set(cluster, queue, settings).await
}

async fn set(cluster: &Cluster, queue: &str, settings: Vec<Setting>) -> Result<(), BrokerError> {
    let config = |(name, value): Setting| {
        AlterableConfig::default()
            .with_name(StrBytes::from_static_str(name))
            .with_config_operation(if value.is_some() { SET } else { DELETE })
            .with_value(value.map(StrBytes::from_string))
    };
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC_RESOURCE)
        .with_resource_name(StrBytes::from_string(queue.to_owned()))
        .with_configs(settings.into_iter().map(config).collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let connection = cluster.controller().await?;
    let response = connection.call(&request).await?;
    for result in &response.responses {
        let message = result.error_message.as_deref();
        connection
            .subject(queue)
            .check(result.error_code, message)?;
    }
    Ok(())
}

/// Values of the topic's configuration.
async fn describe(
    cluster: &Cluster,
    queue: &str,
    names: &[&'static str],
) -> Result<Vec<DescribeConfigsResourceResult>, BrokerError> {
    let names = names.iter().map(|name| StrBytes::from_static_str(name));
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC_RESOURCE)
        .with_resource_name(StrBytes::from_string(queue.to_owned()))
        .with_configuration_keys(Some(names.collect()));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let connection = cluster.any().await?;
    let response = connection.call(&request).await?;
    let mut found = Vec::new();
    for result in response.results {
        let message = result.error_message.as_deref();
        connection
            .subject(queue)
            .check(result.error_code, message)?;
        found.extend(result.configs);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn for_ever_is_minus_one_in_segments_as_the_broker_makes_them() {
        let forever = Some(QueueSpec::FOREVER);
        let minus_one = Some("-1".to_owned());
        let wanted = [
            (RETENTION, minus_one.clone()),
            (SEGMENT_TIME, None),
            (RETENTION_BYTES, minus_one),
            (SEGMENT_SIZE, None),
        ];
        assert_eq!(of_limits(forever, forever, DEFAULT_MAX_MESSAGE), wanted);
        assert_eq!(of_limits(None, None, DEFAULT_MAX_MESSAGE), []);
    }

    #[test]
    fn a_segment_is_a_quarter_of_its_limit_within_bounds() {
        let size = |bytes| segment_size(bytes, DEFAULT_MAX_MESSAGE);
        assert_eq!(size(100 * MIB), Some(25 * MIB));
        assert_eq!(size(100 << 30), Some(1 << 30));
        assert_eq!(size(MIB), Some(DEFAULT_MAX_MESSAGE as u64));
        assert_eq!(segment_size(MIB, 100), Some(MIB));
        assert_eq!(segment_size(MIB, 8 << 20), Some(8 * MIB));
        assert_eq!(segment_time(3_600_000), Some(900_000));
        assert_eq!(segment_time(1), Some(10_000));
        assert_eq!(segment_time(365 * 24 * 3_600_000), Some(604_800_000));
    }
}
