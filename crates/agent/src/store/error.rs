//! What can go wrong in a store.

use std::path::PathBuf;

use super::Kind;

/// An operation on the store failed, and nothing has changed by it unless its text says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The name is taken.
    #[error("the {kind} `{name}` exists already")]
    Exists {
        /// What.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// There is no such resource.
    #[error("there is no {kind} `{name}`")]
    NotFound {
        /// What.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// Somebody else changed the resource first. Read it again and decide anew.
    #[error("the {kind} `{name}` has changed meanwhile: its version is {found}, not {expected}")]
    Conflict {
        /// What.
        kind: Kind,
        /// Its name.
        name: String,
        /// The version that the caller had read.
        expected: u64,
        /// The version it has.
        found: u64,
    },
    /// Removal without the first phase of deletion.
    #[error("the {kind} `{name}` can't be removed before it is marked as being deleted")]
    NotMarked {
        /// What.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// A document can't be read as what it should be, or not be written.
    #[error(
        "the document of {kind} `{name}` is unreadable: {cause}; was it written by a newer version?"
    )]
    Unreadable {
        /// What.
        kind: Kind,
        /// Its name.
        name: String,
        /// What the decoder met.
        cause: String,
    },
    /// Another process has the same state directory open.
    #[error(
        "the state directory {} is in use by another fnaad; stop it, or give this one its own \
         with --state-dir", directory.display()
    )]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// The disk is full. The change is not made; make room and try again.
    #[error("the disk of the state directory {} is full; make room there", directory.display())]
    DiskFull {
        /// The directory.
        directory: PathBuf,
    },
    /// The system failed to read or write. Whether the change was made is known when the store
    /// is read again.
    #[error("the state in {} can't be read or written: {cause}", directory.display())]
    Io {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// The database file is damaged. Restore it from a backup.
    #[error("the database in {} is damaged: {cause}; restore it from a backup", directory.display())]
    Damaged {
        /// The directory.
        directory: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The store has been closed: fnaad is shutting down.
    #[error("the store is closed")]
    Closed,
}
