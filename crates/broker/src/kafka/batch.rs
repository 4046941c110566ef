//! Record batches, magic 2 (KIP-98): the unit in which Kafka stores and sends records.
//!
//! A batch is a header of 61 bytes and its records, packed or not. A bridge forwards the records
//! untouched and writes a new header; since CRC-32C is linear, the new checksum follows from the
//! old one and the two headers without reading the records again, so that damage anywhere
//! between the source's disk and the destination's is found by the destination.

use std::io;

use bytes::{Buf, BufMut, Bytes};
use crc32c::crc32c;

use super::checksum::join;
use super::compression::Compression;

/// The bytes before the records.
pub(crate) const HEADER: usize = 61;

/// The bytes that `batchLength` does not count.
const UNCOUNTED: usize = 12;

/// Where the bytes under the checksum begin.
const CHECKED: usize = 21;

const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;

const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const DELETE_HORIZON: i16 = 0x40;
const COMPRESSION: i16 = 0x07;

/// A batch: the header's values, and the records in the memory they were received in.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) base_offset: i64,
    /// Under which leader the broker has written it.
    pub(crate) leader_epoch: i32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) count: i32,
    pub(crate) records: Bytes,
    /// The checksum of the bytes under it, and of those of them that stood before the records:
    /// none, where only the records have been summed.
    crc: u32,
    header_crc: u32,
}

/// Who writes a batch, for the broker's detection of duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    /// Whether what it writes belongs to a transaction.
    pub(crate) transactional: bool,
}

impl Batch {
    /// A batch of ours.
    pub(crate) fn new(
        attributes: i16,
        (base_timestamp, max_timestamp): (i64, i64),
        count: i32,
        records: Bytes,
    ) -> Self {
        Self {
            base_offset: 0,
            leader_epoch: -1,
            attributes,
            last_offset_delta: count - 1,
            base_timestamp,
            max_timestamp,
            producer_id: -1,
            count,
            crc: crc32c(&records),
            header_crc: 0,
            records,
        }
    }

    /// Takes the first batch off `bytes`. None when the rest is but the beginning of a batch, as it
    /// may be at the end of a fetch.
    ///
    /// Whether it is sound is left to whoever trusts what it says: [`Batch::check`]. One that is
    /// only passed on is checked at its destination.
    pub(crate) fn take(bytes: &mut Bytes) -> io::Result<Option<Self>> {
        let Some(size) = whole_size(bytes)? else {
            return Ok(None);
        };
        let batch = bytes.split_to(size);
        if batch[MAGIC_AT] != 2 {
            return Err(invalid("records in a format older than Kafka 0.11"));
        }
        let mut head = &batch[..HEADER];
        let base_offset = head.get_i64();
        head.advance(UNCOUNTED - 8);
        let leader_epoch = head.get_i32();
        head.advance(CRC_AT - MAGIC_AT);
        let crc = head.get_u32();
        let header_crc = crc32c(&batch[CHECKED..HEADER]);
        let records = batch.slice(HEADER..);
        Ok(Some(Self {
            base_offset,
            leader_epoch,
            attributes: head.get_i16(),
            last_offset_delta: head.get_i32(),
            base_timestamp: head.get_i64(),
            max_timestamp: head.get_i64(),
            producer_id: head.get_i64(),
            count: {
                head.advance(2 + 4);
                head.get_i32()
            },
            crc,
            header_crc,
            records,
        }))
    }

    /// Reads all of it to see whether the checksum is right.
    pub(crate) fn check(&self) -> io::Result<()> {
        let found = join(self.header_crc, crc32c(&self.records), self.records.len());
        if found == self.crc {
            return Ok(());
        }
        Err(invalid("a record batch whose checksum is wrong"))
    }

    /// The size on the wire.
    pub(crate) fn size(&self) -> usize {
        HEADER + self.records.len()
    }

    /// The offset behind the last record that the batch had when it was written.
    pub(crate) fn next_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(i64::from(self.last_offset_delta))
            .saturating_add(1)
    }

    pub(crate) fn compression(&self) -> io::Result<Compression> {
        Compression::of(self.attributes)
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether it has transaction markers, not records.
    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether the broker's clock counts and not the records' own.
    pub(crate) fn has_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// Whether another broker takes it as it is: it has no gaps from compaction, and its
    /// records' own timestamps count.
    pub(crate) fn is_forwardable(&self) -> bool {
        let special = CONTROL | LOG_APPEND_TIME | DELETE_HORIZON;
        self.attributes & special == 0 && self.count == self.last_offset_delta + 1 && self.count > 0
    }

    /// The header under which `producer` writes the batch, with `sequence` for its first record.
    pub(crate) fn header(&self, producer: Producer, sequence: i32) -> [u8; HEADER] {
        let transactional = if producer.transactional {
            TRANSACTIONAL
        } else {
            0
        };
        let mut header = [0; HEADER];
        let mut head = &mut header[CHECKED..];
        head.put_i16(self.attributes & COMPRESSION | transactional);
        head.put_i32(self.last_offset_delta);
        head.put_i64(self.base_timestamp);
        head.put_i64(self.max_timestamp);
        head.put_i64(producer.id);
        head.put_i16(producer.epoch);
        head.put_i32(sequence);
        head.put_i32(self.count);
        // Joining is linear: this takes the old header's part out and puts the new one's in.
        let changed = self.header_crc ^ crc32c(&header[CHECKED..]);
        let crc = join(changed, self.crc, self.records.len());
        let mut head = &mut header[..];
        head.put_i64(0);
        // A batch is far smaller than 2 GiB: it came in a response or was built by us.
        head.put_i32((self.size() - UNCOUNTED) as i32);
        head.put_i32(-1);
        head.put_i8(2);
        head.put_u32(crc);
        header
    }
}

/// The size of the first batch, when all of it is there.
fn whole_size(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(mut length) = bytes.get(8..UNCOUNTED) else {
        return Ok(None);
    };
    let length = usize::try_from(length.get_i32())
        .map_err(|_| invalid("a record batch of negative size"))?;
    let size = UNCOUNTED + length;
    if bytes.len() < size {
        return Ok(None);
    }
    if size < HEADER {
        return Err(invalid("a record batch without a whole header"));
    }
    Ok(Some(size))
}

fn invalid(cause: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    const PRODUCER: Producer = Producer {
        id: 7,
        epoch: 3,
        transactional: false,
    };

    fn wire(batch: &Batch) -> Bytes {
        let mut bytes = BytesMut::from(&batch.header(PRODUCER, 40)[..]);
        bytes.put_slice(&batch.records);
        bytes.freeze()
    }

    fn batch() -> Batch {
        Batch::new(0, (1000, 1001), 2, Bytes::from_static(b"two records"))
    }

    #[test]
    fn a_new_header_keeps_the_checksum_right() {
        let mut once = wire(&batch());
        let taken = Batch::take(&mut once).expect("valid").expect("whole");
        let mut twice = wire(&taken);
        let taken = Batch::take(&mut twice)
            .expect("valid again")
            .expect("whole");
        assert!(taken.is_forwardable());
        assert_eq!((taken.count, taken.next_offset()), (2, 2));
        assert_eq!((taken.base_timestamp, taken.max_timestamp), (1000, 1001));
        assert_eq!(
            (taken.producer_id, &taken.records[..]),
            (7, &b"two records"[..])
        );
    }

    #[test]
    fn a_batch_belongs_to_the_writers_transaction_and_to_no_other() {
        let mut bytes = wire(&batch());
        for transactional in [true, false] {
            let taken = Batch::take(&mut bytes).expect("valid").expect("whole");
            let producer = Producer {
                transactional,
                ..PRODUCER
            };
            let whole = [&taken.header(producer, 0)[..], &taken.records[..]].concat();
            bytes = Bytes::from(whole);
            let again = Batch::take(&mut bytes.clone())
                .expect("still valid")
                .expect("whole");
            assert_eq!(again.is_transactional(), transactional);
            assert_eq!(again.records, taken.records);
        }
    }

    #[test]
    fn every_damaged_bit_under_the_checksum_is_found() {
        let whole = wire(&batch());
        for bit in CRC_AT * 8..whole.len() * 8 {
            let mut damaged = whole.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let damaged = Batch::take(&mut damaged.into()).expect("whole");
            let damaged = damaged.expect("whole");
            damaged.check().expect_err("damaged");
            let passed_on = Batch::take(&mut wire(&damaged)).expect("whole");
            let passed_on = passed_on.expect("whole");
            passed_on.check().expect_err("and damaged it stays");
        }
    }

    #[test]
    fn the_beginning_of_a_batch_waits_for_its_end() {
        let whole = wire(&batch());
        for end in 0..whole.len() {
            assert!(
                Batch::take(&mut whole.slice(..end))
                    .expect("no error")
                    .is_none()
            );
        }
    }

    #[test]
    fn what_another_broker_would_refuse_is_not_forwardable() {
        for attributes in [LOG_APPEND_TIME, CONTROL, DELETE_HORIZON] {
            assert!(
                !Batch {
                    attributes,
                    ..batch()
                }
                .is_forwardable()
            );
        }
        assert!(
            !Batch {
                count: 1,
                ..batch()
            }
            .is_forwardable()
        );
        assert!(
            Batch {
                attributes: TRANSACTIONAL | 3,
                ..batch()
            }
            .is_forwardable()
        );
    }
}
