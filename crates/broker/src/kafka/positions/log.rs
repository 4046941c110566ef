//! Reading what is stored.
//!
//! The partition is shared with other processors, and one of them may have left a transaction
//! open, behind which a reader of committed records would not see ours. So everything is read,
//! and our own records are taken over or left out by their own markers: those are all there,
//! since a writer reads only after its coordinator has ended the transaction before.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use eson_protocol::Start;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};

use super::super::batch::Batch;
use super::super::cluster::{Cluster, Topic};
use super::super::connection::Connection;
use super::super::fetched::Extent;
use super::super::fetcher::NEWEST_FETCH;
use super::super::{offsets, records};
use super::TOPIC;
use super::record::{Entry, Key, Owner, Position};
use crate::{BrokerError, Reached};

/// How much is read at once, in bytes.
const READ: i32 = 1 << 20;

/// A reader of uncommitted records too.
const READ_UNCOMMITTED: i8 = 0;

/// A partition of the topic.
pub(super) struct PartitionLog {
    pub(super) cluster: Arc<Cluster>,
    pub(super) topic: Topic,
    pub(super) partition: u32,
}

/// The partition that has the positions of one key.
#[derive(Clone)]
pub(super) struct PositionLog {
    pub(super) cluster: Arc<Cluster>,
    pub(super) key: Key,
    pub(super) partition: u32,
}

/// What is stored under a key.
#[derive(Debug, Default)]
pub(super) struct Stored {
    positions: BTreeMap<u32, Position>,
    pub(super) owner: Option<Owner>,
    /// What producers have written in transactions that have not ended so far.
    open: HashMap<i64, Vec<Entry>>,
}

impl PositionLog {
    /// Everything up to the end as it is now.
    pub(super) async fn load(&self) -> Result<Stored, BrokerError> {
        let log = PartitionLog {
            topic: self.cluster.topic(TOPIC).await?,
            cluster: self.cluster.clone(),
            partition: self.partition,
        };
        let mut stored = Stored::default();
        log.read_all(|at, bytes| stored.read(&self.key, at, bytes))
            .await?;
        Ok(stored)
    }
}

impl PartitionLog {
    /// Hands over whole batches, with the offset from which on their records count, up to the end as
    /// it is now.
    pub(super) async fn read_all(
        &self,
        mut take: impl FnMut(u64, Bytes) -> io::Result<()>,
    ) -> Result<(), BrokerError> {
        let one = std::iter::once(self.partition);
        let begin = offsets::resolve(&self.cluster, &self.topic, one, Start::Earliest).await?;
        let mut at = begin.get(&self.partition).copied().unwrap_or(0);
        let leader = self.topic.some_leader(&self.cluster, self.partition)?;
        let connection = self.cluster.broker(leader).await?;
        loop {
            let (end, bytes) = self.read(&connection, at).await?;
            if at >= end {
                return Ok(());
            }
            let next = Extent::of(&bytes).map(|extent| extent.next);
            let next = next.filter(|next| *next > at);
            take(at, bytes).map_err(|cause| connection.broken(cause.to_string()))?;
            at = next.ok_or_else(|| {
                connection.broken(format!(
                    "no records of {TOPIC} at offset {at}, before its end"
                ))
            })?;
        }
    }

    /// The high watermark, and batches from `at` on.
    async fn read(&self, connection: &Connection, at: u64) -> Result<(u64, Bytes), BrokerError> {
        let partition = FetchPartition::default()
            .with_partition(self.partition.cast_signed())
            .with_fetch_offset(at.cast_signed())
            .with_partition_max_bytes(READ);
        let topic = FetchTopic::default()
            .with_topic(self.topic.name.clone())
            .with_topic_id(self.topic.id)
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_max_wait_ms(0)
            .with_max_bytes(READ)
            .with_isolation_level(READ_UNCOMMITTED)
            .with_topics(vec![topic]);
        let version = connection.version::<FetchRequest>(NEWEST_FETCH)?;
        let wait = self.cluster.config().request_timeout;
        let response = connection.call_version(&request, version, wait).await?;
        let subject = connection.subject(TOPIC);
        subject.check(response.error_code, None)?;
        let mut partitions = response
            .responses
            .into_iter()
            .flat_map(|topic| topic.partitions);
        let Some(data) = partitions.next() else {
            return Err(connection.broken(format!("no answer about {TOPIC}")));
        };
        subject.check(data.error_code, None)?;
        let end = u64::try_from(data.high_watermark).unwrap_or(0);
        Ok((end, data.records.unwrap_or_default()))
    }
}

impl Stored {
    pub(super) fn reached(&self) -> Reached {
        let positions = self.positions.iter();
        let epoch = |(partition, position): (&u32, &Position)| Some((*partition, position.epoch?));
        Reached {
            epochs: positions.clone().filter_map(epoch).collect(),
            positions: positions
                .map(|(partition, it)| (*partition, it.offset))
                .collect(),
        }
    }

    /// Takes over what whole batches say from offset `at` on.
    fn read(&mut self, key: &Key, at: u64, mut bytes: Bytes) -> io::Result<()> {
        while let Some(batch) = Batch::take(&mut bytes)? {
            if batch.is_control() {
                self.end(&batch)?;
                continue;
            }
            for record in records::decode(&batch, at.cast_signed())? {
                match key.entry(&record) {
                    Some(entry) if batch.is_transactional() => {
                        self.open.entry(batch.producer_id).or_default().push(entry);
                    }
                    Some(entry) => self.take_over(entry),
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// A transaction's marker.
    fn end(&mut self, marker: &Batch) -> io::Result<()> {
        let Some(committed) = records::transaction_committed(marker)? else {
            return Ok(());
        };
        let entries = self.open.remove(&marker.producer_id).unwrap_or_default();
        if committed {
            entries.into_iter().for_each(|entry| self.take_over(entry));
        }
        Ok(())
    }

    fn take_over(&mut self, entry: Entry) {
        match entry {
            Entry::Position(partition, position) => {
                self.positions.insert(partition, position);
            }
            Entry::Owner(owner) => self.owner = Some(owner),
            Entry::Forgotten(Some(partition)) => {
                self.positions.remove(&partition);
            }
            Entry::Forgotten(None) => self.owner = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use eson_protocol::{Positions, Record};

    use super::super::super::batch::Producer;
    use super::super::super::records::BatchBuilder;
    use super::*;

    const CONTROL: u8 = 0x20;

    /// A log as the broker keeps it.
    #[derive(Default)]
    struct Log {
        bytes: BytesMut,
        next: i64,
    }

    impl Log {
        fn append(&mut self, producer: Producer, batch: &Batch, attributes: u8) {
            let mut bytes = BytesMut::from(&batch.header(producer, 0)[..]);
            bytes.put_slice(&batch.records);
            bytes[..8].copy_from_slice(&self.next.to_be_bytes());
            bytes[22] |= attributes;
            let crc = crc32c::crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
            self.bytes.put_slice(&bytes);
            self.next += i64::from(batch.count);
        }

        fn position(&mut self, producer: Producer, key: &Key, offset: u64) {
            let epoch = Some(7);
            let position = Entry::Position(0, Position { offset, epoch });
            let batch = key.batch([position]).expect("a batch");
            self.append(producer, &batch, 0);
        }

        fn marker(&mut self, producer: Producer, key: &'static [u8]) {
            let mut builder = BatchBuilder::default();
            builder.push(&Record {
                offset: 0,
                timestamp: 0,
                key: Some(Bytes::from_static(key)),
                value: None,
                headers: vec![],
            });
            let batch = builder.finish().expect("a batch");
            self.append(producer, &batch, CONTROL);
        }

        fn stored(&self, key: &Key) -> Positions {
            let mut stored = Stored::default();
            let read = stored.read(key, 0, self.bytes.clone().freeze());
            read.expect("valid");
            let reached = stored.reached();
            assert!(reached.epochs.values().all(|epoch| *epoch == 7));
            assert!(reached.epochs.keys().eq(reached.positions.keys()));
            reached.positions
        }
    }

    fn key(processor: &str) -> Key {
        Key {
            processor: processor.to_owned(),
            source: "source".to_owned(),
            topic: "topic".to_owned(),
            partition: None,
        }
    }

    fn producer(id: i64) -> Producer {
        Producer {
            id,
            epoch: 0,
            transactional: true,
        }
    }

    const COMMIT: &[u8] = b"\0\0\0\x01";
    const ABORT: &[u8] = b"\0\0\0\0";

    #[test]
    fn a_strangers_open_transaction_hides_nothing_of_ours() {
        let (ours, theirs) = (key("ours"), key("theirs"));
        let mut log = Log::default();
        log.position(producer(2), &theirs, 100);
        log.position(producer(1), &ours, 5);
        log.marker(producer(1), COMMIT);
        assert_eq!(log.stored(&ours), Positions::from([(0, 5)]));
        assert_eq!(log.stored(&theirs), Positions::new(), "not yet decided");
    }

    #[test]
    fn what_was_aborted_is_not_stored() {
        let ours = key("ours");
        let mut log = Log::default();
        log.position(producer(1), &ours, 5);
        log.marker(producer(1), COMMIT);
        log.position(producer(1), &ours, 9);
        log.marker(producer(1), ABORT);
        assert_eq!(log.stored(&ours), Positions::from([(0, 5)]));
        log.position(producer(3), &ours, 7);
        log.marker(producer(3), COMMIT);
        assert_eq!(log.stored(&ours), Positions::from([(0, 7)]));
    }

    #[test]
    fn what_was_forgotten_is_not_stored() {
        let ours = key("ours");
        let mut log = Log::default();
        log.position(producer(1), &ours, 5);
        log.marker(producer(1), COMMIT);
        let gone = ours.batch([Entry::Forgotten(Some(0))]).expect("a batch");
        log.append(producer(2), &gone, 0);
        log.marker(producer(2), COMMIT);
        assert_eq!(log.stored(&ours), Positions::new());
        log.position(producer(1), &ours, 2);
        log.marker(producer(1), COMMIT);
        assert_eq!(log.stored(&ours), Positions::from([(0, 2)]));
    }

    #[test]
    fn what_is_written_outside_of_transactions_counts_at_once() {
        let ours = key("ours");
        let mut log = Log::default();
        let plain = Producer {
            transactional: false,
            ..producer(1)
        };
        log.position(plain, &ours, 5);
        assert_eq!(log.stored(&ours), Positions::from([(0, 5)]));
    }
}
