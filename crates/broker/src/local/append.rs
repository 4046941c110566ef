//! Writing records: many at once or none, and a chunk of a processor exactly once.

use std::iter;
use std::sync::Arc;

use eson_protocol::{Record, StorePosition};

use super::AppendTo;
use super::group::{Effect, Group, check_session};
use super::registry::{Queue, WriterSession};
use super::store::Failure;
use crate::BrokerError;

/// Where records go.
pub(super) enum Target {
    /// All into one partition.
    One(u32),
    /// Each into its own, in the order of the records.
    Each(Vec<u32>),
}

impl Target {
    /// The partitions that `to` means for these records.
    pub(super) fn of(to: AppendTo, queue: &Queue, records: &[Record]) -> Self {
        let by_key = queue.partitioner.batch(queue.partitions());
        let key = |record: &Record| by_key.partition(record.key.as_deref());
        match to {
            AppendTo::Partition(partition) => Self::One(partition),
            AppendTo::Key => Self::Each(records.iter().map(key).collect()),
            AppendTo::Each(partitions) => {
                let given = partitions.into_iter().chain(iter::repeat(None));
                let chosen = records.iter().zip(given);
                Self::Each(
                    chosen
                        .map(|(record, given)| given.unwrap_or_else(|| key(record)))
                        .collect(),
                )
            }
        }
    }
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
pub(crate) fn size(record: &Record) -> usize {
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
    append_from(group, queue, target, records, 0)
}

/// Appends the records from the one at index `begin` on, all or none. Returns how many.
fn append_from(
    group: &mut Group<'_>,
    queue: &Arc<Queue>,
    target: &Target,
    records: &[Record],
    begin: usize,
) -> Result<u64, Failure> {
    let records = &records[begin..];
    match target {
        Target::One(partition) => group.append(queue, *partition, records.iter())?,
        Target::Each(partitions) => {
            let partitions = &partitions[begin..];
            // All of them before any record, for a refusal must not leave half a batch.
            for partition in partitions {
                group.check_partition(queue, *partition)?;
            }
            for (partition, record) in partitions.iter().zip(records) {
                group.append(queue, *partition, iter::once(record))?;
            }
        }
    }
    Ok(records.len() as u64)
}

/// Appends what is new among a processor's records and stores its source position with them.
/// The records' offsets are those of the source. Returns how many were new.
///
/// A position that ends before it begins has no records: the source was cut off there, and what
/// was stored, where it is the beginning, becomes the end.
pub(super) fn append_at(
    group: &mut Group<'_>,
    queue: &Arc<Queue>,
    target: &Target,
    position: &StorePosition,
    records: &[Record],
) -> Result<u64, Failure> {
    let StorePosition {
        processor,
        partition,
        first,
        next,
        to,
        ..
    } = position;
    group.check_partition(queue, *to)?;
    let stored = group.position(queue, processor, *partition)?;
    if next < first {
        check_empty(queue, records)?;
        if stored == *first {
            group.store_position(queue, position)?;
        }
        return Ok(0);
    }
    if *next <= stored {
        return Ok(0);
    }
    let known = records.partition_point(|record| record.offset < stored);
    let new = append_from(group, queue, target, records, known)?;
    group.store_position(queue, position)?;
    Ok(new)
}

fn check_empty(queue: &Queue, records: &[Record]) -> Result<(), BrokerError> {
    if records.is_empty() {
        return Ok(());
    }
    Err(BrokerError::Invalid {
        queue: queue.name.to_string(),
        cause: "records can't end before they begin".to_owned(),
    })
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
    let target = Target::One(position.to);
    if position.processor.is_empty() {
        append(group, queue, &target, records)?;
    } else {
        append_at(group, queue, &target, position, records)?;
    }
    let StorePosition {
        partition,
        first,
        next,
        ..
    } = *position;
    group.effects.push(match next < first {
        false => Effect::Acknowledged(session, partition, next),
        true => Effect::Rewound(session, partition, next),
    });
    Ok(())
}
