//! The background half of a reader: one fetch at a time from each leader, leaders followed
//! where they go.

mod epochs;
mod fetch;
mod leader;
mod metadata;
mod notices;
mod resting;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use bytes::Bytes;
use eson_protocol::Positions;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep_until};

use self::epochs::Epochs;
use self::fetch::{Fetch, Outcome};
use self::leader::{Leader, RESPONSES};
use super::cluster::{Cluster, Topic};
use super::connection::Connection;
use super::fetched::{Extent, Fetched};
use super::hanging::Watch;
use super::offsets::READ_COMMITTED;
use crate::backoff::Backoff;
use crate::{BrokerError, ReaderOptions};

/// The bounds of what one fetch asks for.
const FETCH_BYTES: std::ops::RangeInclusive<usize> = 64 << 10..=8 << 20;

/// How many batches of the largest kind a partition's part of a fetch has room for.
const FEW_BATCHES: usize = 2;

/// After an answer of fewer bytes than this the next fetch keeps to the pace.
const LITTLE: usize = 32 << 10;

/// The newest version of Fetch whose fields we know to fill.
pub(crate) const NEWEST_FETCH: i16 = 17;

/// From this version on topics are named by id (KIP-516).
pub(crate) const FETCH_BY_ID: i16 = 13;

/// How long a leader may be late until the metadata are asked whether it still is one.
pub(crate) const STUCK: Duration = Duration::from_secs(5);

/// What a fetcher tells its reader.
#[derive(Debug)]
pub(crate) enum Event {
    Fetched(Fetched),
    /// Records are gone, and the fetcher goes on behind them; or a transaction hides some.
    Notice(BrokerError),
    /// The end.
    Failed(BrokerError),
}

/// Fetches a topic's partitions from wherever they are.
pub(crate) struct Fetcher {
    cluster: Arc<Cluster>,
    topic: Topic,
    cursors: Positions,
    epochs: Epochs,
    encoded: bool,
    buffer: usize,
    partitions: Arc<AtomicU32>,
    events: mpsc::Sender<Event>,
    leaders: HashMap<BrokerId, Leader>,
    fetches: FuturesUnordered<BoxFuture<'static, Outcome>>,
    /// The leaders of which only the watcher asks; they are woken.
    rests: FuturesUnordered<BoxFuture<'static, BrokerId>>,
    refresh_at: Instant,
    looked: Instant,
    /// How long a leader may be silent until the metadata are asked whether it still is one.
    silence: Duration,
    refreshes: Backoff,
    missing_since: Option<Instant>,
    /// Since when a partition has no leader.
    leaderless_since: Option<Instant>,
    watch: Watch,
    /// The size of the largest batch seen.
    largest_batch: usize,
    /// Moves on with each fetch, so that no partition is always served last.
    turn: usize,
}

impl Fetcher {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        topic: Topic,
        cursors: BTreeMap<u32, u64>,
        options: &ReaderOptions,
        partitions: Arc<AtomicU32>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let now = Instant::now();
        Self {
            refresh_at: now + cluster.config().metadata_max_age,
            looked: now,
            silence: cluster.config().fetch_wait + STUCK,
            cluster,
            topic,
            cursors,
            epochs: Epochs::known(&options.epochs, &options.positions),
            encoded: options.encoded,
            buffer: options.buffer,
            partitions,
            events,
            leaders: HashMap::new(),
            fetches: FuturesUnordered::new(),
            rests: FuturesUnordered::new(),
            refreshes: Backoff::default(),
            missing_since: None,
            leaderless_since: None,
            watch: Watch::default(),
            largest_batch: 0,
            turn: 0,
        }
    }

    /// Fetches until the reader is gone or something does not pass.
    pub(crate) async fn run(mut self) {
        while let Err(error) = self.work().await {
            if !error.is_transient() || self.is_overdue() {
                // Nobody may be there to hear it any more.
                let _ = self.events.send(Event::Failed(error)).await;
                return;
            }
            tracing::debug!(%error, topic = %self.topic.name.0, "reading goes on after a failure");
            self.look_again();
        }
    }

    /// Ends without an error when the reader is gone.
    async fn work(&mut self) -> Result<(), BrokerError> {
        loop {
            self.start_fetches();
            tokio::select! {
                () = self.events.closed() => return Ok(()),
                // A fetcher that rests keeps no room for what happens seldom.
                () = sleep_until(self.look_at()) => Box::pin(self.refresh()).await?,
                Some(outcome) = self.fetches.next() => self.take(outcome).await?,
                Some(leader) = self.rests.next() => self.wake(leader),
            }
        }
    }

    fn start_fetches(&mut self) {
        let mut by_leader: BTreeMap<BrokerId, Vec<(u32, u64)>> = BTreeMap::new();
        for (partition, cursor) in &self.cursors {
            if let Some(leader) = self.topic.leader(*partition) {
                by_leader
                    .entry(leader)
                    .or_default()
                    .push((*partition, *cursor));
            }
        }
        let share = self.buffer / (RESPONSES * by_leader.len().max(1));
        let share = share.clamp(*FETCH_BYTES.start(), *FETCH_BYTES.end());
        for (id, mut cursors) in by_leader {
            if self.leaders.get(&id).is_some_and(Leader::is_awaited) {
                continue;
            }
            self.hand_over(id, &cursors);
            self.turn = self.turn.wrapping_add(1);
            let first = self.turn % cursors.len();
            cursors.rotate_left(first);
            let request = self.request(&cursors, share);
            cursors.rotate_right(first);
            let leader = self.leaders.entry(id).or_default();
            leader.fetching = Some(Instant::now());
            leader.asked = cursors;
            let open = leader.connection.take().filter(|open| !open.is_closed());
            let fetch = Fetch {
                cluster: self.cluster.clone(),
                leader: id,
                delay: leader.delay(),
                open,
                room: leader.room.clone(),
                request,
            };
            self.fetches.push(Box::pin(fetch.run()));
        }
    }

    /// Asks for some of every partition, so that what is written on goes to all of them at once: a
    /// request has room for one batch of each.
    fn request(&self, cursors: &[(u32, u64)], bytes: usize) -> FetchRequest {
        let each = (bytes / cursors.len().max(1)).max(FEW_BATCHES * self.largest_batch);
        let partition = |(partition, cursor): &(u32, u64)| {
            FetchPartition::default()
                .with_partition(partition.cast_signed())
                .with_fetch_offset(cursor.cast_signed())
                .with_last_fetched_epoch(self.epochs.last(*partition))
                .with_partition_max_bytes(wire_size(each.min(bytes)))
        };
        let topic = FetchTopic::default()
            .with_topic(self.topic.name.clone())
            .with_topic_id(self.topic.id)
            .with_partitions(cursors.iter().map(partition).collect());
        let wait = self.cluster.config().fetch_wait.as_millis();
        FetchRequest::default()
            .with_max_wait_ms(i32::try_from(wait).unwrap_or(i32::MAX))
            .with_min_bytes(1)
            .with_max_bytes(wire_size(bytes))
            .with_isolation_level(READ_COMMITTED)
            .with_topics(vec![topic])
    }

    async fn take(&mut self, outcome: Outcome) -> Result<(), BrokerError> {
        let leader = self.leaders.entry(outcome.leader).or_default();
        leader.fetching = None;
        let asked = std::mem::take(&mut leader.asked);
        let calm = std::mem::take(&mut leader.calm);
        // Until all of it is known to be good.
        leader.backoff.failed();
        leader.failing_since.get_or_insert_with(Instant::now);
        let answer = outcome.result?;
        leader.connection = Some(answer.connection.clone());
        let queue = self.topic.name.0.to_string();
        let subject = answer.connection.subject(&queue);
        leader.trickles = (1..LITTLE).contains(&size(&answer.response));
        self.check(answer.response.error_code, &answer.connection)?;
        let quiet = self.is_quiet(&answer.connection, &answer.response);
        let mut out_of_range = HashSet::new();
        let mut trouble = None;
        for topic in answer.response.responses {
            for data in topic.partitions {
                if !self.is_timely(outcome.leader, &asked, &data) {
                    continue;
                }
                match ResponseError::try_from_code(data.error_code) {
                    None => {
                        self.look_for_truncation(&data).await;
                        self.look_for_hanging(&data, &answer.connection).await;
                        self.pass_on(data, &answer.room).await;
                    }
                    Some(ResponseError::OffsetOutOfRange) => {
                        out_of_range.insert(data.partition_index.cast_unsigned());
                    }
                    Some(error) if moves(error) => trouble = Some(error),
                    Some(error) => return Err(subject.error(error, None)),
                }
            }
        }
        for partition in out_of_range {
            Box::pin(self.skip_gap(partition)).await?;
        }
        match trouble {
            Some(error) => Err(unreachable(&answer.connection, error)),
            None => {
                let leader = self.leaders.entry(outcome.leader).or_default();
                leader.backoff.succeeded();
                leader.failing_since = None;
                self.settle(outcome.leader, calm, quiet);
                Ok(())
            }
        }
    }

    /// Whether what a leader says is what is to be read next. One that stood still may answer when
    /// another has long been asked instead and has given more, or when what was read has turned out
    /// to be gone.
    fn is_timely(&self, leader: BrokerId, asked: &[(u32, u64)], data: &PartitionData) -> bool {
        let partition = data.partition_index.cast_unsigned();
        let found = asked.binary_search_by_key(&partition, |(partition, _)| *partition);
        let offset = found.ok().map(|index| &asked[index].1);
        let cursor = self.cursors.get(&partition);
        self.topic.leader(partition) == Some(leader) && cursor.is_some() && cursor == offset
    }

    fn check(&self, code: i16, connection: &Connection) -> Result<(), BrokerError> {
        match ResponseError::try_from_code(code) {
            Some(error) if moves(error) => Err(unreachable(connection, error)),
            _ => connection.subject(&self.topic.name.0).check(code, None),
        }
    }

    async fn pass_on(&mut self, data: PartitionData, room: &Arc<OwnedSemaphorePermit>) {
        let partition = data.partition_index.cast_unsigned();
        let bytes = data.records.unwrap_or_default();
        let (Some(extent), Some(cursor)) = (Extent::of(&bytes), self.cursors.get_mut(&partition))
        else {
            return;
        };
        self.largest_batch = self.largest_batch.max(extent.largest_batch);
        self.epochs.read(partition, &extent);
        // What may be read ends where the first open transaction begins.
        let readable = u64::try_from(data.last_stable_offset).unwrap_or(0);
        let fetched = Fetched::new(partition, *cursor, readable, bytes)
            .with_encoded(self.encoded)
            .with_aborted(data.aborted_transactions.as_deref().unwrap_or_default())
            .with_room(room.clone());
        *cursor = extent.next.max(*cursor);
        // Nobody there any more: the loop will see that.
        let _ = self.events.send(Event::Fetched(fetched)).await;
    }
}

/// How many bytes of records it has.
fn size(response: &FetchResponse) -> usize {
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions);
    partitions
        .filter_map(|data| data.records.as_ref())
        .map(Bytes::len)
        .sum()
}

fn unreachable(connection: &Connection, error: ResponseError) -> BrokerError {
    BrokerError::Unreachable {
        server: connection.server().to_owned(),
        cause: error.to_string(),
    }
}

/// Whether a partition is to be looked for again: it has moved, or its broker is not ready, or
/// the topic is gone, which the metadata then say.
fn moves(error: ResponseError) -> bool {
    error.is_retriable()
        || matches!(
            error,
            ResponseError::BrokerNotAvailable | ResponseError::UnknownServerError
        )
}

/// The bounds of a fetch are far below 2 GiB.
fn wire_size(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}
