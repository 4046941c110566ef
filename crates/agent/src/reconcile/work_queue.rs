//! Which resource is to be looked at next: a queue without doubles, with delays and back-off.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LAST_DELAY: Duration = Duration::from_secs(30);

/// What became of one look at a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is as it should be; nothing to do until something changes.
    Settled,
    /// All is as it should be; look again after this time.
    Again(Duration),
    /// It could not be made so; look again with back-off.
    Retry,
}

/// Names waiting for their turn. A name is worked on at most once at a time; whoever is added
/// meanwhile is looked at again afterwards.
#[derive(Debug, Default)]
pub(super) struct WorkQueue {
    order: BTreeSet<(Instant, String)>,
    due: HashMap<String, Instant>,
    running: HashSet<String>,
    dirty: HashSet<String>,
    attempts: HashMap<String, u32>,
}

impl WorkQueue {
    /// Wants `name` to be looked at, at `when` or earlier.
    pub(super) fn add(&mut self, name: &str, when: Instant) {
        if self.running.contains(name) {
            self.dirty.insert(name.to_owned());
            return;
        }
        match self.due.get(name) {
            Some(known) if *known <= when => return,
            Some(known) => {
                self.order.remove(&(*known, name.to_owned()));
            }
            None => {}
        }
        self.due.insert(name.to_owned(), when);
        self.order.insert((when, name.to_owned()));
    }

    /// The next name whose time has come; it is running from here on.
    pub(super) fn take(&mut self, now: Instant) -> Option<String> {
        let (when, _) = self.order.first()?;
        if *when > now {
            return None;
        }
        let (_, name) = self.order.pop_first()?;
        self.due.remove(&name);
        self.running.insert(name.clone());
        Some(name)
    }

    /// When the next name is due.
    #[must_use]
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.order.first().map(|(when, _)| *when)
    }

    /// Notes what became of a name that was taken.
    pub(super) fn finish(&mut self, name: &str, outcome: &Outcome, now: Instant) {
        self.running.remove(name);
        let delay = match outcome {
            Outcome::Retry => Some(self.back_off(name)),
            Outcome::Again(delay) => self.forget_attempts(name).or(Some(*delay)),
            Outcome::Settled => self.forget_attempts(name),
        };
        if self.dirty.remove(name) {
            self.add(name, now);
        } else if let Some(delay) = delay {
            self.add(name, now + delay);
        }
    }

    fn forget_attempts(&mut self, name: &str) -> Option<Duration> {
        self.attempts.remove(name);
        None
    }

    fn back_off(&mut self, name: &str) -> Duration {
        let attempts = self.attempts.entry(name.to_owned()).or_default();
        *attempts += 1;
        let exponential = FIRST_DELAY.saturating_mul(1 << (*attempts - 1).min(10));
        spread(exponential.min(LAST_DELAY), name, *attempts)
    }
}

/// Between 75 % and 125 % of `delay`, so that many names that failed together do not come back
/// together.
fn spread(delay: Duration, name: &str, attempt: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (name, attempt).hash(&mut hasher);
    delay * 3 / 4 + delay.mul_f64((hasher.finish() % 1000) as f64 / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_waits_once_and_runs_once() {
        let now = Instant::now();
        let mut queue = WorkQueue::default();
        queue.add("a", now + Duration::from_secs(9));
        queue.add("a", now);
        queue.add("a", now + Duration::from_secs(3));
        assert_eq!(queue.take(now), Some("a".to_owned()));
        assert_eq!(queue.take(now), None);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn who_is_added_while_running_runs_again() {
        let now = Instant::now();
        let mut queue = WorkQueue::default();
        queue.add("a", now);
        queue.take(now);
        queue.add("a", now);
        assert_eq!(queue.take(now), None);
        queue.finish("a", &Outcome::Settled, now);
        assert_eq!(queue.take(now), Some("a".to_owned()));
        queue.finish("a", &Outcome::Settled, now);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn delays_grow_to_a_bound_and_success_resets_them() {
        let now = Instant::now();
        let mut queue = WorkQueue::default();
        let retry = |queue: &mut WorkQueue| {
            queue.add("a", now);
            let far = now + Duration::from_secs(3600);
            queue.take(far).expect("due");
            queue.finish("a", &Outcome::Retry, now);
            queue.next_due().expect("tried again") - now
        };
        let first = retry(&mut queue);
        assert!(first < FIRST_DELAY * 2);
        let last = (0..30)
            .map(|_| retry(&mut queue))
            .last()
            .expect("thirty retries");
        assert!(last >= LAST_DELAY * 3 / 4 && last <= LAST_DELAY * 5 / 4);
        queue.take(now + Duration::from_secs(3600));
        queue.finish("a", &Outcome::Settled, now);
        assert!(retry(&mut queue) < FIRST_DELAY * 2);
    }

    #[test]
    fn again_waits_as_told() {
        let now = Instant::now();
        let mut queue = WorkQueue::default();
        queue.add("a", now);
        queue.take(now);
        queue.finish("a", &Outcome::Again(Duration::from_secs(5)), now);
        assert_eq!(queue.next_due(), Some(now + Duration::from_secs(5)));
    }
}
