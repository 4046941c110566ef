//! The background half of a writer: batches to the leaders, several on their way to each,
//! repeated until they are acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use eson_protocol::Positions;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{BrokerId, ProduceRequest, ProduceResponse};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::batch::Producer;
use super::cluster::{Cluster, Topic};
use super::connection::Connection;
use super::lane::{Claim, Content, Lane, Part};
use super::positions::PositionStore;
use super::produce::{self, Outbound};
use super::producer::{self, Memory};
use super::tickets::Tickets;
use super::topics;
use crate::BrokerError;
use crate::backoff::Backoff;

/// How many requests may be on their way to one leader: what the broker remembers of a producer.
const REQUESTS: usize = 5;

/// How often positions are stored while records flow.
const SAVE_EVERY: Duration = Duration::from_millis(100);

/// How long a topic must be missing until it is believed to be gone.
const MISSING: Duration = Duration::from_secs(3);

/// What the writer asks of its sender.
pub(crate) enum Command {
    Chunk {
        partition: u32,
        source: u32,
        next: u64,
        contents: Vec<Content>,
        room: OwnedSemaphorePermit,
    },
    Flush(oneshot::Sender<()>),
}

/// What the writer and its sender both see.
pub(crate) struct Shared {
    pub(crate) acknowledged: Mutex<Positions>,
    pub(crate) stored: Mutex<Positions>,
    pub(crate) failure: OnceLock<BrokerError>,
    pub(crate) partitions: AtomicU32,
    /// The bytes that may wait; closed at the end.
    pub(crate) room: Arc<Semaphore>,
}

/// Sends a writer's chunks.
pub(crate) struct Sender {
    cluster: Arc<Cluster>,
    topic: Topic,
    producer: Producer,
    /// Absent also while it is at work.
    store: Option<PositionStore>,
    storing: bool,
    lanes: Vec<Lane>,
    limit: usize,
    leaders: HashMap<BrokerId, Leader>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    tickets: Tickets,
    flushes: Vec<oneshot::Sender<()>>,
    shared: Arc<Shared>,
    save_at: Instant,
    refreshed: Instant,
    refreshing: bool,
    refreshes: Backoff,
    missing_since: Option<Instant>,
    stalled_since: Option<Instant>,
    renewal: Renewal,
}

/// A broker that leads partitions.
#[derive(Default)]
struct Leader {
    connection: Option<Arc<Connection>>,
    connecting: bool,
    resting: bool,
    in_flight: usize,
    backoff: Backoff,
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
        producer: Producer,
        store: Option<PositionStore>,
        limit: usize,
        shared: Arc<Shared>,
    ) -> Self {
        let now = Instant::now();
        Self {
            cluster,
            lanes: (0..topic.partitions()).map(|_| Lane::new(limit)).collect(),
            topic,
            producer,
            storing: store.is_some(),
            store,
            limit,
            leaders: HashMap::new(),
            work: FuturesUnordered::new(),
            tickets: Tickets::default(),
            flushes: vec![],
            shared,
            save_at: now,
            refreshed: now,
            refreshing: false,
            refreshes: Backoff::default(),
            missing_since: None,
            stalled_since: None,
            renewal: Renewal::None,
        }
    }

    /// Sends until the writer is gone or something does not pass.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        if let Err(error) = self.serve(&mut commands).await {
            let error = match error {
                // Wherever it was noticed first.
                BrokerError::Fenced(_) => BrokerError::Fenced(self.topic.name.0.to_string()),
                other => other,
            };
            // The first failure is the one that is told.
            let _ = self.shared.failure.set(error);
            self.shared.room.close();
        }
    }

    async fn serve(&mut self, commands: &mut mpsc::Receiver<Command>) -> Result<(), BrokerError> {
        loop {
            self.collect();
            self.send()?;
            tokio::select! {
                command = commands.recv() => {
                    let Some(command) = command else {
                        return Ok(());
                    };
                    self.obey(command);
                    while let Ok(more) = commands.try_recv() {
                        self.obey(more);
                    }
                }
                Some(done) = self.work.next() => self.take(done)?,
                () = sleep_until(self.save_at), if self.must_save() => {}
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Flush(done) => self.flushes.push(done),
            Command::Chunk {
                partition,
                source,
                next,
                contents,
                room,
            } => {
                let ticket = self.tickets.issue(source, next, contents.len());
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

    /// Looks what is acknowledged, stores it when it is time, and ends the flushes that waited
    /// for it.
    fn collect(&mut self) {
        let mut acknowledged = lock(&self.shared.acknowledged);
        self.tickets.collect(&mut acknowledged);
        drop(acknowledged);
        if self.must_save() && (self.save_at <= Instant::now() || !self.flushes.is_empty()) {
            self.save();
        }
        if self.tickets.is_empty() && self.is_saved() {
            for flush in self.flushes.drain(..) {
                // A flush that nobody waits for any more is done too.
                let _ = flush.send(());
            }
        }
    }

    fn is_saved(&self) -> bool {
        !self.storing || *lock(&self.shared.acknowledged) == *lock(&self.shared.stored)
    }

    /// Whether there is something to store, and nothing else being stored.
    fn must_save(&self) -> bool {
        self.store.is_some() && self.renewal == Renewal::None && !self.is_saved()
    }

    fn save(&mut self) {
        let Some(mut store) = self.store.take() else {
            return;
        };
        self.save_at = Instant::now() + SAVE_EVERY;
        let all = lock(&self.shared.acknowledged).clone();
        let stored = lock(&self.shared.stored).clone();
        let mut changed = all.clone();
        changed.retain(|partition, offset| stored.get(partition) != Some(offset));
        self.work.push(Box::pin(async move {
            let result = store.save(&changed).await;
            Done::Saved(store, all, result)
        }));
    }

    fn send(&mut self) -> Result<(), BrokerError> {
        if self.renewal != Renewal::None {
            self.inspect();
            return Ok(());
        }
        let mut by_leader: HashMap<BrokerId, Vec<u32>> = HashMap::new();
        for (partition, lane) in (0_u32..).zip(&self.lanes) {
            match self.topic.leader(partition) {
                _ if lane.is_empty() => {}
                Some(leader) => by_leader.entry(leader).or_default().push(partition),
                None => self.stalled_since = self.stalled_since.or(Some(Instant::now())),
            }
        }
        let leaderless = self.stalled_since.is_some();
        let old = self.refreshed.elapsed() > self.cluster.config().metadata_max_age;
        if leaderless || (old && !by_leader.is_empty()) {
            self.refresh();
        }
        for (leader, partitions) in by_leader {
            self.send_to(leader, &partitions)?;
        }
        Ok(())
    }

    fn send_to(&mut self, id: BrokerId, partitions: &[u32]) -> Result<(), BrokerError> {
        let leader = self.leaders.entry(id).or_default();
        if leader.resting || leader.connecting {
            return Ok(());
        }
        leader
            .connection
            .take_if(|connection| connection.is_closed());
        let Some(connection) = leader.connection.clone() else {
            // What was sent on the old connection fails first.
            if leader.in_flight == 0 {
                leader.connecting = true;
                let cluster = self.cluster.clone();
                self.work.push(Box::pin(async move {
                    Done::Connected(id, cluster.dedicated(id).await)
                }));
            }
            return Ok(());
        };
        while self.in_flight(id) < REQUESTS && self.send_one(id, &connection, partitions)? {}
        Ok(())
    }

    fn in_flight(&self, id: BrokerId) -> usize {
        self.leaders.get(&id).map_or(0, |leader| leader.in_flight)
    }

    /// Sends one request with what there is for these partitions; false when there is nothing.
    fn send_one(
        &mut self,
        id: BrokerId,
        connection: &Arc<Connection>,
        partitions: &[u32],
    ) -> Result<bool, BrokerError> {
        let idle = self.in_flight(id) == 0;
        let mut batches = vec![];
        for partition in partitions {
            let next = self.lanes[*partition as usize].next(idle);
            let next = next.map_err(|cause| connection.broken(cause.to_string()))?;
            batches.extend(next.map(|sequence| (*partition, sequence)));
        }
        if batches.is_empty() {
            return Ok(false);
        }
        let version = produce::version(connection)?;
        let outbound: Vec<_> = batches
            .iter()
            .filter_map(|(partition, sequence)| {
                Some(Outbound {
                    partition: *partition,
                    batch: self.lanes[*partition as usize].batch(*sequence)?,
                    sequence: *sequence,
                })
            })
            .collect();
        let wait = self.cluster.config().request_timeout;
        let timeout = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let body = produce::encode(version, &self.topic, self.producer, timeout, &outbound);
        let pending = connection.try_send::<ProduceRequest>(version, body);
        self.leaders.entry(id).or_default().in_flight += 1;
        let connection = connection.clone();
        self.work.push(Box::pin(async move {
            let result = match pending {
                Ok(pending) => {
                    // The broker itself waits that long for its followers.
                    let wait = 2 * wait;
                    pending
                        .receive_within::<ProduceRequest>(version, &connection, wait)
                        .await
                }
                Err(error) => Err(error),
            };
            Done::Produced(Produced {
                leader: id,
                connection,
                batches,
                result,
            })
        }));
        Ok(true)
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
                *lock(&self.shared.stored) = positions;
            }
            Done::Inspected(result) => self.inspected(result?),
            Done::Renewed(store, result) => {
                self.store = store;
                self.producer = result?;
                self.lanes.iter_mut().for_each(Lane::renumber);
                self.renewal = Renewal::None;
            }
        }
        Ok(())
    }

    fn produced(&mut self, produced: Produced) -> Result<(), BrokerError> {
        let Produced {
            leader,
            connection,
            batches,
            result,
        } = produced;
        self.leaders.entry(leader).or_default().in_flight -= 1;
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                self.fail_all(&batches);
                return self.stumble(leader, error);
            }
        };
        let mut trouble = None;
        for topic in &response.responses {
            for answer in &topic.partition_responses {
                let partition = answer.index.cast_unsigned();
                let Some((_, sequence)) = batches.iter().find(|batch| batch.0 == partition) else {
                    continue;
                };
                let code = ResponseError::try_from_code(answer.error_code);
                let message = answer.error_message.as_deref();
                let error = self.answered(partition, *sequence, code, &connection, message)?;
                trouble = error.or(trouble);
            }
        }
        match trouble {
            Some(error) => self.stumble(leader, error),
            None => {
                self.leaders.entry(leader).or_default().backoff.succeeded();
                Ok(())
            }
        }
    }

    /// One batch's answer. What may pass is given back and tried again; the rest is the end.
    fn answered(
        &mut self,
        partition: u32,
        sequence: i32,
        code: Option<ResponseError>,
        connection: &Connection,
        message: Option<&str>,
    ) -> Result<Option<BrokerError>, BrokerError> {
        use ResponseError as E;
        let queue = self.topic.name.0.to_string();
        let Some(lane) = self.lanes.get_mut(partition as usize) else {
            return Ok(None);
        };
        match code {
            // Of a repeated batch the broker knows that it has it.
            None | Some(E::DuplicateSequenceNumber) => {
                for claim in lane.acknowledge(sequence) {
                    self.tickets.part_done(claim.ticket);
                }
                self.stalled_since = None;
                Ok(None)
            }
            Some(E::MessageTooLarge | E::RecordListTooLarge) => {
                let split = lane.split(sequence);
                match split.map_err(|cause| connection.broken(cause.to_string()))? {
                    true => Ok(None),
                    false => Err(BrokerError::Invalid {
                        queue,
                        cause: "it takes only smaller events than when it was opened".to_owned(),
                    }),
                }
            }
            Some(E::OutOfOrderSequenceNumber | E::UnknownProducerId) => {
                // Behind a batch that failed this had to be; otherwise the broker has forgotten.
                if lane.is_first(sequence) {
                    self.renewal = Renewal::Wanted;
                }
                lane.fail(sequence);
                Ok(None)
            }
            Some(error) if error.is_retriable() => {
                lane.fail(sequence);
                Ok(Some(BrokerError::Unreachable {
                    server: connection.server().to_owned(),
                    cause: error.to_string(),
                }))
            }
            Some(error) => Err(connection.subject(&queue).error(error, message)),
        }
    }

    fn fail_all(&mut self, batches: &[(u32, i32)]) {
        for (partition, sequence) in batches {
            if let Some(lane) = self.lanes.get_mut(*partition as usize) {
                lane.fail(*sequence);
            }
        }
    }

    /// A leader has failed in a way that may pass: it gets a rest, and the metadata a look.
    fn stumble(&mut self, id: BrokerId, error: BrokerError) -> Result<(), BrokerError> {
        self.endure(error)?;
        let leader = self.leaders.entry(id).or_default();
        leader.backoff.failed();
        if !leader.resting {
            leader.resting = true;
            let wait = leader.backoff.wait();
            self.work.push(Box::pin(async move {
                sleep(wait).await;
                Done::Rested(id)
            }));
        }
        self.refresh();
        Ok(())
    }

    /// Bears what may pass, for as long as a delivery may take.
    fn endure(&mut self, error: BrokerError) -> Result<(), BrokerError> {
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        if !error.is_transient() || since.elapsed() > self.cluster.config().delivery_timeout {
            return Err(error);
        }
        tracing::debug!(%error, topic = %self.topic.name.0, "writing goes on after a failure");
        Ok(())
    }

    fn refresh(&mut self) {
        if self.refreshing {
            return;
        }
        self.refreshing = true;
        let wait = self.refreshes.wait();
        self.refreshes.failed();
        let cluster = self.cluster.clone();
        let queue = self.topic.name.0.to_string();
        self.work.push(Box::pin(async move {
            sleep(wait).await;
            Done::Refreshed(cluster.topic(&queue).await)
        }));
    }

    fn refreshed(&mut self, result: Result<Topic, BrokerError>) -> Result<(), BrokerError> {
        self.refreshing = false;
        let found = match result {
            Ok(found) => found,
            Err(error @ BrokerError::NotFound(_)) => {
                let since = *self.missing_since.get_or_insert_with(Instant::now);
                if since.elapsed() > MISSING {
                    return Err(error);
                }
                self.refresh();
                return Ok(());
            }
            Err(error) => {
                self.endure(error)?;
                self.refresh();
                return Ok(());
            }
        };
        self.missing_since = None;
        let queue = self.topic.name.0.to_string();
        topics::same(&queue, &self.topic.queue_id(), &found)?;
        if found.is_ready() {
            self.refreshes.succeeded();
        } else {
            let cause = format!("a partition of `{queue}` has no leader");
            let server = self.cluster.config().server_list();
            self.endure(BrokerError::Unreachable { server, cause })?;
        }
        let limit = self.limit;
        self.lanes
            .resize_with(found.leaders.len(), || Lane::new(limit));
        self.shared
            .partitions
            .store(found.partitions(), Ordering::Relaxed);
        self.refreshed = Instant::now();
        self.topic = found;
        Ok(())
    }

    /// Once nothing is on its way any more, looks what the leaders remember of it.
    fn inspect(&mut self) {
        let busy = self.lanes.iter().any(Lane::has_in_flight);
        let saving = self.storing && self.store.is_none();
        if busy || saving || self.renewal == Renewal::UnderWay {
            return;
        }
        self.renewal = Renewal::UnderWay;
        let (cluster, topic) = (self.cluster.clone(), self.topic.clone());
        let producer = self.producer.id;
        let patience = self.cluster.config().delivery_timeout;
        self.work.push(Box::pin(async move {
            let memories = || producer::memories(&cluster, &topic, producer);
            Done::Inspected(Backoff::retry(patience, memories).await)
        }));
    }

    /// Goes on where the leaders' memory fits what was sent; otherwise a new producer has to.
    fn inspected(&mut self, memories: BTreeMap<u32, Memory>) {
        let mut fits = true;
        for (partition, lane) in (0_u32..).zip(&mut self.lanes) {
            if !lane.is_unsettled() {
                continue;
            }
            let memory = memories.get(&partition);
            let memory = memory.filter(|memory| memory.epoch == i32::from(self.producer.epoch));
            match memory.and_then(|memory| lane.settle(memory.last_sequence)) {
                Some(claims) => {
                    claims
                        .iter()
                        .for_each(|claim| self.tickets.part_done(claim.ticket));
                }
                None => fits = false,
            }
        }
        if fits {
            self.renewal = Renewal::None;
        } else {
            self.renew();
        }
    }

    /// Becomes a new producer, for which all numbers begin anew. What the old one has written
    /// without our knowing comes again.
    fn renew(&mut self) {
        tracing::warn!(topic = %self.topic.name.0, "the broker has lost its memory of this writer");
        let store = self.store.take();
        let cluster = self.cluster.clone();
        let queue = self.topic.name.0.to_string();
        self.work.push(Box::pin(async move {
            match store {
                Some(mut store) => {
                    let producer = store.renew().await;
                    Done::Renewed(Some(store), producer)
                }
                None => Done::Renewed(None, producer::anonymous(&cluster, &queue).await),
            }
        }));
    }
}

/// What is under these locks is whole at every moment, so a panic elsewhere does no harm to it.
pub(crate) fn lock(positions: &Mutex<Positions>) -> std::sync::MutexGuard<'_, Positions> {
    positions.lock().unwrap_or_else(PoisonError::into_inner)
}
