//! The queues as they are in memory: what readers wait on, and who may read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use eson_protocol::{Positions, Record};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::append;
use super::unreadable::Unreadable;
use crate::partitioner::Partitioner;
use crate::{BrokerError, Consumer, Lease, Pace, QueueId, Rates};

/// All queues by name. Follows the database: changed only after a commit.
#[derive(Default)]
pub(super) struct Registry {
    queues: RwLock<HashMap<Arc<str>, Arc<Queue>>>,
}

impl Registry {
    pub(super) fn find(&self, name: &str) -> Result<Arc<Queue>, BrokerError> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let found = queues.get(name).cloned();
        found.ok_or_else(|| BrokerError::NotFound(name.to_owned()))
    }

    pub(super) fn all(&self) -> Vec<Arc<Queue>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        queues.values().cloned().collect()
    }

    pub(super) fn insert(&self, queue: Arc<Queue>) {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        queues.insert(queue.name.clone(), queue);
    }

    /// Makes this what was found in the file; the queues that were known keep their readers and writers. Returns
    /// those that are new or have changed.
    pub(super) fn follow(&self, found: Vec<Arc<Queue>>) -> Vec<Arc<Queue>> {
        let numbers: HashSet<u64> = found.iter().map(|queue| queue.number).collect();
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        let gone = queues.extract_if(|_, queue| !numbers.contains(&queue.number));
        for (_, queue) in gone {
            queue.state.send_modify(|state| state.deleted = true);
        }
        let mut changed = Vec::new();
        for queue in found {
            let known = queues
                .entry(queue.name.clone())
                .or_insert_with(|| queue.clone());
            if Arc::ptr_eq(known, &queue) || known.follow(&queue) {
                changed.push(known.clone());
            }
        }
        changed
    }

    pub(super) fn remove(&self, name: &str) -> Option<Arc<Queue>> {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        queues.remove(name)
    }
}

/// What a queue's row in the database says, beside its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct QueueRow {
    pub(super) number: u64,
    pub(super) id: QueueId,
    pub(super) partitions: u32,
    pub(super) retention: Option<u64>,
    pub(super) retention_bytes: Option<u64>,
}

/// One queue.
pub(super) struct Queue {
    pub(super) name: Arc<str>,
    pub(super) id: QueueId,
    /// Its number in the keys of the database.
    pub(super) number: u64,
    pub(super) state: watch::Sender<QueueState>,
    pub(super) partitioner: Partitioner,
    pub(super) unreadable: Unreadable,
    /// The writer in force of each processor and source.
    writers: Mutex<HashMap<String, Arc<WriterSession>>>,
    readers: Mutex<BTreeMap<String, Arc<Reading>>>,
}

/// What changes about a queue, and what its readers wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueueState {
    pub(super) partitions: Vec<OffsetRange>,
    pub(super) retention: Option<u64>,
    pub(super) retention_bytes: Option<u64>,
    pub(super) deleted: bool,
}

/// The offsets of a partition that may be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OffsetRange {
    /// The oldest offset kept.
    pub(super) earliest: u64,
    /// The offset behind the newest record.
    pub(super) latest: u64,
}

impl Queue {
    pub(super) fn new(name: &str, row: QueueRow, partitions: Vec<OffsetRange>) -> Arc<Self> {
        let state = QueueState {
            partitions,
            retention: row.retention,
            retention_bytes: row.retention_bytes,
            deleted: false,
        };
        Arc::new(Self {
            name: name.into(),
            id: row.id,
            number: row.number,
            state: watch::Sender::new(state),
            partitioner: Partitioner::new(),
            unreadable: Unreadable::default(),
            writers: Mutex::default(),
            readers: Mutex::default(),
        })
    }

    pub(super) fn partitions(&self) -> u32 {
        self.state.borrow().partitions.len() as u32
    }

    /// Takes over what was found of the queue in the file; says whether its state has changed.
    fn follow(&self, found: &Self) -> bool {
        let rights = std::mem::take(&mut *lock(&found.readers));
        let names: Vec<String> = lock(&self.readers).keys().cloned().collect();
        for name in names.iter().filter(|name| !rights.contains_key(*name)) {
            self.remove_lease(name);
        }
        for (name, right) in rights {
            if let Some(lease) = *right.lease.borrow() {
                self.set_lease(&name, lease);
            }
            self.set_rates(&name, *right.rates.borrow());
        }
        let state = found.state.borrow();
        self.state.send_if_modified(|known| {
            let is_changed = *known != *state;
            known.clone_from(&state);
            is_changed
        })
    }

    /// Makes a session the writer in force of `key`; the one before is fenced.
    pub(super) fn take_over(&self, key: &str, session: Arc<WriterSession>) {
        let mut writers = lock(&self.writers);
        writers.retain(|_, session| !session.is_closed());
        if let Some(before) = writers.insert(key.to_owned(), session) {
            before.end(WriterEnd::Fenced);
        }
    }

    /// The right of a user, kept current; none for a user who never had one.
    pub(super) fn reading(&self, username: &str) -> Option<Arc<Reading>> {
        lock(&self.readers).get(username).cloned()
    }

    pub(super) fn set_lease(&self, username: &str, lease: Lease) {
        let mut readers = lock(&self.readers);
        match readers.get(username) {
            Some(reading) => {
                reading.lease.send_replace(Some(lease));
            }
            None => {
                readers.insert(username.to_owned(), Arc::new(Reading::new(lease)));
            }
        }
    }

    pub(super) fn remove_lease(&self, username: &str) {
        if let Some(reading) = lock(&self.readers).remove(username) {
            reading.lease.send_replace(None);
        }
    }

    pub(super) fn set_rates(&self, username: &str, rates: Rates) {
        if let Some(reading) = lock(&self.readers).get(username) {
            reading.rates.send_replace(rates);
        }
    }

    pub(super) fn consumers(&self) -> Vec<Consumer> {
        let state = self.state.borrow();
        lock(&self.readers)
            .iter()
            .map(|(name, reading)| Consumer {
                name: name.clone(),
                lag: reading.lag(&state.partitions),
            })
            .collect()
    }
}

/// One user's right to read a queue, how fast he may and how far he has come.
pub(super) struct Reading {
    pub(super) lease: watch::Sender<Option<Lease>>,
    pub(super) rates: watch::Sender<Rates>,
    pace: Mutex<Pace>,
    positions: Mutex<Option<Positions>>,
}

impl Reading {
    fn new(lease: Lease) -> Self {
        Self {
            lease: watch::Sender::new(Some(lease)),
            rates: watch::Sender::default(),
            pace: Mutex::default(),
            positions: Mutex::default(),
        }
    }

    pub(super) fn is_granted(&self) -> bool {
        *self.lease.borrow() == Some(Lease::Granted)
    }

    /// How long the user has to wait for what he has read.
    pub(super) fn wait(&self) -> Duration {
        let rates = *self.rates.borrow();
        lock(&self.pace).wait(rates)
    }

    /// Leaves of these records what may be read at once, one at least: a second's share.
    pub(super) fn ration(&self, records: &mut Vec<Record>) {
        let rates = *self.rates.borrow();
        if !rates.is_limited() {
            return;
        }
        let within = |rate: u64, amount: u64| rate == 0 || amount <= rate;
        let (mut count, mut bytes) = (0, 0);
        for record in &*records {
            let grown = bytes + append::size(record) as u64;
            let fits = within(rates.events, count + 1) && within(rates.bytes, grown);
            if count > 0 && !fits {
                break;
            }
            (count, bytes) = (count + 1, grown);
        }
        records.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        lock(&self.pace).passed(rates, count, bytes);
    }

    pub(super) fn advance(&self, partition: u32, next: u64) {
        lock(&self.positions)
            .get_or_insert_default()
            .insert(partition, next);
    }

    fn lag(&self, partitions: &[OffsetRange]) -> Option<u64> {
        let positions = lock(&self.positions);
        let positions = positions.as_ref()?;
        let behind = |(partition, range): (u32, &OffsetRange)| {
            let next = positions.get(&partition).copied().unwrap_or_default();
            range.latest - next.clamp(range.earliest, range.latest)
        };
        Some((0..).zip(partitions).map(behind).sum())
    }
}

/// Why a writer is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriterEnd {
    /// One of its chunks could not be written, so none behind it may be.
    Failed = 1,
    /// Another writer has taken over.
    Fenced = 2,
}

/// What the committer and a writer share.
#[derive(Default)]
pub(super) struct WriterSession {
    end: AtomicU8,
    closed: AtomicBool,
    acknowledged: Mutex<Positions>,
}

impl WriterSession {
    /// Ends the writer; the first reason stays.
    pub(super) fn end(&self, end: WriterEnd) {
        // Where there is a reason already, this one says nothing new.
        let _ = self
            .end
            .compare_exchange(0, end as u8, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(super) fn ended(&self) -> Option<WriterEnd> {
        match self.end.load(Ordering::Acquire) {
            0 => None,
            2 => Some(WriterEnd::Fenced),
            _ => Some(WriterEnd::Failed),
        }
    }

    /// The writer was dropped.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn acknowledge(&self, partition: u32, next: u64) {
        let mut acknowledged = lock(&self.acknowledged);
        let position = acknowledged.entry(partition).or_default();
        *position = next.max(*position);
    }

    /// The source was cut off there.
    pub(super) fn rewind(&self, partition: u32, next: u64) {
        lock(&self.acknowledged).insert(partition, next);
    }

    pub(super) fn acknowledged(&self) -> Positions {
        lock(&self.acknowledged).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
