//! Reading a flow: one session that follows, opened again where it broke off.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use eson_client::{Client, FlowReader};
use eson_protocol::{EventFormat, Name, Positions, ReadOptions, Record, Start};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::line::{Line, parse};
use super::link::Link;
use super::trouble::Trouble;
use crate::{BrokerError, Chunk, Payload, QueueDescription, QueueId, QueueReader, ReaderOptions};

/// Reads a flow through its FNAA.
pub(super) struct FnapReader {
    link: Arc<Link>,
    flow: Name,
    /// The identity of the queue that this reader began with.
    id: QueueId,
    partitions: u32,
    session: Option<FlowReader<Client>>,
    /// The task that opens the next session.
    connecting: Option<JoinHandle<Result<FlowReader<Client>, BrokerError>>>,
    trouble: Trouble,
    /// What has lasted for so long that the caller should know.
    told: Option<BrokerError>,
    /// The next offset of each partition that was handed out or skipped.
    positions: Positions,
    since: Option<Since>,
    gathered: Gathered,
    buffer: usize,
    ended: Option<BrokerError>,
}

/// What a session needs to read from where the reader is.
struct Beginning {
    link: Arc<Link>,
    flow: Name,
    positions: Positions,
}

impl Beginning {
    /// Begins to read.
    async fn follow(self, session: Client) -> Result<FlowReader<Client>, BrokerError> {
        let options = ReadOptions {
            from: Some(Start::Earliest),
            cursor: Some(self.positions),
            max: None,
            follow: true,
            format: EventFormat::Record,
        };
        let opened = FlowReader::open(session, &self.flow, &options).await;
        opened.map_err(|error| self.link.error(self.flow.as_str(), error))
    }

    /// Opens another session after a while, to the queue with that identity.
    async fn again(self, id: QueueId, wait: Duration) -> Result<FlowReader<Client>, BrokerError> {
        sleep(wait).await;
        let mut session = self.link.session().await?;
        let found = self.link.describe(&mut session, &self.flow).await?;
        if found.id != id {
            return Err(BrokerError::Replaced {
                queue: self.flow.to_string(),
                expected: id.0,
                found: found.id.0,
            });
        }
        self.follow(session).await
    }
}

/// A time before which records are left out.
struct Since {
    time: i64,
    /// The partitions that have come to it.
    reached: BTreeSet<u32>,
}

/// The records of one partition that came since the last chunk.
#[derive(Default)]
struct Gathered {
    partition: u32,
    records: Vec<Record>,
    bytes: usize,
    high_watermark: u64,
}

impl FnapReader {
    pub(super) async fn open(
        link: Arc<Link>,
        flow: Name,
        options: ReaderOptions,
    ) -> Result<Self, BrokerError> {
        let mut session = link.session().await?;
        let found = link.describe(&mut session, &flow).await?;
        let (positions, since) = beginnings(&found, &options);
        let begin = Beginning {
            link: link.clone(),
            flow: flow.clone(),
            positions: positions.clone(),
        };
        let session = begin.follow(session).await?;
        let mut trouble = Trouble::default();
        trouble.opened();
        Ok(Self {
            session: Some(session),
            connecting: None,
            link,
            flow,
            partitions: found.partitions.len() as u32,
            id: found.id,
            trouble,
            told: None,
            positions,
            since,
            gathered: Gathered::default(),
            buffer: options.buffer.max(1),
            ended: None,
        })
    }

    /// Waits for a session, which a task of its own opens: a caller that gives up waiting in
    /// between, and comes again, goes on waiting for the same one.
    async fn reconnect(&mut self) -> Result<(), BrokerError> {
        let connecting = self.connecting.get_or_insert_with(|| {
            let wait = self.trouble.wait();
            let begin = Beginning {
                link: self.link.clone(),
                flow: self.flow.clone(),
                positions: self.positions.clone(),
            };
            tokio::spawn(begin.again(self.id.clone(), wait))
        });
        let session = connecting.await;
        self.connecting = None;
        self.session = Some(session.map_err(|error| self.link.unreachable(error.to_string()))??);
        self.trouble.opened();
        Ok(())
    }

    /// The next line; none when the session is over and another one is worth a try.
    async fn line(&mut self) -> Result<Option<Line>, BrokerError> {
        let Some(session) = &mut self.session else {
            return match self.reconnect().await {
                Err(error) if error.is_transient() => {
                    self.wait_out(error);
                    Ok(None)
                }
                outcome => outcome.map(|()| None),
            };
        };
        let error = match session.next_line().await {
            Ok(Some(line)) => {
                return parse(&line)
                    .map(Some)
                    .map_err(|error| self.link.broken(error.to_string()));
            }
            Ok(None) => self.link.unreachable("the reading has ended".to_owned()),
            Err(error) => self.link.error(self.flow.as_str(), error),
        };
        self.session = None;
        // What had come without a position behind it comes again.
        self.gathered = Gathered::default();
        match error {
            // Gone, or created again under the same name: the description tells.
            BrokerError::NotFound(_) | BrokerError::Exists(_) => Ok(None),
            error if error.is_transient() => {
                self.wait_out(error);
                Ok(None)
            }
            error => Err(error),
        }
    }

    /// There is no session, for a reason that may pass.
    fn wait_out(&mut self, error: BrokerError) {
        tracing::debug!(flow = %self.flow, %error, "no session to read");
        self.told = self.trouble.met().then_some(error);
    }

    /// Takes a line; gives a chunk when one is complete.
    fn take(&mut self, line: Line) -> Result<Option<Chunk>, BrokerError> {
        if line.partition() >= crate::local::MAX_PARTITIONS {
            let what = format!("no flow has a partition {}", line.partition());
            return Err(self.link.broken(what));
        }
        match line {
            Line::Record(partition, record) => {
                let other =
                    !self.gathered.records.is_empty() && self.gathered.partition != partition;
                if other {
                    let what = "records of another partition came before a position line";
                    return Err(self.link.broken(what));
                }
                self.count(partition);
                Ok(self.gather(partition, record))
            }
            Line::Position {
                partition,
                next,
                high_watermark,
            } => {
                self.count(partition);
                Ok(self.chunk(partition, next, high_watermark))
            }
            Line::Gap {
                partition,
                wanted,
                earliest,
                latest,
            } => {
                self.gathered = Gathered::default();
                self.positions.insert(partition, earliest);
                Err(BrokerError::OutOfRange {
                    queue: self.flow.to_string(),
                    partition,
                    wanted,
                    earliest,
                    latest,
                })
            }
        }
    }

    /// Counts a partition that may be new, before anything of it is handed out.
    fn count(&mut self, partition: u32) {
        self.partitions = self.partitions.max(partition.saturating_add(1));
    }

    fn gather(&mut self, partition: u32, record: Record) -> Option<Chunk> {
        let known = self.positions.get(&partition);
        if known.is_some_and(|next| record.offset < *next) {
            return None;
        }
        if let Some(since) = &mut self.since
            && !since.permits(partition, &record)
        {
            return None;
        }
        let next = record.offset + 1;
        self.gathered.partition = partition;
        self.gathered.bytes += crate::local::held_by(&record);
        self.gathered.records.push(record);
        // A run that is longer than the buffer is handed out in parts.
        let full = self.gathered.bytes >= self.buffer;
        full.then(|| self.chunk(partition, next, self.gathered.high_watermark.max(next)))
            .flatten()
    }

    /// The chunk that ends at `next`, if that is beyond what was handed out.
    fn chunk(&mut self, partition: u32, next: u64, high_watermark: u64) -> Option<Chunk> {
        let gathered = std::mem::take(&mut self.gathered);
        self.gathered.high_watermark = high_watermark;
        let first = *self.positions.entry(partition).or_default();
        if next <= first {
            return None;
        }
        self.positions.insert(partition, next);
        Some(Chunk {
            partition,
            first,
            next,
            high_watermark: high_watermark.max(next),
            epoch: None,
            payload: Payload::Records(gathered.records),
        })
    }
}

#[async_trait]
impl QueueReader for FnapReader {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    async fn next(&mut self) -> Result<Chunk, BrokerError> {
        loop {
            if let Some(error) = &self.ended {
                return Err(error.clone());
            }
            let taken = match self.line().await {
                Ok(Some(line)) => self.take(line),
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            if let Some(error) = self.told.take() {
                return Err(error);
            }
            match taken {
                Ok(Some(chunk)) => {
                    self.trouble.is_over();
                    return Ok(chunk);
                }
                Ok(None) => {}
                Err(gap @ BrokerError::OutOfRange { .. }) => return Err(gap),
                Err(error) => {
                    self.session = None;
                    self.ended = Some(error);
                }
            }
        }
    }
}

impl Drop for FnapReader {
    fn drop(&mut self) {
        if let Some(connecting) = &self.connecting {
            connecting.abort();
        }
    }
}

impl Since {
    /// Whether the record is at or after the time, or behind one that was.
    fn permits(&mut self, partition: u32, record: &Record) -> bool {
        if self.reached.contains(&partition) {
            return true;
        }
        let reached = record.timestamp >= self.time;
        if reached {
            self.reached.insert(partition);
        }
        reached
    }
}

/// Where each partition begins. By a time, reading begins at the oldest record and leaves out
/// what is before.
fn beginnings(found: &QueueDescription, options: &ReaderOptions) -> (Positions, Option<Since>) {
    let ranges = found.partitions.iter();
    let position = |(&partition, &(earliest, latest)): (&u32, &(u64, u64))| {
        let given = options.positions.get(&partition).copied();
        let start = match options.start {
            Start::Latest => latest,
            Start::Earliest | Start::Timestamp(_) => earliest,
        };
        (partition, given.unwrap_or(start))
    };
    let since = match options.start {
        Start::Timestamp(time) => Some(Since {
            time,
            reached: options.positions.keys().copied().collect(),
        }),
        Start::Earliest | Start::Latest => None,
    };
    (ranges.map(position).collect(), since)
}

#[cfg(test)]
mod tests;
