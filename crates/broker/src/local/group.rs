//! What is committed together: the changes that gathered while the last group was being synced.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use eson_protocol::{Record, StorePosition};
use redb::WriteTransaction;

use super::encoding::{RunBuilder, size_bound};
use super::registry::{OffsetRange, Queue, Registry, WriterEnd, WriterSession};
use super::store::{Ending, Failure};
use super::tables::{PartitionKey, PartitionRow, RunEntry, Tables};
use crate::{BrokerError, Lease, QueueUpdate, Rates, Reached};

/// How long a run may get, unless its first record alone is longer. The database keeps a value
/// in a page of a power of two; this leaves room there for the page's own fields.
const RUN_TARGET: usize = 64 * 1024 - 512;

/// How many runs one group removes, so that writers don't wait for long; or twice as many as it writes,
/// where that is more, for what is removed must not fall behind.
const REMOVALS: usize = 256;

/// One write transaction in the making.
///
/// A step either refuses and has changed nothing, or fails and takes the whole group with it,
/// or is there when the group is committed.
pub(super) struct Group<'t> {
    pub(super) tables: Tables<'t>,
    pub(super) effects: Vec<Effect>,
    /// The time, in milliseconds since the Unix epoch.
    pub(super) now: i64,
    tails: HashMap<PartitionKey, Tail>,
    /// How many runs were written, and how many removed.
    written: usize,
    removed: usize,
    changed: bool,
}

/// What is to be done in memory once a group is committed.
pub(super) enum Effect {
    Created(Arc<Queue>),
    Deleted(Arc<Queue>),
    /// More partitions, another retention.
    Updated(Arc<Queue>, QueueUpdate),
    /// Records came or went.
    Moved(Arc<Queue>, u32, OffsetRange),
    /// Runs before the partition's earliest offset, or beyond its bytes, are still to be removed.
    Trimmed(Arc<Queue>, u32),
    Leased(Arc<Queue>, String, Lease),
    Limited(Arc<Queue>, String, Rates),
    Revoked(Arc<Queue>, String),
    /// A writer's source position is stored.
    Acknowledged(Arc<WriterSession>, u32, u64),
    /// A writer has gone back to a lower one.
    Rewound(Arc<WriterSession>, u32, u64),
}

impl Effect {
    /// Does it, once the group is committed.
    pub(super) fn apply(self, registry: &Registry) {
        match self {
            Self::Created(queue) => registry.insert(queue),
            Self::Deleted(queue) => {
                registry.remove(&queue.name);
                queue.state.send_modify(|state| state.deleted = true);
            }
            Self::Updated(queue, update) => queue.state.send_modify(|state| {
                if let Some(partitions) = update.partitions {
                    let partitions = partitions as usize;
                    state.partitions.resize(partitions, OffsetRange::default());
                }
                state.retention = update.retention.or(state.retention);
                state.retention_bytes = update.retention_bytes.or(state.retention_bytes);
            }),
            Self::Moved(queue, partition, range) => queue.state.send_modify(|state| {
                if let Some(place) = state.partitions.get_mut(partition as usize) {
                    *place = range;
                }
            }),
            Self::Trimmed(..) => {}
            Self::Leased(queue, username, lease) => queue.set_lease(&username, lease),
            Self::Limited(queue, username, rates) => queue.set_rates(&username, rates),
            Self::Revoked(queue, username) => queue.remove_lease(&username),
            Self::Acknowledged(session, partition, next) => session.acknowledge(partition, next),
            Self::Rewound(session, partition, next) => session.rewind(partition, next),
        }
    }
}

/// The end of a partition, with the records that are not yet in the tables.
struct Tail {
    queue: Arc<Queue>,
    row: PartitionRow,
    run: RunBuilder,
    /// How many runs were written.
    written: usize,
}

impl<'t> Group<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction, now: i64) -> Result<Self, Failure> {
        Ok(Self {
            tables: Tables::open(transaction)?,
            effects: Vec::new(),
            now,
            tails: HashMap::new(),
            written: 0,
            removed: 0,
            changed: false,
        })
    }

    /// Says that the transaction has something to commit.
    pub(super) fn touch(&mut self) {
        self.changed = true;
    }

    /// Ends the group: what is to be committed, and what to do afterwards.
    pub(super) fn finish(mut self) -> Result<(Vec<Effect>, Ending), Failure> {
        self.flush()?;
        let ending = if self.changed {
            Ending::Commit
        } else {
            Ending::Abort
        };
        Ok((self.effects, ending))
    }

    /// Puts all records that are held back into the tables.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        let mut tails = std::mem::take(&mut self.tails);
        for (key, tail) in &mut tails {
            tail.write_run(*key, &mut self.tables, self.now)?;
            self.written += tail.written;
        }
        for (key, mut tail) in tails {
            if tail.written > 0 {
                self.remove_surplus(key, &mut tail)?;
            }
            self.tables.put_partition(key, tail.row)?;
            let moved = Effect::Moved(tail.queue, key.1, tail.row.range);
            self.effects.push(moved);
        }
        Ok(())
    }

    /// Removes what a partition has beyond its bytes; what there is no budget for is left to
    /// housekeeping.
    fn remove_surplus(&mut self, key: PartitionKey, tail: &mut Tail) -> Result<(), Failure> {
        let Some(limit) = tail.queue.state.borrow().retention_bytes else {
            return Ok(());
        };
        let is_surplus = |row: &PartitionRow, run: &RunEntry| row.is_surplus(run, limit);
        let budget = self.budget();
        let left = self
            .tables
            .remove_oldest_runs(key, &mut tail.row, budget, is_surplus)?;
        self.removed += budget - left;
        if left == 0 {
            let trimmed = Effect::Trimmed(tail.queue.clone(), key.1);
            self.effects.push(trimmed);
        }
        Ok(())
    }

    /// How many runs may still be removed.
    pub(super) fn budget(&self) -> usize {
        let all = REMOVALS.max(2 * self.written);
        all.saturating_sub(self.removed)
    }

    /// Whether the queue has that partition.
    pub(super) fn check_partition(
        &mut self,
        queue: &Arc<Queue>,
        partition: u32,
    ) -> Result<(), Failure> {
        self.tail(queue, partition).map(drop)
    }

    /// Puts records behind a partition's last one.
    pub(super) fn append<'r>(
        &mut self,
        queue: &Arc<Queue>,
        partition: u32,
        records: impl Iterator<Item = &'r Record>,
    ) -> Result<(), Failure> {
        let now = self.now;
        let key = (queue.number, partition);
        self.tail(queue, partition)?;
        let (Some(tail), tables) = (self.tails.get_mut(&key), &mut self.tables) else {
            return Ok(());
        };
        for record in records {
            if tail.run.len() + size_bound(record) > RUN_TARGET {
                tail.write_run(key, tables, now)?;
            }
            tail.run.push(record);
            tail.row.range.latest += 1;
            self.changed = true;
        }
        Ok(())
    }

    fn tail(&mut self, queue: &Arc<Queue>, partition: u32) -> Result<&mut Tail, Failure> {
        match self.tails.entry((queue.number, partition)) {
            Entry::Occupied(tail) => Ok(tail.into_mut()),
            Entry::Vacant(place) => {
                let row = self.tables.partition((queue.number, partition))?;
                let row = row.ok_or_else(|| missing_partition(queue, partition))?;
                Ok(place.insert(Tail {
                    queue: queue.clone(),
                    row,
                    run: RunBuilder::default(),
                    written: 0,
                }))
            }
        }
    }

    /// The offset from which on a processor's records are new: everything before it is here.
    pub(super) fn position(
        &self,
        queue: &Queue,
        processor: &str,
        partition: u32,
    ) -> Result<u64, Failure> {
        let stored = self.tables.position(queue.number, processor, partition)?;
        Ok(stored.unwrap_or_default())
    }

    pub(super) fn store_position(
        &mut self,
        queue: &Queue,
        position: &StorePosition,
    ) -> Result<(), Failure> {
        self.changed = true;
        let StorePosition {
            processor,
            partition,
            next,
            epoch,
            ..
        } = position;
        self.tables
            .put_position(queue.number, processor, *partition, *next, *epoch)
    }

    /// Makes `session` the one writer of a processor and tells where it goes on.
    pub(super) fn take_over(
        &mut self,
        queue: &Queue,
        processor: &str,
        session: Arc<WriterSession>,
    ) -> Result<Reached, Failure> {
        queue.take_over(processor, session);
        self.tables.reached(queue.number, processor)
    }
}

impl Tail {
    fn write_run(
        &mut self,
        key: PartitionKey,
        tables: &mut Tables<'_>,
        now: i64,
    ) -> Result<(), Failure> {
        if self.run.is_empty() {
            return Ok(());
        }
        let run = std::mem::take(&mut self.run);
        let first = self.row.range.latest - u64::from(run.count());
        self.row.bytes += tables.put_run(key, first, run, now)?;
        self.written += 1;
        Ok(())
    }
}

/// A writer that has ended writes no more; what it had handed over before may be missing.
pub(super) fn check_session(queue: &Queue, session: &WriterSession) -> Result<(), BrokerError> {
    match session.ended() {
        None => Ok(()),
        Some(WriterEnd::Fenced) => Err(BrokerError::Fenced(queue.name.to_string())),
        Some(WriterEnd::Failed) => Err(BrokerError::Storage {
            queue: queue.name.to_string(),
            cause: "an earlier chunk was not written; open another writer".to_owned(),
        }),
    }
}

fn missing_partition(queue: &Queue, partition: u32) -> BrokerError {
    let partitions = queue.partitions();
    if partition < partitions {
        return BrokerError::NotFound(queue.name.to_string());
    }
    BrokerError::Invalid {
        queue: queue.name.to_string(),
        cause: format!("there is no partition {partition}, only {partitions}"),
    }
}
