//! Where the partitions are, looked at when it is time or when something does not pass.

use std::sync::atomic::Ordering;
use std::time::Duration;

use eson_protocol::Start;
use kafka_protocol::messages::BrokerId;
use tokio::time::Instant;

use super::super::cluster::Topic;
use super::super::{offsets, topics};
use super::Fetcher;
use crate::BrokerError;

/// How long a topic must be missing until it is believed to be gone: a broker that is starting
/// does not know all of them yet.
const MISSING: Duration = Duration::from_secs(3);

impl Fetcher {
    /// When the metadata are to be looked at: when it is time, or when a leader is silent and may
    /// not be one any more.
    pub(super) fn look_at(&self) -> Instant {
        let fetching = self.leaders.values().filter_map(|leader| leader.fetching);
        let silent = fetching.map(|since| since.max(self.looked) + self.silence);
        silent.fold(self.refresh_at, Instant::min)
    }

    /// Looks at the metadata again as soon as the back-off permits.
    pub(super) fn look_again(&mut self) {
        self.refresh_at = self.refresh_at.min(Instant::now() + self.refreshes.wait());
    }

    pub(super) async fn refresh(&mut self) -> Result<(), BrokerError> {
        // Should it fail, it is tried again after this; each success makes the wait short.
        self.refreshes.failed();
        self.looked = Instant::now();
        self.refresh_at = self.looked + self.refreshes.wait();
        let queue = self.topic.name.0.to_string();
        let found = match self.cluster.topic(&queue).await {
            Err(error @ BrokerError::NotFound(_)) => return self.missing(error),
            other => topics::follow(&self.cluster, &self.topic, other?)?,
        };
        self.missing_since = None;
        self.follow_growth(&found).await?;
        if self.topic != found {
            self.wake_all();
        }
        self.topic = found;
        if self.topic.is_ready() {
            self.leaderless_since = None;
            self.refreshes.succeeded();
            self.refresh_at = Instant::now() + self.cluster.config().metadata_max_age;
            return Ok(());
        }
        self.leaderless_since.get_or_insert_with(Instant::now);
        match self.topic.leaders.iter().position(Option::is_none) {
            // The protocol counts partitions in an i32.
            Some(partition) => self
                .topic
                .some_leader(&self.cluster, partition as u32)
                .map(drop),
            None => Ok(()),
        }
    }

    fn missing(&mut self, error: BrokerError) -> Result<(), BrokerError> {
        let since = *self.missing_since.get_or_insert_with(Instant::now);
        if since.elapsed() < MISSING {
            return Ok(());
        }
        Err(error)
    }

    /// New partitions are read from their beginning: nothing was written to them before they
    /// were there.
    async fn follow_growth(&mut self, found: &Topic) -> Result<(), BrokerError> {
        let cursors = &self.cursors;
        let new = (0..found.partitions()).filter(|partition| !cursors.contains_key(partition));
        let new: Vec<_> = new
            .filter(|partition| found.leader(*partition).is_some())
            .collect();
        if !new.is_empty() {
            let begin = offsets::resolve(&self.cluster, found, new.into_iter(), Start::Earliest);
            self.cursors.extend(begin.await?);
            self.partitions.store(found.partitions(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether a partition could not be read for so long that somebody should know.
    pub(super) fn is_overdue(&self) -> bool {
        let leads = |id: &BrokerId| self.topic.leaders.contains(&Some(*id));
        let failing = self.leaders.iter().filter(|(id, _)| leads(id));
        let failing = failing.filter_map(|(_, leader)| leader.failing_since);
        let since = failing.chain(self.leaderless_since).min();
        since.is_some_and(|since| since.elapsed() > self.cluster.config().delivery_timeout)
    }
}
