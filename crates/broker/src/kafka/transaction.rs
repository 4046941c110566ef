//! When a writer's transaction begins, what belongs to it and when it ends. No I/O, no clock.
//!
//! ```text
//!         wrote           close: due, full, flushed       end: all of it acknowledged
//!  Idle ────────▶ Open ──────────────────────────▶ Closing ───────────────▶ Ending ─┐
//!   ▲                      positions are written                                    │
//!   └───────────────────────────── ended: decided by the coordinator ───────────────┘
//! ```
//!
//! From `close` to `ended` nothing new is taken: a chunk belongs to one transaction as a whole,
//! and so does the position behind it.

use std::collections::BTreeSet;
use std::time::Duration;

use eson_protocol::Positions;
use tokio::time::Instant;

/// How many bytes make a transaction end before its time.
const FULL: usize = 128 << 20;

/// How many bytes make a transaction a large one, as they come from a source that is behind.
const LARGE: usize = 4 << 20;

/// The least time between large transactions while more keeps coming. A commit costs a moment in which
/// nothing moves: the brokers write its end into every partition. Who is behind is better served by
/// fewer of them.
const LARGE_INTERVAL: Duration = Duration::from_secs(1);

/// A writer's transactions, one after the other.
#[derive(Debug)]
pub(crate) struct Transaction {
    interval: Duration,
    phase: Phase,
    /// When the last one was closed: the next one is no sooner than an interval after it.
    closed: Option<Instant>,
    /// When the current one began.
    began: Option<Instant>,
    /// When something was last added to it.
    wrote: Option<Instant>,
    bytes: usize,
    /// The source positions behind what belongs to it.
    positions: Positions,
    /// The partitions that the coordinator knows to belong to it.
    members: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Open,
    Closing { positions_written: bool },
    Ending,
}

impl Transaction {
    /// Transactions that begin no more often than once in an interval, unless they are full or
    /// somebody waits for them.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            phase: Phase::Idle,
            closed: None,
            began: None,
            wrote: None,
            bytes: 0,
            positions: Positions::new(),
            members: BTreeSet::new(),
        }
    }

    /// Whether chunks may be added.
    pub(crate) fn takes_more(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Open)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// A chunk belongs to it that ends before `next` in the source's partition.
    pub(crate) fn wrote(&mut self, now: Instant, source: u32, next: u64, bytes: usize) {
        self.phase = Phase::Open;
        self.began.get_or_insert(now);
        self.wrote = Some(now);
        self.bytes += bytes;
        let position = self.positions.entry(source).or_insert(next);
        *position = next.max(*position);
    }

    /// When it is to be closed, once it is open: after a rest at once, so that a single event
    /// does not wait; while events keep coming, once in an interval, and large ones less often, until
    /// nothing more has come for an interval.
    pub(crate) fn due(&self) -> Option<Instant> {
        let began = self.began.filter(|_| self.phase == Phase::Open)?;
        let Some(closed) = self.closed.filter(|_| self.bytes < FULL) else {
            return Some(began);
        };
        let next = began.max(closed + self.interval);
        let (Some(wrote), true) = (self.wrote, self.bytes >= LARGE) else {
            return Some(next);
        };
        let rested = wrote + self.interval;
        Some(next.max(rested.min(closed + LARGE_INTERVAL)))
    }

    /// Takes no more, and says what positions belong to it.
    pub(crate) fn close(&mut self, now: Instant) -> &Positions {
        self.phase = Phase::Closing {
            positions_written: false,
        };
        self.closed = Some(now);
        &self.positions
    }

    pub(crate) fn positions_written(&mut self) {
        if let Phase::Closing { positions_written } = &mut self.phase {
            *positions_written = true;
        }
    }

    /// Whether nothing is missing for the end but that the chunks are acknowledged.
    pub(crate) fn may_end(&self) -> bool {
        self.phase
            == Phase::Closing {
                positions_written: true,
            }
    }

    pub(crate) fn end(&mut self) {
        self.phase = Phase::Ending;
    }

    /// It is committed. Returns the positions that are stored by that.
    pub(crate) fn ended(&mut self) -> Positions {
        self.phase = Phase::Idle;
        self.began = None;
        self.wrote = None;
        self.bytes = 0;
        self.members.clear();
        std::mem::take(&mut self.positions)
    }

    /// For how long it has been open.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        self.began.map_or(Duration::ZERO, |began| now - began)
    }

    pub(crate) fn is_member(&self, partition: u32) -> bool {
        self.members.contains(&partition)
    }

    /// The coordinator has added these.
    pub(crate) fn added(&mut self, partitions: impl IntoIterator<Item = u32>) {
        self.members.extend(partitions);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    /// Goes through to the end.
    fn commit(transaction: &mut Transaction, now: Instant) -> Positions {
        transaction.close(now);
        assert!(!transaction.takes_more() && !transaction.may_end());
        transaction.positions_written();
        assert!(transaction.may_end());
        transaction.end();
        assert!(!transaction.takes_more() && !transaction.may_end());
        transaction.ended()
    }

    #[test]
    fn the_first_event_after_a_rest_does_not_wait_and_the_next_ones_do() {
        let start = Instant::now();
        let mut transaction = Transaction::new(INTERVAL);
        assert_eq!(transaction.due(), None, "nothing written");
        transaction.wrote(after(start, 5), 0, 10, 1);
        assert_eq!(transaction.due(), Some(after(start, 5)));
        assert_eq!(
            commit(&mut transaction, after(start, 6)),
            Positions::from([(0, 10)])
        );
        assert_eq!(transaction.due(), None);
        transaction.wrote(after(start, 20), 0, 11, 1);
        assert_eq!(transaction.due(), Some(after(start, 106)));
        commit(&mut transaction, after(start, 106));
        transaction.wrote(after(start, 900), 0, 12, 1);
        assert_eq!(transaction.due(), Some(after(start, 900)));
    }

    #[test]
    fn a_full_one_ends_before_its_time() {
        let start = Instant::now();
        let mut transaction = Transaction::new(INTERVAL);
        transaction.wrote(start, 0, 1, 1);
        commit(&mut transaction, start);
        transaction.wrote(after(start, 1), 0, 2, FULL - 1);
        assert_eq!(transaction.due(), Some(after(start, 101)));
        transaction.wrote(after(start, 2), 1, 1, 1);
        assert_eq!(transaction.due(), Some(after(start, 1)));
    }

    #[test]
    fn a_large_one_is_committed_less_often() {
        let start = Instant::now();
        for (interval, large) in [(100, 1000), (3000, 3000)] {
            let mut transaction = Transaction::new(Duration::from_millis(interval));
            transaction.wrote(start, 0, 1, LARGE);
            assert_eq!(transaction.due(), Some(start), "the first does not wait");
            commit(&mut transaction, start);
            transaction.wrote(after(start, 1), 0, 2, LARGE - 1);
            assert_eq!(transaction.due(), Some(after(start, interval)));
            transaction.wrote(after(start, large - 1), 0, 3, 1);
            assert_eq!(transaction.due(), Some(after(start, large)));
        }
    }

    #[test]
    fn a_large_one_does_not_wait_for_what_does_not_come() {
        let start = Instant::now();
        let mut transaction = Transaction::new(INTERVAL);
        transaction.wrote(start, 0, 1, 1);
        commit(&mut transaction, start);
        transaction.wrote(after(start, 10), 0, 2, LARGE);
        assert_eq!(transaction.due(), Some(after(start, 110)));
        transaction.wrote(after(start, 109), 0, 3, 1);
        assert_eq!(transaction.due(), Some(after(start, 209)), "more has come");
    }

    #[test]
    fn members_and_age_are_of_one_transaction() {
        let start = Instant::now();
        let mut transaction = Transaction::new(INTERVAL);
        transaction.wrote(start, 0, 1, 1);
        transaction.added([3]);
        assert!(transaction.is_member(3) && !transaction.is_member(0));
        assert_eq!(transaction.age(after(start, 7)), Duration::from_millis(7));
        commit(&mut transaction, after(start, 8));
        assert!(!transaction.is_member(3));
        assert_eq!(transaction.age(after(start, 9)), Duration::ZERO);
    }

    proptest! {
        /// Whatever is written when, each position is in exactly the transaction of its chunk,
        /// and two transactions are closed no closer than an interval.
        #[test]
        fn commits_are_apart_and_positions_whole(
            chunks in proptest::collection::vec((0_u64..300, 0_u32..3, 1_u64..5), 1..60),
        ) {
            let mut now = Instant::now();
            let mut transaction = Transaction::new(INTERVAL);
            let (mut written, mut stored) = (Positions::new(), Positions::new());
            let mut last = None;
            for (pause, source, count) in chunks {
                let then = now + Duration::from_millis(pause);
                if let Some(due) = transaction.due().filter(|due| *due <= then) {
                    prop_assert!(last.is_none_or(|last| due >= last + INTERVAL));
                    last = Some(due);
                    stored.extend(commit(&mut transaction, due));
                    prop_assert_eq!(&stored, &written);
                }
                now = then;
                let next = written.get(&source).copied().unwrap_or_default() + count;
                written.insert(source, next);
                transaction.wrote(now, source, next, 1);
            }
        }
    }
}
