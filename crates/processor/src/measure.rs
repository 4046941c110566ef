//! How much a payload is.

use eson_broker::Payload;
use eson_protocol::Record;

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

fn record_size(record: &Record) -> usize {
    let length = |part: &Option<bytes::Bytes>| part.as_ref().map_or(0, bytes::Bytes::len);
    let headers = record.headers.iter();
    let headers: usize = headers
        .map(|header| header.name.len() + length(&header.value))
        .sum();
    length(&record.key) + length(&record.value) + headers
}
