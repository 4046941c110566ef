//! The change stream of a store.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::{Entry, Kind};

/// How many changes of one kind a watcher may be behind before it is told to list again.
const BACKLOG: usize = 1024;

/// Something happened to the resources of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// List again: this is the beginning, or changes were missed.
    Resync,
    /// A resource was created, updated or marked as being deleted.
    Put(Entry),
    /// A resource is gone.
    Removed(String),
}

/// The sending side, for implementations of [`super::Store`].
#[derive(Debug)]
pub struct ChangeFeed {
    senders: [broadcast::Sender<Change>; Kind::ALL.len()],
}

impl Default for ChangeFeed {
    fn default() -> Self {
        Self {
            senders: std::array::from_fn(|_| broadcast::Sender::new(BACKLOG)),
        }
    }
}

impl ChangeFeed {
    /// Tells everyone who watches `kind`. Costs nothing when nobody does.
    pub fn publish(&self, kind: Kind, change: Change) {
        // An error only says that nobody is watching.
        let _ = self.senders[kind as usize].send(change);
    }

    /// A stream of what is published from now on, [`Change::Resync`] first.
    #[must_use]
    pub fn subscribe(&self, kind: Kind) -> Changes {
        Changes {
            receiver: self.senders[kind as usize].subscribe(),
            resync: true,
        }
    }
}

/// The changes of one kind, in order.
#[derive(Debug)]
pub struct Changes {
    receiver: broadcast::Receiver<Change>,
    resync: bool,
}

impl Changes {
    /// The next change; none when the store is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Change> {
        if std::mem::take(&mut self.resync) {
            return Some(Change::Resync);
        }
        match self.receiver.recv().await {
            Ok(change) => Some(change),
            Err(RecvError::Lagged(_)) => {
                // What is still in the backlog is older than the list that the caller takes now.
                self.receiver = self.receiver.resubscribe();
                Some(Change::Resync)
            }
            Err(RecvError::Closed) => None,
        }
    }
}
