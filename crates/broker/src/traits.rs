//! The trait that every kind of broker implements.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use eson_protocol::{BrokerKind, Delivery, Positions, Record, Start};

use crate::{
    BrokerError, Chunk, Consumer, Credential, Epochs, Lease, Payload, QueueDescription, QueueId,
    QueueSpec, QueueUpdate, Rates,
};

/// One events broker, seen from the participant that runs it or reads it.
///
/// All methods are safe to repeat: a caller that does not know whether a call arrived calls
/// again. All are cancel-safe: a dropped call has happened or has not, never by half.
#[async_trait]
pub trait Broker: Send + Sync {
    /// The kind of broker.
    fn kind(&self) -> BrokerKind;

    /// Does the smallest piece of real work that shows the broker is there and knows us.
    ///
    /// # Errors
    /// Whatever that work met.
    async fn check(&self) -> Result<(), BrokerError>;

    /// Creates a queue.
    ///
    /// # Errors
    /// [`BrokerError::Exists`] when a queue of that name is there, [`BrokerError::BadName`] when
    /// the broker can't hold the name.
    async fn create_queue(&self, spec: &QueueSpec) -> Result<QueueId, BrokerError>;

    /// Describes a queue.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`].
    async fn describe_queue(&self, queue: &str) -> Result<QueueDescription, BrokerError>;

    /// Changes a queue.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`]; [`BrokerError::Invalid`] for fewer partitions.
    async fn update_queue(&self, queue: &str, update: &QueueUpdate) -> Result<(), BrokerError>;

    /// Deletes a queue if it is still the one with that identity. A queue that is gone is no
    /// error.
    ///
    /// # Errors
    /// [`BrokerError::Replaced`] when another queue has the name by now; it is left alone.
    async fn delete_queue(&self, queue: &str, id: &QueueId) -> Result<(), BrokerError>;

    /// Drops the records before each given offset. Offsets outside the queue's range are pulled
    /// to its nearest end.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`].
    async fn trim_queue(&self, queue: &str, before: &Positions) -> Result<(), BrokerError>;

    /// Forgets what writers have stored for the processor called `family`, and for all whose name begins
    /// with that and a dot: their positions, of whatever source and in whatever queue. None of them
    /// may be open any more. To forget what is not there is no error.
    ///
    /// # Errors
    /// Those of the network, of storage and of rights.
    async fn forget_positions(&self, family: &str) -> Result<(), BrokerError>;

    /// Lists who reads the queue, as far as the broker knows.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`].
    async fn list_consumers(&self, queue: &str) -> Result<Vec<Consumer>, BrokerError>;

    /// Makes `credential` exist with this password and with read on this queue and nothing else
    /// ([`Lease::Granted`]), or leaves it without that right ([`Lease::Suspended`]).
    ///
    /// # Errors
    /// [`BrokerError::NotFound`] when there is no such queue.
    async fn grant(
        &self,
        queue: &str,
        credential: &Credential,
        lease: Lease,
    ) -> Result<(), BrokerError>;

    /// Removes a credential and every right it has on the queue: first denies, then deletes, so
    /// that nothing more is read from the moment this returns (a fetch that the broker had
    /// already accepted may still answer). A credential that is gone is no error.
    ///
    /// # Errors
    /// Only those of the network.
    async fn revoke(&self, queue: &str, username: &str) -> Result<(), BrokerError>;

    /// What of these rates the broker can hold a credential to: none where it says nothing else.
    fn enforces(&self, _rates: Rates) -> Rates {
        Rates::default()
    }

    /// Holds what a credential reads of a queue, and in Kafka all that it reads, to these rates,
    /// whatever it reads with, as far as the broker [enforces](Broker::enforces) them. A queue or
    /// credential that is gone is no error.
    ///
    /// # Errors
    /// Only those of the network, of storage and of rights.
    async fn limit_reader(
        &self,
        queue: &str,
        username: &str,
        rates: Rates,
    ) -> Result<(), BrokerError>;

    /// Opens a reader.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`], [`BrokerError::Denied`].
    async fn open_reader(
        &self,
        queue: &str,
        options: ReaderOptions,
    ) -> Result<Box<dyn QueueReader>, BrokerError>;

    /// Opens a writer. A second writer with the same processor and source takes over.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`], [`BrokerError::Denied`].
    async fn open_writer(
        &self,
        queue: &str,
        options: WriterOptions,
    ) -> Result<Box<dyn QueueWriter>, BrokerError>;
}

/// How to read a queue.
#[derive(Clone, Debug)]
pub struct ReaderOptions {
    /// Where each partition begins.
    pub positions: Positions,
    /// Under which leaders what lies before `positions` was written, as far as that is known: a
    /// log that was cut off there meanwhile is noticed ([`BrokerError::Truncated`]).
    pub epochs: Epochs,
    /// Where a partition begins that `positions` does not name. A partition that appears while
    /// reading begins at its earliest record.
    pub start: Start,
    /// Whether chunks may be [`crate::Payload::Encoded`].
    pub encoded: bool,
    /// How many bytes the reader may hold, roughly.
    pub buffer: usize,
}

/// How to write a queue.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// The processor on whose behalf positions are stored; none stores no positions, as for a
    /// user's WRITE FLOW.
    pub processor: Option<ProcessorSource>,
    /// How many bytes the writer may hold that are not yet acknowledged, roughly.
    pub buffer: usize,
    /// What is wanted where positions are stored; [`QueueWriter::delivery`] says what is had.
    pub delivery: Delivery,
    /// How often a writer of Kafka that delivers exactly once commits while records keep coming:
    /// readers of committed records see them no sooner. After a rest the first records are
    /// committed at once.
    pub commit_interval: Duration,
}

impl WriterOptions {
    /// The commit interval unless another one is asked for.
    pub const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

    /// Exactly once where the broker can do that.
    #[must_use]
    pub fn new(processor: Option<ProcessorSource>, buffer: usize) -> Self {
        Self {
            processor,
            buffer,
            delivery: Delivery::ExactlyOnce,
            commit_interval: Self::COMMIT_INTERVAL,
        }
    }
}

/// Whose positions a writer stores.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProcessorSource {
    /// The processor's (or leg's) name.
    pub processor: String,
    /// The identity of the source queue: a source that was created again begins anew.
    pub source: String,
}

impl ProcessorSource {
    /// Whether a processor's name is `family`, or begins with that and a dot.
    pub(crate) fn is_of_family(processor: &str, family: &str) -> bool {
        let rest = processor.strip_prefix(family);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// `processor@source`, under which positions are stored.
impl fmt::Display for ProcessorSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.processor, self.source)
    }
}

/// Reads a queue, all partitions in turn.
#[async_trait]
pub trait QueueReader: Send {
    /// The number of partitions of the queue, as last seen.
    fn partitions(&self) -> u32;

    /// The next records of any partition, in order within each. Waits until there are some.
    /// Passing troubles (a leader that moves, a broker that restarts) are waited out inside, unless
    /// they take so long that somebody should know.
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`BrokerError::OutOfRange`] once for each gap: the reader has then moved to the earliest
    /// record and goes on there when called again. [`BrokerError::Truncated`] when the queue has
    /// lost its newest records, where the broker lets us notice. [`BrokerError::Hanging`] from time to time
    /// while a transaction that nobody ends hides records; reading goes on when called again.
    /// [`BrokerError::Denied`] and
    /// [`BrokerError::Unauthenticated`] when the right is gone, [`BrokerError::NotFound`] and
    /// [`BrokerError::Replaced`] when the queue is; these stay.
    async fn next(&mut self) -> Result<Chunk, BrokerError>;
}

/// Writes a queue.
#[async_trait]
pub trait QueueWriter: Send {
    /// The number of partitions of the queue.
    fn partitions(&self) -> u32;

    /// Whether [`crate::Payload::Encoded`] is taken.
    fn takes_encoded(&self) -> bool;

    /// What is in force for this writer. A writer that stores no positions can't do better than
    /// [`Delivery::AtLeastOnce`].
    fn delivery(&self) -> Delivery;

    /// The source positions that are stored at the destination: where the reader has to begin.
    fn stored(&self) -> Positions;

    /// Under which leaders of the source what lies before [`QueueWriter::stored`] was written there,
    /// as it was when this writer was opened, and as far as that is stored.
    fn epochs(&self) -> Epochs;

    /// Why this record would not be taken, as far as that is known before it is written: what
    /// [`QueueWriter::write`] would meet. A broker may still refuse others.
    fn refuses(&self, _record: &Record) -> Option<BrokerError> {
        None
    }

    /// The chunk with its records one by one.
    ///
    /// # Errors
    /// [`BrokerError::Unsupported`] for batches of a kind that this writer does not take,
    /// [`BrokerError::Invalid`] for damaged ones.
    fn unpack(&self, chunk: Chunk) -> Result<Chunk, BrokerError> {
        match chunk.payload {
            Payload::Records(_) => Ok(chunk),
            Payload::Encoded(_) => Err(BrokerError::Unsupported {
                kind: "destination's".to_owned(),
                what: "look into encoded batches".to_owned(),
            }),
        }
    }

    /// Hands over a chunk for one partition of the destination, in order. Returns as soon as
    /// there is room for more; a chunk without records only moves the source position.
    ///
    /// Where partition counts differ, chunks of one source partition go to several partitions
    /// here. Whatever the order in which those answer, a source position is acknowledged, and
    /// stored, only when every chunk of that source partition handed over before it is.
    ///
    /// # Errors
    /// What an earlier or this chunk met. [`BrokerError::TooLarge`] for a record that
    /// [`QueueWriter::refuses`]: then nothing of this chunk is written, and the writer goes on. After
    /// any other error it is of no more use: open another one and read again from what it has
    /// stored.
    async fn write(&mut self, partition: u32, chunk: Chunk) -> Result<(), BrokerError>;

    /// Waits until everything handed over is acknowledged and its source positions are stored.
    /// Where that is a transaction, readers of committed records see it a moment later.
    ///
    /// # Errors
    /// As for [`QueueWriter::write`].
    async fn flush(&mut self) -> Result<(), BrokerError>;

    /// Goes back to `to` in a partition of the source, whose log was cut off there: what is written
    /// from now on is new, though it lies before what is stored. Waits until everything handed over
    /// is acknowledged, and that position is stored. Nothing happens where no more is stored than
    /// that.
    ///
    /// # Errors
    /// As for [`QueueWriter::write`].
    async fn rewind(&mut self, partition: u32, to: u64) -> Result<(), BrokerError> {
        self.flush().await?;
        let stored = self.acknowledged().get(&partition).copied();
        let Some(from) = stored.filter(|stored| *stored > to) else {
            return Ok(());
        };
        self.store_back(partition, from, to).await?;
        self.flush().await
    }

    /// Hands over that in a partition of the source the position `to` is to be stored in place of
    /// `from`, which is behind it. For [`QueueWriter::rewind`]: nothing else is under way.
    ///
    /// # Errors
    /// As for [`QueueWriter::write`].
    async fn store_back(&mut self, partition: u32, from: u64, to: u64) -> Result<(), BrokerError>;

    /// The source positions up to which everything is acknowledged by the destination.
    fn acknowledged(&self) -> Positions;

    /// Ends the writer, within a few seconds: what was handed over and is not stored yet is given
    /// up, and a transaction that is open is aborted. A writer that is dropped does the same in
    /// the background, while the program lives. Afterwards it is of no more use.
    async fn close(&mut self) {}
}
