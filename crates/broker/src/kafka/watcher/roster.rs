//! Who rests where.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::session::{Partition, Place};

/// Those who rest, and what has changed since the watcher looked last.
#[derive(Debug, Default)]
pub(super) struct Roster {
    state: Mutex<State>,
    arrival: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Nobody watches any more.
    ended: bool,
    next: u64,
    sleepers: HashMap<u64, Sleeper>,
    /// Several may rest at one partition.
    places: BTreeMap<Partition, BTreeMap<u64, Place>>,
    changed: BTreeSet<Partition>,
}

#[derive(Debug)]
struct Sleeper {
    partitions: Vec<Partition>,
    /// Or lying down: it still looks once by itself.
    asleep: bool,
    /// Wakes when it is dropped.
    _wake: oneshot::Sender<()>,
}

/// One who rests; who drops this rests no longer.
#[derive(Debug)]
pub(crate) struct Rest {
    number: u64,
    woken: oneshot::Receiver<()>,
    roster: Arc<Roster>,
}

impl Rest {
    /// Waits until something is not as it was at one of the partitions, or nobody watches them any
    /// more.
    pub(crate) async fn end(mut self) {
        self.roster.state().fall_asleep(self.number);
        // Nothing is ever sent: an end is an end.
        let _ = (&mut self.woken).await;
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.roster.state().wake(self.number);
    }
}

impl Roster {
    /// Somebody comes to rest. When nobody watches any more, the rest is over at once.
    pub(super) fn enter(self: &Arc<Self>, places: Vec<(Partition, Place)>) -> Rest {
        let (wake, woken) = oneshot::channel();
        let number = self.state().enter(places, wake);
        self.arrival.notify_one();
        Rest {
            number,
            woken,
            roster: self.clone(),
        }
    }

    /// Waits until there is somebody.
    pub(super) async fn occupied(&self) {
        while self.state().sleepers.is_empty() {
            self.arrival.notified().await;
        }
    }

    /// How many there are, without those who still look once by themselves.
    pub(super) fn asleep(&self) -> usize {
        let state = self.state();
        let sleepers = state.sleepers.values();
        sleepers.filter(|sleeper| sleeper.asleep).count()
    }

    /// What has changed since this was asked last: where a partition is watched from, if it still is.
    pub(super) fn changes(&self) -> Vec<(Partition, Option<Place>)> {
        let mut state = self.state();
        let changed = std::mem::take(&mut state.changed).into_iter();
        changed
            .map(|partition| (partition, state.place(&partition)))
            .collect()
    }

    /// Wakes those who rest at a partition.
    pub(super) fn wake(&self, partition: &Partition) {
        let mut state = self.state();
        let there = state.places.get(partition);
        let there: Vec<_> = there
            .into_iter()
            .flat_map(BTreeMap::keys)
            .copied()
            .collect();
        there.into_iter().for_each(|number| state.wake(number));
    }

    pub(super) fn wake_all(&self) {
        let mut state = self.state();
        let all: Vec<_> = state.sleepers.keys().copied().collect();
        all.into_iter().for_each(|number| state.wake(number));
    }

    /// Nobody watches any more.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.wake_all();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Never held while anything is waited for, and whole at every moment.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, places: Vec<(Partition, Place)>, wake: oneshot::Sender<()>) -> u64 {
        let number = self.next;
        self.next += 1;
        if self.ended {
            return number;
        }
        let partitions = places.iter().map(|(partition, _)| *partition).collect();
        for (partition, place) in places {
            self.places
                .entry(partition)
                .or_default()
                .insert(number, place);
            self.changed.insert(partition);
        }
        let sleeper = Sleeper {
            partitions,
            asleep: false,
            _wake: wake,
        };
        self.sleepers.insert(number, sleeper);
        number
    }

    fn fall_asleep(&mut self, number: u64) {
        if let Some(sleeper) = self.sleepers.get_mut(&number) {
            sleeper.asleep = true;
        }
    }

    fn wake(&mut self, number: u64) {
        let Some(sleeper) = self.sleepers.remove(&number) else {
            return;
        };
        for partition in sleeper.partitions {
            self.changed.insert(partition);
            if let Some(there) = self.places.get_mut(&partition) {
                there.remove(&number);
                if there.is_empty() {
                    self.places.remove(&partition);
                }
            }
        }
    }

    /// Where a partition is watched from for all who rest there: what is news for one of them is
    /// news for that place. Who knows the epoch has the truncated log noticed for the others, too.
    fn place(&self, partition: &Partition) -> Option<Place> {
        let there = self.places.get(partition)?;
        let first = |place: &&Place| (place.offset, Reverse(place.epoch));
        there.values().min_by_key(first).copied()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use uuid::Uuid;

    use super::*;

    fn at(topic: u128) -> Partition {
        let topic = Uuid::from_u128(topic);
        Partition { topic, index: 0 }
    }

    fn place(offset: u64, epoch: i32) -> Place {
        Place { offset, epoch }
    }

    fn is_woken(rest: Rest) -> bool {
        rest.end().now_or_never().is_some()
    }

    #[test]
    fn who_rests_where_something_happens_is_woken_and_nobody_else() {
        let roster = Arc::new(Roster::default());
        let both = vec![(at(1), place(5, 0)), (at(2), place(6, 0))];
        let both = roster.enter(both);
        let other = roster.enter(vec![(at(3), place(7, 0))]);
        assert_eq!(roster.changes().len(), 3);
        assert!(roster.changes().is_empty());
        assert_eq!(roster.asleep(), 0, "not yet");
        roster.wake(&at(2));
        assert!(is_woken(both));
        assert_eq!(roster.changes(), [(at(1), None), (at(2), None)]);
        assert!(!is_woken(other));
        assert_eq!(roster.changes(), [(at(3), None)], "whoever leaves is gone");
        assert!(roster.occupied().now_or_never().is_none());
    }

    #[test]
    fn several_at_a_partition_are_watched_from_the_first_place_and_woken_together() {
        let roster = Arc::new(Roster::default());
        let later = roster.enter(vec![(at(1), place(6, 9))]);
        let first = roster.enter(vec![(at(1), place(5, -1))]);
        let knowing = roster.enter(vec![(at(1), place(5, 3))]);
        assert_eq!(roster.changes(), [(at(1), Some(place(5, 3)))]);
        drop(knowing);
        assert_eq!(roster.changes(), [(at(1), Some(place(5, -1)))]);
        roster.wake(&at(1));
        assert!(is_woken(later) && is_woken(first));
    }

    #[test]
    fn nobody_sleeps_on_when_nobody_watches() {
        let roster = Arc::new(Roster::default());
        let rests = [1, 2].map(|topic| roster.enter(vec![(at(topic), place(5, 0))]));
        assert!(roster.occupied().now_or_never().is_some());
        roster.wake_all();
        assert!(rests.into_iter().all(is_woken));
        let last = roster.enter(vec![(at(1), place(5, 0))]);
        roster.end();
        assert!(roster.has_ended() && is_woken(last));
        assert!(is_woken(roster.enter(vec![(at(1), place(5, 0))])));
    }
}
