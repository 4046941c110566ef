//! Which partition of the destination a record of the source goes to.

use eson_broker::{Chunk, Payload, partition_of_key};
use eson_protocol::Record;

/// How the partitions of a source map to those of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// As many there as here: each to the one of the same number.
    Same,
    /// Counts differ: by key, as Kafka's default partitioner does it.
    ByKey {
        /// How many there are at the destination.
        partitions: u32,
    },
}

impl Mapping {
    pub(crate) fn between(source: u32, destination: u32) -> Self {
        if source == destination {
            Self::Same
        } else {
            Self::ByKey {
                partitions: destination.max(1),
            }
        }
    }

    /// Whether chunks may stay as the source's broker encoded them.
    pub(crate) fn keeps_batches(self) -> bool {
        self == Self::Same
    }
}

/// Records that can't be looked at one by one where that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StillEncoded;

/// Splits a chunk by key over `partitions` partitions: what goes where, in the order to write.
///
/// Each part is a run of the source that goes to one partition, and moves the position to its own
/// end: a destination that stores positions with the records, and leaves out what it has already,
/// still writes each record exactly once. A record without key goes to its source partition's
/// number modulo the count, so that order is kept within each source partition.
pub(crate) fn split(chunk: Chunk, partitions: u32) -> Result<Vec<(u32, Chunk)>, StillEncoded> {
    let Payload::Records(records) = chunk.payload else {
        return Err(StillEncoded);
    };
    let keyless = chunk.partition % partitions;
    let mut runs: Vec<(u32, Vec<Record>)> = Vec::new();
    for record in records {
        let to = match &record.key {
            Some(key) => partition_of_key(key, partitions),
            None => keyless,
        };
        match runs.last_mut() {
            Some((same, run)) if *same == to => run.push(record),
            _ => runs.push((to, vec![record])),
        }
    }
    if runs.is_empty() {
        runs.push((keyless, Vec::new()));
    }
    let last = runs.len() - 1;
    let mut first = chunk.first;
    let parts = runs.into_iter().enumerate().map(|(index, (to, records))| {
        let end = records.last().map(|record| record.offset + 1);
        let next = end.filter(|_| index < last).unwrap_or(chunk.next);
        let part = Chunk {
            partition: chunk.partition,
            first: std::mem::replace(&mut first, next),
            next,
            high_watermark: chunk.high_watermark,
            epoch: chunk.epoch,
            payload: Payload::Records(records),
        };
        (to, part)
    });
    Ok(parts.collect())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use eson_broker::EncodedBatches;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn chunk(partition: u32, keys: &[Option<u8>]) -> Chunk {
        let records: Vec<_> = (40..)
            .zip(keys)
            .map(|(offset, key)| Record {
                offset,
                timestamp: -1,
                key: key.map(|key| Bytes::from(vec![key])),
                value: None,
                headers: Vec::new(),
            })
            .collect();
        Chunk {
            partition,
            first: 40,
            next: 40 + records.len() as u64,
            high_watermark: 1_000,
            epoch: None,
            payload: Payload::Records(records),
        }
    }

    fn records(chunk: &Chunk) -> &[Record] {
        match &chunk.payload {
            Payload::Records(records) => records,
            Payload::Encoded(_) => panic!("these are records"),
        }
    }

    #[test]
    fn equal_counts_keep_the_partition() {
        assert_eq!(Mapping::between(4, 4), Mapping::Same);
        assert_eq!(Mapping::between(4, 3), Mapping::ByKey { partitions: 3 });
        assert!(!Mapping::between(3, 4).keeps_batches());
    }

    #[test]
    fn encoded_batches_are_not_split() {
        let mut chunk = chunk(0, &[]);
        chunk.payload = Payload::Encoded(EncodedBatches {
            bytes: Bytes::new(),
            records: 1,
        });
        assert_eq!(split(chunk, 3).map(|_| ()), Err(StillEncoded));
    }

    #[test]
    fn a_chunk_without_records_still_moves_the_position() {
        let parts = split(chunk(7, &[]), 4).expect("records");
        assert_eq!(parts.len(), 1);
        assert_eq!((parts[0].0, parts[0].1.partition), (3, 7));
    }

    proptest! {
        #[test]
        fn the_parts_joined_are_the_chunk_and_each_goes_where_its_keys_do(
            partition in 0_u32..9,
            partitions in 1_u32..9,
            keys in vec(option::of(0_u8..20), 0..60),
        ) {
            let whole = chunk(partition, &keys);
            let parts = split(whole.clone(), partitions).expect("records");

            let mut next = whole.first;
            let mut joined = Vec::new();
            for (to, part) in &parts {
                prop_assert_eq!(part.partition, partition);
                prop_assert_eq!(part.first, next, "no gap between the parts");
                prop_assert!(part.next > part.first || keys.is_empty());
                next = part.next;
                for record in records(part) {
                    let expected = record
                        .key
                        .as_ref()
                        .map_or(partition % partitions, |key| partition_of_key(key, partitions));
                    prop_assert_eq!(*to, expected);
                    prop_assert!((part.first..part.next).contains(&record.offset));
                    joined.push(record.clone());
                }
            }
            prop_assert_eq!(next, whole.next);
            prop_assert_eq!(joined.as_slice(), records(&whole));
        }
    }
}
