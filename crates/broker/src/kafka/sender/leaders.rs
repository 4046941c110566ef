//! What is sent to which leader, and when.

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::messages::{BrokerId, ProduceRequest};
use tokio::time::Instant;

use super::super::connection::Connection;
use super::super::produce::{self, Outbound};
use super::{Done, Produced, Renewal, Sender};
use crate::BrokerError;
use crate::backoff::Backoff;

/// How many requests may be on their way to one leader: what the broker remembers of a producer.
const REQUESTS: usize = 5;

/// A broker that leads partitions.
pub(super) struct Leader {
    pub(super) connection: Option<Arc<Connection>>,
    pub(super) connecting: bool,
    pub(super) resting: bool,
    pub(super) in_flight: usize,
    /// When it last answered, or was asked while nothing was on its way.
    pub(super) silent_since: Instant,
    pub(super) backoff: Backoff,
}

impl Default for Leader {
    fn default() -> Self {
        Self {
            connection: None,
            connecting: false,
            resting: false,
            in_flight: 0,
            silent_since: Instant::now(),
            backoff: Backoff::default(),
        }
    }
}

impl Sender {
    pub(super) fn send(&mut self) -> Result<(), BrokerError> {
        if self.renewal != Renewal::None {
            self.inspect();
            return Ok(());
        }
        let mut by_leader: HashMap<BrokerId, Vec<u32>> = HashMap::new();
        let mut look = false;
        let mut strangers = vec![];
        for (partition, lane) in (0_u32..).zip(&self.lanes) {
            match self.topic.leader(partition) {
                _ if lane.is_empty() => {}
                _ if !self.may_write(partition) => strangers.push(partition),
                Some(leader) => by_leader.entry(leader).or_default().push(partition),
                None => look = true,
            }
        }
        self.join(strangers);
        let old = self.refreshed.elapsed() > self.cluster.config().metadata_max_age;
        if look || (old && !by_leader.is_empty()) {
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
        let version = produce::version(connection, &self.author)?;
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
        let body = produce::encode(version, &self.topic, &self.author, timeout, &outbound);
        let pending = connection.try_send::<ProduceRequest>(version, body);
        let leader = self.leaders.entry(id).or_default();
        if leader.in_flight == 0 {
            leader.silent_since = Instant::now();
        }
        leader.in_flight += 1;
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
}
