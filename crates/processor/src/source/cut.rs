//! Cutting a chunk where a reader goes on.

use bytes::{Buf, Bytes};
use eson_broker::{Chunk, EncodedBatches, Payload};

/// What of a chunk a reader still needs.
#[derive(Debug)]
pub(super) enum Rest {
    /// Nothing: all of it was read before.
    Nothing,
    /// This.
    Chunk(Chunk),
    /// A part that can't be cut out without unpacking a record batch.
    Inside,
}

/// What of `chunk` lies at or behind `position`.
pub(super) fn rest(mut chunk: Chunk, position: u64) -> Rest {
    if chunk.next <= position {
        return Rest::Nothing;
    }
    if chunk.first >= position {
        return Rest::Chunk(chunk);
    }
    chunk.first = position;
    match &mut chunk.payload {
        Payload::Records(records) => records.retain(|record| record.offset >= position),
        Payload::Encoded(batches) => match batches_from(batches, position) {
            Some(rest) => *batches = rest,
            None => return Rest::Inside,
        },
    }
    Rest::Chunk(chunk)
}

/// The part of a record batch's header (KIP-98) that says what it holds.
struct Header {
    first: u64,
    last: u64,
    size: usize,
    records: u64,
}

/// Where the offset of the last record and the number of records are in a batch.
const LAST_OFFSET_DELTA: usize = 23;
const RECORD_COUNT: usize = 57;
/// The bytes that a batch's length does not count.
const UNCOUNTED: usize = 12;

fn batches_from(batches: &EncodedBatches, position: u64) -> Option<EncodedBatches> {
    let mut bytes: Bytes = batches.bytes.clone();
    let mut records = batches.records;
    loop {
        let header = header(&bytes)?;
        if header.last >= position {
            let at_its_start = header.first >= position;
            return at_its_start.then_some(EncodedBatches { bytes, records });
        }
        records = records.checked_sub(header.records)?;
        bytes = bytes.get(header.size..).map(|rest| bytes.slice_ref(rest))?;
    }
}

fn header(bytes: &[u8]) -> Option<Header> {
    let mut start = bytes.get(..UNCOUNTED)?;
    let first = start.get_u64();
    let size = usize::try_from(start.get_u32()).ok()? + UNCOUNTED;
    let last_delta = bytes.get(LAST_OFFSET_DELTA..)?.get(..4)?.get_u32();
    let records = bytes.get(RECORD_COUNT..)?.get(..4)?.get_u32();
    Some(Header {
        first,
        last: first + u64::from(last_delta),
        size,
        records: records.into(),
    })
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use eson_protocol::Record;

    use super::*;

    fn records(range: std::ops::Range<u64>) -> Chunk {
        let record = |offset| Record {
            offset,
            timestamp: -1,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        Chunk {
            partition: 0,
            first: range.start,
            next: range.end,
            high_watermark: range.end,
            epoch: None,
            payload: Payload::Records(range.map(record).collect()),
        }
    }

    /// Batches of ten records each.
    fn encoded(range: std::ops::Range<u64>) -> Chunk {
        let mut bytes = BytesMut::new();
        for first in range.clone().step_by(10) {
            bytes.put_u64(first);
            bytes.put_u32(61 + 5 - 12);
            bytes.put_bytes(0, 11);
            bytes.put_u32(9);
            bytes.put_bytes(0, 30);
            bytes.put_u32(10);
            bytes.put_bytes(7, 5);
        }
        Chunk {
            payload: Payload::Encoded(EncodedBatches {
                bytes: bytes.freeze(),
                records: range.end - range.start,
            }),
            ..records(range)
        }
    }

    fn offsets(rest: Rest) -> Vec<u64> {
        match rest {
            Rest::Chunk(Chunk {
                payload: Payload::Records(records),
                ..
            }) => records.iter().map(|record| record.offset).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn records_are_cut_anywhere() {
        assert_eq!(offsets(rest(records(0..5), 0)), [0, 1, 2, 3, 4]);
        assert_eq!(offsets(rest(records(0..5), 3)), [3, 4]);
        assert!(matches!(rest(records(0..5), 5), Rest::Nothing));
        assert_eq!(offsets(rest(records(5..7), 3)), [5, 6]);
    }

    #[test]
    fn encoded_batches_are_cut_between_batches_only() {
        let Rest::Chunk(chunk) = rest(encoded(0..30), 20) else {
            panic!("a batch is left");
        };
        let Payload::Encoded(batches) = chunk.payload else {
            panic!("it stays encoded");
        };
        assert_eq!((chunk.first, chunk.next, batches.records), (20, 30, 10));
        assert_eq!(batches.bytes.len(), 66);
        assert!(matches!(rest(encoded(0..30), 15), Rest::Inside));
        assert!(matches!(rest(encoded(0..30), 30), Rest::Nothing));
    }

    #[test]
    fn damaged_batches_are_not_cut() {
        let mut chunk = encoded(0..30);
        if let Payload::Encoded(batches) = &mut chunk.payload {
            batches.bytes.truncate(70);
        }
        assert!(matches!(rest(chunk, 20), Rest::Inside));
    }
}
