//! Writing records: many at once or none, and a chunk of a processor exactly once.

use std::sync::Arc;

use eson_protocol::{Record, StorePosition};

use super::group::{Effect, Group, check_session};
use super::registry::{Queue, WriterSession};
use super::store::Failure;
use crate::{BatchPartitioner, BrokerError};

/// Where records go.
pub(super) enum Target {
    Partition(u32),
    ByKey(BatchPartitioner),
}

/// Refuses records larger than the broker takes.
pub(super) fn check_sizes(
    queue: &str,
    records: &[Record],
    limit: usize,
) -> Result<(), BrokerError> {
    match records.iter().map(size).find(|size| *size > limit) {
        None => Ok(()),
        Some(size) => Err(BrokerError::TooLarge {
            queue: queue.to_owned(),
            size,
        }),
    }
}

/// The bytes of a record's parts.
pub(super) fn size(record: &Record) -> usize {
    let length = |part: &Option<bytes::Bytes>| part.as_ref().map_or(0, bytes::Bytes::len);
    let headers = record.headers.iter();
    length(&record.key)
        + length(&record.value)
        + headers
            .map(|header| header.name.len() + length(&header.value))
            .sum::<usize>()
}

/// Appends records, all or none. Returns how many.
pub(super) fn append(
    group: &mut Group<'_>,
    queue: &Arc<Queue>,
    target: &Target,
    records: &[Record],
) -> Result<u64, Failure> {
    match target {
        Target::Partition(partition) => group.append(queue, *partition, records.iter())?,
        Target::ByKey(partitioner) => {
            let partition = |record: &Record| partitioner.partition(record.key.as_deref());
            // All partitions are there, or none: nothing is written before the first check.
            for record in records {
                group.append(queue, partition(record), std::iter::once(record))?;
            }
        }
    }
    Ok(records.len() as u64)
}

/// Appends what is new among a processor's records and stores its source position with them.
/// The records' offsets are those of the source. Returns how many were new.
pub(super) fn append_at(
    group: &mut Group<'_>,
    queue: &Arc<Queue>,
    position: &StorePosition,
    records: &[Record],
) -> Result<u64, Failure> {
    let StorePosition {
        processor,
        partition,
        next,
        to,
        ..
    } = position;
    group.check_partition(queue, *to)?;
    let stored = group.position(queue, processor, *partition)?;
    if *next <= stored {
        return Ok(0);
    }
    let new = records.partition_point(|record| record.offset < stored);
    let records = &records[new..];
    group.append(queue, *to, records.iter())?;
    group.store_position(queue, processor, *partition, *next)?;
    Ok(records.len() as u64)
}

/// A writer's chunk: as [`append_at`], unless the writer has ended.
pub(super) fn append_of_session(
    group: &mut Group<'_>,
    queue: &Arc<Queue>,
    session: Arc<WriterSession>,
    position: &StorePosition,
    records: &[Record],
) -> Result<(), Failure> {
    check_session(queue, &session)?;
    if position.processor.is_empty() {
        append(group, queue, &Target::Partition(position.to), records)?;
    } else {
        append_at(group, queue, position, records)?;
    }
    let acknowledged = Effect::Acknowledged(session, position.partition, position.next);
    group.effects.push(acknowledged);
    Ok(())
}
