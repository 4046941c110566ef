//! Events per second over the last ten seconds.

use std::time::Duration;

use tokio::time::Instant;

const SECONDS: u64 = 10;

/// Counts events by the second. Costs nothing while nothing is counted.
#[derive(Debug)]
pub(crate) struct Meter {
    started: Instant,
    /// The events of each of the last seconds, with the second they belong to.
    slots: [(u64, u64); SECONDS as usize],
}

impl Meter {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            started: now,
            slots: [(0, 0); SECONDS as usize],
        }
    }

    pub(crate) fn count(&mut self, now: Instant, events: u64) {
        let second = self.second(now);
        let slot = &mut self.slots[(second % SECONDS) as usize];
        if slot.0 != second {
            *slot = (second, 0);
        }
        slot.1 += events;
    }

    pub(crate) fn rate(&self, now: Instant) -> f64 {
        let second = self.second(now);
        let events: u64 = self
            .slots
            .iter()
            .filter(|(of, _)| of + SECONDS > second)
            .map(|(_, events)| events)
            .sum();
        let measured = now
            .duration_since(self.started)
            .clamp(Duration::from_secs(1), Duration::from_secs(SECONDS));
        events as f64 / measured.as_secs_f64()
    }

    fn second(&self, now: Instant) -> u64 {
        now.duration_since(self.started).as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_last_ten_seconds() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut meter = Meter::new(start);
        assert_eq!(meter.rate(start), 0.0);
        for second in 0..30 {
            meter.count(after(second), 100);
        }
        assert_eq!(meter.rate(after(29)), 100.0);
        assert_eq!(meter.rate(after(34)), 50.0);
        assert_eq!(meter.rate(after(39)), 0.0);
    }
}
