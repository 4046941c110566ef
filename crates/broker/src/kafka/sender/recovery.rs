//! Finding leaders again, and a producer's place in the leaders' memory.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::cluster::Topic;
use super::super::lane::Lane;
use super::super::producer::{self, Memory};
use super::super::topics;
use super::{Done, MISSING, Renewal, Sender};
use crate::BrokerError;
use crate::backoff::Backoff;

/// How long a leader may be silent until the metadata are asked whether it still is one.
const STUCK: Duration = Duration::from_secs(5);

impl Sender {
    pub(super) fn refresh(&mut self) {
        if self.refreshing {
            return;
        }
        self.refreshing = true;
        self.introduce_rested();
        let wait = self.refreshes.wait();
        self.refreshes.failed();
        let cluster = self.cluster.clone();
        let queue = self.topic.name.0.to_string();
        self.work.push(Box::pin(async move {
            sleep(wait).await;
            Done::Refreshed(cluster.topic(&queue).await)
        }));
    }

    pub(super) fn refreshed(
        &mut self,
        result: Result<Topic, BrokerError>,
    ) -> Result<(), BrokerError> {
        self.refreshing = false;
        let follow = |found| topics::follow(&self.cluster, &self.topic, found);
        let found = match result.and_then(follow) {
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
        if found.is_ready() {
            self.refreshes.succeeded();
        } else {
            let cause = format!("a partition of `{}` has no leader", self.topic.name.0);
            let server = self.cluster.config().server_list();
            self.endure(BrokerError::Unreachable { server, cause })?;
        }
        let limit = self.limit;
        self.leave_former_leaders(&found);
        self.wait_for_former_leaders(&found);
        self.lanes
            .resize_with(found.leaders.len(), || Lane::new(limit));
        self.shared
            .partitions
            .store(found.partitions(), Ordering::Relaxed);
        self.refreshed = Instant::now();
        self.topic = found;
        Ok(())
    }

    /// Brokers forget a producer that has not written for long; much longer than metadata are used.
    fn introduce_rested(&mut self) {
        let rested = |lane: &&mut Lane| !lane.is_unsettled();
        self.lanes
            .iter_mut()
            .filter(rested)
            .for_each(Lane::introduce);
    }

    /// When to look whether a leader that does not answer still is one.
    pub(super) fn stuck_at(&self) -> Option<Instant> {
        let busy = self.leaders.values().filter(|leader| leader.in_flight > 0);
        let since = busy.map(|leader| leader.silent_since).min()?;
        Some(since.max(self.looked) + STUCK)
    }

    /// Looks for other leaders if one has not answered for a while: a process that stands still, or
    /// a network that swallows what is sent, does not end connections.
    pub(super) fn look_after_stuck(&mut self, now: Instant) {
        if self.stuck_at().is_some_and(|stuck_at| stuck_at <= now) {
            self.looked = now;
            self.refresh();
        }
    }

    /// Waits no longer for who leads nothing any more: what is on its way there goes to the new
    /// leaders, who know what of it has reached them.
    fn leave_former_leaders(&mut self, found: &Topic) {
        for (id, leader) in &self.leaders {
            let still_leads = found.leaders.contains(&Some(*id));
            if leader.in_flight > 0
                && !still_leads
                && let Some(open) = &leader.connection
            {
                open.close("it leads no partition any more".to_owned());
            }
        }
    }

    /// What is on its way to a former leader comes before what the new one gets.
    fn wait_for_former_leaders(&mut self, found: &Topic) {
        for (partition, lane) in (0_u32..).zip(&mut self.lanes) {
            if self.topic.leader(partition) != found.leader(partition) {
                lane.change_leader();
            }
        }
    }

    /// Once nothing is on its way any more, looks what the leaders remember of it.
    pub(super) fn inspect(&mut self) {
        let busy = self.lanes.iter().any(Lane::has_in_flight);
        let saving = self.storing && self.store.is_none();
        if busy || saving || self.renewal == Renewal::UnderWay {
            return;
        }
        self.renewal = Renewal::UnderWay;
        let (cluster, topic) = (self.cluster.clone(), self.topic.clone());
        let producer = self.author.producer.id;
        let patience = self.cluster.config().delivery_timeout;
        self.work.push(Box::pin(async move {
            let memories = || producer::memories(&cluster, &topic, producer);
            Done::Inspected(Backoff::retry(patience, memories).await)
        }));
    }

    /// Goes on where the leaders' memory fits what was sent; otherwise a new producer has to.
    pub(super) fn inspected(&mut self, memories: BTreeMap<u32, Memory>) -> Result<(), BrokerError> {
        let mut fits = true;
        for (partition, lane) in (0_u32..).zip(&mut self.lanes) {
            if !lane.is_unsettled() {
                continue;
            }
            let memory = memories.get(&partition);
            let memory =
                memory.filter(|memory| memory.epoch == i32::from(self.author.producer.epoch));
            fits &= memory.is_some_and(|memory| lane.settle(memory.last_sequence));
        }
        if fits {
            self.renewal = Renewal::None;
        } else if self.commits.is_some() {
            // What it has forgotten can't be told from what it has: the next writer aborts it all.
            return Err(BrokerError::Protocol {
                server: self.cluster.config().server_list(),
                cause: format!(
                    "it has lost its memory of a transaction in `{}`",
                    self.topic.name.0
                ),
            });
        } else {
            self.renew();
        }
        Ok(())
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
