//! The tables of one write transaction, and the steps on them that every change is made of.

use redb::{ReadableTable, Table, WriteTransaction};

use super::encoding::RunBuilder;
use super::registry::{OffsetRange, QueueRow};
use super::store::{
    DELETED, EPOCHS, Failure, INDEX, LEASES, NEXT_QUEUE, NUMBERS, PARTITIONS, POSITIONS, QUEUES,
    RATES, RUNS, RunKey, RunSummary, storage_error,
};
use crate::{ProcessorSource, Rates, Reached};

/// A partition's place in the keys: the queue's number and the partition.
pub(super) type PartitionKey = (u64, u32);

/// A source partition's place in the keys: the queue's number, processor and source, partition.
type SourceKey = (u64, &'static str, u32);

/// What the database says of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PartitionRow {
    pub(super) range: OffsetRange,
    /// The bytes of all runs that are kept.
    pub(super) bytes: u64,
}

impl PartitionRow {
    /// Whether there are bytes enough without this run.
    pub(super) fn is_surplus(&self, run: &RunEntry, limit: u64) -> bool {
        self.bytes.saturating_sub(run.bytes) >= limit
    }
}

/// What the index says of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunEntry {
    /// The offset of its first record.
    pub(super) first: u64,
    /// The offset behind its last record.
    pub(super) end: u64,
    pub(super) bytes: u64,
    /// When it was written, in milliseconds since the Unix epoch.
    pub(super) written: i64,
}

/// Every table, open for writing.
pub(super) struct Tables<'t> {
    queues: Table<'t, &'static str, &'static [u8]>,
    partitions: Table<'t, (u64, u32), (u64, u64, u64)>,
    runs: Table<'t, RunKey, &'static [u8]>,
    index: Table<'t, RunKey, RunSummary>,
    positions: Table<'t, SourceKey, u64>,
    epochs: Table<'t, SourceKey, (u64, i32)>,
    leases: Table<'t, (u64, &'static str), bool>,
    rates: Table<'t, (u64, &'static str), (u64, u64)>,
    deleted: Table<'t, u64, ()>,
    numbers: Table<'t, &'static str, u64>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, Failure> {
        Ok(Self {
            queues: transaction.open_table(QUEUES)?,
            partitions: transaction.open_table(PARTITIONS)?,
            runs: transaction.open_table(RUNS)?,
            index: transaction.open_table(INDEX)?,
            positions: transaction.open_table(POSITIONS)?,
            epochs: transaction.open_table(EPOCHS)?,
            leases: transaction.open_table(LEASES)?,
            rates: transaction.open_table(RATES)?,
            deleted: transaction.open_table(DELETED)?,
            numbers: transaction.open_table(NUMBERS)?,
        })
    }

    pub(super) fn queue(&self, name: &str) -> Result<Option<QueueRow>, Failure> {
        let row = self.queues.get(name)?;
        row.map(|row| parse_queue_row(name, row.value()))
            .transpose()
    }

    pub(super) fn put_queue(&mut self, name: &str, row: &QueueRow) -> Result<(), Failure> {
        let json = serde_json::to_vec(row).map_err(|error| storage_error(name, &error))?;
        self.queues.insert(name, json.as_slice())?;
        Ok(())
    }

    pub(super) fn next_queue_number(&mut self) -> Result<u64, Failure> {
        let number = self.numbers.get(NEXT_QUEUE)?.map_or(0, |it| it.value());
        self.numbers.insert(NEXT_QUEUE, number + 1)?;
        Ok(number)
    }

    pub(super) fn partition(&self, key: PartitionKey) -> Result<Option<PartitionRow>, Failure> {
        Ok(self.partitions.get(key)?.map(|row| {
            let (earliest, latest, bytes) = row.value();
            PartitionRow {
                range: OffsetRange { earliest, latest },
                bytes,
            }
        }))
    }

    pub(super) fn put_partition(
        &mut self,
        key: PartitionKey,
        row: PartitionRow,
    ) -> Result<(), Failure> {
        let OffsetRange { earliest, latest } = row.range;
        self.partitions.insert(key, (earliest, latest, row.bytes))?;
        Ok(())
    }

    /// Writes a run whose first offset is `first`; returns its bytes.
    pub(super) fn put_run(
        &mut self,
        (queue, partition): PartitionKey,
        first: u64,
        run: RunBuilder,
        now: i64,
    ) -> Result<u64, Failure> {
        let bytes = run.len() as u64;
        let entry = (run.count(), bytes, now, run.newest_timestamp());
        self.index.insert((queue, partition, first), entry)?;
        let value = run.finish();
        self.runs
            .insert((queue, partition, first), value.as_slice())?;
        Ok(bytes)
    }

    /// The oldest run that is kept of a partition.
    pub(super) fn oldest_run(
        &self,
        (queue, partition): PartitionKey,
    ) -> Result<Option<RunEntry>, Failure> {
        let mut runs = self
            .index
            .range((queue, partition, 0)..=(queue, partition, u64::MAX))?;
        Ok(runs.next().transpose()?.map(|(key, entry)| {
            let (_, _, first) = key.value();
            let (count, bytes, written, _) = entry.value();
            RunEntry {
                first,
                end: first + u64::from(count),
                bytes,
                written,
            }
        }))
    }

    /// Removes a partition's oldest runs for as long as `expired` says so of the next one, at
    /// most `budget` of them. Returns what is left of the budget.
    pub(super) fn remove_oldest_runs(
        &mut self,
        key @ (queue, partition): PartitionKey,
        row: &mut PartitionRow,
        mut budget: usize,
        expired: impl Fn(&PartitionRow, &RunEntry) -> bool,
    ) -> Result<usize, Failure> {
        while budget > 0 {
            let Some(run) = self.oldest_run(key)?.filter(|run| expired(row, run)) else {
                break;
            };
            self.index.remove((queue, partition, run.first))?;
            self.runs.remove((queue, partition, run.first))?;
            row.bytes = row.bytes.saturating_sub(run.bytes);
            row.range.earliest = row.range.earliest.max(run.end);
            budget -= 1;
        }
        Ok(budget)
    }

    pub(super) fn position(
        &self,
        queue: u64,
        processor: &str,
        partition: u32,
    ) -> Result<Option<u64>, Failure> {
        let position = self.positions.get((queue, processor, partition))?;
        Ok(position.map(|position| position.value()))
    }

    pub(super) fn put_position(
        &mut self,
        queue: u64,
        processor: &str,
        partition: u32,
        next: u64,
        epoch: Option<i32>,
    ) -> Result<(), Failure> {
        let key = (queue, processor, partition);
        self.positions.insert(key, next)?;
        match epoch {
            Some(epoch) => self.epochs.insert(key, (next, epoch))?,
            None => self.epochs.remove(key)?,
        };
        Ok(())
    }

    pub(super) fn reached(&self, queue: u64, processor: &str) -> Result<Reached, Failure> {
        read_reached(&self.positions, Some(&self.epochs), queue, processor)
    }

    /// Removes what processors of a family have stored in a queue; says whether there was something.
    pub(super) fn forget_positions(&mut self, queue: u64, family: &str) -> Result<bool, Failure> {
        // Behind the family's name there is a dot or an at sign: all of them are before this.
        let behind = format!("{family}A");
        let keys = (queue, family, 0)..(queue, behind.as_str(), 0);
        let is_other = |key: &str| {
            let processor = key.rsplit_once('@').map_or(key, |(processor, _)| processor);
            !ProcessorSource::is_of_family(processor, family)
        };
        let mut found = false;
        self.positions.retain_in(keys.clone(), |(_, key, _), _| {
            let is_other = is_other(key);
            found |= !is_other;
            is_other
        })?;
        self.epochs
            .retain_in(keys, |(_, key, _), _| is_other(key))?;
        Ok(found)
    }

    /// Stores a lease; says whether that changed anything.
    pub(super) fn put_lease(
        &mut self,
        queue: u64,
        username: &str,
        granted: bool,
    ) -> Result<bool, Failure> {
        let before = self.leases.insert((queue, username), granted)?;
        Ok(before.is_none_or(|before| before.value() != granted))
    }

    pub(super) fn has_lease(&self, queue: u64, username: &str) -> Result<bool, Failure> {
        Ok(self.leases.get((queue, username))?.is_some())
    }

    /// Stores a lease's rates; says whether that changed anything.
    pub(super) fn put_rates(
        &mut self,
        queue: u64,
        username: &str,
        Rates { events, bytes }: Rates,
    ) -> Result<bool, Failure> {
        let before = self.rates.insert((queue, username), (events, bytes))?;
        Ok(before.is_none_or(|before| before.value() != (events, bytes)))
    }

    /// Removes a lease with its rates; says whether there was one.
    pub(super) fn remove_lease(&mut self, queue: u64, username: &str) -> Result<bool, Failure> {
        self.rates.remove((queue, username))?;
        Ok(self.leases.remove((queue, username))?.is_some())
    }

    /// Takes a queue's name and partitions away and leaves its number for
    /// [`Tables::sweep_deleted`].
    pub(super) fn delete_queue(&mut self, name: &str, row: &QueueRow) -> Result<(), Failure> {
        self.queues.remove(name)?;
        for partition in 0..row.partitions {
            self.partitions.remove((row.number, partition))?;
        }
        self.deleted.insert(row.number, ())?;
        Ok(())
    }

    /// Removes at most `budget` runs of a deleted queue. Returns what is left of the budget; if
    /// something is, nothing of the queue is left.
    pub(super) fn sweep_deleted(&mut self, queue: u64, budget: usize) -> Result<usize, Failure> {
        let doomed = self
            .index
            .range((queue, 0, 0)..=(queue, u32::MAX, u64::MAX))?
            .take(budget)
            .map(|entry| entry.map(|(key, _)| key.value()))
            .collect::<Result<Vec<_>, _>>()?;
        for key in &doomed {
            self.index.remove(key)?;
            self.runs.remove(key)?;
        }
        let left = budget - doomed.len();
        if left > 0 {
            self.positions
                .retain_in((queue, "", 0)..(queue + 1, "", 0), |_, _| false)?;
            self.epochs
                .retain_in((queue, "", 0)..(queue + 1, "", 0), |_, _| false)?;
            self.leases
                .retain_in((queue, "")..(queue + 1, ""), |_, _| false)?;
            self.rates
                .retain_in((queue, "")..(queue + 1, ""), |_, _| false)?;
            self.deleted.remove(queue)?;
        }
        Ok(left)
    }
}

/// Reads a queue's row.
pub(super) fn parse_queue_row(name: &str, json: &[u8]) -> Result<QueueRow, Failure> {
    let row = serde_json::from_slice(json).map_err(|error| storage_error(name, &error))?;
    Ok(row)
}

/// How far a processor has copied its source into a queue.
pub(super) fn read_reached(
    positions: &impl ReadableTable<SourceKey, u64>,
    epochs: Option<&impl ReadableTable<SourceKey, (u64, i32)>>,
    queue: u64,
    processor: &str,
) -> Result<Reached, Failure> {
    let mut reached = Reached::default();
    for entry in positions.range((queue, processor, 0)..=(queue, processor, u32::MAX))? {
        let (key, next) = entry?;
        let (_, _, partition) = key.value();
        reached.positions.insert(partition, next.value());
    }
    let Some(epochs) = epochs else {
        return Ok(reached);
    };
    for entry in epochs.range((queue, processor, 0)..=(queue, processor, u32::MAX))? {
        let (key, epoch) = entry?;
        let (_, _, partition) = key.value();
        let (next, epoch) = epoch.value();
        if reached.positions.get(&partition) == Some(&next) {
            reached.epochs.insert(partition, epoch);
        }
    }
    Ok(reached)
}
