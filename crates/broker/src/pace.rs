//! Holding whoever reads to rates.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// For how long one who has rested may make up for that.
const BURST: f64 = 1.0;

/// How fast something may go, on average over seconds; 0 is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// Events a second.
    pub events: u64,
    /// Octets a second.
    pub bytes: u64,
}

/// How fast something has gone, and how long it has to wait for that.
///
/// What passes is counted afterwards, so that a record batch that is larger than a second's share
/// passes too, and is waited for behind it.
#[derive(Debug)]
pub struct Pace {
    events: Bucket,
    bytes: Bucket,
}

impl Rates {
    /// Whether there is any limit.
    #[must_use]
    pub fn is_limited(self) -> bool {
        self != Self::default()
    }
}

impl Default for Pace {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            events: Bucket::new(now),
            bytes: Bucket::new(now),
        }
    }
}

impl Pace {
    /// How long to wait until more may pass at these rates.
    pub fn wait(&mut self, rates: Rates) -> Duration {
        let now = Instant::now();
        let events = self.events.wait(now, rates.events);
        events.max(self.bytes.wait(now, rates.bytes))
    }

    /// Counts what has passed while these rates held.
    pub fn passed(&mut self, rates: Rates, events: u64, bytes: u64) {
        self.events.take(events, rates.events);
        self.bytes.take(bytes, rates.bytes);
    }
}

/// A token bucket that may go below nothing.
#[derive(Debug)]
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
    use tokio::time::{advance, sleep};

    use super::*;

    const HUNDRED: Rates = Rates {
        events: 100,
        bytes: 0,
    };

    #[tokio::test(start_paused = true)]
    async fn the_average_is_kept() {
        let mut pace = Pace::default();
        let begun = Instant::now();
        for _ in 0..20 {
            sleep(pace.wait(HUNDRED)).await;
            pace.passed(HUNDRED, 50, 1 << 30);
        }
        sleep(pace.wait(HUNDRED)).await;
        let seconds = begun.elapsed().as_secs_f64();
        assert!((9.9..=10.1).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn both_rates_are_kept() {
        let both = Rates {
            events: 100,
            bytes: 1_000,
        };
        let mut pace = Pace::default();
        pace.passed(both, 100, 3_000);
        assert_eq!(pace.wait(both), Duration::from_secs(3));
        assert_eq!(pace.wait(HUNDRED), Duration::from_secs(1));
        assert_eq!(pace.wait(Rates::default()), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_is_made_up_for_a_second_at_most() {
        let mut pace = Pace::default();
        advance(Duration::from_secs(3600)).await;
        assert!(pace.wait(HUNDRED).is_zero());
        pace.passed(HUNDRED, 100, 0);
        assert!(pace.wait(HUNDRED).is_zero());
        pace.passed(HUNDRED, 100, 0);
        assert!(!pace.wait(HUNDRED).is_zero());
    }
}
