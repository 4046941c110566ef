//! One fetch from one leader.

use std::sync::Arc;
use std::time::Duration;

use futures_timer::Delay;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::cluster::Cluster;
use super::super::connection::Connection;
use super::{FETCH_BY_ID, NEWEST_FETCH};
use crate::BrokerError;

/// From this version on a fetch says which leader wrote what was read last (KIP-595).
const FETCH_WITH_EPOCH: i16 = 12;

/// What is needed for one fetch.
pub(super) struct Fetch {
    pub(super) cluster: Arc<Cluster>,
    pub(super) leader: BrokerId,
    pub(super) delay: Duration,
    pub(super) open: Option<Arc<Connection>>,
    pub(super) room: Arc<Semaphore>,
    pub(super) request: FetchRequest,
}

impl Fetch {
    pub(super) async fn run(self) -> Outcome {
        Outcome {
            leader: self.leader,
            result: self.answer().await,
        }
    }

    async fn answer(mut self) -> Result<Answer, BrokerError> {
        wait(self.delay).await;
        let connection = match self.open {
            Some(open) => open,
            None => Arc::new(self.cluster.dedicated(self.leader).await?),
        };
        let room = self
            .room
            .acquire_owned()
            .await
            .map_err(|_| BrokerError::Unreachable {
                server: connection.server().to_owned(),
                cause: "the reader has ended".to_owned(),
            })?;
        let version = connection.version::<FetchRequest>(NEWEST_FETCH)?;
        debug_assert!(version < FETCH_BY_ID || !self.request.topics[0].topic_id.is_nil());
        if version < FETCH_WITH_EPOCH {
            forget_epochs(&mut self.request);
        }
        let config = self.cluster.config();
        let wait = config.fetch_wait + config.request_timeout;
        let response = connection
            .call_version(&self.request, version, wait)
            .await?;
        Ok(Answer {
            connection,
            response,
            room: Arc::new(room),
        })
    }
}

/// Tokio's timers count whole milliseconds, rounded up, and so does a wait for no time at all: what
/// comes one by one would be late by that.
async fn wait(delay: Duration) {
    if !delay.is_zero() {
        Delay::new(delay).await;
    }
}

/// An older broker does not take part in that.
fn forget_epochs(request: &mut FetchRequest) {
    for partition in request.topics.iter_mut().flat_map(|it| &mut it.partitions) {
        partition.last_fetched_epoch = FetchPartition::default().last_fetched_epoch;
    }
}

/// How a fetch ended.
pub(super) struct Outcome {
    pub(super) leader: BrokerId,
    pub(super) result: Result<Answer, BrokerError>,
}

pub(super) struct Answer {
    pub(super) connection: Arc<Connection>,
    pub(super) response: FetchResponse,
    pub(super) room: Arc<OwnedSemaphorePermit>,
}
