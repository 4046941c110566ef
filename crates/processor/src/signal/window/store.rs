//! The file of a signal with windows.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eson_broker::Reached;
use prost::Message;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::task::spawn_blocking;

use super::WindowSpec;
use super::parked::{self, PARKED, Parked};
use super::state::{Kept, Marks, State};
use crate::signal::proto::Record;

/// How far each partition of a leg's source was read.
const POSITIONS: TableDefinition<'_, (&str, u32), u64> = TableDefinition::new("positions");

/// Under which leader of the source what lies just before that was written, where the source tells;
/// with the position, since somebody may have stored another one who knew nothing of this.
const EPOCHS: TableDefinition<'_, (&str, u32), (u64, i32)> = TableDefinition::new("epochs");

/// What windows hold, by number.
const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");

/// What is to be written, by leg, destination and number.
const OUTPUTS: TableDefinition<'_, (&str, &str, u64), &[u8]> = TableDefinition::new("outputs");

/// The next number for a leg and destination.
const NEXT_OUTPUT: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("next-output");

/// What [`Marks`] has, by name.
const MARKS: TableDefinition<'_, &str, i64> = TableDefinition::new("marks");
const NEXT_EVENT: &str = "next-event";
const CLOSED: &str = "closed";
const NEWEST: &str = "newest";

/// Why the file can't be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the windows' file {}: {cause}", file.display())]
pub(crate) struct StoreError {
    file: PathBuf,
    cause: String,
}

/// An output that is to be written.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Pending {
    /// The partition of the destination.
    #[prost(uint32, tag = "1")]
    pub(crate) to: u32,
    #[prost(message, required, tag = "2")]
    pub(crate) record: Record,
}

/// What a leg has kept.
#[derive(Default)]
pub(crate) struct StoredLeg {
    /// How far its source was read.
    pub(crate) read: Reached,
    /// By destination, then number.
    pub(crate) outputs: BTreeMap<String, BTreeMap<u64, Pending>>,
    /// By destination.
    pub(crate) next: BTreeMap<String, u64>,
    pub(crate) parked: Parked,
}

/// What is kept together.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) leg: String,
    /// How far the leg's source was read.
    pub(crate) read: Reached,
    /// What is to be written, by destination: from which number on.
    pub(crate) outputs: Vec<(String, u64, Vec<Pending>)>,
    /// Up to which number a destination has everything.
    pub(crate) delivered: Vec<(String, u64)>,
    /// What the windows hold since, and no longer.
    pub(crate) added: Vec<(u64, Vec<u8>)>,
    pub(crate) removed: Vec<u64>,
    /// What is parked, or nothing any more; absent where that has not changed.
    pub(crate) parked: Option<Parked>,
    /// Absent where the windows have not changed.
    pub(crate) marks: Option<Marks>,
}

impl Changes {
    /// Nothing yet, of a leg.
    pub(crate) fn of(leg: &str) -> Self {
        Self {
            leg: leg.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn of_state(&mut self, state: &mut State) {
        let (added, removed, marks) = state.changes();
        self.added = added;
        self.removed = removed;
        self.marks = Some(marks);
    }
}

/// The file of a signal with windows.
pub(crate) struct Store {
    file: PathBuf,
    database: Arc<Database>,
}

impl Store {
    pub(super) fn open(file: &Path) -> Result<Self, StoreError> {
        let failed = |cause: String| StoreError {
            file: file.to_owned(),
            cause,
        };
        if let Some(directory) = file.parent() {
            make_private(directory).map_err(|cause| failed(cause.to_string()))?;
        }
        let database = Database::create(file).map_err(|cause| failed(cause.to_string()))?;
        let store = Self {
            file: file.to_owned(),
            database: Arc::new(database),
        };
        store.told(create_tables(&store.database))?;
        Ok(store)
    }

    /// What all windows hold, at `now` by the clock.
    /// Of more than `max_bytes`, the newest.
    pub(super) async fn load(
        &self,
        spec: &WindowSpec,
        max_bytes: usize,
        now: i64,
    ) -> Result<State, StoreError> {
        let spec = spec.clone();
        let make = move |kept, marks| State::new(&spec, max_bytes, kept, marks, now);
        self.off_thread(move |database| load(database, make)).await
    }

    /// What a leg has kept.
    pub(crate) async fn load_leg(&self, leg: &str) -> Result<StoredLeg, StoreError> {
        let leg = leg.to_owned();
        self.off_thread(move |database| load_leg(database, &leg))
            .await
    }

    /// Gives a leg what others have parked of windows that have ended, and will never ask about: legs
    /// that are not among `legs` any more, and this one when it had another source. The leg itself has
    /// nothing parked.
    pub(crate) async fn adopt(
        &self,
        leg: &str,
        legs: &BTreeSet<String>,
    ) -> Result<Parked, StoreError> {
        let (leg, legs) = (leg.to_owned(), legs.clone());
        self.off_thread(move |database| parked::adopt(database, &leg, &legs))
            .await
    }

    /// Keeps changes, all or none, on the disk when this returns.
    pub(crate) async fn commit(&self, changes: Changes) -> Result<(), StoreError> {
        self.off_thread(move |database| commit(database, &changes))
            .await
    }

    /// Files are waited for elsewhere.
    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = self.database.clone();
        match spawn_blocking(move || work(&database)).await {
            Ok(done) => self.told(done),
            Err(broken) => Err(self.failed(broken.to_string())),
        }
    }

    fn told<T>(&self, done: Result<T, redb::Error>) -> Result<T, StoreError> {
        done.map_err(|cause| self.failed(cause.to_string()))
    }

    fn failed(&self, cause: String) -> StoreError {
        StoreError {
            file: self.file.clone(),
            cause,
        }
    }
}

/// What is kept is users' events.
fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory)
}

fn create_tables(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(POSITIONS)?;
    transaction.open_table(EPOCHS)?;
    transaction.open_table(EVENTS)?;
    transaction.open_table(OUTPUTS)?;
    transaction.open_table(NEXT_OUTPUT)?;
    transaction.open_table(PARKED)?;
    transaction.open_table(MARKS)?;
    transaction.commit()?;
    Ok(())
}

fn load(
    database: &Database,
    make: impl FnOnce(Vec<(u64, Kept)>, Marks) -> State,
) -> Result<State, redb::Error> {
    let transaction = database.begin_read()?;
    let marks = transaction.open_table(MARKS)?;
    let mark = |name, absent| {
        let mark = marks.get(name)?;
        Ok::<_, redb::Error>(mark.map_or(absent, |mark| mark.value()))
    };
    let marks = Marks {
        next: mark(NEXT_EVENT, 0)?.cast_unsigned(),
        closed: mark(CLOSED, i64::MIN)?,
        newest: mark(NEWEST, i64::MIN)?,
    };
    let mut kept = Vec::new();
    for row in transaction.open_table(EVENTS)?.iter()? {
        let (number, event) = row?;
        kept.push((number.value(), decode::<Kept>(event.value())?));
    }
    Ok(make(kept, marks))
}

fn load_leg(database: &Database, leg: &str) -> Result<StoredLeg, redb::Error> {
    let transaction = database.begin_read()?;
    let mut stored = StoredLeg::default();
    let positions = transaction.open_table(POSITIONS)?;
    for row in positions.range((leg, 0)..=(leg, u32::MAX))? {
        let (key, next) = row?;
        stored.read.positions.insert(key.value().1, next.value());
    }
    let epochs = transaction.open_table(EPOCHS)?;
    for row in epochs.range((leg, 0)..=(leg, u32::MAX))? {
        let (key, epoch) = row?;
        let (partition, (next, epoch)) = (key.value().1, epoch.value());
        if stored.read.positions.get(&partition) == Some(&next) {
            stored.read.epochs.insert(partition, epoch);
        }
    }
    let next = transaction.open_table(NEXT_OUTPUT)?;
    for row in next.range((leg, "")..)? {
        let (key, number) = row?;
        let (of, destination) = key.value();
        if of != leg {
            break;
        }
        stored.next.insert(destination.to_owned(), number.value());
    }
    let outputs = transaction.open_table(OUTPUTS)?;
    for row in outputs.range((leg, "", 0)..)? {
        let (key, output) = row?;
        let (of, destination, number) = key.value();
        if of != leg {
            break;
        }
        let outputs = stored.outputs.entry(destination.to_owned()).or_default();
        outputs.insert(number, decode(output.value())?);
    }
    if let Some(parked) = transaction.open_table(PARKED)?.get(leg)? {
        stored.parked = decode(parked.value())?;
    }
    Ok(stored)
}

fn decode<M: Message + Default>(octets: &[u8]) -> Result<M, redb::Error> {
    M::decode(octets).map_err(|cause| redb::Error::Corrupted(cause.to_string()))
}

fn commit(database: &Database, changes: &Changes) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let leg = changes.leg.as_str();
        let mut positions = transaction.open_table(POSITIONS)?;
        let mut epochs = transaction.open_table(EPOCHS)?;
        for (partition, next) in &changes.read.positions {
            positions.insert((leg, *partition), *next)?;
            match changes.read.epochs.get(partition) {
                Some(epoch) => epochs.insert((leg, *partition), (*next, *epoch))?,
                None => epochs.remove((leg, *partition))?,
            };
        }
        let mut events = transaction.open_table(EVENTS)?;
        for (number, event) in &changes.added {
            events.insert(*number, event.as_slice())?;
        }
        for number in &changes.removed {
            events.remove(*number)?;
        }
        let mut outputs = transaction.open_table(OUTPUTS)?;
        let mut next = transaction.open_table(NEXT_OUTPUT)?;
        for (destination, first, pending) in &changes.outputs {
            for (number, output) in (*first..).zip(pending) {
                let output = output.encode_to_vec();
                outputs.insert((leg, destination.as_str(), number), output.as_slice())?;
            }
            next.insert((leg, destination.as_str()), first + pending.len() as u64)?;
        }
        for (destination, until) in &changes.delivered {
            let done = (leg, destination.as_str(), 0)..(leg, destination.as_str(), *until);
            outputs.retain_in(done, |_, _| false)?;
        }
        let mut table = transaction.open_table(PARKED)?;
        match &changes.parked {
            Some(parked) if parked.is_empty() => drop(table.remove(leg)?),
            Some(parked) => drop(table.insert(leg, parked.encode_to_vec().as_slice())?),
            None => {}
        }
        let mut marks = transaction.open_table(MARKS)?;
        if let Some(Marks {
            next,
            closed,
            newest,
        }) = changes.marks
        {
            marks.insert(NEXT_EVENT, next.cast_signed())?;
            marks.insert(CLOSED, closed)?;
            marks.insert(NEWEST, newest)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests;
