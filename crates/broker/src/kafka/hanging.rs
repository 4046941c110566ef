//! Transactions of the source that nobody ends: what is behind their first record stays hidden.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use kafka_protocol::messages::DescribeProducersRequest;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::fetch_response::PartitionData;
use tokio::time::Instant;

use super::cluster::Topic;
use super::connection::Connection;
use crate::BrokerError;

/// How often the same transaction is told of again.
const AGAIN: Duration = Duration::from_secs(30);

/// The partitions whose readable end has not moved though there is more behind it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    stuck: BTreeMap<u32, Stuck>,
}

#[derive(Clone, Copy, Debug)]
struct Stuck {
    /// The last stable offset: where the oldest open transaction begins.
    offset: i64,
    since: Instant,
    told: Option<Instant>,
}

impl Watch {
    /// Looks at what a fetch from `cursor` on has brought. Says for how long the partition has
    /// been stuck, if that is for `patience` and not told of lately.
    pub(crate) fn look(
        &mut self,
        data: &PartitionData,
        cursor: u64,
        patience: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let partition = data.partition_index.cast_unsigned();
        let readable = data.last_stable_offset;
        let at_the_end = u64::try_from(readable).is_ok_and(|readable| cursor >= readable);
        if !at_the_end || data.high_watermark <= readable {
            self.stuck.remove(&partition);
            return None;
        }
        let fresh = Stuck {
            offset: readable,
            since: now,
            told: None,
        };
        let stuck = self.stuck.entry(partition).or_insert(fresh);
        if stuck.offset != readable {
            *stuck = fresh;
        }
        let waited = now - stuck.since;
        if waited < patience || stuck.told.is_some_and(|told| now - told < AGAIN) {
            return None;
        }
        stuck.told = Some(now);
        Some(waited)
    }
}

/// Asks the leader whose transaction it is.
pub(crate) async fn describe(
    connection: &Connection,
    topic: &Topic,
    data: &PartitionData,
    waited: Duration,
) -> BrokerError {
    let found = oldest(connection, topic, data).await;
    let oldest = found.unwrap_or_else(|error| {
        tracing::debug!(%error, topic = %topic.name.0, "the broker does not name its producers");
        None
    });
    let idle = oldest.map_or(Duration::ZERO, |(_, written)| since(written));
    BrokerError::Hanging {
        queue: topic.name.0.to_string(),
        partition: data.partition_index.cast_unsigned(),
        offset: u64::try_from(data.last_stable_offset).unwrap_or(0),
        producer: oldest.map(|(id, _)| id),
        seconds: waited.max(idle).as_secs(),
    }
}

/// The producer of the partition's oldest open transaction, and when it wrote last.
async fn oldest(
    connection: &Connection,
    topic: &Topic,
    data: &PartitionData,
) -> Result<Option<(i64, i64)>, BrokerError> {
    let topics = vec![
        TopicRequest::default()
            .with_name(topic.name.clone())
            .with_partition_indexes(vec![data.partition_index]),
    ];
    let request = DescribeProducersRequest::default().with_topics(topics);
    let response = connection.call(&request).await?;
    let subject = connection.subject(&topic.name.0);
    let mut open = vec![];
    for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
        subject.check(partition.error_code, partition.error_message.as_deref())?;
        let states = partition.active_producers.iter();
        open.extend(states.filter(|state| state.current_txn_start_offset >= 0));
    }
    let oldest = open
        .into_iter()
        .min_by_key(|state| state.current_txn_start_offset);
    Ok(oldest.map(|state| (state.producer_id.0, state.last_timestamp)))
}

/// How long ago a time in milliseconds since the Unix epoch was.
fn since(written: i64) -> Duration {
    let written = Duration::from_millis(u64::try_from(written).unwrap_or(0));
    UNIX_EPOCH
        .elapsed()
        .unwrap_or_default()
        .saturating_sub(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn data(readable: i64, high_watermark: i64) -> PartitionData {
        PartitionData::default()
            .with_partition_index(1)
            .with_last_stable_offset(readable)
            .with_high_watermark(high_watermark)
    }

    #[test]
    fn only_what_stays_hidden_is_told_and_not_all_the_time() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let mut look = |readable, high_watermark, cursor, seconds| {
            let now = start + Duration::from_secs(seconds);
            watch.look(&data(readable, high_watermark), cursor, PATIENCE, now)
        };
        assert_eq!(look(5, 5, 5, 0), None, "nothing more there");
        assert_eq!(look(5, 9, 5, 20), None, "since now");
        assert_eq!(look(5, 12, 5, 29), None);
        assert_eq!(look(5, 12, 5, 30), Some(PATIENCE));
        assert_eq!(look(5, 12, 5, 31), None, "told");
        assert_eq!(look(5, 12, 5, 60), Some(Duration::from_secs(40)));
        assert_eq!(look(8, 12, 5, 61), None, "there is something to read");
        assert_eq!(look(8, 12, 8, 62), None, "another one, since now");
        assert_eq!(look(8, 12, 8, 72), Some(PATIENCE));
    }
}
