//! Reading: ranges of the database, woken by commits.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use eson_protocol::{Record, Start};
use redb::ReadTransaction;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Shared;
use super::encoding::decode;
use super::registry::{OffsetRange, Queue, QueueState, Reading};
use super::store::{Failure, INDEX, RUNS, Store};
use crate::{BrokerError, Chunk, Lease, Payload, QueueReader, Rates, ReaderOptions};

/// Reads a queue of this process.
pub(super) struct LocalReader {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    state: watch::Receiver<QueueState>,
    /// The next offset of each partition.
    positions: Vec<u64>,
    /// The partition to look at first.
    turn: usize,
    buffer: usize,
    right: Option<Right>,
}

/// A reader's right that may be taken away.
pub(super) struct Right {
    username: String,
    reading: Arc<Reading>,
    lease: watch::Receiver<Option<Lease>>,
    rates: watch::Receiver<Rates>,
}

/// What a look at the queue's state says.
enum Look {
    Deleted,
    OutOfRange(u32, u64, OffsetRange),
    Records(u32, OffsetRange),
    Nothing,
}

impl LocalReader {
    pub(super) async fn open(
        shared: Arc<Shared>,
        queue: Arc<Queue>,
        options: ReaderOptions,
        right: Option<Right>,
    ) -> Result<Self, BrokerError> {
        let state = queue.state.subscribe();
        let ranges = state.borrow().partitions.clone();
        let positions = starts(&shared, &queue, ranges, &options).await?;
        Ok(Self {
            shared,
            queue,
            state,
            positions,
            turn: 0,
            buffer: options.buffer.max(1),
            right,
        })
    }

    /// Looks for a partition with something to read, each in its turn.
    fn look(&mut self) -> Look {
        let state = self.state.borrow_and_update();
        if state.deleted {
            return Look::Deleted;
        }
        let count = state.partitions.len();
        self.positions.resize(count, 0);
        for step in 0..count {
            let index = (self.turn + step) % count;
            let (range, position) = (state.partitions[index], self.positions[index]);
            if position < range.earliest || position > range.latest {
                self.positions[index] = range.earliest;
                return Look::OutOfRange(index as u32, position, range);
            }
            if position < range.latest {
                self.turn = index + 1;
                return Look::Records(index as u32, range);
            }
        }
        Look::Nothing
    }

    /// Reads what follows the position of a partition; none if it was trimmed just now.
    async fn read(
        &mut self,
        partition: u32,
        range: OffsetRange,
    ) -> Result<Option<Chunk>, BrokerError> {
        let first = self.positions[partition as usize];
        let (queue, buffer) = (self.queue.clone(), self.buffer);
        let mut records = blocking(&self.shared, &self.queue, move |store| {
            queue.unreadable.check(partition, first)?;
            let number = queue.number;
            let records = store.read(|transaction| {
                records_from(transaction, number, partition, first, range.latest, buffer)
            });
            records.inspect_err(|failure| queue.unreadable.note(partition, first, failure))
        })
        .await?;
        // From here to the caller nothing waits: a right taken away before is seen.
        self.check_right()?;
        if let Some(right) = &self.right {
            right.reading.ration(&mut records);
        }
        let Some(next) = records.last().map(|record| record.offset + 1) else {
            return Ok(None);
        };
        self.positions[partition as usize] = next;
        if let Some(right) = &self.right {
            right.reading.advance(partition, next);
        }
        Ok(Some(Chunk {
            partition,
            first,
            next,
            high_watermark: range.latest,
            epoch: None,
            payload: Payload::Records(records),
        }))
    }

    fn check_right(&self) -> Result<(), BrokerError> {
        match &self.right {
            Some(right) if !right.reading.is_granted() => Err(denied(&self.queue, &right.username)),
            _ => Ok(()),
        }
    }

    fn gone(&self) -> BrokerError {
        match self.shared.registry.find(&self.queue.name) {
            Ok(found) if found.id != self.queue.id => BrokerError::Replaced {
                queue: self.queue.name.to_string(),
                expected: self.queue.id.0.clone(),
                found: found.id.0.clone(),
            },
            _ => BrokerError::NotFound(self.queue.name.to_string()),
        }
    }

    /// Waits until the user has waited for what he read before.
    async fn until_free(&mut self) -> Result<(), BrokerError> {
        loop {
            self.check_right()?;
            let Some(right) = &mut self.right else {
                return Ok(());
            };
            let wait = right.reading.wait();
            if wait.is_zero() {
                return Ok(());
            }
            // Both senders live as long as the right.
            tokio::select! {
                () = sleep(wait) => {}
                _ = right.lease.changed() => {}
                _ = right.rates.changed() => {}
            }
        }
    }

    /// Waits until the queue or the right changes.
    async fn changed(&mut self) {
        // Both senders live as long as the queue and the right, which are held here.
        match &mut self.right {
            None => drop(self.state.changed().await),
            Some(right) => tokio::select! {
                _ = self.state.changed() => {}
                _ = right.lease.changed() => {}
            },
        }
    }
}

#[async_trait]
impl QueueReader for LocalReader {
    fn partitions(&self) -> u32 {
        self.positions.len() as u32
    }

    async fn next(&mut self) -> Result<Chunk, BrokerError> {
        loop {
            self.until_free().await?;
            match self.look() {
                Look::Deleted => return Err(self.gone()),
                Look::OutOfRange(partition, wanted, range) => {
                    return Err(BrokerError::OutOfRange {
                        queue: self.queue.name.to_string(),
                        partition,
                        wanted,
                        earliest: range.earliest,
                        latest: range.latest,
                    });
                }
                Look::Records(partition, range) => match self.read(partition, range).await? {
                    Some(chunk) => return Ok(chunk),
                    // Trimmed just now: the state is about to say so.
                    None => self.changed().await,
                },
                Look::Nothing => self.changed().await,
            }
        }
    }
}

impl Right {
    /// The right of a user to read a queue.
    pub(super) fn of(queue: &Queue, username: &str) -> Result<Self, BrokerError> {
        let reading = queue.reading(username);
        let reading = reading
            .filter(|reading| reading.is_granted())
            .ok_or_else(|| denied(queue, username))?;
        Ok(Self {
            username: username.to_owned(),
            lease: reading.lease.subscribe(),
            rates: reading.rates.subscribe(),
            reading,
        })
    }
}

fn denied(queue: &Queue, username: &str) -> BrokerError {
    BrokerError::Denied {
        subject: queue.name.to_string(),
        cause: format!("`{username}` may not read it"),
    }
}

/// Where each partition begins.
async fn starts(
    shared: &Arc<Shared>,
    queue: &Arc<Queue>,
    ranges: Vec<OffsetRange>,
    options: &ReaderOptions,
) -> Result<Vec<u64>, BrokerError> {
    let start = |(partition, range): (u32, &OffsetRange)| match options.start {
        _ if options.positions.contains_key(&partition) => options.positions[&partition],
        Start::Earliest => range.earliest,
        Start::Latest | Start::Timestamp(_) => range.latest,
    };
    let mut positions: Vec<u64> = (0..).zip(&ranges).map(start).collect();
    let Start::Timestamp(time) = options.start else {
        return Ok(positions);
    };
    for (partition, range) in (0..).zip(ranges) {
        if !options.positions.contains_key(&partition) {
            let number = queue.number;
            positions[partition as usize] = blocking(shared, queue, move |store| {
                store.read(|transaction| first_since(transaction, number, partition, range, time))
            })
            .await?;
        }
    }
    Ok(positions)
}

/// Reads the database where waiting for the disk holds up nobody else.
pub(super) async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    queue: &Queue,
    read: impl FnOnce(&Store) -> Result<T, Failure> + Send + 'static,
) -> Result<T, BrokerError> {
    let store = shared.store.clone();
    let task = tokio::task::spawn_blocking(move || read(&store));
    match task.await {
        Ok(outcome) => outcome.map_err(|failure| failure.about(&queue.name)),
        Err(error) => Err(super::store::storage_error(&queue.name, &error)),
    }
}

/// The records of a partition from offset `from` to before `end`, until `buffer` bytes are full.
fn records_from(
    transaction: &ReadTransaction,
    queue: u64,
    partition: u32,
    from: u64,
    end: u64,
    buffer: usize,
) -> Result<Vec<Record>, Failure> {
    let runs = transaction.open_table(RUNS)?;
    let mut before = runs.range((queue, partition, 0)..=(queue, partition, from))?;
    let Some((key, _)) = before.next_back().transpose()? else {
        return Ok(Vec::new());
    };
    let (_, _, first) = key.value();
    let mut records = Vec::new();
    let mut bytes = 0;
    for run in runs.range((queue, partition, first)..(queue, partition, end))? {
        let (key, value) = run?;
        let (_, _, first) = key.value();
        let value = Bytes::copy_from_slice(value.value());
        bytes += value.len();
        let run = decode(value, first)?.into_iter();
        records.extend(run.filter(|record| (from..end).contains(&record.offset)));
        if bytes >= buffer {
            break;
        }
    }
    Ok(records)
}

/// The offset of the first record at or after a time, in milliseconds since the Unix epoch; the
/// end of the partition where there is none.
fn first_since(
    transaction: &ReadTransaction,
    queue: u64,
    partition: u32,
    range: OffsetRange,
    time: i64,
) -> Result<u64, Failure> {
    let index = transaction.open_table(INDEX)?;
    let runs = transaction.open_table(RUNS)?;
    for entry in index.range((queue, partition, 0)..(queue, partition, range.latest))? {
        let (key, entry) = entry?;
        let (_, _, _, newest) = entry.value();
        if newest < time {
            continue;
        }
        let Some(run) = runs.get(key.value())? else {
            continue;
        };
        let records = decode(Bytes::copy_from_slice(run.value()), key.value().2)?;
        let found = records
            .iter()
            .find(|record| record.timestamp >= time && record.offset >= range.earliest);
        if let Some(record) = found {
            return Ok(record.offset);
        }
    }
    Ok(range.latest)
}
