//! Waiting longer after each failure in a row.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::BrokerError;

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);

/// How long to wait before the next attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait that the failures so far ask for; none before the first.
    pub(crate) fn wait(self) -> Duration {
        match self.failures {
            0 => Duration::ZERO,
            failures => LONGEST.min(FIRST * 2_u32.saturating_pow(failures - 1)),
        }
    }

    pub(crate) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Repeats `attempt` while its failures may pass, for at most `patience`.
    pub(crate) async fn retry<T, A: Future<Output = Result<T, BrokerError>>>(
        patience: Duration,
        mut attempt: impl FnMut() -> A,
    ) -> Result<T, BrokerError> {
        let deadline = Instant::now() + patience;
        let mut backoff = Self::default();
        loop {
            match attempt().await {
                Err(error) if error.is_transient() => {
                    backoff.failed();
                    if Instant::now() + backoff.wait() > deadline {
                        return Err(error);
                    }
                    sleep(backoff.wait()).await;
                }
                done => return done,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound_and_start_anew() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.wait(), Duration::ZERO);
        let waits: Vec<_> = (0..40)
            .map(|_| {
                backoff.failed();
                backoff.wait()
            })
            .collect();
        assert!(waits.is_sorted());
        assert_eq!((waits[0], waits[39]), (FIRST, LONGEST));
        backoff.succeeded();
        assert_eq!(backoff.wait(), Duration::ZERO);
    }
}
