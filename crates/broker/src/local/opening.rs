//! Opening the file: what is in it comes into memory, but for the records.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::housekeeping::Housekeeping;
use super::options::OpenError;
use super::registry::{OffsetRange, Queue, QueueRow, Registry};
use super::store::{
    DELETED, Ending, FORMAT, Failure, LEASES, NUMBERS, PARTITIONS, QUEUES, RATES, Store, existing,
};
use super::tables::{Tables, parse_queue_row};
use crate::{Lease, Rates};

/// The version of the tables and of the records' layout.
const CURRENT_FORMAT: u64 = 1;

/// Makes the file's name in its directory as durable as its content, for it may be new.
pub(super) fn keep_name(path: &Path) -> Result<(), OpenError> {
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|cause| OpenError::File {
        path: path.to_owned(),
        cause,
    })
}

/// Makes the tables where they are missing, and refuses a file of another version.
pub(super) fn prepare(store: &Store, path: &Path) -> Result<(), OpenError> {
    let found = store
        .write(format_of)
        .map_err(|failure| damaged(path, failure))?;
    if found == CURRENT_FORMAT {
        return Ok(());
    }
    Err(OpenError::Format {
        path: path.to_owned(),
        found,
        known: CURRENT_FORMAT,
    })
}

fn format_of(transaction: &WriteTransaction) -> Result<(u64, Ending), Failure> {
    let mut numbers = transaction.open_table(NUMBERS)?;
    let found = numbers.get(FORMAT)?.map(|format| format.value());
    if let Some(found) = found {
        return Ok((found, Ending::Abort));
    }
    numbers.insert(FORMAT, CURRENT_FORMAT)?;
    drop(numbers);
    Tables::open(transaction)?;
    Ok((CURRENT_FORMAT, Ending::Commit))
}

/// Reads the queues and what is left to do.
pub(super) fn load(store: &Store, path: &Path) -> Result<(Registry, Housekeeping), OpenError> {
    let Found { queues, deleted } = found(store).map_err(|failure| damaged(path, failure))?;
    let registry = Registry::default();
    for queue in &queues {
        registry.insert(queue.clone());
    }
    Ok((registry, Housekeeping::resume(deleted, queues)))
}

/// What is in the file, but for the records.
pub(super) struct Found {
    pub(super) queues: Vec<Arc<Queue>>,
    /// The numbers of deleted queues whose records are still to be removed.
    pub(super) deleted: BTreeSet<u64>,
}

/// Reads what is in the file.
pub(super) fn found(store: &Store) -> Result<Found, Failure> {
    store.read(|transaction| {
        Ok(Found {
            queues: queues(transaction)?,
            deleted: deleted(transaction)?,
        })
    })
}

fn queues(transaction: &ReadTransaction) -> Result<Vec<Arc<Queue>>, Failure> {
    let mut queues = Vec::new();
    for entry in transaction.open_table(QUEUES)?.iter()? {
        let (name, row) = entry?;
        let row = parse_queue_row(name.value(), row.value())?;
        let ranges = ranges(transaction, &row)?;
        let queue = Queue::new(name.value(), row, ranges);
        load_leases(transaction, &queue)?;
        queues.push(queue);
    }
    Ok(queues)
}

fn ranges(transaction: &ReadTransaction, row: &QueueRow) -> Result<Vec<OffsetRange>, Failure> {
    let mut ranges = vec![OffsetRange::default(); row.partitions as usize];
    let table = transaction.open_table(PARTITIONS)?;
    for entry in table.range((row.number, 0)..(row.number, row.partitions))? {
        let (key, value) = entry?;
        let (_, partition) = key.value();
        let (earliest, latest, _) = value.value();
        ranges[partition as usize] = OffsetRange { earliest, latest };
    }
    Ok(ranges)
}

fn load_leases(transaction: &ReadTransaction, queue: &Queue) -> Result<(), Failure> {
    let table = transaction.open_table(LEASES)?;
    for entry in table.range((queue.number, "")..(queue.number + 1, ""))? {
        let (key, granted) = entry?;
        let (_, username) = key.value();
        let lease = if granted.value() {
            Lease::Granted
        } else {
            Lease::Suspended
        };
        queue.set_lease(username, lease);
    }
    load_rates(transaction, queue)
}

fn load_rates(transaction: &ReadTransaction, queue: &Queue) -> Result<(), Failure> {
    let Some(table) = existing(transaction.open_table(RATES))? else {
        return Ok(());
    };
    for entry in table.range((queue.number, "")..(queue.number + 1, ""))? {
        let (key, rates) = entry?;
        let ((_, username), (events, bytes)) = (key.value(), rates.value());
        queue.set_rates(username, Rates { events, bytes });
    }
    Ok(())
}

fn deleted(transaction: &ReadTransaction) -> Result<BTreeSet<u64>, Failure> {
    let mut deleted = BTreeSet::new();
    for entry in transaction.open_table(DELETED)?.iter()? {
        let (queue, _) = entry?;
        deleted.insert(queue.value());
    }
    Ok(deleted)
}

fn damaged(path: &Path, failure: Failure) -> OpenError {
    OpenError::damaged(path, &failure.about(&path.display().to_string()))
}
