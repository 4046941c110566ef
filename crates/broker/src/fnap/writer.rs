//! Writing a flow: what is handed over becomes lines, which a task of the writer's own sends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use eson_protocol::event::encode;
use eson_protocol::{EventFormat, Name, Positions, Record};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use super::describe::Limits;
use super::link::Link;
use super::sender::{Part, Progress, Sender};
use crate::{BrokerError, Chunk, Delivery, Epochs, Payload, QueueWriter, Reached, WriterOptions};

/// How many parts may be on their way to the task.
const HANDED_OVER: usize = 64;

/// What a part counts for at least, so that small ones are bounded in number too.
const LEAST_BYTES: u32 = 256;

/// CR and LF.
const LINE_END: usize = 2;

/// As how many octets one octet of a record is written at most: a control character in a header's
/// name, as `\u0000`.
const MOST_OF_OCTET: usize = 6;

/// How much a line has beside what the record says: at most so much for each header, and as much
/// for the rest.
const AROUND_HEADER: usize = 256;

/// Writes a flow through its FNAA.
pub(super) struct FnapWriter {
    link: Arc<Link>,
    flow: Name,
    /// As many as its task has seen; there may become more.
    partitions: Arc<AtomicU32>,
    delivery: Delivery,
    stored: Reached,
    limits: Limits,
    /// How many bytes of lines may wait.
    room: Arc<Semaphore>,
    buffer: u32,
    parts: mpsc::Sender<Part>,
    handed_over: u64,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<()>,
}

impl FnapWriter {
    pub(super) async fn open(
        link: Arc<Link>,
        flow: Name,
        options: WriterOptions,
    ) -> Result<Self, BrokerError> {
        let mut session = link.session().await?;
        let found = link.describe(&mut session, &flow).await?;
        let limits = link.limits(&mut session).await?;
        let processor = options.processor.map(|it| it.to_string());
        let stored = match &processor {
            Some(processor) => link.reached(&mut session, &flow, processor).await?,
            None => Reached::default(),
        };
        let buffer = u32::try_from(options.buffer)
            .unwrap_or(u32::MAX)
            .max(LEAST_BYTES);
        // The semaphore's own bound is far above any buffer.
        let buffer = buffer.min(u32::MAX >> 3);
        let (parts, waiting) = mpsc::channel(HANDED_OVER);
        let (told, progress) = watch::channel(Progress::starting_at(stored.positions.clone()));
        // The FNAA stores a position in one step with the events.
        let delivery = match processor {
            Some(_) => Delivery::ExactlyOnce,
            None => Delivery::AtLeastOnce,
        };
        let partitions = Arc::new(AtomicU32::new(found.partitions.len() as u32));
        let sender = Sender::new(
            link.clone(),
            flow.clone(),
            processor,
            session,
            limits,
            partitions.clone(),
            told,
        );
        Ok(Self {
            link,
            flow,
            partitions,
            delivery,
            stored,
            limits,
            room: Arc::new(Semaphore::new(buffer as usize)),
            buffer,
            parts,
            handed_over: 0,
            progress,
            task: tokio::spawn(sender.run(waiting)),
        })
    }

    fn check(&self, partition: u32) -> Result<(), BrokerError> {
        if let Some(error) = &self.progress.borrow().error {
            return Err(error.clone());
        }
        let partitions = self.partitions();
        if partition < partitions {
            return Ok(());
        }
        Err(BrokerError::Invalid {
            queue: self.flow.to_string(),
            cause: format!("there is no partition {partition}, only {partitions}"),
        })
    }

    /// The lines of a chunk, with the offset behind each.
    fn lines(&self, to: u32, records: &[Record]) -> Result<VecDeque<(String, u64)>, BrokerError> {
        let line = |record: &Record| Ok((self.line(to, record)?, record.offset + 1));
        records.iter().map(line).collect()
    }

    fn line(&self, to: u32, record: &Record) -> Result<String, BrokerError> {
        let size = crate::local::size_of(record);
        if size <= self.limits.record {
            let line = encode(EventFormat::Record, &self.flow, to, record);
            if line.len() + LINE_END <= self.longest_line() {
                return Ok(line);
            }
        }
        Err(BrokerError::TooLarge {
            queue: self.flow.to_string(),
            size,
        })
    }

    fn longest_line(&self) -> usize {
        self.limits.event.min(self.limits.write)
    }

    async fn hand_over(&mut self, mut part: Part) -> Result<(), BrokerError> {
        let bytes = u32::try_from(part.bytes).unwrap_or(u32::MAX);
        let permits = bytes.clamp(LEAST_BYTES, self.buffer);
        let mut progress = self.progress.clone();
        let room = tokio::select! {
            room = self.room.clone().acquire_many_owned(permits) => room,
            error = progress.wait_for(|progress| progress.error.is_some()) => {
                return Err(match error {
                    Ok(progress) => self.failure(&progress),
                    Err(_) => self.stopped(),
                });
            }
        };
        let room = room.map_err(|_| self.stopped())?;
        part.room = Some(room);
        let sent = self.parts.send(part).await;
        sent.map_err(|_| self.failure(&self.progress.borrow()))?;
        self.handed_over += 1;
        Ok(())
    }

    fn failure(&self, progress: &Progress) -> BrokerError {
        progress.error.clone().unwrap_or_else(|| self.stopped())
    }

    fn stopped(&self) -> BrokerError {
        let cause = format!("the writer of {} has stopped", self.flow);
        self.link.unreachable(cause)
    }
}

#[async_trait]
impl QueueWriter for FnapWriter {
    fn partitions(&self) -> u32 {
        self.partitions.load(Ordering::Acquire)
    }

    fn delivery(&self) -> Delivery {
        self.delivery
    }

    fn takes_encoded(&self) -> bool {
        false
    }

    fn stored(&self) -> Positions {
        self.stored.positions.clone()
    }

    fn epochs(&self) -> Epochs {
        self.stored.epochs.clone()
    }

    fn refuses(&self, record: &Record) -> Option<BrokerError> {
        let surely_fits = |longest| {
            let size = Some(crate::local::size_of(record));
            let size = size.filter(|size| *size <= self.limits.record)?;
            let octets = size.checked_mul(MOST_OF_OCTET)?;
            let around = AROUND_HEADER.checked_mul(record.headers.len() + 1)?;
            octets.checked_add(around).filter(|all| *all <= longest)
        };
        match surely_fits(self.longest_line()) {
            Some(_) => None,
            None => self.line(self.partitions(), record).err(),
        }
    }

    async fn write(&mut self, partition: u32, chunk: Chunk) -> Result<(), BrokerError> {
        self.check(partition)?;
        let Payload::Records(records) = &chunk.payload else {
            return Err(BrokerError::Unsupported {
                kind: "broker behind an FNAA".to_owned(),
                what: "take encoded batches".to_owned(),
            });
        };
        let mut lines = self.lines(partition, records)?;
        let mut first = chunk.first;
        loop {
            let mut part = Part::new(&chunk, partition, first);
            part.fill(&mut lines, self.limits.write);
            first = part.next;
            self.hand_over(part).await?;
            if lines.is_empty() {
                return Ok(());
            }
        }
    }

    async fn flush(&mut self) -> Result<(), BrokerError> {
        let wanted = self.handed_over;
        let mut progress = self.progress.clone();
        let done =
            progress.wait_for(|progress| progress.parts >= wanted || progress.error.is_some());
        match done.await {
            Ok(progress) if progress.error.is_none() => Ok(()),
            Ok(progress) => Err(self.failure(&progress)),
            Err(_) => Err(self.stopped()),
        }
    }

    async fn store_back(&mut self, partition: u32, from: u64, to: u64) -> Result<(), BrokerError> {
        self.hand_over(Part::back(partition, from, to)).await
    }

    fn acknowledged(&self) -> Positions {
        self.progress.borrow().acknowledged.clone()
    }
}

impl Drop for FnapWriter {
    fn drop(&mut self) {
        self.task.abort();
    }
}
