//! What a leg has taken of its source, and of which it is not yet known or told what becomes.

use std::collections::BTreeSet;

use eson_protocol as stored;
use prost::Message;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::dead_letters::DeadLetter;
use crate::signal::proto::{Input, Record};
use crate::signal::record::{from_stored, to_stored};

/// What is parked, by leg and source.
pub(super) const PARKED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("parked");

/// What a leg has taken of its source, and of which it is not yet known or told what becomes: its
/// windows hold it, and its position is behind it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Parked {
    /// Where the inputs were, and of how many partitions; 0 of 0 for windows that have ended.
    #[prost(uint32, tag = "1")]
    pub(crate) partition: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) partitions: u32,
    /// What the program is to be asked about.
    #[prost(message, repeated, tag = "3")]
    pub(crate) inputs: Vec<Input>,
    /// What is for the dead letters.
    #[prost(message, repeated, tag = "4")]
    pub(crate) letters: Vec<Letter>,
}

/// A dead letter that is still to be written.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Letter {
    #[prost(uint32, tag = "1")]
    partition: u32,
    #[prost(uint64, tag = "2")]
    offset: u64,
    #[prost(message, required, tag = "3")]
    record: Record,
    #[prost(string, tag = "4")]
    reason: String,
}

impl Parked {
    /// Whether nothing is left to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.letters.is_empty()
    }

    /// Whether it is of windows that have ended, which are of all sources.
    fn is_of_windows(&self) -> bool {
        self.partitions == 0
    }
}

impl Letter {
    pub(crate) fn of(partition: u32, record: stored::Record, reason: String) -> Self {
        Self {
            partition,
            offset: record.offset,
            record: from_stored(record),
            reason,
        }
    }
}

impl From<Letter> for DeadLetter {
    fn from(letter: Letter) -> Self {
        Self {
            partition: letter.partition,
            record: to_stored(letter.record, letter.offset),
            reason: letter.reason,
        }
    }
}

/// Moves to `name`, a leg and its source, what one of those has parked of windows that have ended who
/// are no more: legs that are not among `legs`, and this one with another source.
pub(super) fn adopt(
    database: &Database,
    name: &str,
    legs: &BTreeSet<String>,
) -> Result<Parked, redb::Error> {
    let own = leg_of(name);
    let is_orphan = |of: &str| of != name && (leg_of(of) == own || !legs.contains(leg_of(of)));
    let is_there = {
        let transaction = database.begin_read()?;
        let table = transaction.open_table(PARKED)?;
        orphan(&table, is_orphan)?.is_some()
    };
    if !is_there {
        return Ok(Parked::default());
    }
    let transaction = database.begin_write()?;
    let mut adopted = Parked::default();
    {
        let mut table = transaction.open_table(PARKED)?;
        if let Some((of, parked)) = orphan(&table, is_orphan)? {
            table.remove(of.as_str())?;
            table.insert(name, parked.encode_to_vec().as_slice())?;
            adopted = parked;
        }
    }
    transaction.commit()?;
    Ok(adopted)
}

/// The first of those that is of windows.
fn orphan(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    is_orphan: impl Fn(&str) -> bool,
) -> Result<Option<(String, Parked)>, redb::Error> {
    for row in table.iter()? {
        let (of, parked) = row?;
        if !is_orphan(of.value()) {
            continue;
        }
        let parked = decode(parked.value())?;
        if parked.is_of_windows() {
            return Ok(Some((of.value().to_owned(), parked)));
        }
    }
    Ok(None)
}

/// The leg of a leg and its source.
fn leg_of(name: &str) -> &str {
    name.rsplit_once('@').map_or(name, |(leg, _)| leg)
}

fn decode(octets: &[u8]) -> Result<Parked, redb::Error> {
    Parked::decode(octets).map_err(|cause| redb::Error::Corrupted(cause.to_string()))
}
