//! The records of the topic that keeps positions.

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use eson_protocol::Record;
use serde::{Deserialize, Serialize};

use super::super::batch::{Batch, Producer};
use super::super::records::BatchBuilder;
use super::TOPIC;
use crate::BrokerError;

/// Whose position a record is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) processor: String,
    pub(super) source: String,
    /// The id of the destination topic: a topic that was created again has nothing yet.
    pub(super) topic: String,
    /// The source's partition; none in the record that a writer announces itself with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) partition: Option<u32>,
}

/// What a record of ours says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A source partition is copied up to before an offset.
    Position(u32, Position),
    /// A writer has taken over.
    Owner(Owner),
    /// The record with this partition, or that of the writer, is no more: a tombstone.
    Forgotten(Option<u32>),
}

/// Who has taken over: the producer as it was when it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    id: i64,
    epoch: i16,
}

/// Up to where a source partition is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) offset: u64,
    /// Under which leader the record before it was written, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<i32>,
}

impl From<Producer> for Owner {
    fn from(producer: Producer) -> Self {
        Self {
            id: producer.id,
            epoch: producer.epoch,
        }
    }
}

impl Key {
    /// The name under which the writer of these positions is known to the cluster.
    pub(super) fn name(&self) -> String {
        format!("eson/{}/{}/{}", self.processor, self.source, self.topic)
    }

    /// One batch with all these entries.
    pub(super) fn batch(
        &self,
        entries: impl IntoIterator<Item = Entry>,
    ) -> Result<Batch, BrokerError> {
        let mut builder = BatchBuilder::default();
        for entry in entries {
            builder.push(&self.record(entry).map_err(|cause| invalid(&cause))?);
        }
        builder.finish().map_err(|cause| invalid(&cause))
    }

    fn record(&self, entry: Entry) -> serde_json::Result<Record> {
        let (partition, value) = match entry {
            Entry::Position(partition, position) => {
                (Some(partition), Some(serde_json::to_vec(&position)?))
            }
            Entry::Owner(owner) => (None, Some(serde_json::to_vec(&owner)?)),
            Entry::Forgotten(partition) => (partition, None),
        };
        let key = Self {
            partition,
            ..self.clone()
        };
        Ok(Record {
            offset: 0,
            timestamp: now(),
            key: Some(serde_json::to_vec(&key)?.into()),
            value: value.map(Bytes::from),
            headers: vec![],
        })
    }

    /// The key of a record, if it is one of the topic's.
    pub(super) fn of(record: &Record) -> Option<Self> {
        serde_json::from_slice(record.key.as_deref()?).ok()
    }

    /// A record that takes the place of this key's, and says that it is no more.
    pub(super) fn tombstone(&self) -> Result<Record, BrokerError> {
        let tombstone = self.record(Entry::Forgotten(self.partition));
        tombstone.map_err(|cause| invalid(&cause))
    }

    /// What a record says, if it is one of ours.
    pub(super) fn entry(&self, record: &Record) -> Option<Entry> {
        let mut key = Self::of(record)?;
        let partition = key.partition.take();
        if key != *self {
            return None;
        }
        let Some(value) = record.value.as_deref() else {
            return Some(Entry::Forgotten(partition));
        };
        match partition {
            Some(partition) => {
                let position = serde_json::from_slice(value).ok()?;
                Some(Entry::Position(partition, position))
            }
            None => serde_json::from_slice(value).ok().map(Entry::Owner),
        }
    }
}

fn invalid(cause: &dyn std::error::Error) -> BrokerError {
    BrokerError::Invalid {
        queue: TOPIC.to_owned(),
        cause: cause.to_string(),
    }
}

fn now() -> i64 {
    let since = UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
