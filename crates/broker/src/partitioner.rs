//! Which partition a record goes to, the same everywhere: in the embedded queue, in processors
//! whose source and destination differ in partitions, and in Kafka's own producers.

use std::sync::atomic::{AtomicU32, Ordering};

/// The seed of Kafka's murmur2.
const SEED: u32 = 0x9747_b28c;

/// The multiplier of murmur2.
const MULTIPLIER: u32 = 0x5bd1_e995;

/// The 32-bit murmur2 hash with the seed that Kafka's Java client uses
/// (`org.apache.kafka.common.utils.Utils.murmur2`).
#[must_use]
pub fn murmur2(data: &[u8]) -> u32 {
    // Java's array lengths are 32 bits wide; longer data can't be a key there.
    let mut hash = SEED ^ (data.len() as u32);
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed(u32::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        for (index, octet) in rest.iter().enumerate() {
            hash ^= u32::from(*octet) << (8 * index);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

fn mixed(word: u32) -> u32 {
    let word = word.wrapping_mul(MULTIPLIER);
    (word ^ (word >> 24)).wrapping_mul(MULTIPLIER)
}

/// The partition of a key among `partitions` (at least one), as Kafka's default partitioner
/// chooses it.
#[must_use]
pub fn partition_of_key(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// Spreads records over partitions: by key, and those without a key batch by batch (KIP-480), so
/// that what was written together stays together.
#[derive(Debug, Default)]
pub struct Partitioner {
    sticky: AtomicU32,
}

impl Partitioner {
    /// A partitioner whose first batch goes to partition 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a batch for a queue with `partitions` partitions.
    #[must_use]
    pub fn batch(&self, partitions: u32) -> BatchPartitioner {
        let partitions = partitions.max(1);
        BatchPartitioner {
            partitions,
            sticky: self.sticky.fetch_add(1, Ordering::Relaxed) % partitions,
        }
    }
}

/// The partitions of one batch's records.
#[derive(Clone, Copy, Debug)]
pub struct BatchPartitioner {
    partitions: u32,
    sticky: u32,
}

impl BatchPartitioner {
    /// The partition of a record with this key.
    #[must_use]
    pub fn partition(&self, key: Option<&[u8]>) -> u32 {
        match key {
            Some(key) => partition_of_key(key, self.partitions),
            None => self.sticky,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of Apache Kafka's own test of its hash, `UtilsTest.testMurmur2`.
    #[test]
    fn hashes_as_kafka_does() {
        let cases: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ];
        for (text, expected) in cases {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), expected, "{text}");
        }
    }

    #[test]
    fn partitions_lie_within_bounds() {
        for key in 0..1000_u32 {
            assert!(partition_of_key(&key.to_be_bytes(), 7) < 7);
        }
        assert_eq!(partition_of_key(b"any", 1), 0);
    }

    #[test]
    fn records_without_key_stay_together_in_a_batch_and_take_turns_between_batches() {
        let partitioner = Partitioner::new();
        let (first, second) = (partitioner.batch(3), partitioner.batch(3));
        assert_eq!(first.partition(None), first.partition(None));
        assert_ne!(first.partition(None), second.partition(None));
        assert_eq!(first.partition(Some(b"k")), second.partition(Some(b"k")));
    }
}
