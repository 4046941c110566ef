//! One destination of a signal's leg.

use std::sync::Arc;

use eson_broker::{
    Broker, BrokerError, Chunk, Payload, ProcessorSource, QueueId, QueueWriter, Reached,
    WriterOptions,
};
use eson_protocol::{Positions, Record, StoredPosition};

use super::place;
use crate::brokers::BrokerFactory;
use crate::endpoint::Endpoint;
use crate::leg::check_identity;
use crate::report::Trouble;
use crate::validation::ContractSpec;

/// One destination of a leg.
pub(super) struct Outlet {
    pub(super) endpoint: Endpoint,
    /// What its events must be, where that is judged.
    contract: Option<Arc<ContractSpec>>,
    writer: Box<dyn QueueWriter>,
    /// Up to which place the destination has everything, by partition of the source, and under which
    /// leaders of the source that was written.
    reached: Reached,
    /// Held so that other legs find it, with its connections.
    _broker: Arc<dyn Broker>,
}

/// Records that go to one partition of the destination.
struct Part {
    to: u32,
    records: Vec<Record>,
}

/// What is written at once: of one partition of the source.
pub(super) struct Piece {
    pub(super) partition: u32,
    /// The place of the first event.
    pub(super) first: u64,
    /// Under which leader of the source the last event was written, where it tells.
    pub(super) epoch: Option<i32>,
    /// Each with the partition it goes to, and its place as offset.
    pub(super) records: Vec<(u32, Record)>,
}

/// An event that fails: the program for it, or a destination refuses what comes of it.
pub(super) struct Refused {
    /// The place of one of its outputs.
    pub(super) place: u64,
    /// Why.
    pub(super) reason: String,
}

impl Outlet {
    /// Takes over from a writer that may still be there.
    pub(super) async fn open(
        brokers: &dyn BrokerFactory,
        endpoint: &Endpoint,
        contract: Option<Arc<ContractSpec>>,
        source: &QueueId,
        options: WriterOptions,
    ) -> Result<Self, Trouble> {
        let open = async {
            let broker = brokers.broker(endpoint).await?;
            let queue = broker.describe_queue(&endpoint.queue).await?;
            check_identity(endpoint, endpoint.queue_id.as_ref(), &queue)?;
            let writer = broker.open_writer(&endpoint.queue, options).await?;
            Ok::<_, BrokerError>((broker, queue, writer))
        };
        let (broker, queue, writer) = open.await.map_err(|e| Trouble::at_destination(&e))?;
        if queue.id == *source {
            let name = &endpoint.queue;
            let text = format!("`{name}` is source and destination under two addresses");
            return Err(Trouble::own(text));
        }
        Ok(Self {
            endpoint: endpoint.clone(),
            contract,
            reached: Reached {
                positions: writer.stored(),
                epochs: writer.epochs(),
            },
            writer,
            _broker: broker,
        })
    }

    /// As whom a leg writes what comes of a source.
    pub(super) fn author(leg: &str, source: &QueueId) -> ProcessorSource {
        ProcessorSource {
            processor: leg.to_owned(),
            source: source.0.clone(),
        }
    }

    pub(super) fn writer(&self) -> &dyn QueueWriter {
        &*self.writer
    }

    pub(super) fn writer_mut(&mut self) -> &mut dyn QueueWriter {
        &mut *self.writer
    }

    pub(super) fn partitions(&self) -> u32 {
        self.writer.partitions().max(1)
    }

    /// Up to which place the destination has everything, or will have it with the next flush.
    pub(super) fn places(&self) -> &Positions {
        &self.reached.positions
    }

    /// Up to which place of a partition that is, with the leader of the source.
    pub(super) fn reached(&self, partition: u32) -> Option<StoredPosition> {
        self.reached.get(partition)
    }

    /// The name of its flow.
    pub(super) fn flow(&self) -> &str {
        &self.endpoint.flow
    }

    /// Takes places as reached, where the destination has stored them by another way.
    pub(super) fn reach(&mut self, places: impl IntoIterator<Item = (u32, u64)>) {
        for (partition, place) in places {
            self.reached.advance(partition, place, None);
        }
    }

    /// Takes out what the destination does not take, and what is not as its events must be, with the
    /// reason.
    pub(super) fn set_apart(&self, piece: &mut Piece) -> Vec<(Record, String)> {
        let known = self.known(piece.partition);
        let refusal = |record: &Record| match record.offset < known {
            true => None,
            false => self.refusal(record),
        };
        let mut refused = Vec::new();
        for (to, record) in std::mem::take(&mut piece.records) {
            match refusal(&record) {
                None => piece.records.push((to, record)),
                Some(reason) => refused.push((record, format!("{}: {reason}", self.flow()))),
            }
        }
        refused
    }

    fn refusal(&self, record: &Record) -> Option<String> {
        let contract = self.contract.as_ref();
        let violation = contract.and_then(|contract| contract.violation(record));
        violation.or_else(|| Some(self.writer.refuses(record)?.to_string()))
    }

    /// Whether the destination has something of this piece from before the source was cut off: of the
    /// same place, but under an earlier leader.
    fn is_of_another_log(&self, piece: &Piece) -> bool {
        let there = self.reached.get(piece.partition);
        there.is_some_and(|there| {
            let newer = piece
                .epoch
                .zip(there.epoch)
                .is_some_and(|(new, old)| new > old);
            newer && piece.first < there.next
        })
    }

    /// Writes what the destination does not yet have.
    pub(super) async fn write(&mut self, piece: Piece) -> Result<(), BrokerError> {
        if self.is_of_another_log(&piece) {
            // The leg goes on where another destination is, which was before that place.
            self.rewind(piece.partition, piece.first).await?;
        }
        let known = self.known(piece.partition);
        let (partition, epoch) = (piece.partition, piece.epoch);
        let mut first = piece.first.max(known);
        for part in parts(piece.records, known) {
            let whole = chunk(partition, first, epoch, part.records);
            first = whole.next;
            self.writer.write(part.to, whole).await?;
            self.reached.advance(partition, first, epoch);
        }
        Ok(())
    }

    /// Goes back in a partition of the source, whose log was cut off at that place.
    pub(super) async fn rewind(&mut self, partition: u32, to: u64) -> Result<(), BrokerError> {
        if self.known(partition) > to {
            self.reached.advance(partition, to, None);
        }
        self.writer.rewind(partition, to).await
    }

    /// Up to which place the destination has everything of a partition.
    fn known(&self, partition: u32) -> u64 {
        self.places().get(&partition).copied().unwrap_or(0)
    }

    /// Hands over how far the source was read, where nothing was to be written since.
    pub(super) async fn catch_up(&mut self, read: &Reached) -> Result<(), BrokerError> {
        for (partition, next) in &read.positions {
            let at = self.known(*partition);
            if at >= *next {
                continue;
            }
            let to = partition % self.partitions();
            let epoch = read.epochs.get(partition).copied();
            let mut empty = chunk(*partition, at, epoch, Vec::new());
            empty.next = *next;
            self.writer.write(to, empty).await?;
            self.reached.advance(*partition, *next, epoch);
        }
        Ok(())
    }
}

fn chunk(partition: u32, first: u64, epoch: Option<i32>, records: Vec<Record>) -> Chunk {
    let next = records.last().map_or(first, |last| last.offset + 1);
    Chunk {
        partition,
        first,
        next,
        high_watermark: place::before(place::offset(next) + 1),
        epoch,
        payload: Payload::Records(records),
    }
}

/// Runs of records that go to one partition, without those before place `known`.
fn parts(records: Vec<(u32, Record)>, known: u64) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (to, record) in records {
        if record.offset < known {
            continue;
        }
        match parts.last_mut() {
            Some(last) if last.to == to => last.records.push(record),
            _ => parts.push(Part {
                to,
                records: vec![record],
            }),
        }
    }
    parts
}
