//! The database file: its tables, and opening it again after the disk has failed.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
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

/// How long nothing is written after writing has failed, and how long a database that can't be opened
/// again is left alone: opening may read all of it.
const REST: Duration = Duration::from_millis(500);

/// How often something is read while others meet failures of the disk.
const READ_ATTEMPTS: usize = 5;

/// Why a step on the database was not taken.
#[derive(Debug)]
pub(super) enum Failure {
    /// The step itself is wrong; the transaction can go on without it.
    Refused(BrokerError),
    /// The database failed, and with it the transaction.
    Storage(redb::Error),
    /// It has failed before, and is not tried again yet; the path, and what it failed for.
    Resting(String),
    /// A stored value is damaged.
    Damaged(Damaged),
}

impl Failure {
    /// The failure as the caller of the broker sees it.
    pub(super) fn about(&self, queue: &str) -> BrokerError {
        match self {
            Self::Refused(error) => error.clone(),
            Self::Storage(error) => storage_error(queue, error),
            Self::Resting(cause) => storage_error(queue, cause),
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
/// as soon as the disk does. What was committed before is there again; of a commit that failed,
/// all or nothing.
///
/// Reading goes on at once: a disk that is full, or that has one bad sector, is good for all the rest.
/// Writing rests for a while after it has failed.
pub(super) struct Store {
    path: PathBuf,
    opener: Opener,
    state: RwLock<State>,
    /// How often the database was opened anew. Changed only while `state` is locked for writing.
    openings: AtomicU64,
    writing: Mutex<Option<Rest>>,
}

enum State {
    Open(Database),
    Failed(Rest),
    Closed,
}

/// What is not to be tried again before a time.
#[derive(Clone)]
struct Rest {
    cause: String,
    until: Instant,
}

impl Rest {
    fn after(error: &dyn fmt::Display, rest: Duration) -> Self {
        Self {
            cause: error.to_string(),
            until: Instant::now() + rest,
        }
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

impl Store {
    /// Opens the database.
    pub(super) fn open(path: PathBuf, opener: Opener) -> Result<Self, DatabaseError> {
        let database = opener()?;
        Ok(Self {
            path,
            opener,
            state: RwLock::new(State::Open(database)),
            openings: AtomicU64::default(),
            writing: Mutex::default(),
        })
    }

    /// Reads what is committed. Blocks for as long as the disk needs. Where the database was closed meanwhile,
    /// since somebody else had met a failure, `read` begins again.
    pub(super) fn read<T>(
        &self,
        read: impl Fn(&ReadTransaction) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let attempt = || self.with_database(|database| read(&database.begin_read()?));
        for _ in 1..READ_ATTEMPTS {
            match attempt() {
                Err(Failure::Storage(redb::Error::PreviousIo)) => {}
                outcome => return outcome,
            }
        }
        attempt()
    }

    /// Runs a write transaction. Blocks until it is durable.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<(T, Ending), Failure>,
    ) -> Result<T, Failure> {
        if let Some(rest) = self.resting() {
            return Err(self.failed(&rest));
        }
        let outcome = self.with_database(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_quick_repair(true);
            let (outcome, ending) = write(&transaction)?;
            match ending {
                Ending::Commit => transaction.commit()?,
                Ending::Abort => transaction.abort()?,
            }
            Ok(outcome)
        });
        if let Err(Failure::Storage(error)) = &outcome
            && !matches!(error, redb::Error::PreviousIo)
        {
            *lock(&self.writing) = Some(Rest::after(error, REST));
        }
        outcome
    }

    /// How long nothing is written, since that has failed, or since the file can't be opened again.
    pub(super) fn rest(&self) -> Duration {
        let writing = self.resting().map_or(Duration::ZERO, |rest| rest.left());
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Failed(rest) => rest.left().max(writing),
            State::Open(_) | State::Closed => writing,
        }
    }

    fn resting(&self) -> Option<Rest> {
        let rest = lock(&self.writing);
        rest.clone().filter(|rest| !rest.left().is_zero())
    }

    /// Opens the database anew where it has failed. Says how often that has happened: what was committed by the
    /// time of a failure is known only from then on.
    pub(super) fn recover(&self) -> Result<u64, Failure> {
        self.reopen_if_failed()?;
        Ok(self.openings.load(Ordering::Acquire))
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
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let opening = self.openings.load(Ordering::Acquire);
        let outcome = match &*state {
            State::Open(database) => work(database),
            State::Failed(rest) => return Err(self.failed(rest)),
            State::Closed => return Err(Failure::Storage(redb::Error::DatabaseClosed)),
        };
        drop(state);
        if let Err(Failure::Storage(error)) = &outcome {
            self.fail(opening, error);
        }
        outcome
    }

    /// The library refuses everything after one failure of the disk: the file has to be opened anew.
    fn fail(&self, opening: u64, error: &redb::Error) {
        // What is damaged in the file is still so when it is opened anew.
        if matches!(error, redb::Error::Corrupted(_)) {
            tracing::error!(path = %self.path.display(), %error, "the queue database is damaged");
            return;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let is_same = self.openings.load(Ordering::Acquire) == opening;
        if is_same && matches!(*state, State::Open(_)) {
            tracing::error!(path = %self.path.display(), %error, "the queue database failed");
            *state = State::Failed(Rest::after(error, Duration::ZERO));
        }
    }

    fn reopen_if_failed(&self) -> Result<(), Failure> {
        if !self.is_failed() {
            return Ok(());
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let State::Failed(rest) = &mut *state else {
            return Ok(());
        };
        if !rest.left().is_zero() {
            return Err(self.failed(rest));
        }
        match (self.opener)() {
            Ok(database) => {
                tracing::info!(path = %self.path.display(), "the queue database is open again");
                self.openings.fetch_add(1, Ordering::AcqRel);
                *state = State::Open(database);
                Ok(())
            }
            Err(error) => {
                *rest = Rest::after(&error, REST);
                Err(self.failed(rest))
            }
        }
    }

    fn is_failed(&self) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        matches!(*state, State::Failed(_))
    }

    fn failed(&self, rest: &Rest) -> Failure {
        Failure::Resting(format!("{}: {}", self.path.display(), rest.cause))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
