//! What a collector writes on each event: where it came from.

use bytes::Bytes;
use eson_broker::{Chunk, Payload};
use eson_protocol::{Header, Record};

use crate::endpoint::Endpoint;

/// The header with the name of the flow that a collector has read an event from.
///
/// It is the CloudEvents extension attribute `sourceflow` as CloudEvents' Kafka protocol binding
/// writes it, so that READ FLOW shows it as such; on a record that is no CloudEvent it is a header
/// like any other.
pub const SOURCE_FLOW: &str = "ce_sourceflow";

/// What a collector writes on each record of one source.
pub(super) struct Annotation(Header);

impl Annotation {
    pub(super) fn of(source: &Endpoint) -> Self {
        Self(Header {
            name: SOURCE_FLOW.to_owned(),
            value: Some(Bytes::from(source.flow.clone())),
        })
    }

    /// Writes it on each record of a chunk, which its reader was asked to unpack. What an event
    /// says of itself there is replaced: whoever may write to the source could have made it up.
    pub(super) fn put_on(&self, mut chunk: Chunk) -> Chunk {
        if let Payload::Records(records) = &mut chunk.payload {
            records
                .iter_mut()
                .for_each(|record| self.put_on_record(record));
        }
        chunk
    }

    fn put_on_record(&self, record: &mut Record) {
        record.headers.retain(|header| header.name != SOURCE_FLOW);
        record.headers.push(self.0.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &str) -> Header {
        Header {
            name: name.to_owned(),
            value: Some(Bytes::from(value.to_owned())),
        }
    }

    #[test]
    fn the_collector_knows_better_than_the_event() {
        let annotation = Annotation(header(SOURCE_FLOW, "a.example"));
        let record = Record {
            offset: 7,
            timestamp: -1,
            key: None,
            value: None,
            headers: vec![
                header(SOURCE_FLOW, "made.up"),
                header("trace", "1"),
                header(SOURCE_FLOW, "made.up.too"),
            ],
        };
        let chunk = Chunk {
            partition: 0,
            first: 7,
            next: 8,
            high_watermark: 8,
            epoch: None,
            payload: Payload::Records(vec![record.clone()]),
        };
        let Payload::Records(records) = annotation.put_on(chunk).payload else {
            panic!("records stay records");
        };
        let headers = vec![header("trace", "1"), header(SOURCE_FLOW, "a.example")];
        assert_eq!(records, [Record { headers, ..record }]);
    }
}
