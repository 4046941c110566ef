//! What a leg has counted, and where it is.

use std::collections::BTreeMap;

use eson_broker::{Delivery, QueueId};
use eson_protocol::Positions;
use tokio::time::Instant;

use crate::report::Trouble;
use crate::report::meter::Meter;

/// Where one partition of the source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The offset up to which everything is written.
    pub(crate) written: u64,
    /// The offset behind the newest record, as last seen.
    pub(crate) high_watermark: u64,
}

/// What has been counted of one leg.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) stored: Positions,
    pub(super) progress: BTreeMap<u32, Progress>,
    /// When what was last handed over of each partition was written, in milliseconds since the
    /// Unix epoch.
    pub(super) written_at: BTreeMap<u32, i64>,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) lost: u64,
    pub(super) dead_letters: u64,
    pub(super) crowded_out: u64,
    pub(super) unknown_schemas: u64,
    /// Up to where they are counted: what was not stored is read again.
    pub(super) unknown_until: Positions,
    pub(super) meter: Meter,
    pub(super) trouble: Option<Trouble>,
    pub(super) source: Option<QueueId>,
    /// The first source of this leg.
    pub(super) begun: Option<QueueId>,
    /// The source of the leg before this one, and how much of it that one had yet to write.
    pub(super) left_behind: Option<(QueueId, u64)>,
    pub(super) delivery: Option<Delivery>,
    pub(super) destination_partitions: u32,
}

impl Figures {
    pub(super) fn new() -> Self {
        Self {
            stored: Positions::new(),
            progress: BTreeMap::new(),
            written_at: BTreeMap::new(),
            records: 0,
            bytes: 0,
            lost: 0,
            dead_letters: 0,
            crowded_out: 0,
            unknown_schemas: 0,
            unknown_until: Positions::new(),
            meter: Meter::new(Instant::now()),
            trouble: None,
            source: None,
            begun: None,
            left_behind: None,
            delivery: None,
            destination_partitions: 0,
        }
    }

    /// Records of a partition were seen, the first of which was written at some time.
    pub(super) fn saw(&mut self, partition: u32, high_watermark: u64, written_at: Option<i64>) {
        let unknown = Progress {
            written: 0,
            high_watermark,
        };
        let progress = self.progress.entry(partition).or_insert(unknown);
        progress.high_watermark = high_watermark;
        if let Some(written_at) = written_at {
            self.written_at.insert(partition, written_at);
        }
    }

    pub(super) fn left_behind(&self) -> Option<(QueueId, u64)> {
        let opened = self.source.clone().map(|source| (source, self.lag()));
        opened.or_else(|| self.left_behind.clone())
    }

    pub(super) fn lag(&self) -> u64 {
        self.progress
            .values()
            .map(|progress| progress.high_watermark.saturating_sub(progress.written))
            .sum()
    }

    /// When the oldest event was written that is not known to be at the destination. What is not
    /// yet acknowledged was written no earlier than what was handed over last, give or take a
    /// chunk.
    pub(super) fn behind_since(&self) -> Option<i64> {
        let is_behind = |progress: &Progress| progress.written < progress.high_watermark;
        let behind = self.progress.iter().filter(|(_, it)| is_behind(it));
        let since = behind.filter_map(|(partition, _)| self.written_at.get(partition));
        since.min().copied()
    }
}
