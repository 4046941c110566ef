//! Queues as the administrative half of a broker sees them.

use std::collections::BTreeMap;
use std::fmt;

use eson_protocol::{Connection, Secret};
use serde::{Deserialize, Serialize};

/// What makes a queue this one and no other of the same name: a Kafka topic's id, for one.
/// Stored after creation; deletion asks for it, so that what others re-created is never taken
/// for ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueueId(pub String);

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A queue that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// The queue's name at the broker.
    pub name: String,
    /// The number of partitions, at least 1.
    pub partitions: u32,
    /// How long records are kept, in milliseconds; none is the broker's own default, and
    /// [`QueueSpec::FOREVER`] is for ever.
    pub retention: Option<u64>,
    /// How many bytes each partition may keep; none, and [`QueueSpec::FOREVER`], are without bound.
    pub retention_bytes: Option<u64>,
}

impl QueueSpec {
    /// Keep records for ever, or however many.
    pub const FOREVER: u64 = u64::MAX;
}

/// A change of a queue. What is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueUpdate {
    /// More partitions than now; fewer is [`crate::BrokerError::Invalid`].
    pub partitions: Option<u32>,
    /// How long records are kept, in milliseconds.
    pub retention: Option<u64>,
    /// How many bytes each partition may keep.
    pub retention_bytes: Option<u64>,
}

/// A queue that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueDescription {
    /// Its identity.
    pub id: QueueId,
    /// Where clients find it.
    pub connection: Connection,
    /// For each partition, the oldest offset kept and the offset behind the newest record.
    pub partitions: BTreeMap<u32, (u64, u64)>,
    /// How long records are kept, in milliseconds; none where the broker's default rules.
    pub retention: Option<u64>,
    /// How many bytes each partition may keep; none where the broker's default rules.
    pub retention_bytes: Option<u64>,
    /// Whether the queue is set up so that these two limits hold as closely as the broker can hold
    /// them; where it is not, setting them again does that.
    pub limits_hold: bool,
}

/// Somebody who reads a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The group or user.
    pub name: String,
    /// How many records it has not yet read; none where the broker does not say.
    pub lag: Option<u64>,
}

/// A broker user that may read exactly one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The SASL mechanism: `SCRAM-SHA-256`.
    pub mechanism: String,
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// How a credential's right on a queue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The credential reads the queue.
    Granted,
    /// The credential is denied, its data kept: a lapsed lease.
    Suspended,
}
