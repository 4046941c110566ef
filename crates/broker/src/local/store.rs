//! The database file: its tables, and opening it again after the disk has failed.

use std::fmt;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, TableDefinition, TableError,
    WriteTransaction,
};

use super::encoding::Damaged;
use crate::BrokerError;

/// A queue's name to its number, identity and settings (JSON).
pub(super) const QUEUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("queues");

/// A partition (queue's number, partition) to its oldest offset kept, the offset behind its
/// newest record, and the bytes it keeps.
pub(super) const PARTITIONS: TableDefinition<'_, (u64, u32), (u64, u64, u64)> =
    TableDefinition::new("partitions");

/// A run of records, laid out as in [`super::encoding`].
pub(super) const RUNS: TableDefinition<'_, RunKey, &[u8]> = TableDefinition::new("runs");

/// What retention and searching by time ask of a run, without its records.
pub(super) const INDEX: TableDefinition<'_, RunKey, RunSummary> = TableDefinition::new("index");

/// A run's place: queue's number, partition, first offset.
pub(super) type RunKey = (u64, u32, u64);

/// How many records a run has, its bytes, when it was written, its newest record's timestamp.
pub(super) type RunSummary = (u32, u64, i64, i64);

/// The source offset up to which a processor has written (queue's number, processor and source,
/// the source's partition).
pub(super) const POSITIONS: TableDefinition<'_, (u64, &str, u32), u64> =
    TableDefinition::new("positions");

/// Under which leader of the source what lies just before such an offset was written, where the
/// source tells; with the offset, since somebody may have stored another one who knew nothing of this.
pub(super) const EPOCHS: TableDefinition<'_, (u64, &str, u32), (u64, i32)> =
    TableDefinition::new("epochs");

/// Who may read a queue (its number, user name): true while granted, false while suspended.
pub(super) const LEASES: TableDefinition<'_, (u64, &str), bool> = TableDefinition::new("leases");

/// How fast a user reads a queue (its number, user name) at most: events and octets a second, 0
/// without limit.
pub(super) const RATES: TableDefinition<'_, (u64, &str), (u64, u64)> =
    TableDefinition::new("rates");

/// The numbers of deleted queues whose records are still to be removed.
pub(super) const DELETED: TableDefinition<'_, u64, ()> = TableDefinition::new("deleted");

/// The numbers [`FORMAT`] and [`NEXT_QUEUE`].
pub(super) const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

/// The version of all this, in [`NUMBERS`].
pub(super) const FORMAT: &str = "format";

/// The number of the next queue to be created, in [`NUMBERS`]. Numbers are never used again.
pub(super) const NEXT_QUEUE: &str = "next-queue";

/// How long a failed database rests before it is opened again: opening may read all of it.
const REST: Duration = Duration::from_millis(500);

/// Why a step on the database was not taken.
#[derive(Debug)]
pub(super) enum Failure {
    /// The step itself is wrong; the transaction can go on without it.
    Refused(BrokerError),
    /// The database failed, and with it the transaction.
    Storage(redb::Error),
    /// A stored value is damaged.
    Damaged(Damaged),
}

impl Failure {
    /// The failure as the caller of the broker sees it.
    pub(super) fn about(&self, queue: &str) -> BrokerError {
        match self {
            Self::Refused(error) => error.clone(),
            Self::Storage(error) => storage_error(queue, error),
            Self::Damaged(error) => storage_error(queue, error),
        }
    }
}

pub(super) fn storage_error(queue: &str, cause: &dyn fmt::Display) -> BrokerError {
    BrokerError::Storage {
        queue: queue.to_owned(),
        cause: cause.to_string(),
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        Self::Refused(error)
    }
}

impl From<Damaged> for Failure {
    fn from(error: Damaged) -> Self {
        Self::Damaged(error)
    }
}

impl From<redb::Error> for Failure {
    fn from(error: redb::Error) -> Self {
        Self::Storage(error)
    }
}

impl From<redb::StorageError> for Failure {
    fn from(error: redb::StorageError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<redb::TableError> for Failure {
    fn from(error: redb::TableError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<redb::TransactionError> for Failure {
    fn from(error: redb::TransactionError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<redb::CommitError> for Failure {
    fn from(error: redb::CommitError) -> Self {
        Self::Storage(error.into())
    }
}

/// A table, or none where the file is older than it is: the first change makes it.
pub(super) fn existing<T>(opened: Result<T, TableError>) -> Result<Option<T>, Failure> {
    match opened {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

/// Opens the database file; called again after a failure.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// What a write transaction is to end with.
pub(super) enum Ending {
    /// Make it durable.
    Commit,
    /// Nothing was changed.
    Abort,
}

/// The database. After a failure of the disk it is closed and opened anew, so that it recovers
/// as soon as the disk does; what was committed before is there again, and nothing else.
pub(super) struct Store {
    path: PathBuf,
    opener: Opener,
    state: RwLock<State>,
}

enum State {
    Open(Database),
    Failed { cause: String, since: Instant },
    Closed,
}

impl Store {
    /// Opens the database.
    pub(super) fn open(path: PathBuf, opener: Opener) -> Result<Self, DatabaseError> {
        let database = opener()?;
        Ok(Self {
            path,
            opener,
            state: RwLock::new(State::Open(database)),
        })
    }

    /// Reads what is committed. Blocks for as long as the disk needs.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.with_database(|database| read(&database.begin_read()?))
    }

    /// Runs a write transaction. Blocks until it is durable.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<(T, Ending), Failure>,
    ) -> Result<T, Failure> {
        self.with_database(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_quick_repair(true);
            let (outcome, ending) = write(&transaction)?;
            match ending {
                Ending::Commit => transaction.commit()?,
                Ending::Abort => transaction.abort()?,
            }
            Ok(outcome)
        })
    }

    /// Closes the file for good, so that it can be opened elsewhere.
    pub(super) fn close(&self) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::Closed;
    }

    fn with_database<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.reopen_if_failed()?;
        let outcome = match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open(database) => work(database),
            State::Failed { cause, .. } => return Err(self.failed(cause)),
            State::Closed => return Err(Failure::Storage(redb::Error::DatabaseClosed)),
        };
        if let Err(Failure::Storage(error)) = &outcome {
            self.fail(error);
        }
        outcome
    }

    /// The library refuses everything after one failed write: the file has to be opened anew.
    fn fail(&self, error: &redb::Error) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Open(_)) {
            tracing::error!(path = %self.path.display(), %error, "the queue database failed");
            *state = State::Failed {
                cause: error.to_string(),
                since: Instant::now(),
            };
        }
    }

    fn reopen_if_failed(&self) -> Result<(), Failure> {
        if !self.is_failed() {
            return Ok(());
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let State::Failed { cause, since } = &mut *state else {
            return Ok(());
        };
        if since.elapsed() < REST {
            return Err(self.failed(cause));
        }
        match (self.opener)() {
            Ok(database) => {
                tracing::info!(path = %self.path.display(), "the queue database is open again");
                *state = State::Open(database);
                Ok(())
            }
            Err(error) => {
                *cause = error.to_string();
                *since = Instant::now();
                Err(Failure::Storage(error.into()))
            }
        }
    }

    fn is_failed(&self) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        matches!(*state, State::Failed { .. })
    }

    fn failed(&self, cause: &str) -> Failure {
        let text = format!("{}: {cause}", self.path.display());
        Failure::Storage(redb::Error::Io(std::io::Error::other(text)))
    }
}
