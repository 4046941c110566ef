//! The task that sends a writer's lines: one WRITE FLOW after the other, each with what has
//! gathered while the one before was on its way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use eson_client::{Client, ClientError};
use eson_protocol::{EventFormat, Name, Positions, StorePosition};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, sleep};

use super::describe::Limits;
use super::link::Link;
use crate::backoff::Backoff;
use crate::{BrokerError, Chunk};

/// How many bytes of lines go into one WRITE FLOW, where the FNAA takes so many.
const BATCH_BYTES: usize = 4 << 20;

/// How often a writer looks how many partitions its flow has.
const LOOK: Duration = Duration::from_secs(60);

/// How long a batch is sent again and again before the writer gives up, and whoever has opened it
/// gets to know.
const PATIENCE: Duration = Duration::from_secs(60);

/// Some lines of one partition of the source.
pub(super) struct Part {
    pub(super) source: u32,
    /// The partition that the lines go to.
    to: u32,
    first: u64,
    /// The source offset behind the lines.
    pub(super) next: u64,
    /// Under which leader of the source what lies before `next` was written.
    epoch: Option<i32>,
    lines: Vec<String>,
    pub(super) bytes: usize,
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Part {
    /// A part of `chunk` from the source offset `first` on.
    pub(super) fn new(chunk: &Chunk, to: u32, first: u64) -> Self {
        Self {
            source: chunk.partition,
            to,
            first,
            next: chunk.next,
            epoch: chunk.epoch,
            lines: Vec::new(),
            bytes: 0,
            room: None,
        }
    }

    /// The source was cut off at `next`, though `first` is stored.
    pub(super) fn back(source: u32, first: u64, next: u64) -> Self {
        Self {
            source,
            to: 0,
            first,
            next,
            epoch: None,
            lines: Vec::new(),
            bytes: 0,
            room: None,
        }
    }

    /// Takes lines from the front, with the offset behind each, as many as go into one batch.
    /// Where some are left, the part ends with its own last line.
    pub(super) fn fill(&mut self, lines: &mut VecDeque<(String, u64)>, limit: usize) {
        let limit = limit.min(BATCH_BYTES);
        let mut end = self.first;
        while let Some((line, next)) = lines.pop_front() {
            if !self.lines.is_empty() && self.bytes + line.len() > limit {
                lines.push_front((line, next));
                self.next = end;
                return;
            }
            self.bytes += line.len();
            self.lines.push(line);
            end = next;
        }
    }
}

/// What the writer sees of its task.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) acknowledged: Positions,
    /// How many parts are acknowledged.
    pub(super) parts: u64,
    /// Why the task has ended.
    pub(super) error: Option<BrokerError>,
}

impl Progress {
    pub(super) fn starting_at(stored: Positions) -> Self {
        Self {
            acknowledged: stored,
            ..Self::default()
        }
    }
}

/// Parts of one source partition that go out together.
struct Batch {
    position: StorePosition,
    lines: Vec<String>,
    bytes: usize,
    parts: u64,
    /// Given back when the batch is acknowledged.
    _room: Vec<OwnedSemaphorePermit>,
}

pub(super) struct Sender {
    link: Arc<Link>,
    flow: Name,
    processor: Option<String>,
    session: Option<Client>,
    backoff: Backoff,
    limits: Limits,
    /// How many partitions the flow has, for the writer to see.
    partitions: Arc<AtomicU32>,
    /// When that was looked at.
    looked: Instant,
    told: watch::Sender<Progress>,
    /// What waits, by source partition: order matters within each.
    waiting: BTreeMap<u32, VecDeque<Part>>,
    /// The source partition that was served last.
    turn: u32,
}

impl Sender {
    pub(super) fn new(
        link: Arc<Link>,
        flow: Name,
        processor: Option<String>,
        session: Client,
        limits: Limits,
        partitions: Arc<AtomicU32>,
        told: watch::Sender<Progress>,
    ) -> Self {
        Self {
            link,
            flow,
            processor,
            session: Some(session),
            backoff: Backoff::default(),
            limits,
            partitions,
            looked: Instant::now(),
            told,
            waiting: BTreeMap::new(),
            turn: 0,
        }
    }

    /// Sends until the writer is dropped or something fails for good.
    pub(super) async fn run(mut self, mut parts: mpsc::Receiver<Part>) {
        while let Some(part) = parts.recv().await {
            self.put(part);
            loop {
                while let Ok(part) = parts.try_recv() {
                    self.put(part);
                }
                let Some(batch) = self.batch() else { break };
                if let Err(error) = self.deliver(batch).await {
                    self.told
                        .send_modify(|progress| progress.error = Some(error));
                    return;
                }
            }
        }
    }

    fn put(&mut self, part: Part) {
        self.waiting.entry(part.source).or_default().push_back(part);
    }

    /// What goes out next: of the source partition whose turn it is, as much as fits.
    fn batch(&mut self) -> Option<Batch> {
        let behind = self.waiting.range(self.turn.saturating_add(1)..).next();
        let (&source, _) = behind.or_else(|| self.waiting.first_key_value())?;
        self.turn = source;
        let parts = self.waiting.get_mut(&source)?;
        let mut batch = Batch::beginning_with(parts.pop_front()?, self.processor.clone());
        let limit = self.limits.write.min(BATCH_BYTES);
        let fits = |batch: &Batch, part: &Part| batch.bytes + part.bytes <= limit;
        while parts.front().is_some_and(|part| fits(&batch, part))
            && let Some(part) = parts.pop_front()
        {
            batch.add(part);
        }
        if parts.is_empty() {
            self.waiting.remove(&source);
        }
        Some(batch)
    }

    /// Sends a batch until it is acknowledged, refused for good, or has failed for too long.
    async fn deliver(&mut self, batch: Batch) -> Result<(), BrokerError> {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.send(&batch).await {
            if !error.is_transient() || Instant::now() + self.backoff.wait() > deadline {
                return Err(error);
            }
            tracing::debug!(flow = %self.flow, %error, "a batch goes out again");
            self.backoff.failed();
            sleep(self.backoff.wait()).await;
        }
        self.backoff.succeeded();
        self.told.send_modify(|progress| {
            progress.parts += batch.parts;
            let StorePosition {
                partition,
                first,
                next,
                ..
            } = batch.position;
            let acknowledged = progress.acknowledged.entry(partition).or_default();
            *acknowledged = match next < first {
                false => next.max(*acknowledged),
                // The source was cut off there.
                true => next,
            };
        });
        Ok(())
    }

    /// The session, or a new one; and now and then what the flow has become meanwhile.
    async fn session(&mut self) -> Result<Client, BrokerError> {
        let kept = self.session.take();
        let is_due = kept.is_none() || self.looked.elapsed() >= LOOK;
        let mut session = match kept {
            Some(session) => session,
            None => self.link.session().await?,
        };
        if is_due {
            let found = self.link.describe(&mut session, &self.flow).await?;
            let partitions = found.partitions.len() as u32;
            self.partitions.fetch_max(partitions, Ordering::AcqRel);
            self.looked = Instant::now();
        }
        Ok(session)
    }

    async fn send(&mut self, batch: &Batch) -> Result<(), BrokerError> {
        let mut session = self.session().await?;
        let position = self.processor.as_ref().map(|_| &batch.position);
        if position.is_none() && batch.lines.is_empty() {
            self.session = Some(session);
            return Ok(());
        }
        let written = session
            .write_flow(&self.flow, EventFormat::Record, position, &batch.lines)
            .await;
        match written {
            Ok(_) => {
                self.session = Some(session);
                Ok(())
            }
            Err(error) => {
                if matches!(error, ClientError::Refused(_)) {
                    self.session = Some(session);
                }
                Err(self.link.error(self.flow.as_str(), error))
            }
        }
    }
}

impl Batch {
    fn beginning_with(part: Part, processor: Option<String>) -> Self {
        let mut batch = Self {
            position: StorePosition {
                processor: processor.unwrap_or_default(),
                partition: part.source,
                first: part.first,
                next: part.first,
                to: part.to,
                epoch: None,
            },
            lines: Vec::new(),
            bytes: 0,
            parts: 0,
            _room: Vec::new(),
        };
        batch.add(part);
        batch
    }

    fn add(&mut self, part: Part) {
        self.position.next = part.next;
        self.position.epoch = part.epoch;
        self.bytes += part.bytes;
        self.parts += 1;
        self.lines.extend(part.lines);
        self._room.extend(part.room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Payload;

    fn chunk(next: u64) -> Chunk {
        Chunk {
            partition: 0,
            first: 0,
            next,
            high_watermark: next,
            epoch: None,
            payload: Payload::Records(Vec::new()),
        }
    }

    fn lines(count: u64) -> VecDeque<(String, u64)> {
        (0..count)
            .map(|offset| ("x".repeat(10), offset + 1))
            .collect()
    }

    #[test]
    fn a_part_ends_with_its_own_last_line_unless_it_has_the_last_of_all() {
        let mut lines = lines(5);
        let mut nexts = Vec::new();
        while !lines.is_empty() {
            let mut part = Part::new(&chunk(9), 0, 0);
            part.fill(&mut lines, 25);
            assert!(part.bytes <= 25);
            nexts.push(part.next);
        }
        assert_eq!(nexts, [2, 4, 9]);
        let mut part = Part::new(&chunk(9), 0, 0);
        part.fill(&mut self::lines(5), 1_000);
        assert_eq!((part.lines.len(), part.next), (5, 9));
    }

    #[test]
    fn a_line_that_is_too_long_for_any_batch_goes_alone() {
        let mut lines = lines(2);
        let mut part = Part::new(&chunk(2), 0, 0);
        part.fill(&mut lines, 1);
        assert_eq!((part.bytes, part.next, lines.len()), (10, 1, 1));
    }
}
