//! What a leg does with what it reads.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;

use eson_broker::{Broker, Chunk, Delivery, QueueId};
use eson_protocol::Positions;

use super::drive::Ended;
use super::succession::Succeeded;
use crate::report::{Progress, Trouble};
use crate::source::Feed;

/// What a leg does with what it reads: it copies that, or asks a program. Reading, waiting, pausing
/// and ending are the [`Drive`](super::drive::Drive)'s.
///
/// A future of these may be dropped when the leg shall end; the passage is then closed.
pub(crate) trait Passage: Send {
    /// Hands a chunk over. `partitions` is how many the source has, as last seen.
    fn pass_on(
        &mut self,
        chunk: Chunk,
        partitions: u32,
    ) -> impl Future<Output = Result<(), Ended>> + Send;

    /// Whether anything was handed over since the last flush.
    fn is_dirty(&self) -> bool;

    /// Waits until every destination has what was handed over, with the positions behind it, and
    /// reports those.
    fn flush(&mut self) -> impl Future<Output = Result<(), Ended>> + Send;

    /// Reports what destinations have stored by themselves; false where a flush is needed for that.
    fn track(&mut self) -> bool {
        false
    }

    /// Whether there may be something to do though nothing is read.
    fn is_waiting(&self) -> bool {
        false
    }

    /// Does what there is to do while nothing is read.
    fn rest(&mut self) -> impl Future<Output = Result<(), Trouble>> + Send {
        ready(Ok(()))
    }

    /// Nothing is read until the next chunk comes, or until it rests.
    fn stand_still(&mut self) {}

    /// Goes to a place in a partition of the source: back, where its log was cut off there, so that
    /// what comes from now on is new, or past a gap. The next flush reports that.
    fn rewind(&mut self, partition: u32, to: u64)
    -> impl Future<Output = Result<(), Ended>> + Send;

    /// Ends the writers.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// A leg that is ready to run.
pub(crate) struct Opened<P> {
    pub(crate) feed: Feed,
    pub(crate) passage: P,
    /// How many bytes the reader, and as many the writers, may hold.
    pub(crate) buffer: usize,
    /// The identity of the source.
    pub(crate) source: QueueId,
    /// How many partitions the destination has; 0 where there are several.
    pub(crate) destination_partitions: u32,
    /// What all destinations together can promise.
    pub(crate) delivery: Delivery,
    /// The source positions that every destination has.
    pub(crate) stored: Positions,
    pub(crate) progress: BTreeMap<u32, Progress>,
    /// Where the source is another one by now, and nothing of it was written so far.
    pub(crate) succeeded: Option<Succeeded>,
    /// The source's, held so that other legs find it, with its connections.
    pub(crate) _broker: Arc<dyn Broker>,
}
