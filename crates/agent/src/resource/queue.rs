//! The life of a queue that a resource owns at a broker.

use eson_broker::QueueId;
use serde::{Deserialize, Serialize};

/// How far a queue is. The intention is stored before the queue is created, and its identity
/// after, so that a crash in between neither loses a queue nor takes a stranger's for ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum QueueState {
    /// Nobody has looked yet.
    #[default]
    Unchecked,
    /// There was none of that name, and we are about to create it: if it is there now, it is
    /// ours.
    Creating,
    /// It is there, with this identity.
    Ready(QueueId),
}

impl QueueState {
    /// The identity, once the queue is there.
    #[must_use]
    pub(crate) fn id(&self) -> Option<&QueueId> {
        match self {
            Self::Ready(id) => Some(id),
            _ => None,
        }
    }
}
