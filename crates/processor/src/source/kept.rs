//! What a tail keeps of what was read, and who has yet to take it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use eson_broker::{BrokerError, Chunk, Epochs, Reached};
use eson_protocol::Positions;

use super::patience::Patience;
use crate::measure::measure;

/// However many legs there are, no more bytes than this are kept.
const MOST_KEPT: usize = 32 << 20;

pub(super) type Read = Result<Chunk, BrokerError>;

/// What was read, numbered in its order.
pub(super) struct Kept {
    reads: VecDeque<Arc<Read>>,
    /// The number of the oldest that is kept.
    first: u64,
    bytes: usize,
    /// How many bytes each seat adds to what is kept.
    share: usize,
    partitions: u32,
    spans: BTreeMap<u32, Span>,
    /// The reader is of no more use.
    broken: bool,
    /// The source was cut off while it was read: who comes new would be told of it again.
    went_back: bool,
    seats: BTreeMap<u64, Seated>,
    next_seat: u64,
}

/// A leg at the tail, as seen by the one that reads.
struct Seated {
    /// The number of what it looks at next.
    next: u64,
    patience: Patience,
}

/// What is kept of one partition: from `oldest` to before `end`.
struct Span {
    oldest: u64,
    end: u64,
    high_watermark: u64,
    /// Under which leader what lies before `end` was written, where the source tells.
    epoch: Option<i32>,
}

impl Kept {
    /// Nothing yet, of a source that is read from there on. For each seat `share` bytes are kept.
    pub(super) fn new(partitions: u32, from: Reached, share: usize) -> Self {
        let Reached { positions, epochs } = from;
        let span = |(partition, position)| {
            let span = Span {
                oldest: position,
                end: position,
                high_watermark: position,
                epoch: epochs.get(&partition).copied(),
            };
            (partition, span)
        };
        Self {
            reads: VecDeque::new(),
            first: 0,
            bytes: 0,
            share,
            partitions,
            spans: positions.into_iter().map(span).collect(),
            broken: false,
            went_back: false,
            seats: BTreeMap::new(),
            next_seat: 0,
        }
    }

    /// The partitions of the source, as last seen.
    pub(super) fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Whether others may come: not to where the reader has met an error that stays, or has gone
    /// back.
    pub(super) fn is_open(&self) -> bool {
        !self.broken && !self.went_back
    }

    /// Whether what a leg has read last is of the same log as what is kept, as far as leaders tell.
    /// A leader that is new since proves nothing, but then the leg's own reader looks.
    pub(super) fn is_of_one_log(&self, epochs: &Epochs) -> bool {
        let same = |(partition, epoch): (&u32, &i32)| {
            let span = self.spans.get(partition);
            span.and_then(|span| span.epoch)
                .is_none_or(|of_span| of_span == *epoch)
        };
        epochs.iter().all(same)
    }

    /// Whether the reader has met an error that stays.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Seats somebody before all that is kept: the seat's id, and the number of what comes next.
    pub(super) fn seat(&mut self) -> (u64, u64) {
        let (id, next) = (self.next_seat, self.first);
        self.next_seat += 1;
        let patience = Patience::new();
        self.seats.insert(id, Seated { next, patience });
        (id, next)
    }

    /// Gives a seat up.
    pub(super) fn leave(&mut self, seat: u64) {
        self.seats.remove(&seat);
    }

    /// What has this number, if it was read, for a seat that goes on behind it.
    pub(super) fn take(&mut self, seat: u64, number: u64) -> Option<Arc<Read>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let read = self.reads.get(index)?.clone();
        if let Some(seated) = self.seats.get_mut(&seat) {
            seated.next = number + 1;
            seated.patience.moved();
        }
        Some(read)
    }

    /// The number of the oldest that is kept.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number behind the last one that was read.
    pub(super) fn behind_last(&self) -> u64 {
        self.first + self.reads.len() as u64
    }

    /// Whether nothing that lies behind `positions` is gone.
    pub(super) fn has_all_from(&self, positions: &Positions) -> bool {
        let has = |(partition, span): (&u32, &Span)| {
            let position = positions.get(partition);
            position.is_some_and(|position| *position >= span.oldest)
        };
        self.spans.iter().all(has)
    }

    /// Whether a leg at `positions` would not have to wait while the tail reads again what the
    /// leg has read already; a little of that is normal while records keep coming.
    pub(super) fn is_not_behind(&self, positions: &Positions) -> bool {
        let is_there = |(partition, position): (&u32, &u64)| {
            let span = self.spans.get(partition);
            span.is_some_and(|span| *position <= span.end || span.end >= span.high_watermark)
        };
        positions.iter().all(is_there)
    }

    fn limit(&self) -> usize {
        (self.share * self.seats.len()).clamp(self.share, MOST_KEPT.max(self.share))
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.limit()
    }

    /// Which part of the legs waits for more, that of the one that asks among them.
    pub(super) fn waiting_part(&self) -> f64 {
        let behind_last = self.behind_last();
        let waiting = self.seats.values().filter(|seat| seat.next == behind_last);
        waiting.count().max(1) as f64 / self.seats.len().max(1) as f64
    }

    /// How long those are waited for whom reading on would leave behind, while this `part` waits.
    pub(super) fn patience_left(&mut self, part: f64) -> Duration {
        let together = self.slow();
        let left = self.holding_up().map(|held| held.left(part, together));
        left.max().unwrap_or_default()
    }

    /// How many are in the older half of what is kept.
    fn slow(&self) -> u32 {
        let middle = self.first + self.reads.len() as u64 / 2;
        let slow = self.seats.values().filter(|seat| seat.next <= middle);
        u32::try_from(slow.count()).unwrap_or(u32::MAX)
    }

    /// Those whom reading on would leave behind: nobody, while there is room.
    pub(super) fn holding_up(&mut self) -> impl Iterator<Item = &mut Patience> {
        let (full, first) = (self.is_full(), self.first);
        let slow = self.seats.values_mut();
        slow.filter(move |seated| full && seated.next <= first)
            .map(|seated| &mut seated.patience)
    }

    /// Drops the oldest that nobody needs any more, as far as it is too much.
    pub(super) fn make_room(&mut self) {
        while self.is_full() && self.reads.len() > 1 && self.holding_up().next().is_none() {
            self.drop_oldest();
        }
    }

    /// Keeps what was read of a source of so many partitions. Where that is too much, it leaves behind
    /// who is no longer waited for.
    pub(super) fn keep(&mut self, read: Read, partitions: u32) {
        let part = self.waiting_part();
        self.partitions = partitions;
        match &read {
            Ok(chunk) => {
                let span = self.spans.entry(chunk.partition).or_insert(Span {
                    oldest: chunk.first,
                    end: chunk.first,
                    high_watermark: chunk.high_watermark,
                    epoch: None,
                });
                span.end = chunk.next;
                span.epoch = chunk.epoch;
                span.high_watermark = chunk.high_watermark;
                self.bytes += size(chunk);
            }
            Err(BrokerError::OutOfRange {
                partition,
                earliest,
                latest,
                ..
            }) => {
                if let Some(span) = self.spans.get_mut(partition) {
                    // Lower only where the source was truncated.
                    self.went_back |= *earliest < span.end;
                    span.epoch = None;
                    span.oldest = span.oldest.min(*earliest);
                    span.end = *earliest;
                    span.high_watermark = *latest;
                }
            }
            Err(BrokerError::Truncated { partition, end, .. }) => {
                self.went_back = true;
                if let Some(span) = self.spans.get_mut(partition) {
                    span.oldest = span.oldest.min(*end);
                    span.end = *end;
                    span.epoch = None;
                }
            }
            Err(BrokerError::Hanging { .. }) => {}
            Err(_) => self.broken = true,
        }
        self.reads.push_back(Arc::new(read));
        let too_much = |kept: &Self| kept.bytes > kept.limit() && kept.reads.len() > 1;
        while too_much(self) && self.patience_left(part).is_zero() {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(read) = self.reads.pop_front() else {
            return;
        };
        self.first += 1;
        if let Ok(chunk) = &*read {
            self.bytes -= size(chunk);
            if let Some(span) = self.spans.get_mut(&chunk.partition) {
                span.oldest = chunk.next;
            }
        }
    }
}

fn size(chunk: &Chunk) -> usize {
    measure(&chunk.payload).bytes
}
