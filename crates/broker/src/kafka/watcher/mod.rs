//! One long poll of a leader for all readers that have come to rest there, so that many of them
//! cost no more than one.
//!
//! The watcher interprets nothing. Whatever is not as it was (records, an error, a log that parts
//! from what was read, another high watermark) wakes the reader, which then asks by itself and
//! meets the same. So it is where a right that was taken away, a leader that has moved, or a topic
//! that is gone comes to light. What happens to the watcher itself wakes all.

mod roster;
mod session;

use std::sync::{Arc, Weak};
use std::time::Duration;

use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub(crate) use self::roster::Rest;
use self::roster::Roster;
use self::session::Session;
pub(crate) use self::session::{Partition, Place};
use super::cluster::Cluster;
use super::connection::Connection;
use super::fetcher::{FETCH_BY_ID, NEWEST_FETCH, STUCK};
use super::offsets::READ_COMMITTED;
use crate::BrokerError;
use crate::backoff::Backoff;

/// How much time a partition adds to the least between two requests. A broker looks at every
/// partition of a session for each request, which takes it some microseconds each; so however many
/// of them have news, that takes no more than a part of its time. A request that has waited at the
/// broker for longer is followed by the next one at once.
const PACE: Duration = Duration::from_micros(20);

/// How long the connection is kept when nobody rests.
const LINGER: Duration = Duration::from_secs(30);

/// Watches the partitions of one leader, until it is dropped or nobody has needed it for a while.
pub(crate) struct Watcher {
    roster: Arc<Roster>,
    task: AbortHandle,
}

impl Watcher {
    /// Connects when somebody rests.
    pub(crate) fn start(cluster: &Arc<Cluster>, leader: BrokerId) -> Self {
        let roster = Arc::new(Roster::default());
        let watch = Watch {
            cluster: Arc::downgrade(cluster),
            leader,
            wait: cluster.config().fetch_wait / 2,
            roster: roster.clone(),
            session: Session::default(),
            connection: None,
            sent: None,
            backoff: Backoff::default(),
        };
        Self {
            roster,
            task: tokio::spawn(watch.run()).abort_handle(),
        }
    }

    /// Whether another one has to be started.
    pub(crate) fn has_ended(&self) -> bool {
        self.roster.has_ended()
    }

    /// How many readers it alone watches for.
    pub(crate) fn resting(&self) -> usize {
        self.roster.asleep()
    }

    /// Watches these partitions from its next request on, which follows within half the time that
    /// a fetch waits.
    pub(crate) fn rest(&self, places: Vec<(Partition, Place)>) -> Rest {
        self.roster.enter(places)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task of a watcher. However it ends, nobody sleeps on.
struct Watch {
    /// Which ends this when nobody needs it any more.
    cluster: Weak<Cluster>,
    leader: BrokerId,
    /// How long a request waits at the broker. That is half of what a reader's own waits: when one
    /// of many partitions is refused, as by a right that was taken away, the broker tells it no sooner
    /// than it answers for the others, so that the request that is under way and the next one pass
    /// until it is known.
    wait: Duration,
    roster: Arc<Roster>,
    session: Session,
    connection: Option<Arc<Connection>>,
    /// When the last request was sent.
    sent: Option<Instant>,
    backoff: Backoff,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.roster.end();
    }
}

impl Watch {
    async fn run(mut self) {
        while timeout(LINGER, self.roster.occupied()).await.is_ok() {
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "readers that rested go on by themselves");
                self.roster.wake_all();
                self.connection = None;
                self.backoff.failed();
                sleep(self.backoff.wait()).await;
            }
        }
    }

    /// One request and its answer.
    async fn look(&mut self) -> Result<(), BrokerError> {
        let connection = self.connect().await?;
        if let Some(sent) = self.sent {
            sleep_until(sent + PACE * self.session.len()).await;
        }
        for (partition, place) in self.roster.changes() {
            self.session.set(partition, place);
        }
        if self.session.len() == 0 {
            return Ok(());
        }
        let response = self.ask(&connection).await?;
        let news = self.session.take(&response);
        let news = news.map_err(|error| connection.subject("").error(error, None))?;
        news.iter()
            .for_each(|partition| self.roster.wake(partition));
        self.backoff.succeeded();
        Ok(())
    }

    /// The connection, a new one if it has ended: after ten minutes without requests brokers end it.
    async fn connect(&mut self) -> Result<Arc<Connection>, BrokerError> {
        if let Some(open) = self.connection.as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        self.session.restart();
        let cluster = self.cluster.upgrade();
        let cluster = cluster.ok_or_else(|| BrokerError::Unreachable {
            server: format!("broker {}", self.leader.0),
            cause: "its cluster is no longer in use".to_owned(),
        })?;
        let opened = Arc::new(cluster.dedicated(self.leader).await?);
        Ok(self.connection.insert(opened).clone())
    }

    async fn ask(&mut self, connection: &Connection) -> Result<FetchResponse, BrokerError> {
        let version = connection.version::<FetchRequest>(NEWEST_FETCH)?;
        if version < FETCH_BY_ID {
            return Err(connection.broken("fetches by topic id are gone".to_owned()));
        }
        let wait = i32::try_from(self.wait.as_millis()).unwrap_or(i32::MAX);
        let request = self.session.request();
        let request = request
            .with_max_wait_ms(wait)
            .with_isolation_level(READ_COMMITTED);
        self.sent = Some(Instant::now());
        connection
            .call_version(&request, version, self.wait + STUCK)
            .await
    }
}
