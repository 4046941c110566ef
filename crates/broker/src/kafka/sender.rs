//! The background half of a writer: batches to the leaders, several on their way to each,
//! repeated until they are acknowledged.

mod answers;
mod commits;
mod leaders;
mod recovery;
mod saving;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use eson_protocol::Positions;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use kafka_protocol::messages::{BrokerId, ProduceResponse};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

pub(super) use self::commits::Commits;
use self::leaders::Leader;
use super::batch::Producer;
use super::cluster::{Cluster, Topic};
use super::connection::Connection;
use super::lane::{Claim, Content, Lane, Part};
use super::positions::PositionStore;
use super::produce::Author;
use super::producer::Memory;
use super::source_epochs::SourceEpochs;
use super::tickets::Tickets;
use crate::backoff::Backoff;
use crate::{BrokerError, Epochs};

/// How long a topic must be missing until it is believed to be gone.
const MISSING: Duration = Duration::from_secs(3);

/// What the writer asks of its sender.
pub(crate) enum Command {
    Chunk {
        partition: u32,
        source: u32,
        first: u64,
        next: u64,
        epoch: Option<i32>,
        contents: Vec<Content>,
        room: OwnedSemaphorePermit,
    },
    /// Stores a position that is lower than before. Everything handed over was flushed.
    StoreBack {
        source: u32,
        to: u64,
    },
    Flush(oneshot::Sender<()>),
}

/// What the writer and its sender both see.
pub(crate) struct Shared {
    pub(crate) acknowledged: Mutex<Positions>,
    pub(crate) stored: Mutex<Positions>,
    /// Of what was stored when the writer was opened.
    pub(crate) epochs: Epochs,
    pub(crate) failure: OnceLock<BrokerError>,
    pub(crate) partitions: AtomicU32,
    /// The bytes that may wait; closed at the end.
    pub(crate) room: Arc<Semaphore>,
}

/// Sends a writer's chunks.
pub(crate) struct Sender {
    cluster: Arc<Cluster>,
    topic: Topic,
    author: Author,
    /// Where each chunk has to be in a transaction.
    commits: Option<Commits>,
    /// Absent also while it is at work.
    store: Option<PositionStore>,
    storing: bool,
    lanes: Vec<Lane>,
    limit: usize,
    leaders: HashMap<BrokerId, Leader>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    tickets: Tickets,
    epochs: SourceEpochs,
    flushes: Vec<oneshot::Sender<()>>,
    shared: Arc<Shared>,
    save_at: Instant,
    refreshed: Instant,
    refreshing: bool,
    refreshes: Backoff,
    missing_since: Option<Instant>,
    /// When silent leaders were last looked after.
    looked: Instant,
    renewal: Renewal,
}

/// Whether the broker's memory of our sequence numbers is lost, and what is done about it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Renewal {
    None,
    /// Somebody has to look what the broker does remember.
    Wanted,
    UnderWay,
}

/// Something that went on in the background has come to its end.
enum Done {
    Connected(BrokerId, Result<Connection, BrokerError>),
    Rested(BrokerId),
    Produced(Produced),
    Refreshed(Result<Topic, BrokerError>),
    Saved(PositionStore, Positions, Result<(), BrokerError>),
    Inspected(Result<BTreeMap<u32, Memory>, BrokerError>),
    Renewed(Option<PositionStore>, Result<Producer, BrokerError>),
    Joined(Vec<u32>, Result<(), BrokerError>),
    Committed(Result<Producer, BrokerError>),
}

/// A produce request and its answer.
struct Produced {
    leader: BrokerId,
    connection: Arc<Connection>,
    /// The partitions and sequence numbers of its batches.
    batches: Vec<(u32, i32)>,
    result: Result<ProduceResponse, BrokerError>,
}

impl Sender {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        topic: Topic,
        author: Author,
        store: Option<PositionStore>,
        commits: Option<Commits>,
        limit: usize,
        shared: Arc<Shared>,
    ) -> Self {
        let now = Instant::now();
        Self {
            cluster,
            lanes: (0..topic.partitions()).map(|_| Lane::new(limit)).collect(),
            topic,
            author,
            commits,
            storing: store.is_some(),
            store,
            limit,
            leaders: HashMap::new(),
            work: FuturesUnordered::new(),
            tickets: Tickets::default(),
            epochs: SourceEpochs::stored(&shared.epochs),
            flushes: vec![],
            shared,
            save_at: now,
            refreshed: now,
            refreshing: false,
            refreshes: Backoff::default(),
            missing_since: None,
            looked: now,
            renewal: Renewal::None,
        }
    }

    /// Sends until the writer is `gone` or something does not pass; then aborts what was not
    /// committed.
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        gone: oneshot::Receiver<Infallible>,
    ) {
        let served = tokio::select! {
            served = self.serve(&mut commands) => served,
            _ = gone => Ok(()),
        };
        let fenced = matches!(served, Err(BrokerError::Fenced(_)));
        if let Err(error) = served {
            // Neither this nor what is below is what a sender that works keeps room for.
            let error = if fenced {
                Box::pin(self.fenced()).await
            } else {
                error
            };
            // The first failure is the one that is told.
            let _ = self.shared.failure.set(error);
            self.shared.room.close();
        }
        if !fenced {
            Box::pin(self.abort()).await;
        }
    }

    async fn serve(&mut self, commands: &mut mpsc::Receiver<Command>) -> Result<(), BrokerError> {
        loop {
            self.collect();
            self.send()?;
            let wake_at = self.wake_at();
            tokio::select! {
                command = commands.recv(), if self.takes_more() => {
                    let Some(command) = command else {
                        return Ok(());
                    };
                    self.obey(command);
                    while let Ok(more) = commands.try_recv() {
                        self.obey(more);
                    }
                }
                Some(done) = self.work.next() => self.take(done)?,
                () = sleep_until(wake_at.unwrap_or(self.save_at)), if wake_at.is_some() => {
                    self.look_after_stuck(Instant::now());
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Flush(done) => self.flushes.push(done),
            Command::StoreBack { source, to } => self.store_back(source, to),
            Command::Chunk {
                partition,
                source,
                first,
                next,
                epoch,
                contents,
                room,
            } => {
                let ticket = self.tickets.issue(source, next, contents.len());
                self.epochs.wrote(source, first, epoch);
                if let Some(commits) = &mut self.commits {
                    commits.wrote(source, next, room.num_permits());
                }
                let room = Some(Arc::new(room));
                // The writer has checked that the partition is there.
                if let Some(lane) = self.lanes.get_mut(partition as usize) {
                    for content in contents {
                        let claim = Claim {
                            ticket,
                            _room: room.clone(),
                        };
                        lane.push(Part { content, claim });
                    }
                }
            }
        }
    }

    fn store_back(&mut self, source: u32, to: u64) {
        self.epochs.rewound(source);
        match &mut self.commits {
            Some(commits) => commits.wrote(source, to, 0),
            None => {
                lock(&self.shared.acknowledged).insert(source, to);
            }
        }
    }

    /// Looks what is acknowledged, stores it when it is time, and ends the flushes that waited
    /// for it.
    fn collect(&mut self) {
        if self.commits.is_some() {
            return self.commit();
        }
        let mut acknowledged = lock(&self.shared.acknowledged);
        self.tickets.collect(&mut acknowledged);
        drop(acknowledged);
        if self.must_save() && (self.save_at <= Instant::now() || !self.flushes.is_empty()) {
            self.save();
        }
        if self.tickets.is_empty() && self.is_saved() {
            self.end_flushes();
        }
    }

    fn end_flushes(&mut self) {
        for flush in self.flushes.drain(..) {
            // A flush that nobody waits for any more is done too.
            let _ = flush.send(());
        }
    }

    /// When there is something to do though nothing happens.
    fn wake_at(&self) -> Option<Instant> {
        let due = match &self.commits {
            // A renewal goes first.
            Some(commits) => commits.due().filter(|_| self.renewal == Renewal::None),
            None => self.must_save().then_some(self.save_at),
        };
        due.into_iter().chain(self.stuck_at()).min()
    }

    fn take(&mut self, done: Done) -> Result<(), BrokerError> {
        match done {
            Done::Rested(id) => self.leaders.entry(id).or_default().resting = false,
            Done::Produced(produced) => self.produced(produced)?,
            Done::Connected(id, result) => {
                self.leaders.entry(id).or_default().connecting = false;
                match result {
                    Ok(open) => {
                        self.leaders.entry(id).or_default().connection = Some(Arc::new(open));
                    }
                    Err(error) => self.stumble(id, error)?,
                }
            }
            Done::Refreshed(result) => self.refreshed(result)?,
            Done::Saved(store, positions, result) => {
                self.store = Some(store);
                result?;
                self.saved(positions);
            }
            Done::Joined(partitions, result) => self.joined(partitions, result)?,
            Done::Committed(result) => self.committed(result?),
            Done::Inspected(result) => self.inspected(result?)?,
            Done::Renewed(store, result) => {
                self.store = store;
                self.author.producer = result?;
                self.lanes.iter_mut().for_each(Lane::introduce);
                self.lanes.iter_mut().for_each(Lane::renumber);
                self.renewal = Renewal::None;
            }
        }
        Ok(())
    }
}

/// What is under these locks is whole at every moment, so a panic elsewhere does no harm to it.
pub(crate) fn lock(positions: &Mutex<Positions>) -> std::sync::MutexGuard<'_, Positions> {
    positions.lock().unwrap_or_else(PoisonError::into_inner)
}
