//! Holding a leg to its rates.

use std::time::Duration;

use eson_broker::Rates;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::measure::Measure;

/// How fast a leg has gone, and how fast it may.
pub(super) struct Pace {
    rates: watch::Receiver<Rates>,
    gone: eson_broker::Pace,
}

impl Pace {
    pub(super) fn new(rates: watch::Receiver<Rates>) -> Self {
        Self {
            rates,
            gone: eson_broker::Pace::default(),
        }
    }

    /// Whether there is anything to wait for.
    pub(super) fn is_free(&mut self) -> bool {
        self.wait().is_zero()
    }

    fn wait(&mut self) -> Duration {
        match self.is_limited() {
            true => self.gone.wait(*self.rates.borrow()),
            false => Duration::ZERO,
        }
    }

    /// Waits until the leg may go on; another rate holds at once. Cancel-safe.
    pub(super) async fn until_free(&mut self) {
        loop {
            let wait = self.wait();
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
        self.rates.borrow().is_limited()
    }

    /// Counts what has passed.
    pub(super) fn passed(&mut self, measure: Measure) {
        let rates = *self.rates.borrow();
        self.gone
            .passed(rates, measure.records, measure.bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn another_rate_holds_at_once() {
        let once_a_second = Rates {
            events: 1,
            bytes: 0,
        };
        let (rates, receiver) = watch::channel(once_a_second);
        let mut pace = Pace::new(receiver);
        pace.passed(Measure {
            records: 1_000_000,
            bytes: 10,
        });
        assert!(!pace.is_free());
        let waiting = tokio::spawn(async move { pace.until_free().await });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        rates.send_replace(Rates::default());
        waiting.await.expect("it ends");
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}
