//! Equal shares of one destination for the legs that write it.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng 1996) over bytes: each leg has a clock that goes
//! forward by what it writes, and a leg whose clock is ahead of another one that writes too has to
//! wait. So where the destination is what limits them, a source that
//! floods gets no more than one that has less; and where it is not, nobody waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How many bytes a leg may be ahead of another one.
const AHEAD: u64 = 256 * 1024;

/// How long a leg that gets nothing through is waited for: one that is stuck stops no other.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a leg that has written is waited for, since it may have more: without that, the others
/// would slip in between any two of its writes.
const GRACE: Duration = Duration::from_millis(20);

/// Equal shares of one destination for the legs that write it.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    state: Mutex<State>,
    /// A leg has written, or is gone.
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    /// The clock of the leg that began to write last: where one that comes anew begins.
    now: u64,
    legs: BTreeMap<u64, Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    clock: u64,
    /// Until when others that are ahead of it wait; none before it has written anything.
    waited_for: Option<Instant>,
}

/// A leg's place among those that take turns.
#[derive(Debug)]
pub(crate) struct Place {
    turns: Arc<Turns>,
    id: u64,
}

/// A leg's turn, from when it has something to write until that is written.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    place: &'a Place,
    written: u64,
}

impl Turns {
    /// A place for one more leg.
    pub(crate) fn place(self: &Arc<Self>) -> Place {
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        let clock = state.now;
        let standing = Standing {
            clock,
            waited_for: None,
        };
        state.legs.insert(id, standing);
        drop(state);
        Place {
            turns: self.clone(),
            id,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until it is this leg's turn to write so many bytes. Cancel-safe.
    pub(crate) async fn turn(&self, bytes: usize) -> Turn<'_> {
        self.turns.state().enter(self.id);
        let mut turn = Turn {
            place: self,
            written: 0,
        };
        loop {
            // Before looking, so that what moves meanwhile is not missed.
            let mut moved = std::pin::pin!(self.turns.moved.notified());
            moved.as_mut().enable();
            let Some(until) = self.turns.state().begin(self.id) else {
                break;
            };
            tokio::select! {
                () = moved => {}
                () = sleep_until(until) => {}
            }
        }
        turn.written = bytes as u64;
        turn
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turns.state().legs.remove(&self.id);
        self.turns.moved.notify_waiters();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let turns = &self.place.turns;
        if let Some(standing) = turns.state().legs.get_mut(&self.place.id) {
            standing.waited_for = Some(Instant::now() + GRACE);
            standing.clock += self.written;
        }
        turns.moved.notify_waiters();
    }
}

impl State {
    /// The leg has something to write. One that had nothing for a while is not owed for that.
    fn enter(&mut self, id: u64) {
        let now = self.now;
        let begin = Instant::now();
        if let Some(standing) = self.legs.get_mut(&id) {
            if standing.waited_for.is_none_or(|until| until <= begin) {
                standing.clock = standing.clock.max(now);
            }
            standing.waited_for = Some(begin + PATIENCE);
        }
    }

    /// Begins the leg's turn, or says until when to wait for one that is behind.
    fn begin(&mut self, id: u64) -> Option<Instant> {
        let clock = self.legs.get(&id).map_or(0, |standing| standing.clock);
        let begin = Instant::now();
        let others = self.legs.iter().filter(|(other, _)| **other != id);
        let behind = others.filter(|(_, other)| other.clock + AHEAD < clock);
        let waited_for = behind.filter_map(|(_, other)| other.waited_for);
        let until = waited_for.filter(|until| *until > begin).max();
        if until.is_none() {
            self.now = self.now.max(clock);
        }
        until
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::time::sleep;

    use super::*;

    /// A destination that takes one write at a time, and a byte in a microsecond.
    #[derive(Default)]
    struct Destination(tokio::sync::Mutex<()>);

    impl Destination {
        async fn write(&self, bytes: usize) {
            let _alone = self.0.lock().await;
            sleep(Duration::from_micros(bytes as u64)).await;
        }
    }

    /// Writes chunks for ever, and counts the bytes.
    async fn flood(turns: Arc<Turns>, to: Arc<Destination>, chunk: usize, sent: &Mutex<u64>) {
        let place = turns.place();
        loop {
            let turn = place.turn(chunk).await;
            to.write(chunk).await;
            drop(turn);
            *sent.lock().expect("no panic") += chunk as u64;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn large_chunks_get_no_more_than_small_ones() {
        let (turns, to) = (Arc::new(Turns::default()), Arc::new(Destination::default()));
        let (large, small) = (Mutex::new(0), Mutex::new(0));
        tokio::select! {
            () = flood(turns.clone(), to.clone(), 100_000, &large) => {}
            () = flood(turns.clone(), to.clone(), 1_000, &small) => {}
            () = sleep(Duration::from_secs(20)) => {}
        }
        let (large, small) = (*large.lock().expect("sent"), *small.lock().expect("sent"));
        assert!(large + small > 19_000_000, "nothing is left unused");
        assert!(
            large.abs_diff(small) <= AHEAD + 200_000,
            "{large} and {small}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_comes_later_is_owed_nothing() {
        let turns = Arc::new(Turns::default());
        let (early, late) = (turns.place(), turns.place());
        for _ in 0..100 {
            drop(early.turn(1_000_000).await);
        }
        let turn = late.turn(1_000).await;
        assert!(
            early.turn(1_000).now_or_never().is_none(),
            "ahead by a chunk"
        );
        drop(turn);
        for _ in 0..2 {
            drop(late.turn(1_000_000).now_or_never().expect("its turn"));
            drop(
                early
                    .turn(1_000)
                    .now_or_never()
                    .expect("nobody else wants to write"),
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_stuck_stops_nobody_for_long() {
        let turns = Arc::new(Turns::default());
        let (quick, stuck) = (turns.place(), turns.place());
        let _kept = stuck.turn(1_000).await;
        drop(quick.turn(1_000_000).await);
        let begin = Instant::now();
        for _ in 0..100 {
            drop(quick.turn(1_000_000).await);
        }
        assert_eq!(begin.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_gone_is_not_waited_for() {
        let turns = Arc::new(Turns::default());
        let (quick, gone) = (turns.place(), turns.place());
        drop(quick.turn(1_000_000).await);
        let waiting = gone.turn(1_000);
        assert!(waiting.now_or_never().is_some(), "not ahead");
        let begin = Instant::now();
        drop(gone);
        drop(quick.turn(1_000).await);
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
