//! Under which leaders of the source the records were written there that a sender writes here.

use std::collections::BTreeMap;

use eson_protocol::Positions;

use crate::Epochs;

/// From where on which leader wrote each partition of the source, as far as positions may still be
/// asked for.
#[derive(Debug, Default)]
pub(crate) struct SourceEpochs(BTreeMap<u32, Vec<Since>>);

#[derive(Clone, Copy, Debug)]
struct Since {
    offset: u64,
    /// None where the source did not say.
    epoch: Option<i32>,
}

impl SourceEpochs {
    /// What was stored: the last record before each position is of that epoch.
    pub(crate) fn stored(epochs: &Epochs) -> Self {
        let since = |(partition, epoch): (&u32, &i32)| {
            let (offset, epoch) = (0, Some(*epoch));
            (*partition, vec![Since { offset, epoch }])
        };
        Self(epochs.iter().map(since).collect())
    }

    /// A chunk was handed over that begins there, and whose last record is of this epoch.
    pub(crate) fn wrote(&mut self, source: u32, offset: u64, epoch: Option<i32>) {
        let known = self.0.entry(source).or_default();
        if known.last().is_none_or(|last| last.epoch != epoch) {
            known.push(Since { offset, epoch });
        }
    }

    /// The source was cut off, and what is written from now on begins before what was written.
    pub(crate) fn rewound(&mut self, source: u32) {
        self.0.remove(&source);
    }

    /// The epochs of what lies just before these positions. Lower ones are not asked for again.
    pub(crate) fn before(&mut self, positions: &Positions) -> Epochs {
        let epoch = |(partition, position): (&u32, &u64)| {
            let known = self.0.get_mut(partition)?;
            let index = known.iter().rposition(|since| since.offset < *position)?;
            known.drain(..index);
            Some((*partition, known.first()?.epoch?))
        };
        positions.iter().filter_map(epoch).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_the_epoch_of_the_chunk_before_it() {
        let mut epochs = SourceEpochs::stored(&[(0, 1)].into());
        assert_eq!(epochs.before(&[(0, 5), (1, 5)].into()), [(0, 1)].into());
        epochs.wrote(0, 5, Some(1));
        epochs.wrote(0, 10, Some(3));
        epochs.wrote(0, 20, Some(3));
        epochs.wrote(0, 30, Some(4));
        epochs.wrote(1, 30, None);
        for (position, epoch) in [(10, 1), (20, 3), (30, 3), (40, 4), (50, 4)] {
            let found = epochs.before(&[(0, position), (1, position)].into());
            assert_eq!(found, [(0, epoch)].into(), "{position}");
        }
    }

    #[test]
    fn a_source_that_was_cut_off_is_written_by_another_leader_from_there_on() {
        let mut epochs = SourceEpochs::default();
        epochs.wrote(0, 10, Some(3));
        epochs.rewound(0);
        assert_eq!(epochs.before(&[(0, 5)].into()), [].into());
        epochs.wrote(0, 5, Some(4));
        assert_eq!(epochs.before(&[(0, 20)].into()), [(0, 4)].into());
    }
}
