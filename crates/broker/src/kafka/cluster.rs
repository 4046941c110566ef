//! What a cluster is made of: its brokers, who leads which partition, and connections to them.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eson_protocol::Server;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::time::timeout;
use uuid::Uuid;

use super::config::KafkaConfig;
use super::connection::Connection;
use super::transport::TlsClient;
use super::watcher::{Partition, Place, Rest, Watcher};
use crate::{BrokerError, QueueId};

/// The first version of Metadata that has topic ids (KIP-516).
const METADATA_WITH_TOPIC_IDS: i16 = 10;

/// How long one server may take to connect and log in before the next one is tried: a process that
/// stands still takes connections and says nothing.
const BOOTSTRAP: Duration = Duration::from_secs(10);

/// A cluster, as last seen.
pub(crate) struct Cluster {
    config: KafkaConfig,
    tls: Option<TlsClient>,
    requests: Arc<AtomicU64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    servers: HashMap<BrokerId, Server>,
    controller: Option<BrokerId>,
    shared: HashMap<BrokerId, Arc<Connection>>,
    for_positions: HashMap<BrokerId, Arc<Connection>>,
    bootstrap: Option<Arc<Connection>>,
    watchers: HashMap<BrokerId, Watcher>,
}

/// A topic, as last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: TopicName,
    pub(crate) id: Uuid,
    /// For each partition its leader, where there is one now.
    pub(crate) leaders: Vec<Option<BrokerId>>,
    /// For each partition how often it has changed its leader; -1 where that is not said.
    pub(crate) epochs: Vec<i32>,
}

impl Topic {
    pub(crate) fn queue_id(&self) -> QueueId {
        queue_id(self.id)
    }

    pub(crate) fn partitions(&self) -> u32 {
        // The protocol counts partitions in an i32.
        u32::try_from(self.leaders.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn leader(&self, partition: u32) -> Option<BrokerId> {
        self.leaders.get(partition as usize).copied().flatten()
    }

    /// The leader of a partition that has to have one.
    pub(crate) fn some_leader(
        &self,
        cluster: &Cluster,
        partition: u32,
    ) -> Result<BrokerId, BrokerError> {
        self.leader(partition)
            .ok_or_else(|| BrokerError::Unreachable {
                server: cluster.config().server_list(),
                cause: format!("partition {partition} of `{}` has no leader", self.name.0),
            })
    }

    /// With the leaders known before, where these are older: a broker that is cut off from the
    /// controller goes on telling what it heard last.
    pub(crate) fn newer_than(mut self, known: &Self) -> Self {
        let ours = self.leaders.iter_mut().zip(&mut self.epochs);
        let known = known.leaders.iter().zip(&known.epochs);
        for ((leader, epoch), (known_leader, known_epoch)) in ours.zip(known) {
            if (0..*known_epoch).contains(epoch) {
                (*leader, *epoch) = (*known_leader, *known_epoch);
            }
        }
        self
    }

    /// Whether every partition has a leader.
    pub(crate) fn is_ready(&self) -> bool {
        self.leaders.iter().all(Option::is_some)
    }
}

/// A topic's id in the form that Kafka's own tools print.
pub(crate) fn queue_id(id: Uuid) -> QueueId {
    QueueId(URL_SAFE_NO_PAD.encode(id))
}

/// The reverse; none when it is no topic's id.
pub(crate) fn topic_id(id: &QueueId) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(&id.0).ok()?;
    Uuid::from_slice(&bytes).ok()
}

pub(crate) fn topic_name(queue: &str) -> TopicName {
    TopicName(StrBytes::from_string(queue.to_owned()))
}

impl Cluster {
    pub(crate) fn new(config: KafkaConfig) -> Result<Self, BrokerError> {
        let tls = config
            .tls
            .as_ref()
            .map(|tls| TlsClient::new(tls, &config.server_list()))
            .transpose()?;
        Ok(Self {
            config,
            tls,
            requests: Arc::default(),
            state: Mutex::default(),
        })
    }

    pub(crate) fn config(&self) -> &KafkaConfig {
        &self.config
    }

    /// How many requests have been sent, to all brokers.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// How many readers rest, counted at each leader.
    pub(crate) fn resting(&self) -> usize {
        let state = self.state();
        state.watchers.values().map(Watcher::resting).sum()
    }

    /// A connection to any broker, for short requests.
    pub(crate) async fn any(&self) -> Result<Arc<Connection>, BrokerError> {
        let learnt = {
            let mut state = self.state();
            state.shared.retain(|_, connection| !connection.is_closed());
            state.bootstrap.take_if(|connection| connection.is_closed());
            if let Some(open) = state.bootstrap.as_ref().or(state.shared.values().next()) {
                return Ok(open.clone());
            }
            state.servers.values().cloned().collect()
        };
        let connection = Arc::new(self.bootstrap(learnt).await?);
        self.state().bootstrap = Some(connection.clone());
        Ok(connection)
    }

    /// A connection to one broker, for short requests.
    pub(crate) async fn broker(&self, id: BrokerId) -> Result<Arc<Connection>, BrokerError> {
        let server = {
            let mut state = self.state();
            let server = self.server(&state, id)?;
            let bootstrap = state.bootstrap.clone();
            let bootstrap = bootstrap.filter(|open| open.server() == server.to_string());
            let open = state.shared.get(&id).cloned().or(bootstrap);
            if let Some(open) = open.filter(|open| !open.is_closed()) {
                state.shared.insert(id, open.clone());
                return Ok(open);
            }
            server
        };
        let connection = Arc::new(self.open(&server).await?);
        self.state().shared.insert(id, connection.clone());
        Ok(connection)
    }

    /// A connection to one broker on which positions are written, and nothing else is done: a broker
    /// answers one request of a connection after the other, and a write once all replicas have it. A
    /// short request behind that would wait, and end the connection for all when it has waited too long.
    pub(crate) async fn for_positions(&self, id: BrokerId) -> Result<Arc<Connection>, BrokerError> {
        let server = {
            let state = self.state();
            let open = state.for_positions.get(&id);
            if let Some(open) = open.filter(|open| !open.is_closed()) {
                return Ok(open.clone());
            }
            self.server(&state, id)?
        };
        let connection = Arc::new(self.open(&server).await?);
        let mut state = self.state();
        // Somebody else may have opened one meanwhile.
        let known = state.for_positions.entry(id);
        let known = known.or_insert_with(|| connection.clone());
        if known.is_closed() {
            *known = connection;
        }
        Ok(known.clone())
    }

    /// A connection to one broker that nobody else uses, for requests that wait there.
    pub(crate) async fn dedicated(&self, id: BrokerId) -> Result<Connection, BrokerError> {
        let server = self.server(&self.state(), id)?;
        self.open(&server).await
    }

    /// Lets the leader's watcher watch partitions for a reader that has come to rest.
    pub(crate) fn rest(
        self: &Arc<Self>,
        leader: BrokerId,
        places: Vec<(Partition, Place)>,
    ) -> Rest {
        let mut state = self.state();
        state.watchers.retain(|_, watcher| !watcher.has_ended());
        let watcher = state.watchers.entry(leader);
        let watcher = watcher.or_insert_with(|| Watcher::start(self, leader));
        watcher.rest(places)
    }

    /// Never held while anything is waited for: whoever waits for it may not be looked after by
    /// its task at that moment, and would keep it from all others. What is under it is whole at
    /// every moment, so a panic elsewhere does no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to the broker that changes topics.
    pub(crate) async fn controller(&self) -> Result<Arc<Connection>, BrokerError> {
        self.metadata(None).await?;
        let controller = self.state().controller;
        match controller {
            Some(id) => self.broker(id).await,
            None => self.any().await,
        }
    }

    /// The ids of all brokers.
    pub(crate) async fn brokers(&self) -> Result<Vec<BrokerId>, BrokerError> {
        let metadata = self.metadata(None).await?;
        Ok(metadata
            .brokers
            .iter()
            .map(|broker| broker.node_id)
            .collect())
    }

    /// Describes a topic. It is never created by asking.
    pub(crate) async fn topic(&self, queue: &str) -> Result<Topic, BrokerError> {
        let metadata = self.metadata(Some(queue)).await?;
        let found = metadata.topics.into_iter().next();
        let found = found.ok_or_else(|| BrokerError::NotFound(queue.to_owned()))?;
        let connection = self.any().await?;
        connection.subject(queue).check(found.error_code, None)?;
        topic(queue, found).map_err(|cause| connection.broken(cause))
    }

    /// Asks for the brokers, and for one topic.
    async fn metadata(&self, queue: Option<&str>) -> Result<MetadataResponse, BrokerError> {
        let topics =
            queue.map(|queue| MetadataRequestTopic::default().with_name(Some(topic_name(queue))));
        let request = MetadataRequest::default()
            .with_topics(Some(topics.into_iter().collect()))
            .with_allow_auto_topic_creation(false);
        let response = match self.ask_metadata(&request).await {
            // The connection may have ended since it was last used.
            Err(BrokerError::Unreachable { .. }) => self.ask_metadata(&request).await?,
            other => other?,
        };
        self.learn(&response);
        Ok(response)
    }

    async fn ask_metadata(
        &self,
        request: &MetadataRequest,
    ) -> Result<MetadataResponse, BrokerError> {
        let connection = self.any().await?;
        let version = connection.version::<MetadataRequest>(i16::MAX)?;
        if version < METADATA_WITH_TOPIC_IDS {
            return Err(BrokerError::Unsupported {
                kind: "kafka".to_owned(),
                what: "tell topics apart by id before Kafka 2.8".to_owned(),
            });
        }
        let wait = self.config.request_timeout.min(Duration::from_secs(10));
        connection.call_version(request, version, wait).await
    }

    fn learn(&self, metadata: &MetadataResponse) {
        let mut state = self.state();
        let servers: HashMap<_, _> = metadata
            .brokers
            .iter()
            .filter_map(|broker| {
                let host = broker.host.to_string();
                let port = u16::try_from(broker.port).ok()?;
                Some((broker.node_id, Server { host, port }))
            })
            .collect();
        // A broker that is starting may not know the others yet.
        if !servers.is_empty() {
            state.shared.retain(|id, _| servers.contains_key(id));
            let positions = &mut state.for_positions;
            positions.retain(|id, _| servers.contains_key(id));
            state.servers = servers;
        }
        state.controller = Some(metadata.controller_id).filter(|id| id.0 >= 0);
    }

    fn server(&self, state: &State, id: BrokerId) -> Result<Server, BrokerError> {
        let known = state.servers.get(&id).cloned();
        known.ok_or_else(|| BrokerError::Unreachable {
            server: self.config.server_list(),
            cause: format!("broker {} is not in the cluster's metadata", id.0),
        })
    }

    /// Tries what is configured, then what the cluster has said of itself.
    async fn bootstrap(&self, learnt: Vec<Server>) -> Result<Connection, BrokerError> {
        let mut failure = BrokerError::Unreachable {
            server: self.config.server_list(),
            cause: "no server is configured".to_owned(),
        };
        for server in self.config.servers.iter().chain(&learnt) {
            match self.open_soon(server).await {
                Ok(connection) => return Ok(connection),
                Err(error @ BrokerError::Unreachable { .. }) => failure = error,
                // What one broker refuses, the others would refuse too.
                Err(refused) => return Err(refused),
            }
        }
        Err(failure)
    }

    async fn open_soon(&self, server: &Server) -> Result<Connection, BrokerError> {
        let opened = timeout(BOOTSTRAP, self.open(server)).await;
        opened.unwrap_or_else(|_| {
            Err(BrokerError::Unreachable {
                server: server.to_string(),
                cause: format!("no answer within {BOOTSTRAP:?}"),
            })
        })
    }

    async fn open(&self, server: &Server) -> Result<Connection, BrokerError> {
        let requests = self.requests.clone();
        Connection::open(&self.config, self.tls.as_ref(), server, requests).await
    }
}

/// Refuses an index that can't be: it may be as large as to use up the memory.
fn topic(queue: &str, found: MetadataResponseTopic) -> Result<Topic, String> {
    let count = found.partitions.len();
    let (mut leaders, mut epochs) = (vec![None; count], vec![-1; count]);
    for partition in &found.partitions {
        let index = partition.partition_index;
        let Some(slot) = usize::try_from(index).ok().filter(|slot| *slot < count) else {
            return Err(format!(
                "it tells of partition {index} of `{queue}`, and of only {count} partitions"
            ));
        };
        leaders[slot] = Some(partition.leader_id).filter(|leader| leader.0 >= 0);
        epochs[slot] = partition.leader_epoch;
    }
    Ok(Topic {
        name: topic_name(queue),
        id: found.topic_id,
        leaders,
        epochs,
    })
}
