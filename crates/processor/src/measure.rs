//! How much a payload is.

use std::ops::Range;

use bytes::Buf;
use eson_broker::Payload;
use eson_protocol::Record;

/// Where a record batch has the timestamp of its first record (KIP-98).
const BASE_TIMESTAMP: Range<usize> = 27..35;

/// How much a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measure {
    pub(crate) records: u64,
    /// As it is kept: packed where it is encoded.
    pub(crate) bytes: usize,
}

pub(crate) fn measure(payload: &Payload) -> Measure {
    match payload {
        Payload::Encoded(batches) => Measure {
            records: batches.records,
            bytes: batches.bytes.len(),
        },
        Payload::Records(records) => Measure {
            records: records.len() as u64,
            bytes: records.iter().map(record_size).sum(),
        },
    }
}

/// When the first record was written, by its own account in milliseconds since the Unix epoch;
/// none where it does not say. Of an encoded payload that is eight octets of a header.
pub(crate) fn first_timestamp(payload: &Payload) -> Option<i64> {
    let timestamp = match payload {
        Payload::Records(records) => records.first()?.timestamp,
        Payload::Encoded(batches) => batches.bytes.get(BASE_TIMESTAMP)?.get_i64(),
    };
    (timestamp >= 0).then_some(timestamp)
}

/// The bytes of a record's parts.
pub(crate) fn record_size(record: &Record) -> usize {
    let length = |part: &Option<bytes::Bytes>| part.as_ref().map_or(0, bytes::Bytes::len);
    let headers = record.headers.iter();
    let headers: usize = headers
        .map(|header| header.name.len() + length(&header.value))
        .sum();
    length(&record.key) + length(&record.value) + headers
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use eson_broker::EncodedBatches;

    use super::*;

    #[test]
    fn a_payload_tells_when_it_was_written() {
        let mut batch = BytesMut::new();
        batch.put_bytes(0, BASE_TIMESTAMP.start);
        batch.put_i64(1_700_000_000_123);
        batch.put_bytes(0xff, 8);
        let encoded = |bytes: BytesMut| {
            first_timestamp(&Payload::Encoded(EncodedBatches {
                bytes: bytes.freeze(),
                records: 1,
            }))
        };
        assert_eq!(encoded(batch.clone()), Some(1_700_000_000_123));
        batch.truncate(30);
        assert_eq!(encoded(batch), None);
        let record = |timestamp| Record {
            offset: 0,
            timestamp,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        let records = |timestamps: &[i64]| {
            let records = timestamps.iter().map(|at| record(*at)).collect();
            first_timestamp(&Payload::Records(records))
        };
        assert_eq!(records(&[7, 9]), Some(7));
        assert_eq!(records(&[-1]), None);
        assert_eq!(records(&[]), None);
    }
}
