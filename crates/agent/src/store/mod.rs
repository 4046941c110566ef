//! The resource store: what every participant has, as specs and statuses that survive a crash.
//!
//! [`Store`] is bytes in, bytes out, so that the embedded database and, later, the Kubernetes
//! API fit behind it; [`Resources`] is the typed view that everyone else uses. The rules are
//! those of the Kubernetes API, in small:
//!
//! - every change gives a resource a new *version*, never used before in this store, so that a
//!   version read is a version compared-and-swapped, also across deletion and re-creation;
//! - deletion has two phases: [`Store::mark_deleting`] says that the resource is to go,
//!   [`Store::remove`] that everything it stood for has gone;
//! - whoever watches gets [`Change::Resync`] first and whenever changes were missed, and then
//!   lists: no change can be lost on anyone, however slow.

mod changes;
#[cfg(test)]
mod contract;
mod error;
mod redb;
mod typed;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use changes::{Change, ChangeFeed, Changes};
pub use error::StoreError;
pub use redb::RedbStore;
pub use typed::{NameChanges, Resource, ResourceChange, ResourceChanges, Resources, Stored};

/// What a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A namespace that is hosted here.
    Namespace,
    /// A flow of a namespace that is hosted here.
    Flow,
    /// A right that somebody was given.
    Grant,
    /// Somebody else's subscription to a flow of ours.
    Subscriber,
    /// Our subscription to somebody else's flow.
    Subscription,
    /// A processor that a user runs between flows.
    Processor,
    /// The document of a flow's schema.
    Schema,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Namespace,
        Self::Flow,
        Self::Grant,
        Self::Subscriber,
        Self::Subscription,
        Self::Processor,
        Self::Schema,
    ];

    /// The word that the database and messages use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Flow => "flow",
            Self::Grant => "grant",
            Self::Subscriber => "subscriber",
            Self::Subscription => "subscription",
            Self::Processor => "processor",
            Self::Schema => "schema",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stored resource, its document as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, unique within its kind.
    pub name: String,
    /// Grows with each change of anything in the store; never used twice.
    pub version: u64,
    /// Whether the first phase of deletion has begun.
    pub deleting: bool,
    /// The document: JSON, where [`Resources`] wrote it.
    pub document: Bytes,
}

/// A place for resources. A method that returns `Ok` has made its change durable.
///
/// All methods are cancel-safe: a dropped call has happened or has not, never by half.
#[async_trait]
pub trait Store: Send + Sync {
    /// One resource; none when there is no such name.
    ///
    /// # Errors
    /// Only when the store itself is out of reach.
    async fn get(&self, kind: Kind, name: &str) -> Result<Option<Entry>, StoreError>;

    /// Every resource of a kind whose name begins with `prefix`, those being deleted included,
    /// ordered by name.
    ///
    /// # Errors
    /// Only when the store itself is out of reach.
    async fn list(&self, kind: Kind, prefix: &str) -> Result<Vec<Entry>, StoreError>;

    /// Adds a resource.
    ///
    /// # Errors
    /// [`StoreError::Exists`] while the name is taken, also by one that is being deleted.
    async fn create(&self, kind: Kind, name: &str, document: Bytes) -> Result<Entry, StoreError>;

    /// Replaces a resource's document if it still has `version`. Allowed while it is being
    /// deleted: the way down is stored like the way up.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] when it has changed since.
    async fn update(
        &self,
        kind: Kind,
        name: &str,
        version: u64,
        document: Bytes,
    ) -> Result<Entry, StoreError>;

    /// Begins a deletion. Marking twice changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn mark_deleting(&self, kind: Kind, name: &str) -> Result<Entry, StoreError>;

    /// Ends a deletion. A resource that is gone is no error.
    ///
    /// # Errors
    /// [`StoreError::NotMarked`] when no deletion has begun.
    async fn remove(&self, kind: Kind, name: &str) -> Result<(), StoreError>;

    /// The changes of a kind from this call on, [`Change::Resync`] first.
    fn changes(&self, kind: Kind) -> Changes;
}
