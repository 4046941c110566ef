//! A bound on the bytes that all legs of a process hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound on the bytes that all legs of a process hold in their readers and writers, shared
/// evenly. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    limit: usize,
    legs: Arc<AtomicUsize>,
}

/// The least that a reader or writer works with.
const LEAST: usize = 64 * 1024;
/// More than this saves a leg no work: half of it is asked for at once of a Kafka.
const MOST: usize = 8 * 1024 * 1024;

/// The processor has no memory for so many legs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{legs} legs don't fit into the {limit} bytes that this processor may use; \
     raise `processor: memory-limit` in fnaad's configuration"
)]
pub struct OutOfMemory {
    legs: usize,
    limit: usize,
}

impl MemoryBudget {
    /// What one leg needs at least, in bytes, for its reader and its writer.
    pub const LEG: usize = 2 * LEAST;

    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            legs: Arc::default(),
        }
    }

    /// Takes a leg in.
    pub(crate) fn enter(&self) -> Result<Share, OutOfMemory> {
        let room = self.limit / Self::LEG;
        self.legs
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |legs| {
                (legs < room).then_some(legs + 1)
            })
            .map_err(|legs| OutOfMemory {
                legs: legs + 1,
                limit: self.limit,
            })?;
        Ok(Share {
            budget: self.clone(),
        })
    }
}

/// One leg's part of a [`MemoryBudget`], given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: MemoryBudget,
}

impl Share {
    /// How many bytes the reader, and as many the writer, may hold. Changes only when the number
    /// of legs crosses a power of two, so that few legs have to begin anew when one is added.
    pub(crate) fn bytes(&self) -> usize {
        let legs = self.budget.legs.load(Ordering::Relaxed).next_power_of_two();
        (self.budget.limit / (2 * legs)).clamp(LEAST, MOST)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.legs.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_together_stay_within_the_limit() {
        let budget = MemoryBudget::new(32 * 1024 * 1024);
        let mut shares = Vec::new();
        while let Ok(share) = budget.enter() {
            shares.push(share);
            let used: usize = shares.iter().map(|share| 2 * share.bytes()).sum();
            assert!(used <= budget.limit, "{} legs use {used}", shares.len());
        }
        assert_eq!(shares.len(), 256);
        shares.pop();
        assert!(budget.enter().is_ok(), "a leg that left makes room");
    }

    #[test]
    fn a_lone_leg_takes_no_more_than_helps() {
        let share = MemoryBudget::new(usize::MAX / 4).enter().expect("room");
        assert_eq!(share.bytes(), MOST);
    }
}
