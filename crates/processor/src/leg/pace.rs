//! Holding a leg to its rates.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::measure::Measure;
use crate::spec::Rates;

/// For how long a leg that has rested may make up for that.
const BURST: f64 = 1.0;

/// How fast a leg has gone, and how long it has to wait for that.
///
/// What passes is counted afterwards, so that a record batch that is larger than a second's share
/// passes too, and is waited for behind it.
pub(super) struct Pace {
    rates: watch::Receiver<Rates>,
    events: Bucket,
    bytes: Bucket,
}

impl Pace {
    pub(super) fn new(rates: watch::Receiver<Rates>) -> Self {
        let now = Instant::now();
        Self {
            rates,
            events: Bucket::new(now),
            bytes: Bucket::new(now),
        }
    }

    /// Whether there is anything to wait for.
    pub(super) fn is_free(&mut self) -> bool {
        self.wait(Instant::now()).is_zero()
    }

    /// Waits until the leg may go on; another rate holds at once. Cancel-safe.
    pub(super) async fn until_free(&mut self) {
        loop {
            let wait = self.wait(Instant::now());
            if wait.is_zero() {
                return;
            }
            tokio::select! {
                () = sleep(wait) => {}
                // An error means that nobody holds the leg any more: its wishes tell that.
                changed = self.rates.changed() => if changed.is_err() { sleep(wait).await },
            }
        }
    }

    /// Whether what passes is to be counted.
    pub(super) fn is_limited(&self) -> bool {
        *self.rates.borrow() != Rates::default()
    }

    /// Counts what has passed.
    pub(super) fn passed(&mut self, measure: Measure) {
        let rates = *self.rates.borrow();
        self.events.take(measure.records, rates.events);
        self.bytes.take(measure.bytes as u64, rates.bytes);
    }

    fn wait(&mut self, now: Instant) -> Duration {
        if !self.is_limited() {
            return Duration::ZERO;
        }
        let rates = *self.rates.borrow();
        let events = self.events.wait(now, rates.events);
        events.max(self.bytes.wait(now, rates.bytes))
    }
}

/// A token bucket that may go below nothing.
struct Bucket {
    owed: f64,
    at: Instant,
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self { owed: 0.0, at: now }
    }

    fn take(&mut self, amount: u64, rate: u64) {
        if rate > 0 {
            self.owed += amount as f64;
        }
    }

    fn wait(&mut self, now: Instant, rate: u64) -> Duration {
        let elapsed = now.duration_since(self.at).as_secs_f64();
        self.at = now;
        if rate == 0 {
            self.owed = 0.0;
            return Duration::ZERO;
        }
        let rate = rate as f64;
        self.owed = (self.owed - elapsed * rate).max(-BURST * rate);
        Duration::try_from_secs_f64(self.owed / rate).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(records: u64) -> Measure {
        Measure { records, bytes: 10 }
    }

    fn pace(events: u64) -> (watch::Sender<Rates>, Pace) {
        let (sender, receiver) = watch::channel(Rates { events, bytes: 0 });
        (sender, Pace::new(receiver))
    }

    #[tokio::test(start_paused = true)]
    async fn the_average_is_kept() {
        let (_rates, mut pace) = pace(100);
        let begun = Instant::now();
        for _ in 0..20 {
            pace.until_free().await;
            pace.passed(events(50));
        }
        pace.until_free().await;
        let seconds = begun.elapsed().as_secs_f64();
        assert!((9.9..=10.1).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn another_rate_holds_at_once() {
        let (rates, mut pace) = pace(1);
        pace.passed(events(1_000_000));
        assert!(!pace.is_free());
        let waiting = tokio::spawn(async move { pace.until_free().await });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        rates.send_replace(Rates::default());
        waiting.await.expect("it ends");
        assert!(begun.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_is_made_up_for_a_second_at_most() {
        let (_rates, mut pace) = pace(100);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(pace.is_free());
        pace.passed(events(100));
        assert!(pace.is_free());
        pace.passed(events(100));
        assert!(!pace.is_free());
    }
}
