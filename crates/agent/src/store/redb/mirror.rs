//! The committed state, in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};

use crate::store::{Change, ChangeFeed, Changes, Entry, Kind};

/// Every entry, by kind and name.
pub(super) type Entries = [BTreeMap<String, Entry>; Kind::ALL.len()];

/// What readers see: exactly what is committed.
#[derive(Debug)]
pub(super) struct Mirror {
    entries: RwLock<Entries>,
    feed: ChangeFeed,
}

impl Mirror {
    pub(super) fn new(entries: Entries, feed: ChangeFeed) -> Self {
        Self {
            entries: RwLock::new(entries),
            feed,
        }
    }

    pub(super) fn entry(&self, kind: Kind, name: &str) -> Option<Entry> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries[kind as usize].get(name).cloned()
    }

    pub(super) fn entries(&self, kind: Kind, prefix: &str) -> Vec<Entry> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let range = entries[kind as usize].range::<str, _>(from);
        let matching = range.take_while(|(name, _)| name.starts_with(prefix));
        matching.map(|(_, entry)| entry.clone()).collect()
    }

    pub(super) fn changes(&self, kind: Kind) -> Changes {
        self.feed.subscribe(kind)
    }

    /// Takes over committed changes: what each name has become, none for what was removed.
    pub(super) fn apply(&self, changes: Vec<(Kind, String, Option<Entry>)>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for (kind, name, entry) in changes {
            let change = match entry {
                Some(entry) => {
                    entries[kind as usize].insert(name, entry.clone());
                    Change::Put(entry)
                }
                None => {
                    entries[kind as usize].remove(&name);
                    Change::Removed(name)
                }
            };
            self.feed.publish(kind, change);
        }
    }

    /// Takes over everything anew, after a failure that left open what was committed. Tells only what has changed:
    /// while the disk is full this happens at each attempt to write, and whoever listed everything each time, and
    /// tried again, would never rest.
    pub(super) fn reload(&self, entries: Entries) {
        self.apply(self.differences(entries));
    }

    fn differences(&self, found: Entries) -> Vec<(Kind, String, Option<Entry>)> {
        let known = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let mut changes = Vec::new();
        for (kind, found) in Kind::ALL.into_iter().zip(found) {
            let known = &known[kind as usize];
            let gone = known.keys().filter(|name| !found.contains_key(*name));
            changes.extend(gone.map(|name| (kind, name.clone(), None)));
            let new = found
                .into_iter()
                .filter(|(name, entry)| known.get(name) != Some(entry));
            changes.extend(new.map(|(name, entry)| (kind, name, Some(entry))));
        }
        changes
    }
}
