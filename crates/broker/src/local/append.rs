//! Writing records: many at once or none, and a chunk of a processor exactly once.

use std::iter;
use std::sync::Arc;

use eson_protocol::{Header, Record, StorePosition};

use eson_protocol::session::Limits;

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

/// How much a record's line has beside what the record says, at most: so much for each header, and for
/// the rest.
const AROUND_HEADER: usize = 32;
const AROUND_RECORD: usize = 256;

/// Refuses records larger than the broker takes, or too large for a line that every client reads.
pub(super) fn check_sizes(
    queue: &str,
    records: &[Record],
    limit: usize,
) -> Result<(), BrokerError> {
    let longest = Limits::default().data;
    let is_too_large = |record: &&Record| size(record) > limit || line(record) > longest;
    match records.iter().find(is_too_large) {
        None => Ok(()),
        Some(record) => Err(BrokerError::TooLarge {
            queue: queue.to_owned(),
            size: size(record),
        }),
    }
}

/// How long the line of READ FLOW with `format=record` may get: octets come in base64, and names with their control
/// characters escaped.
fn line(record: &Record) -> usize {
    let base64 = |part: &Option<bytes::Bytes>| {
        let octets = part.as_ref().map_or(0, bytes::Bytes::len);
        octets.div_ceil(3) * 4
    };
    let escaped = |octet: u8| match octet {
        b'"' | b'\\' => 2,
        octet if octet.is_ascii_control() => 6,
        _ => 1,
    };
    let header = |header: &Header| {
        let name: usize = header.name.bytes().map(escaped).sum();
        AROUND_HEADER + name + base64(&header.value)
    };
    let headers: usize = record.headers.iter().map(header).sum();
    AROUND_RECORD + base64(&record.key) + base64(&record.value) + headers
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

/// The bytes of memory that a record takes: more than its parts have, where these are many or empty.
pub(crate) fn held(record: &Record) -> usize {
    size(record) + size_of::<Record>() + record.headers.len() * size_of::<Header>()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(value: usize, name: &str) -> Record {
        Record {
            offset: 0,
            timestamp: 0,
            key: None,
            value: Some(vec![b'x'; value].into()),
            headers: vec![Header {
                name: name.to_owned(),
                value: None,
            }],
        }
    }

    fn is_taken(record: Record, limit: usize) -> bool {
        check_sizes("arrivals", &[record], limit).is_ok()
    }

    #[test]
    fn an_event_is_as_large_as_its_parts() {
        assert!(is_taken(event(1_000, "name"), 1_004));
        assert!(!is_taken(event(1_000, "names"), 1_004));
    }

    #[test]
    fn an_event_whose_line_no_client_takes_is_refused() {
        let limit = 64 << 20;
        assert!(is_taken(event(6_000_000, ""), limit));
        assert!(!is_taken(event(7 << 20, ""), limit), "9.3 MiB of base64");
        assert!(is_taken(event(0, &"n".repeat(2 << 20)), limit));
        let escaped = "\n".repeat(2 << 20);
        assert!(!is_taken(event(0, &escaped), limit), "12 MiB of escapes");
    }

    #[test]
    fn no_line_is_longer_than_is_thought() {
        let flow = eson_protocol::Name::parse("time.flows.orange.example").expect("a name");
        let names = ["", "plain", "\"quoted\"\\", "\u{0}\n\u{7f}\u{1f}", "größe"];
        for (name, length) in names.iter().zip(0..) {
            let record = Record {
                offset: u64::MAX - 1,
                timestamp: i64::MIN,
                key: Some(vec![0; length].into()),
                headers: vec![event(length, name).headers.remove(0); length],
                ..event(length, name)
            };
            let format = eson_protocol::EventFormat::Record;
            let found = eson_protocol::event::encode(format, &flow, u32::MAX, &record);
            assert!(found.len() + 2 <= line(&record), "{found}");
        }
    }

    #[test]
    fn empty_records_take_memory_too() {
        let record = Record {
            value: None,
            ..event(0, "")
        };
        assert!(held(&record) >= size_of::<Record>() + size_of::<Header>());
    }
}
