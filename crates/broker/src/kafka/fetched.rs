//! What one fetch brought of one partition, and its way into chunks.

#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use eson_protocol::Record;
use kafka_protocol::messages::fetch_response::AbortedTransaction;
use tokio::sync::OwnedSemaphorePermit;

use super::batch::Batch;
use super::records;
use crate::{Chunk, EncodedBatches, Payload};

/// Record batches of one partition as a broker sent them.
///
/// Each call of [`Fetched::next`] checks and takes what makes one chunk, so that packed records
/// are unpacked no earlier than they are wanted.
#[derive(Debug)]
pub(crate) struct Fetched {
    partition: u32,
    /// What was asked for, and from the first chunk on what comes next.
    position: i64,
    /// Under which leader what lies before that was written.
    epoch: Option<i32>,
    high_watermark: u64,
    encoded: bool,
    bytes: Bytes,
    aborted: Aborted,
    /// The right to hold the response in memory.
    _room: Option<Arc<OwnedSemaphorePermit>>,
}

/// The aborted transactions that a fetch met (KIP-98): their records are there, but don't count.
#[derive(Debug, Default)]
struct Aborted {
    /// Those that begin further on, first one first.
    ahead: VecDeque<(i64, i64)>,
    /// The producers whose records are dropped, until the marker that ends their transaction.
    open: HashSet<i64>,
}

/// What is done with a batch.
enum Verdict {
    /// Nothing in it counts.
    Skip,
    /// It can pass as it is.
    Forward,
    /// Its records have to be taken out.
    Decode,
}

impl Fetched {
    pub(crate) fn new(partition: u32, position: u64, high_watermark: u64, bytes: Bytes) -> Self {
        Self {
            partition,
            position: position.cast_signed(),
            epoch: None,
            high_watermark,
            encoded: false,
            bytes,
            aborted: Aborted::default(),
            _room: None,
        }
    }

    /// Whether batches may pass as they are.
    pub(crate) fn with_encoded(self, encoded: bool) -> Self {
        Self { encoded, ..self }
    }

    pub(crate) fn with_aborted(self, transactions: &[AbortedTransaction]) -> Self {
        let mut ahead: Vec<_> = transactions
            .iter()
            .map(|transaction| (transaction.first_offset, transaction.producer_id.0))
            .collect();
        ahead.sort_unstable();
        Self {
            aborted: Aborted {
                ahead: ahead.into(),
                open: HashSet::new(),
            },
            ..self
        }
    }

    pub(crate) fn with_room(self, room: Arc<OwnedSemaphorePermit>) -> Self {
        Self {
            _room: Some(room),
            ..self
        }
    }

    /// The next chunk; none when everything is taken.
    pub(crate) fn next(&mut self) -> io::Result<Option<Chunk>> {
        let first = self.position;
        let whole = self.bytes.clone();
        let mut run = Run::default();
        loop {
            let before = self.bytes.clone();
            let Some(batch) = Batch::take(&mut self.bytes)? else {
                break;
            };
            match self.judge(&batch)? {
                Verdict::Skip if run.records == 0 => {}
                Verdict::Forward => run.extend(&batch, whole.len(), self.bytes.len()),
                Verdict::Decode if run.records == 0 => {
                    let records = records::decode(&batch, self.position)?;
                    self.pass(&batch);
                    return Ok(Some(self.chunk(first, Payload::Records(records))));
                }
                // It would part the run: another chunk begins here.
                Verdict::Skip | Verdict::Decode => {
                    self.bytes = before;
                    return Ok(Some(self.chunk(first, run.payload(&whole))));
                }
            }
            self.pass(&batch);
        }
        if run.records > 0 {
            return Ok(Some(self.chunk(first, run.payload(&whole))));
        }
        let moved = self.position > first;
        Ok(moved.then(|| self.chunk(first, Payload::Records(Vec::<Record>::new()))))
    }

    fn judge(&mut self, batch: &Batch) -> io::Result<Verdict> {
        if batch.next_offset() <= self.position {
            return skip(batch);
        }
        self.aborted.begin_until(batch.next_offset());
        if batch.is_control() {
            if records::transaction_committed(batch)? == Some(false) {
                self.aborted.open.remove(&batch.producer_id);
            }
            return skip(batch);
        }
        if batch.is_transactional() && self.aborted.open.contains(&batch.producer_id) {
            return skip(batch);
        }
        let whole = batch.base_offset >= self.position;
        if self.encoded && whole && batch.is_forwardable() {
            return Ok(Verdict::Forward);
        }
        Ok(Verdict::Decode)
    }

    fn pass(&mut self, batch: &Batch) {
        self.position = self.position.max(batch.next_offset());
        // Brokers that know of no epochs say -1.
        self.epoch = Some(batch.leader_epoch).filter(|epoch| *epoch >= 0);
    }

    fn chunk(&self, first: i64, payload: Payload) -> Chunk {
        Chunk {
            partition: self.partition,
            first: first.cast_unsigned(),
            next: self.position.cast_unsigned(),
            high_watermark: self.high_watermark.max(self.position.cast_unsigned()),
            epoch: self.epoch,
            payload,
        }
    }
}

/// What is left out is looked at: nobody after us will find damage in it.
fn skip(batch: &Batch) -> io::Result<Verdict> {
    batch.check()?;
    Ok(Verdict::Skip)
}

impl Aborted {
    fn begin_until(&mut self, next_offset: i64) {
        while let Some((first, producer)) = self.ahead.front().copied()
            && first < next_offset
        {
            self.open.insert(producer);
            self.ahead.pop_front();
        }
    }
}

/// Batches that lie one behind the other and pass as they are.
#[derive(Default)]
struct Run {
    begin: usize,
    end: usize,
    records: u64,
}

impl Run {
    fn extend(&mut self, batch: &Batch, whole: usize, rest: usize) {
        self.end = whole - rest;
        if self.records == 0 {
            self.begin = self.end - batch.size();
        }
        self.records += u64::from(batch.count.cast_unsigned());
    }

    fn payload(&self, whole: &Bytes) -> Payload {
        Payload::Encoded(EncodedBatches {
            bytes: whole.slice(self.begin..self.end),
            records: self.records,
        })
    }
}

/// What whole batches there are, found without touching the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The offset behind the last one.
    pub(crate) next: u64,
    /// The size of the largest.
    pub(crate) largest_batch: usize,
    /// The epoch of the leader that wrote the last one.
    pub(crate) epoch: i32,
    /// The offset of the first one of that epoch.
    pub(crate) epoch_since: u64,
}

impl Extent {
    /// None where there is no whole batch.
    pub(crate) fn of(mut bytes: &[u8]) -> Option<Self> {
        const UNCOUNTED: usize = 12;
        const EPOCH_AT: usize = 12;
        const LAST_OFFSET_DELTA_AT: usize = 23;

        let mut extent: Option<Self> = None;
        while bytes.len() >= LAST_OFFSET_DELTA_AT + 4 {
            let base = (&bytes[..]).get_i64();
            let size = UNCOUNTED + usize::try_from((&bytes[8..]).get_i32()).ok()?;
            let Some(rest) = bytes.get(size..) else {
                break;
            };
            let epoch = (&bytes[EPOCH_AT..]).get_i32();
            let delta = (&bytes[LAST_OFFSET_DELTA_AT..]).get_i32();
            let next = base.checked_add(i64::from(delta))?.checked_add(1)?;
            let before = extent.filter(|before| before.epoch == epoch);
            let largest = extent.map_or(0, |before| before.largest_batch);
            extent = Some(Self {
                next: u64::try_from(next).ok()?,
                largest_batch: largest.max(size),
                epoch,
                epoch_since: match before {
                    Some(before) => before.epoch_since,
                    None => u64::try_from(base).ok()?,
                },
            });
            bytes = rest;
        }
        extent
    }
}
