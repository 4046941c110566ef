//! What waits to be sent to one partition, and the batches that are made of it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use eson_protocol::Record;
use tokio::sync::OwnedSemaphorePermit;

use super::super::batch::{Batch, HEADER};
use super::super::records::{self, BatchBuilder};
use super::super::tickets::Ticket;

/// A batch with no more records than this, and no more bytes than that, is worth joining with
/// its neighbours: for the broker the work lies in the batch, not in the record.
const SMALL_COUNT: i32 = 8;
const SMALL_SIZE: usize = 4 << 10;

/// Waiting bytes that are worth a request of their own while others are on their way.
pub(super) const RIPE: usize = 32 << 10;

/// How large batches of ours become, unpacked.
pub(crate) const TARGET: usize = 256 << 10;

/// A part of a chunk, small enough for one batch.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) content: Content,
    pub(crate) claim: Claim,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// As the source had it.
    Batch(Batch),
    Records(Vec<Record>),
}

/// Whom an acknowledgement concerns, and the memory that it frees.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) ticket: Ticket,
    pub(crate) _room: Option<Arc<OwnedSemaphorePermit>>,
}

/// Parts in their order, for batches of at most `limit` bytes.
#[derive(Debug)]
pub(super) struct Waiting {
    parts: VecDeque<Part>,
    size: usize,
    limit: usize,
}

impl Part {
    pub(crate) fn size(&self) -> usize {
        match &self.content {
            Content::Batch(batch) => batch.size(),
            Content::Records(records) => size(records),
        }
    }

    /// Whether it is better joined with others than sent alone.
    fn is_small(&self) -> bool {
        match &self.content {
            Content::Batch(batch) => batch.count <= SMALL_COUNT && batch.size() <= SMALL_SIZE,
            Content::Records(_) => true,
        }
    }

    fn into_records(self) -> io::Result<Vec<Record>> {
        match self.content {
            Content::Batch(batch) => records::decode(&batch, i64::MIN),
            Content::Records(records) => Ok(records),
        }
    }
}

/// At most how many bytes these records make in a batch.
pub(crate) fn size(records: &[Record]) -> usize {
    let each = records
        .iter()
        .map(|record| records::size_alone(record) - HEADER);
    HEADER + each.sum::<usize>()
}

impl Waiting {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            parts: VecDeque::new(),
            size: 0,
            limit,
        }
    }

    pub(super) fn push(&mut self, part: Part) {
        self.size += part.size();
        self.parts.push_back(part);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether it is worth a request of its own while others are on their way.
    pub(super) fn is_ripe(&self) -> bool {
        self.size >= RIPE
    }

    /// A batch of what waits: the first as it is, or several small ones joined.
    pub(super) fn form(&mut self) -> io::Result<(Batch, Vec<Claim>)> {
        let two_are_small = self.parts.iter().take(2).filter(|part| part.is_small());
        let joins = two_are_small.count() == 2;
        let Some(first) = self.take() else {
            return Err(io::Error::other("no records wait"));
        };
        match first.content {
            Content::Batch(batch) if !joins => Ok((batch, vec![first.claim])),
            _ => self.join(first),
        }
    }

    /// One batch of this part and of what is small behind it.
    fn join(&mut self, first: Part) -> io::Result<(Batch, Vec<Claim>)> {
        let mut claims = vec![first.claim.clone()];
        let mut builder = BatchBuilder::default();
        let records = first.into_records()?;
        records.iter().for_each(|record| builder.push(record));
        while builder.size() < TARGET
            && let Some(next) = self.take_small()
        {
            // Packed records may be many times as large when unpacked.
            let claim = next.claim.clone();
            let records = next.into_records()?;
            if builder.size() + size(&records) > self.limit.min(2 * TARGET) {
                let content = Content::Records(records);
                self.put_back(Part { content, claim });
                break;
            }
            records.iter().for_each(|record| builder.push(record));
            claims.push(claim);
        }
        Ok((builder.finish()?, claims))
    }

    fn take_small(&mut self) -> Option<Part> {
        self.parts.front().filter(|part| part.is_small())?;
        self.take()
    }

    fn take(&mut self) -> Option<Part> {
        let part = self.parts.pop_front()?;
        self.size -= part.size();
        Some(part)
    }

    fn put_back(&mut self, part: Part) {
        self.size += part.size();
        self.parts.push_front(part);
    }
}
