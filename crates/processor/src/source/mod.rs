//! Reading a source: alone, or together with the other legs that have caught up.
//!
//! Legs that are opened at the same time wait for each other. The first leg of an instance makes the
//! [`Tail`] of its reader, and legs that go on where that is join it: the source is read once for
//! all of them. Others, and one that falls behind by more
//! than the tail keeps, read for themselves, each from its own position, until they have caught up.

mod cut;
mod gathering;
mod kept;
mod patience;
mod tail;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use eson_broker::{
    Broker, BrokerError, Chunk, QueueDescription, QueueReader, Reached, ReaderOptions,
};
use eson_protocol::{Positions, Start};

use self::gathering::Gathering;
use self::tail::{Next, Seat, Tail};

/// What the legs of an instance share of their source.
#[derive(Default)]
pub(crate) struct SharedReads {
    legs: AtomicUsize,
    pub(crate) gathering: Gathering,
    /// For legs that take encoded batches, and for those that need records.
    encoded: Mutex<Weak<Tail>>,
    records: Mutex<Weak<Tail>>,
}

impl SharedReads {
    /// Says how many legs there are: one alone shares with nobody.
    pub(crate) fn set_legs(&self, legs: usize) {
        self.legs.store(legs, Ordering::Relaxed);
    }

    fn is_worth_it(&self) -> bool {
        self.legs.load(Ordering::Relaxed) > 1
    }

    fn slot(&self, encoded: bool) -> &Mutex<Weak<Tail>> {
        if encoded {
            &self.encoded
        } else {
            &self.records
        }
    }
}

/// A leg's way to the records of its source.
pub(crate) struct Feed {
    shared: Arc<SharedReads>,
    broker: Arc<dyn Broker>,
    queue: String,
    encoded: bool,
    buffer: usize,
    /// Where each partition goes on, as far as that is known, and under which leaders what lies before
    /// that was written.
    at: Reached,
    /// The partitions that have more to read than was read, as last seen.
    behind: BTreeSet<u32>,
    way: Way,
}

enum Way {
    Alone(Box<dyn QueueReader>),
    Together(Seat),
    /// Behind the tail: a reader has to be opened.
    Apart,
}

impl Feed {
    /// Takes a seat at the tail if that has everything from where this leg goes on, and opens a
    /// reader if not. `source` is how the source was a moment ago.
    ///
    /// # Errors
    /// As for [`Broker::open_reader`].
    pub(crate) async fn open(
        shared: Arc<SharedReads>,
        broker: Arc<dyn Broker>,
        queue: &str,
        options: ReaderOptions,
        source: &QueueDescription,
    ) -> Result<Self, BrokerError> {
        let (encoded, buffer) = (options.encoded, options.buffer);
        let at = Reached {
            positions: known_positions(&options, source),
            epochs: options.epochs.clone(),
        };
        let ranges = source.partitions.iter();
        let behind = ranges.clone().filter(|(partition, (_, latest))| {
            let position = at.positions.get(partition);
            position != Some(latest)
        });
        let behind = behind.map(|(partition, _)| *partition).collect();
        // What lies outside of what is kept is a gap, which only a reader of its own will tell.
        let is_kept = ranges.clone().all(|(partition, (earliest, latest))| {
            let position = at.positions.get(partition);
            position.is_some_and(|position| (earliest..=latest).contains(&position))
        });
        let seat = if is_kept {
            find_seat(&shared, encoded, &at)
        } else {
            None
        };
        let way = match seat {
            Some(seat) => Way::Together(seat),
            None => Way::Alone(broker.open_reader(queue, options).await?),
        };
        let mut feed = Self {
            shared,
            broker,
            queue: queue.to_owned(),
            encoded,
            buffer,
            at,
            behind,
            way,
        };
        feed.join();
        Ok(feed)
    }

    /// Whether there was more to read than was read, as last seen.
    pub(crate) fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// The number of partitions of the source, as last seen.
    pub(crate) fn partitions(&self) -> u32 {
        match &self.way {
            Way::Alone(reader) => reader.partitions(),
            Way::Together(seat) => seat.partitions(),
            Way::Apart => self.at.positions.len() as u32,
        }
    }

    /// The next records of any partition. Cancel-safe.
    ///
    /// # Errors
    /// As for [`QueueReader::next`].
    pub(crate) async fn next(&mut self) -> Result<Chunk, BrokerError> {
        loop {
            match &mut self.way {
                Way::Alone(reader) => {
                    let read = reader.next().await;
                    self.follow(&read);
                    return read;
                }
                Way::Together(seat) => match seat.next(&mut self.at).await {
                    Next::Read(read) => return read,
                    Next::FellBehind => {
                        tracing::debug!(queue = self.queue, "a leg fell behind the others");
                        self.way = Way::Apart;
                    }
                },
                Way::Apart => self.way = Way::Alone(self.reopen().await?),
            }
        }
    }

    fn follow(&mut self, read: &Result<Chunk, BrokerError>) {
        match read {
            Ok(chunk) => {
                self.at.advance(chunk.partition, chunk.next, chunk.epoch);
                if chunk.next >= chunk.high_watermark {
                    self.behind.remove(&chunk.partition);
                    if self.behind.is_empty() {
                        self.join();
                    }
                } else {
                    self.behind.insert(chunk.partition);
                }
            }
            Err(BrokerError::OutOfRange {
                partition,
                earliest,
                ..
            }) => {
                self.at.advance(*partition, *earliest, None);
            }
            Err(BrokerError::Truncated { partition, end, .. }) => {
                self.at.advance(*partition, *end, None);
            }
            Err(_) => {}
        }
    }

    /// Joins the legs that are where this one is, or is the first of them.
    fn join(&mut self) {
        let knows_all = self.at.positions.len() as u32 == self.partitions();
        if !knows_all || !self.shared.is_worth_it() || !matches!(self.way, Way::Alone(_)) {
            return;
        }
        if let Some(seat) = find_seat(&self.shared, self.encoded, &self.at) {
            tracing::debug!(queue = self.queue, "a leg has caught up with the others");
            self.way = Way::Together(seat);
            return;
        }
        let slot = self.shared.slot(self.encoded);
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.upgrade().is_some_and(|tail| tail.is_open()) {
            return;
        }
        let Way::Alone(reader) = std::mem::replace(&mut self.way, Way::Apart) else {
            return;
        };
        let (tail, seat) = Tail::begin(reader, self.at.clone(), self.buffer);
        *slot = Arc::downgrade(&tail);
        drop(slot);
        self.way = Way::Together(seat);
    }

    async fn reopen(&mut self) -> Result<Box<dyn QueueReader>, BrokerError> {
        let options = ReaderOptions {
            positions: self.at.positions.clone(),
            epochs: self.at.epochs.clone(),
            start: Start::Earliest,
            encoded: self.encoded,
            buffer: self.buffer,
        };
        self.broker.open_reader(&self.queue, options).await
    }
}

/// Where reading begins, as far as that is known: a time has to be looked for by the reader.
fn known_positions(options: &ReaderOptions, source: &QueueDescription) -> Positions {
    let position = |(partition, (earliest, latest)): (&u32, &(u64, u64))| {
        let begin = match options.start {
            Start::Earliest => Some(*earliest),
            Start::Latest => Some(*latest),
            Start::Timestamp(_) if earliest == latest => Some(*latest),
            Start::Timestamp(_) => None,
        };
        let position = options.positions.get(partition).copied().or(begin);
        position.map(|position| (*partition, position))
    };
    source.partitions.iter().filter_map(position).collect()
}

fn find_seat(shared: &SharedReads, encoded: bool, at: &Reached) -> Option<Seat> {
    let slot = shared.slot(encoded).lock();
    let tail = slot.unwrap_or_else(PoisonError::into_inner).upgrade()?;
    tail.seat(at)
}
