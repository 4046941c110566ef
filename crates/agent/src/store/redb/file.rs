//! The database file.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, WriteTransaction,
};

use super::mirror::Entries;
use crate::store::{Entry, Kind, StoreError};

/// The file's name in the state directory.
const FILE_NAME: &str = "resources.redb";

/// Memory for pages; reads don't come from here.
const CACHE_BYTES: usize = 4 << 20;

/// Kind and name to version, being deleted, document.
const RESOURCES: TableDefinition<'static, (&str, &str), (u64, bool, &[u8])> =
    TableDefinition::new("resources");

/// Counters; see [`LAST_VERSION`].
const COUNTERS: TableDefinition<'static, &str, u64> = TableDefinition::new("counters");

/// The counter of versions given out. It survives the removal of what had the highest one.
const LAST_VERSION: &str = "last-version";

type Open = Box<dyn Fn() -> Result<Database, DatabaseError> + Send>;

/// The file, opened again after a failure: redb refuses to go on behind one, and only reading
/// the file tells what of the failed transaction has been kept.
pub(super) struct File {
    directory: PathBuf,
    open: Open,
    database: Option<Database>,
    last_version: u64,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl File {
    pub(super) fn exists(directory: &Path) -> bool {
        directory.join(FILE_NAME).exists()
    }

    pub(super) fn new(directory: &Path) -> Self {
        let path = directory.join(FILE_NAME);
        let open = move || {
            Database::builder()
                .set_cache_size(CACHE_BYTES)
                .create(&path)
        };
        Self::with(directory, Box::new(open))
    }

    pub(super) fn with(directory: &Path, open: Open) -> Self {
        Self {
            directory: directory.to_owned(),
            open,
            database: None,
            last_version: 0,
        }
    }

    /// Whether the file has to be loaded (again) before the next transaction.
    pub(super) fn is_closed(&self) -> bool {
        self.database.is_none()
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Opens the file and reads everything.
    pub(super) fn load(&mut self) -> Result<Entries, StoreError> {
        let database = (self.open)().map_err(|error| self.failure(error.into()))?;
        let loaded = read_all(&database);
        let (entries, last_version) = loaded.map_err(|error| self.failure(error))?;
        self.last_version = last_version;
        self.database = Some(database);
        Ok(entries)
    }

    /// Runs `work` in one durable transaction. After an error the file is closed, and
    /// [`File::load`] tells what it holds.
    pub(super) fn transact<T>(
        &mut self,
        work: impl FnOnce(&mut Changeset<'_>) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let database = self.database.take().ok_or(StoreError::Closed)?;
        let result = transact(&database, self.last_version, work);
        let (outcome, last_version) = result.map_err(|error| self.failure(error))?;
        self.last_version = last_version;
        self.database = Some(database);
        Ok(outcome)
    }

    fn failure(&self, error: redb::Error) -> StoreError {
        let directory = self.directory.clone();
        match error {
            redb::Error::DatabaseAlreadyOpen => StoreError::InUse { directory },
            redb::Error::Io(cause) => io_failure(directory, &cause),
            redb::Error::Corrupted(cause) => StoreError::Damaged { directory, cause },
            redb::Error::UpgradeRequired(version) => StoreError::Damaged {
                directory,
                cause: format!("its file format {version} is too old for this version"),
            },
            other => StoreError::Io {
                directory,
                cause: other.to_string(),
            },
        }
    }
}

fn io_failure(directory: PathBuf, cause: &io::Error) -> StoreError {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StoreError::DiskFull { directory }
        }
        _ => StoreError::Io {
            directory,
            cause: cause.to_string(),
        },
    }
}

/// The open transaction.
pub(super) struct Changeset<'t> {
    table: redb::Table<'t, (&'static str, &'static str), (u64, bool, &'static [u8])>,
    last_version: u64,
    changed: bool,
}

impl Changeset<'_> {
    /// The entry as this transaction has left it.
    pub(super) fn entry(&self, kind: Kind, name: &str) -> Result<Option<Entry>, redb::Error> {
        let found = self.table.get((kind.as_str(), name))?;
        Ok(found.map(|value| entry(name, value.value())))
    }

    /// Writes an entry under a new version.
    pub(super) fn put(
        &mut self,
        kind: Kind,
        name: &str,
        deleting: bool,
        document: Bytes,
    ) -> Result<Entry, redb::Error> {
        self.changed = true;
        self.last_version += 1;
        let value = (self.last_version, deleting, &*document);
        self.table.insert((kind.as_str(), name), value)?;
        Ok(Entry {
            name: name.to_owned(),
            version: self.last_version,
            deleting,
            document,
        })
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, kind: Kind, name: &str) -> Result<(), redb::Error> {
        self.changed = true;
        self.table.remove((kind.as_str(), name))?;
        Ok(())
    }
}

fn transact<T>(
    database: &Database,
    last_version: u64,
    work: impl FnOnce(&mut Changeset<'_>) -> Result<T, redb::Error>,
) -> Result<(T, u64), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    let (outcome, last_version, changed) = fill(&transaction, last_version, work)?;
    if changed {
        save_last_version(&transaction, last_version)?;
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok((outcome, last_version))
}

/// Runs `work` inside the transaction; answers its outcome, the last version given out and
/// whether there is anything to commit.
fn fill<T>(
    transaction: &WriteTransaction,
    last_version: u64,
    work: impl FnOnce(&mut Changeset<'_>) -> Result<T, redb::Error>,
) -> Result<(T, u64, bool), redb::Error> {
    let mut changeset = Changeset {
        table: transaction.open_table(RESOURCES)?,
        last_version,
        changed: false,
    };
    let outcome = work(&mut changeset)?;
    Ok((outcome, changeset.last_version, changeset.changed))
}

fn save_last_version(transaction: &WriteTransaction, version: u64) -> Result<(), redb::Error> {
    let mut counters = transaction.open_table(COUNTERS)?;
    counters.insert(LAST_VERSION, version)?;
    Ok(())
}

fn read_all(database: &Database) -> Result<(Entries, u64), redb::Error> {
    let mut entries = Entries::default();
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(RESOURCES) {
        Ok(table) => table,
        // A new file.
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok((entries, 0)),
        Err(error) => return Err(error.into()),
    };
    for row in table.iter()? {
        let (key, value) = row?;
        let (kind, name) = key.value();
        let entry = entry(name, value.value());
        kind_entries(&mut entries, kind)?.insert(name.to_owned(), entry);
    }
    let counters = transaction.open_table(COUNTERS)?;
    let last_version = counters.get(LAST_VERSION)?;
    Ok((entries, last_version.map_or(0, |value| value.value())))
}

fn kind_entries<'e>(
    entries: &'e mut Entries,
    kind: &str,
) -> Result<&'e mut BTreeMap<String, Entry>, redb::Error> {
    let known = Kind::ALL.iter().find(|known| known.as_str() == kind);
    let unknown =
        || StorageError::Corrupted(format!("it has resources of the unknown kind `{kind}`"));
    Ok(&mut entries[*known.ok_or_else(unknown)? as usize])
}

fn entry(name: &str, (version, deleting, document): (u64, bool, &[u8])) -> Entry {
    Entry {
        name: name.to_owned(),
        version,
        deleting,
        document: Bytes::copy_from_slice(document),
    }
}
