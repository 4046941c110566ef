//! How far a source has been copied.

use std::collections::BTreeMap;

use eson_protocol::{Positions, StoredPosition};

/// Under which leader what lies just before a position was written, by partition: with that a
/// source tells whether its log is still the one that was read.
pub type Epochs = BTreeMap<u32, i32>;

/// How far a source has been copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// By partition, the offset behind the last record that was.
    pub positions: Positions,
    /// Under which leaders those were written, as far as that is known.
    pub epochs: Epochs,
}

impl Reached {
    /// A partition is copied up to `next`; under which leader the last record before it was written,
    /// where the source tells.
    pub fn advance(&mut self, partition: u32, next: u64, epoch: Option<i32>) {
        self.positions.insert(partition, next);
        match epoch {
            Some(epoch) => self.epochs.insert(partition, epoch),
            // That of an earlier record would be wrong.
            None => self.epochs.remove(&partition),
        };
    }

    /// Up to where a partition is copied, and the leader.
    #[must_use]
    pub fn get(&self, partition: u32) -> Option<StoredPosition> {
        let next = *self.positions.get(&partition)?;
        let epoch = self.epochs.get(&partition).copied();
        Some(StoredPosition { next, epoch })
    }

    /// All partitions, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, StoredPosition)> + '_ {
        let partitions = self.positions.keys();
        partitions.filter_map(|partition| Some((*partition, self.get(*partition)?)))
    }
}
