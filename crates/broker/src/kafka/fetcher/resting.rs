//! Coming to rest: who has nothing to read leaves the asking to the leader's watcher.

use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse};

use super::super::connection::Connection;
use super::super::watcher::{Partition, Place, Rest};
use super::{FETCH_BY_ID, Fetcher, NEWEST_FETCH};

/// After so many quiet answers in a row the watcher is asked to watch, too.
const QUIET_ANSWERS: u32 = 2;

/// How far the partitions that a broker leads have come to rest.
pub(super) enum Calm {
    /// We ask; so many answers in a row were quiet.
    Asking(u32),
    /// The watcher watches from its next request on. Until then one more fetch of our own does, so that
    /// what is written meanwhile does not wait.
    HandingOver(Rest),
    /// Only the watcher watches.
    Resting,
}

impl Default for Calm {
    fn default() -> Self {
        Self::Asking(0)
    }
}

impl Fetcher {
    /// Whether an answer shows that we have read everything and nothing is hidden. One that is held
    /// back by a quota has no partitions. Kafka before 3.1 has no sessions by topic id.
    pub(super) fn is_quiet(&self, connection: &Connection, response: &FetchResponse) -> bool {
        let version = connection.version::<FetchRequest>(NEWEST_FETCH);
        let topics = response.responses.iter();
        let mut partitions = topics.flat_map(|topic| &topic.partitions).peekable();
        version.is_ok_and(|version| version >= FETCH_BY_ID)
            && partitions.peek().is_some()
            && partitions.all(|data| {
                let cursor = self.cursors.get(&data.partition_index.cast_unsigned());
                data.error_code == 0
                    && data.diverging_epoch.end_offset < 0
                    && data.records.as_ref().is_none_or(|it| it.is_empty())
                    && cursor.is_some_and(|cursor| data.high_watermark == cursor.cast_signed())
            })
    }

    /// Asks the watcher to watch what has been quiet for a while.
    pub(super) fn hand_over(&mut self, leader: BrokerId, cursors: &[(u32, u64)]) {
        let known = self.leaders.get_mut(&leader);
        let Some(known) = known.filter(|it| it.calm.is_quiet()) else {
            return;
        };
        let place = |(index, offset): &(u32, u64)| {
            let topic = self.topic.id;
            let index = *index;
            let place = Place {
                offset: *offset,
                epoch: self.epochs.last(index),
            };
            (Partition { topic, index }, place)
        };
        let places = cursors.iter().map(place).collect();
        known.calm = Calm::HandingOver(self.cluster.rest(leader, places));
    }

    /// Comes nearer to rest after an answer that was quiet, or begins again.
    pub(super) fn settle(&mut self, leader: BrokerId, calm: Calm, quiet: bool) {
        let calm = match calm {
            Calm::Asking(answers) if quiet => Calm::Asking(answers + 1),
            Calm::HandingOver(rest) if quiet => {
                self.rests.push(Box::pin(async move {
                    rest.end().await;
                    leader
                }));
                Calm::Resting
            }
            _ => Calm::default(),
        };
        self.leaders.entry(leader).or_default().calm = calm;
    }

    /// There may be something to fetch.
    pub(super) fn wake(&mut self, leader: BrokerId) {
        self.leaders.entry(leader).or_default().calm = Calm::default();
    }

    /// What is to be watched is not the same any more.
    pub(super) fn wake_all(&mut self) {
        self.rests.clear();
        for leader in self.leaders.values_mut() {
            leader.calm = Calm::default();
        }
    }
}

impl Calm {
    fn is_quiet(&self) -> bool {
        matches!(self, Self::Asking(answers) if *answers >= QUIET_ANSWERS)
    }
}
