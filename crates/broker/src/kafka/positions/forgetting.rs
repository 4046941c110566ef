//! Forgetting the positions of processors that are no more.
//!
//! A compacted topic keeps the last record of each key for good. One without value, a tombstone, takes
//! its place, and goes when the log has been compacted. It is written outside of transactions and
//! behind all that is there, so that it counts whatever becomes of a transaction that a processor has
//! left open: nobody writes under these keys any more.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use eson_protocol::Record;

use super::super::batch::Batch;
use super::super::cluster::Cluster;
use super::super::records;
use super::super::writer::KafkaWriter;
use super::TOPIC;
use super::log::PartitionLog;
use super::record::Key;
use crate::backoff::Backoff;
use crate::{BrokerError, Chunk, Payload, ProcessorSource, QueueWriter, WriterOptions};

/// Room for a partition's tombstones, in bytes.
const BUFFER: usize = 1 << 20;

/// Forgets what is stored for a family of processors, of whatever source and in whatever topic.
pub(crate) async fn forget(cluster: &Arc<Cluster>, family: &str) -> Result<(), BrokerError> {
    let patience = cluster.config().request_timeout;
    let found = Backoff::retry(patience, || find(cluster, family)).await?;
    if found.is_empty() {
        return Ok(());
    }
    let options = WriterOptions::new(None, BUFFER);
    let mut writer = KafkaWriter::open(cluster.clone(), TOPIC, options).await?;
    let mut written = Ok(());
    for (partition, keys) in found {
        let tombstones = keys.iter().map(Key::tombstone).collect();
        written = match tombstones {
            Ok(tombstones) => writer.write(partition, chunk(tombstones)).await,
            Err(error) => Err(error),
        };
        if written.is_err() {
            break;
        }
    }
    if written.is_ok() {
        written = writer.flush().await;
    }
    writer.close().await;
    written
}

/// The keys of a family that have a value, by partition.
async fn find(
    cluster: &Arc<Cluster>,
    family: &str,
) -> Result<Vec<(u32, BTreeSet<Key>)>, BrokerError> {
    let topic = match cluster.topic(TOPIC).await {
        Err(BrokerError::NotFound(_)) => return Ok(vec![]),
        found => found?,
    };
    let mut found = vec![];
    for partition in 0..topic.partitions() {
        let log = PartitionLog {
            cluster: cluster.clone(),
            topic: topic.clone(),
            partition,
        };
        let mut keys = BTreeSet::new();
        log.read_all(|at, bytes| note_keys(family, at, bytes, &mut keys))
            .await?;
        if !keys.is_empty() {
            found.push((partition, keys));
        }
    }
    Ok(found)
}

/// Notes which keys have a value after these batches, whether or not it will be committed.
fn note_keys(family: &str, at: u64, mut bytes: Bytes, keys: &mut BTreeSet<Key>) -> io::Result<()> {
    while let Some(batch) = Batch::take(&mut bytes)? {
        if batch.is_control() {
            continue;
        }
        for record in records::decode(&batch, at.cast_signed())? {
            let key = Key::of(&record);
            let of_family = |key: &Key| ProcessorSource::is_of_family(&key.processor, family);
            match (key.filter(of_family), &record.value) {
                (Some(key), Some(_)) => {
                    keys.insert(key);
                }
                (Some(key), None) => {
                    keys.remove(&key);
                }
                (None, _) => {}
            }
        }
    }
    Ok(())
}

fn chunk(records: Vec<Record>) -> Chunk {
    Chunk {
        partition: 0,
        first: 0,
        next: 0,
        high_watermark: 0,
        epoch: None,
        payload: Payload::Records(records),
    }
}
