//! How the embedded queue is opened, and why it can't be.

use std::path::{Path, PathBuf};

use eson_protocol::{Server, TransportSecurity};
use redb::{Builder, DatabaseError, StorageError};

/// Where the embedded queue is, and what it takes.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// The database file; it is created if it isn't there. Its directory must be there.
    pub path: PathBuf,
    /// Where clients reach its queues: the FNAA.
    pub server: Server,
    /// Whether that server speaks TLS.
    pub security: TransportSecurity,
    /// How long a queue keeps records that does not say so itself, in milliseconds; none is for
    /// ever.
    pub retention: Option<u64>,
    /// How many bytes the key, the value and the headers of one event may have together.
    pub max_event: usize,
    /// How many bytes of the file are kept in memory.
    pub cache: usize,
}

impl LocalOptions {
    /// A queue in `path`, reached at `server` without TLS, that keeps records for ever, with
    /// events of 1 MiB at most and 64 MiB of memory.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, server: Server) -> Self {
        Self {
            path: path.into(),
            server,
            security: TransportSecurity::Plaintext,
            retention: None,
            max_event: 1 << 20,
            cache: 64 << 20,
        }
    }

    pub(super) fn builder(&self) -> Builder {
        let mut builder = Builder::new();
        builder.set_cache_size(self.cache);
        builder
    }
}

/// Why the embedded queue can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another part of this one, has it open.
    #[error("{0} is in use: only one process may have it open; end the other one")]
    InUse(PathBuf),
    /// The file can't be read or created.
    #[error("{path}: {cause}; look at its directory, its owner and the space on its disk")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is no database, or is damaged.
    #[error("{path} is damaged or no queue database: {cause}; restore it or move it away")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        cause: String,
    },
    /// A newer version of this program wrote the file.
    #[error("{path} has format {found}, this program knows {known}; use a newer program")]
    Format {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u64,
        /// The version that this program writes.
        known: u64,
    },
    /// The thread that writes could not be started.
    #[error("the thread that writes the queues can't be started: {0}")]
    Thread(std::io::Error),
}

impl OpenError {
    pub(super) fn of(path: &Path, error: DatabaseError) -> Self {
        let path = path.to_owned();
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::InUse(path),
            DatabaseError::Storage(StorageError::Io(cause)) => Self::File { path, cause },
            other => Self::damaged(&path, &other),
        }
    }

    pub(super) fn damaged(path: &Path, cause: &dyn std::fmt::Display) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            cause: cause.to_string(),
        }
    }
}
