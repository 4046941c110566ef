//! Events and bytes per second over the last ten seconds.

use std::time::Duration;

use tokio::time::Instant;

const SECONDS: u64 = 10;

/// Counts events by the second. Costs nothing while nothing is counted.
#[derive(Debug)]
pub(crate) struct Meter {
    started: Instant,
    slots: [Slot; SECONDS as usize],
}

/// What was counted in one second, and which one.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    second: u64,
    events: u64,
    bytes: u64,
}

/// What passes in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    pub(crate) events: f64,
    pub(crate) bytes: f64,
}

impl Meter {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            started: now,
            slots: [Slot::default(); SECONDS as usize],
        }
    }

    pub(crate) fn count(&mut self, now: Instant, events: u64, bytes: u64) {
        let second = self.second(now);
        let slot = &mut self.slots[(second % SECONDS) as usize];
        if slot.second != second {
            *slot = Slot {
                second,
                ..Slot::default()
            };
        }
        slot.events += events;
        slot.bytes += bytes;
    }

    pub(crate) fn rates(&self, now: Instant) -> Rates {
        let second = self.second(now);
        let recent = || {
            let slots = self.slots.iter();
            slots.filter(|slot| slot.second + SECONDS > second)
        };
        let measured = now
            .duration_since(self.started)
            .clamp(Duration::from_secs(1), Duration::from_secs(SECONDS));
        let each = |counted: u64| counted as f64 / measured.as_secs_f64();
        Rates {
            events: each(recent().map(|slot| slot.events).sum()),
            bytes: each(recent().map(|slot| slot.bytes).sum()),
        }
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
        let rates = |events, bytes| Rates { events, bytes };
        assert_eq!(meter.rates(start), rates(0.0, 0.0));
        for second in 0..30 {
            meter.count(after(second), 100, 7_000);
        }
        assert_eq!(meter.rates(after(29)), rates(100.0, 7_000.0));
        assert_eq!(meter.rates(after(34)), rates(50.0, 3_500.0));
        assert_eq!(meter.rates(after(39)), rates(0.0, 0.0));
    }
}
