//! The newest part of a source, read once for all legs that have caught up.
//!
//! There is no task of its own: of the legs that wait for more, one holds the reader and reads
//! for all; when it goes away, the next one does. It costs nothing while the source rests. What
//! was read is kept up to a number of bytes, as many as the legs would hold if each read alone; then
//! the slowest leg is waited for, as long as [`Patience`] lasts. A leg that needs something older
//! than what is kept has fallen behind.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex as Lock, MutexGuard, PoisonError};

use eson_broker::{BrokerError, Chunk, QueueReader, Reached};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, sleep};

use super::cut::{Rest, rest};
use super::kept::{Kept, Read};

/// The newest part of a source.
pub(super) struct Tail {
    reader: Mutex<Box<dyn QueueReader>>,
    kept: Lock<Kept>,
    /// The number behind the last one that was read: what waiting legs wait for.
    grown: watch::Sender<u64>,
    /// Somebody took a seat, left it, or took what it was waited for.
    moved: Notify,
}

/// A leg's place at a tail.
pub(super) struct Seat {
    tail: Arc<Tail>,
    id: u64,
    grown: watch::Receiver<u64>,
    /// The number of what to look at next.
    next: u64,
}

/// What a seat has for its leg.
pub(super) enum Next {
    Read(Read),
    /// What the leg needs next is no longer kept.
    FellBehind,
}

impl Tail {
    /// Makes a tail of a leg's own reader, with a seat for that leg. For each seat `share` bytes
    /// are kept.
    pub(super) fn begin(
        reader: Box<dyn QueueReader>,
        from: Reached,
        share: usize,
    ) -> (Arc<Self>, Seat) {
        let kept = Kept::new(reader.partitions(), from, share);
        let tail = Arc::new(Self {
            reader: Mutex::new(reader),
            kept: Lock::new(kept),
            grown: watch::Sender::new(0),
            moved: Notify::new(),
        });
        let seat = tail.seat_at_first(&mut tail.kept());
        (tail, seat)
    }

    /// A seat for a leg that goes on there, if everything from there on is kept.
    pub(super) fn seat(self: Arc<Self>, from: &Reached) -> Option<Seat> {
        let Reached { positions, epochs } = from;
        let mut kept = self.kept();
        let fits = kept.is_open() && kept.is_of_one_log(epochs);
        let fits = fits && kept.has_all_from(positions) && kept.is_not_behind(positions);
        fits.then(|| self.seat_at_first(&mut kept))
    }

    fn seat_at_first(self: &Arc<Self>, kept: &mut Kept) -> Seat {
        let (id, next) = kept.seat();
        self.moved.notify_waiters();
        Seat {
            tail: self.clone(),
            id,
            grown: self.grown.subscribe(),
            next,
        }
    }

    /// Whether others may come.
    pub(super) fn is_open(&self) -> bool {
        self.kept().is_open()
    }

    /// Reads on behalf of all, as soon as nobody else does. Cancel-safe: between the reader's
    /// answer and its place among what is kept, nothing waits.
    async fn read_on(&self, wanted: u64) {
        let mut reader = self.reader.lock().await;
        if *self.grown.borrow() > wanted {
            return;
        }
        self.wait_for_the_slow().await;
        let read = reader.next().await;
        let mut kept = self.kept();
        kept.keep(read, reader.partitions());
        let behind_last = kept.behind_last();
        drop(kept);
        self.grown.send_replace(behind_last);
    }

    /// Waits while reading on would leave somebody behind who may still come along.
    async fn wait_for_the_slow(&self) {
        loop {
            // Before looking, so that what moves meanwhile is not missed.
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            let (left, part) = {
                let mut kept = self.kept();
                kept.make_room();
                let part = kept.waiting_part();
                (kept.patience_left(part), part)
            };
            if left.is_zero() {
                return;
            }
            let began = Instant::now();
            tokio::select! {
                () = moved => {}
                () = sleep(left) => {}
            }
            let waited = began.elapsed();
            let mut kept = self.kept();
            kept.holding_up().for_each(|held| held.use_up(waited, part));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    pub(super) fn partitions(&self) -> u32 {
        self.tail.kept().partitions()
    }

    /// The next records for a leg that goes on at `at`, which it moves on. Cancel-safe.
    pub(super) async fn next(&mut self, at: &mut Reached) -> Next {
        loop {
            self.grown.borrow_and_update();
            match self.look(at) {
                Look::Found(next) => return next,
                Look::Skipped => {}
                Look::AtTheEnd => {
                    let tail = &self.tail;
                    tokio::select! {
                        _ = self.grown.changed() => {}
                        () = tail.read_on(self.next) => {}
                    }
                }
            }
        }
    }

    fn look(&mut self, at: &mut Reached) -> Look {
        let mut kept = self.tail.kept();
        if self.next < kept.first() {
            if !kept.has_all_from(&at.positions) {
                return Look::Found(Next::FellBehind);
            }
            self.next = kept.first();
        }
        let Some(read) = kept.take(self.id, self.next) else {
            return match kept.is_broken() {
                true => Look::Found(Next::FellBehind),
                false => Look::AtTheEnd,
            };
        };
        self.next += 1;
        if kept.is_full() {
            self.tail.moved.notify_waiters();
        }
        drop(kept);
        // Copied only here, where nobody waits for it.
        match Arc::unwrap_or_clone(read) {
            Ok(chunk) => take(chunk, at),
            Err(error) => meet(error, at),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.tail.kept().leave(self.id);
        self.tail.moved.notify_waiters();
    }
}

enum Look {
    Found(Next),
    /// There was something that this leg has read before.
    Skipped,
    AtTheEnd,
}

fn take(chunk: Chunk, at: &mut Reached) -> Look {
    // A partition that is new to the leg is read as the tail has it: from its beginning.
    let at_partition = at.get(chunk.partition).unwrap_or_default();
    let is_newer = chunk
        .epoch
        .zip(at_partition.epoch)
        .is_some_and(|(new, old)| new > old);
    if is_newer && chunk.first < at_partition.next {
        // What the leg has read there was cut off, which a reader of its own will tell.
        return Look::Found(Next::FellBehind);
    }
    match rest(chunk, at_partition.next) {
        Rest::Nothing => Look::Skipped,
        Rest::Inside => Look::Found(Next::FellBehind),
        Rest::Chunk(chunk) => {
            at.advance(chunk.partition, chunk.next, chunk.epoch);
            Look::Found(Next::Read(Ok(chunk)))
        }
    }
}

fn meet(error: BrokerError, at: &mut Reached) -> Look {
    match &error {
        BrokerError::OutOfRange {
            partition,
            earliest,
            latest,
            ..
        } => {
            let position = at.get(*partition).unwrap_or_default().next;
            if (*earliest..=*latest).contains(&position) {
                return Look::Skipped;
            }
            at.advance(*partition, *earliest, None);
        }
        BrokerError::Truncated { partition, end, .. } => {
            if at.get(*partition).unwrap_or_default().next <= *end {
                return Look::Skipped;
            }
            at.advance(*partition, *end, None);
        }
        _ => {}
    }
    Look::Found(Next::Read(Err(error)))
}
