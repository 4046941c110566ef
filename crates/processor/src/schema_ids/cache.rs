//! What was found out of a registry's ids.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// How many ids are remembered of keys, and as many of values. Topics have few schemas; one with more ids than
/// these has to be looked up again now and then.
const MOST: usize = 1024;

/// For how long it is believed that an id is unknown: it may be registered late.
const DOUBT: Duration = Duration::from_secs(30);

/// What was found out of ids. What came first goes first when there is no more room.
#[derive(Debug, Default)]
pub(super) struct Cache {
    known: HashMap<u32, Found>,
    order: VecDeque<u32>,
}

/// What became of looking an id up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The other registry's id.
    Id(u32),
    /// Nothing, at that time.
    Nothing(Instant),
}

impl Cache {
    /// The other registry's id, or none where it is known that there is none; none of both where
    /// the id has to be looked up.
    pub(super) fn get(&self, id: u32) -> Option<Option<u32>> {
        match self.known.get(&id)? {
            Found::Id(other) => Some(Some(*other)),
            Found::Nothing(at) => (at.elapsed() < DOUBT).then_some(None),
        }
    }

    pub(super) fn insert(&mut self, id: u32, other: Option<u32>) {
        let found = other.map_or_else(|| Found::Nothing(Instant::now()), Found::Id);
        if self.known.insert(id, found).is_some() {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > MOST
            && let Some(first) = self.order.pop_front()
        {
            self.known.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[test]
    fn what_came_first_goes_first() {
        let mut cache = Cache::default();
        for id in 0..MOST as u32 {
            cache.insert(id, Some(id + 7));
        }
        cache.insert(0, Some(1));
        assert_eq!(cache.get(0), Some(Some(1)), "known anew, not once more");
        cache.insert(u32::MAX, Some(2));
        assert_eq!((cache.get(0), cache.get(u32::MAX)), (None, Some(Some(2))));
        assert_eq!(cache.get(1), Some(Some(8)));
        assert_eq!((cache.known.len(), cache.order.len()), (MOST, MOST));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_unknown_may_become_known() {
        let mut cache = Cache::default();
        cache.insert(7, None);
        assert_eq!(cache.get(7), Some(None));
        advance(DOUBT).await;
        assert_eq!(cache.get(7), None);
        cache.insert(7, Some(8));
        advance(DOUBT).await;
        assert_eq!(cache.get(7), Some(Some(8)));
    }
}
