//! What is kept of a broker that leads partitions.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::super::connection::Connection;
use super::resting::Calm;
use crate::backoff::Backoff;

/// How many responses of each leader may be in memory: one being taken apart, one arriving.
pub(super) const RESPONSES: usize = 2;

/// How long it is from one fetch to the next where records come one by one, so that they gather at
/// the source. What comes after a rest is fetched at once: only who asks again and again waits, and
/// the brokers at both ends, for which the work lies in the request, have less of it. It counts
/// from fetch to fetch, and not from an answer on: a broker that is slow to answer has let records
/// gather meanwhile.
const PACE: Duration = Duration::from_millis(4);

/// One of them.
pub(super) struct Leader {
    pub(super) connection: Option<Arc<Connection>>,
    /// When the fetch that is under way was sent.
    pub(super) fetching: Option<Instant>,
    /// From where on that fetch asks for which partition, in order.
    pub(super) asked: Vec<(u32, u64)>,
    /// When the last fetch was to be sent.
    pub(super) paced_at: Option<Instant>,
    pub(super) calm: Calm,
    /// Whether the last answer was a little.
    pub(super) trickles: bool,
    /// Since when it has not answered well.
    pub(super) failing_since: Option<Instant>,
    pub(super) backoff: Backoff,
    pub(super) room: Arc<Semaphore>,
}

impl Default for Leader {
    fn default() -> Self {
        Self {
            connection: None,
            fetching: None,
            asked: vec![],
            paced_at: None,
            calm: Calm::default(),
            trickles: false,
            failing_since: None,
            backoff: Backoff::default(),
            room: Arc::new(Semaphore::new(RESPONSES)),
        }
    }
}

impl Leader {
    /// Whether something is awaited that it or its watcher will say.
    pub(super) fn is_awaited(&self) -> bool {
        self.fetching.is_some() || matches!(self.calm, Calm::Resting)
    }

    /// How long the next fetch waits.
    pub(super) fn delay(&mut self) -> Duration {
        let now = Instant::now();
        let due = self.paced_at.map_or(now, |last| last + PACE);
        let gather = match self.trickles {
            true => due.saturating_duration_since(now),
            false => Duration::ZERO,
        };
        let delay = self.backoff.wait().max(gather);
        self.paced_at = Some(now + delay);
        delay
    }
}
