//! Under which leader what was read was written, so that a log that was cut off behind our back is
//! noticed even when it has grown past our position again (KIP-101, KIP-595).

use std::collections::HashMap;

use eson_protocol::Positions;
use kafka_protocol::messages::fetch_response::EpochEndOffset;

use super::super::fetched::Extent;

/// What a fetch says when nothing is known.
const UNKNOWN: i32 = -1;

/// The epochs of the leaders that wrote what was read last, by partition.
#[derive(Debug, Default)]
pub(super) struct Epochs(HashMap<u32, Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    epoch: i32,
    /// The first offset that is known to be of it.
    since: u64,
}

impl Epochs {
    /// What is known before anything is read: the last record before a position is of that epoch.
    pub(super) fn known(epochs: &crate::Epochs, positions: &Positions) -> Self {
        let seen = |(partition, epoch): (&u32, &i32)| {
            let since = positions.get(partition)?.checked_sub(1)?;
            let epoch = *epoch;
            Some((*partition, Seen { epoch, since }))
        };
        Self(epochs.iter().filter_map(seen).collect())
    }

    /// What to tell the leader with the next fetch.
    pub(super) fn last(&self, partition: u32) -> i32 {
        self.0.get(&partition).map_or(UNKNOWN, |seen| seen.epoch)
    }

    /// This was read.
    pub(super) fn read(&mut self, partition: u32, extent: &Extent) {
        let known = self.0.get(&partition);
        let since = match known.filter(|seen| seen.epoch == extent.epoch) {
            Some(seen) => seen.since,
            None => extent.epoch_since,
        };
        let epoch = extent.epoch;
        self.0.insert(partition, Seen { epoch, since });
    }

    /// Up to where the log is as we have read it, if the leader says that it is another one
    /// further on.
    pub(super) fn parted(&mut self, partition: u32, said: &EpochEndOffset) -> Option<u64> {
        let end = u64::try_from(said.end_offset).ok()?;
        let seen = self.0.get(&partition).copied()?;
        if said.epoch == seen.epoch {
            return Some(end);
        }
        let epoch = said.epoch;
        let parted = end.min(seen.since);
        let since = parted;
        self.0.insert(partition, Seen { epoch, since });
        Some(parted)
    }

    /// Nothing is known any more.
    pub(super) fn forget(&mut self, partition: u32) {
        self.0.remove(&partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(epochs: &mut Epochs, epoch: i32, epoch_since: u64, next: u64) {
        let extent = Extent {
            next,
            largest_batch: 100,
            epoch,
            epoch_since,
        };
        epochs.read(0, &extent);
    }

    fn said(epoch: i32, end_offset: i64) -> EpochEndOffset {
        EpochEndOffset::default()
            .with_epoch(epoch)
            .with_end_offset(end_offset)
    }

    #[test]
    fn the_logs_part_where_the_leaders_epoch_ends_or_ours_begins() {
        let mut epochs = Epochs::default();
        assert_eq!(epochs.last(0), UNKNOWN);
        read(&mut epochs, 3, 10, 20);
        read(&mut epochs, 3, 20, 30);
        assert_eq!(epochs.last(0), 3);
        assert_eq!(epochs.parted(0, &EpochEndOffset::default()), None);
        assert_eq!(epochs.parted(0, &said(3, 25)), Some(25));
        assert_eq!(epochs.parted(0, &said(2, 28)), Some(10));
        assert_eq!(epochs.last(0), 2, "the next fetch asks on");
        assert_eq!(epochs.parted(0, &said(1, 5)), Some(5));
    }

    #[test]
    fn what_was_read_by_somebody_before_is_known_up_to_its_last_record() {
        let (read, positions) = ([(0, 3), (1, 3)].into(), [(0, 20), (1, 0)].into());
        let mut epochs = Epochs::known(&read, &positions);
        assert_eq!([epochs.last(0), epochs.last(1)], [3, UNKNOWN]);
        assert_eq!(epochs.parted(0, &said(2, 28)), Some(19));
        assert_eq!(epochs.parted(0, &said(2, 15)), Some(15));
    }

    #[test]
    fn another_partition_is_another_log() {
        let mut epochs = Epochs::default();
        read(&mut epochs, 3, 10, 20);
        assert_eq!(epochs.parted(1, &said(2, 5)), None);
        epochs.forget(0);
        assert_eq!(epochs.last(0), UNKNOWN);
    }
}
