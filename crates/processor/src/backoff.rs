//! How long to wait before trying again.

use std::time::Duration;

/// Doubles from one wait to another, with jitter, so that a thousand legs don't all return at once
/// to a broker that has just started again.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
}

impl Backoff {
    /// For what mostly passes soon: from a tenth of a second to half a minute.
    pub(crate) fn soon() -> Self {
        Self::between(Duration::from_millis(100), Duration::from_secs(30))
    }

    /// For what takes somebody to mend it: from five seconds to five minutes.
    pub(crate) fn seldom() -> Self {
        Self::between(Duration::from_secs(5), Duration::from_secs(300))
    }

    fn between(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            attempts: 0,
        }
    }

    /// The next wait: between half and all of the doubled time.
    pub(crate) fn next(&mut self) -> Duration {
        let ceiling = self
            .first
            .saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX))
            .min(self.longest);
        self.attempts = (self.attempts + 1).min(u32::BITS - 1);
        ceiling.mul_f64(0.5 + 0.5 * random_fraction())
    }

    /// How often [`Backoff::next`] was asked since the last success.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// It worked: begin small next time.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// From 0 to 1. Without randomness the wait is merely unjittered.
fn random_fraction() -> f64 {
    getrandom::u32().map_or(1.0, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_cap_and_starts_again() {
        for mut backoff in [Backoff::soon(), Backoff::seldom()] {
            let (first, longest) = (backoff.first, backoff.longest);
            for attempt in 0..100 {
                let ceiling = (first * 2_u32.pow(attempt.min(9))).min(longest);
                let wait = backoff.next();
                assert!(wait <= ceiling, "{attempt}: {wait:?}");
                assert!(wait >= ceiling / 2, "{attempt}: {wait:?}");
            }
            backoff.reset();
            assert!(backoff.next() <= first);
        }
    }
}
