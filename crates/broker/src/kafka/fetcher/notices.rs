//! What a fetcher tells beside records: what is gone, and what stays hidden.

use eson_protocol::Start;
use kafka_protocol::messages::fetch_response::PartitionData;
use tokio::time::Instant;

use super::super::connection::Connection;
use super::super::{hanging, offsets};
use super::{Event, Fetcher};
use crate::BrokerError;

impl Fetcher {
    /// Tells that what was read is no longer in the log, and goes on where that parts from it.
    pub(super) async fn look_for_truncation(&mut self, data: &PartitionData) {
        let partition = data.partition_index.cast_unsigned();
        let parted = self.epochs.parted(partition, &data.diverging_epoch);
        let (Some(end), Some(cursor)) = (parted, self.cursors.get_mut(&partition)) else {
            return;
        };
        let read = std::mem::replace(cursor, end.min(*cursor));
        let truncated = BrokerError::Truncated {
            queue: self.topic.name.0.to_string(),
            partition,
            read,
            end: *cursor,
        };
        // Nobody there any more: the loop will see that.
        let _ = self.events.send(Event::Notice(truncated)).await;
    }

    /// Tells of a transaction that nobody seems to end.
    pub(super) async fn look_for_hanging(&mut self, data: &PartitionData, connection: &Connection) {
        let partition = data.partition_index.cast_unsigned();
        let cursor = self.cursors.get(&partition).copied().unwrap_or_default();
        let patience = self.cluster.config().hanging_after;
        let stuck = self.watch.look(data, cursor, patience, Instant::now());
        if let Some(waited) = stuck {
            let hanging = hanging::describe(connection, &self.topic, data, waited).await;
            // Nobody there any more: the loop will see that.
            let _ = self.events.send(Event::Notice(hanging)).await;
        }
    }

    /// Tells what is gone and goes on at the earliest record.
    pub(super) async fn skip_gap(&mut self, partition: u32) -> Result<(), BrokerError> {
        let one = || std::iter::once(partition);
        let earliest = offsets::resolve(&self.cluster, &self.topic, one(), Start::Earliest).await?;
        let latest = offsets::resolve(&self.cluster, &self.topic, one(), Start::Latest).await?;
        let (Some(&earliest), Some(&latest), Some(cursor)) = (
            earliest.get(&partition),
            latest.get(&partition),
            self.cursors.get_mut(&partition),
        ) else {
            return Ok(());
        };
        // It may also be that the leader knows nothing of the epoch that we have read.
        self.epochs.forget(partition);
        if (earliest..=latest).contains(cursor) {
            return Ok(());
        }
        let wanted = std::mem::replace(cursor, earliest);
        let gap = BrokerError::OutOfRange {
            queue: self.topic.name.0.to_string(),
            partition,
            wanted,
            earliest,
            latest,
        };
        let _ = self.events.send(Event::Notice(gap)).await;
        Ok(())
    }
}
