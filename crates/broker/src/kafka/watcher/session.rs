//! One incremental fetch session (KIP-227): a request names what has changed since the one before,
//! an answer what is not as it was.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use uuid::Uuid;

/// The id of no session.
const NO_SESSION: i32 = 0;

/// The epoch of a request that names all partitions and begins a session, in the place of the one
/// whose id it has.
const BEGIN: i32 = 0;

/// It is enough to know that there is something: the broker then sends one batch at most.
const A_BYTE: i32 = 1;

/// A partition of a topic, which has an id (KIP-516).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Partition {
    pub(crate) topic: Uuid,
    pub(crate) index: u32,
}

/// Where somebody has come to rest: at the end of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    /// Under which leader the record before it was written (KIP-595); negative if nobody knows.
    pub(crate) epoch: i32,
}

/// What is watched, and how much of that the broker knows.
#[derive(Debug, Default)]
pub(super) struct Session {
    id: i32,
    epoch: i32,
    places: BTreeMap<Partition, Place>,
    changed: BTreeSet<Partition>,
}

impl Session {
    /// How many partitions it watches.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    /// From the next request on the partition is watched from there, or no longer.
    pub(super) fn set(&mut self, partition: Partition, place: Option<Place>) {
        match place {
            Some(place) => self.places.insert(partition, place),
            None => self.places.remove(&partition),
        };
        self.changed.insert(partition);
    }

    /// The next request begins a new session: nobody knows whether the last one has arrived.
    pub(super) fn restart(&mut self) {
        (self.id, self.epoch) = (NO_SESSION, BEGIN);
    }

    /// The next request, for as many bytes as show that there are any.
    pub(super) fn request(&mut self) -> FetchRequest {
        let changed = std::mem::take(&mut self.changed);
        let (topics, forgotten) = if self.epoch == BEGIN {
            (topics(self.places.iter()), vec![])
        } else {
            let known = |partition| self.places.get_key_value(partition);
            let gone = |partition: &&Partition| !self.places.contains_key(partition);
            let forgotten = changed.iter().filter(gone);
            (topics(changed.iter().filter_map(known)), forget(forgotten))
        };
        FetchRequest::default()
            .with_session_id(self.id)
            .with_session_epoch(self.epoch)
            .with_max_bytes(A_BYTE)
            .with_min_bytes(1)
            .with_topics(topics)
            .with_forgotten_topics_data(forgotten)
    }

    /// Takes the answer to the last request: the partitions at which something is not as it was.
    ///
    /// # Errors
    /// What the broker says of the whole request, when it is not that it has forgotten the
    /// session: then another one begins with the next request.
    pub(super) fn take(
        &mut self,
        response: &FetchResponse,
    ) -> Result<Vec<Partition>, ResponseError> {
        match ResponseError::try_from_code(response.error_code) {
            None => self.go_on(response.session_id),
            Some(ResponseError::FetchSessionIdNotFound) => self.restart(),
            Some(
                ResponseError::InvalidFetchSessionEpoch | ResponseError::FetchSessionTopicIdError,
            ) => self.epoch = BEGIN,
            Some(error) => return Err(error),
        }
        let topics = response.responses.iter();
        let partitions = topics.flat_map(|topic| {
            let data = topic.partitions.iter();
            data.map(|data| (partition(topic.topic_id, data), data))
        });
        let news = partitions.filter(|(partition, data)| {
            let place = self.places.get(partition);
            place.is_some_and(|place| is_news(data, place))
        });
        Ok(news.map(|(partition, _)| partition).collect())
    }

    fn go_on(&mut self, id: i32) {
        self.id = id;
        // A broker whose sessions are all taken begins none.
        self.epoch = match id {
            NO_SESSION => BEGIN,
            _ => self.epoch.checked_add(1).unwrap_or(BEGIN + 1),
        };
    }
}

/// Whether whoever rests there has to look. The high watermark also moves when what is new is hidden
/// by a transaction that is still open.
fn is_news(data: &PartitionData, place: &Place) -> bool {
    data.error_code != 0
        || data.diverging_epoch.end_offset >= 0
        || u64::try_from(data.high_watermark) != Ok(place.offset)
        || data.records.as_ref().is_some_and(|it| !it.is_empty())
}

fn partition(topic: Uuid, data: &PartitionData) -> Partition {
    let index = data.partition_index.cast_unsigned();
    Partition { topic, index }
}

/// Partitions as a request names them.
fn topics<'a>(places: impl Iterator<Item = (&'a Partition, &'a Place)>) -> Vec<FetchTopic> {
    let asked = places.map(|(partition, place)| {
        let asked = FetchPartition::default()
            .with_partition(partition.index.cast_signed())
            .with_fetch_offset(place.offset.cast_signed())
            .with_last_fetched_epoch(place.epoch)
            .with_partition_max_bytes(A_BYTE);
        (partition.topic, asked)
    });
    let topic = |(id, partitions)| {
        FetchTopic::default()
            .with_topic_id(id)
            .with_partitions(partitions)
    };
    by_topic(asked).map(topic).collect()
}

/// Partitions as a request takes leave of them.
fn forget<'a>(partitions: impl Iterator<Item = &'a Partition>) -> Vec<ForgottenTopic> {
    let indexes = partitions.map(|partition| (partition.topic, partition.index.cast_signed()));
    let topic = |(id, indexes)| {
        ForgottenTopic::default()
            .with_topic_id(id)
            .with_partitions(indexes)
    };
    by_topic(indexes).map(topic).collect()
}

fn by_topic<T>(parts: impl Iterator<Item = (Uuid, T)>) -> impl Iterator<Item = (Uuid, Vec<T>)> {
    let mut topics: BTreeMap<Uuid, Vec<T>> = BTreeMap::new();
    for (topic, part) in parts {
        topics.entry(topic).or_default().push(part);
    }
    topics.into_iter()
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::fetch_response::{EpochEndOffset, FetchableTopicResponse};

    use super::*;

    const ID: i32 = 77;

    fn at(topic: u128, index: u32) -> Partition {
        let topic = Uuid::from_u128(topic);
        Partition { topic, index }
    }

    fn place(offset: u64) -> Option<Place> {
        Some(Place { offset, epoch: 3 })
    }

    /// A session of three partitions of two topics that the broker has taken up.
    fn begun() -> Session {
        let mut session = Session::default();
        for partition in [at(2, 0), at(1, 1), at(1, 0)] {
            session.set(partition, place(5));
        }
        session.request();
        let began = FetchResponse::default().with_session_id(ID);
        assert_eq!(session.take(&began), Ok(vec![]));
        session
    }

    fn number(request: &FetchRequest) -> (i32, i32) {
        (request.session_id, request.session_epoch)
    }

    /// The partitions that a request names, with their offsets.
    fn named(request: &FetchRequest) -> Vec<(Partition, i64)> {
        let topics = request.topics.iter();
        let named = topics.flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|it| {
                let index = it.partition.cast_unsigned();
                let topic = topic.topic_id;
                (Partition { topic, index }, it.fetch_offset)
            })
        });
        named.collect()
    }

    fn forgotten(request: &FetchRequest) -> Vec<Partition> {
        let topics = request.forgotten_topics_data.iter();
        let forgotten = topics.flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|index| Partition {
                topic: topic.topic_id,
                index: index.cast_unsigned(),
            })
        });
        forgotten.collect()
    }

    fn answer(partition: Partition, data: PartitionData) -> FetchResponse {
        let data = data.with_partition_index(partition.index.cast_signed());
        let topic = FetchableTopicResponse::default()
            .with_topic_id(partition.topic)
            .with_partitions(vec![data]);
        FetchResponse::default()
            .with_session_id(ID)
            .with_responses(vec![topic])
    }

    fn refused(error: ResponseError) -> FetchResponse {
        FetchResponse::default().with_error_code(error.code())
    }

    #[test]
    fn the_first_request_names_all_and_the_next_ones_what_has_changed() {
        let mut session = Session::default();
        for partition in [at(2, 0), at(1, 1), at(1, 0)] {
            session.set(partition, place(5));
        }
        let first = session.request();
        assert_eq!(number(&first), (NO_SESSION, BEGIN));
        assert_eq!(named(&first), [(at(1, 0), 5), (at(1, 1), 5), (at(2, 0), 5)]);
        assert_eq!(first.topics.len(), 2);
        assert_eq!(first.topics[0].partitions[0].last_fetched_epoch, 3);

        let mut session = begun();
        let second = session.request();
        assert_eq!(number(&second), (ID, 1));
        assert!(named(&second).is_empty() && forgotten(&second).is_empty());
        session.take(&answer(at(1, 0), quiet())).expect("taken");
        session.set(at(1, 0), None);
        session.set(at(1, 1), place(6));
        session.set(at(3, 0), place(7));
        let third = session.request();
        assert_eq!(number(&third), (ID, 2));
        assert_eq!(named(&third), [(at(1, 1), 6), (at(3, 0), 7)]);
        assert_eq!(forgotten(&third), [at(1, 0)]);
        assert_eq!(session.len(), 3);
    }

    fn quiet() -> PartitionData {
        PartitionData::default().with_high_watermark(5)
    }

    #[test]
    fn all_that_is_not_as_it_was_is_news() {
        let diverging = EpochEndOffset::default().with_epoch(2).with_end_offset(4);
        let denied = ResponseError::TopicAuthorizationFailed.code();
        for (data, is_news) in [
            (quiet(), false),
            (quiet().with_records(Some(bytes::Bytes::new())), false),
            (quiet().with_log_start_offset(3), false),
            (quiet().with_high_watermark(6), true),
            (quiet().with_high_watermark(-1), true),
            (quiet().with_error_code(denied), true),
            (quiet().with_diverging_epoch(diverging), true),
            (quiet().with_records(Some("batch".into())), true),
        ] {
            let news = begun().take(&answer(at(1, 1), data.clone()));
            let expected = is_news.then(|| at(1, 1));
            assert_eq!(news, Ok(expected.into_iter().collect()), "{data:?}");
        }
        let stranger = answer(at(9, 0), quiet().with_high_watermark(6));
        assert_eq!(begun().take(&stranger), Ok(vec![]), "watched by nobody");
    }

    #[test]
    fn a_session_that_is_lost_begins_again_with_all_partitions() {
        use ResponseError as E;
        for (error, id) in [
            (E::FetchSessionIdNotFound, NO_SESSION),
            (E::InvalidFetchSessionEpoch, ID),
            (E::FetchSessionTopicIdError, ID),
        ] {
            let mut session = begun();
            session.set(at(1, 0), None);
            session.request();
            assert_eq!(session.take(&refused(error)), Ok(vec![]));
            let again = session.request();
            assert_eq!(number(&again), (id, BEGIN), "{error:?}");
            assert_eq!(named(&again), [(at(1, 1), 5), (at(2, 0), 5)]);
            assert!(forgotten(&again).is_empty());
        }
        let mut session = begun();
        session.restart();
        assert_eq!(number(&session.request()), (NO_SESSION, BEGIN));
    }

    #[test]
    fn a_broker_without_room_for_sessions_is_asked_for_all_each_time() {
        let mut session = begun();
        session.request();
        let none = FetchResponse::default().with_session_id(NO_SESSION);
        assert_eq!(session.take(&none), Ok(vec![]));
        for _ in 0..2 {
            let request = session.request();
            assert_eq!(number(&request), (NO_SESSION, BEGIN));
            assert_eq!(named(&request).len(), 3);
            session.take(&none).expect("taken");
        }
    }

    #[test]
    fn what_is_no_matter_of_the_session_is_told() {
        let error = ResponseError::UnknownServerError;
        assert_eq!(begun().take(&refused(error)), Err(error));
    }

    #[test]
    fn epochs_begin_again_behind_the_largest() {
        let mut session = begun();
        session.epoch = i32::MAX;
        session.request();
        session.take(&answer(at(1, 0), quiet())).expect("taken");
        assert_eq!(number(&session.request()), (ID, 1));
    }
}
