//! What flows from a reader to a writer.

use bytes::Bytes;
use eson_protocol::Record;

/// Consecutive records of one partition of the source.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The partition of the source.
    pub partition: u32,
    /// The source offset that was asked for: everything from here on is in this chunk or does
    /// not exist (any more).
    pub first: u64,
    /// The source offset behind the last record: what to ask for next.
    pub next: u64,
    /// The source offset behind the newest record that may be read, for the lag.
    pub high_watermark: u64,
    /// Under which leader the last record was written (Kafka's leader epoch), where the source
    /// tells.
    pub epoch: Option<i32>,
    /// The records.
    pub payload: Payload,
}

/// The records of a [`Chunk`].
#[derive(Clone, Debug)]
pub enum Payload {
    /// One by one, for any writer. May be empty: then the chunk only moves the position, over
    /// offsets that compaction, control records or aborted transactions left behind.
    Records(Vec<Record>),
    /// As the source's broker stores them, for a writer of the same kind.
    Encoded(EncodedBatches),
}

/// Kafka record batches (magic 2) as a broker sent them: whole, CRC checked by whoever reads
/// them, without control batches, aborted data or offset gaps.
#[derive(Clone, Debug)]
pub struct EncodedBatches {
    /// The batches, one behind the other.
    pub bytes: Bytes,
    /// How many records they have together.
    pub records: u64,
}
