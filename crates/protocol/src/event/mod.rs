//! The lines of READ FLOW and WRITE FLOW: one event each, as JSON.
//!
//! Two forms: [`EventFormat::Record`] is everything that a broker stores, [`EventFormat::CloudEvents`]
//! the JSON format of CloudEvents 1.0, bound to records as its Kafka protocol binding says.

mod attribute;
mod decode;
mod encode;
mod error;
mod json;
mod record;

use bytes::Bytes;

use crate::{EventFormat, Name, Record};

pub use error::EventError;

/// The `type` of a CloudEvent that READ FLOW makes of a record that is none.
pub const RECORD_TYPE: &str = "eson.record";

/// One event that a client writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenEvent {
    /// The partition it is to go to; none leaves that to the key.
    pub partition: Option<u32>,
    /// The record. Its offset is 0 where the line has none, and its timestamp -1: the broker's
    /// own clock counts.
    pub record: Record,
}

/// Writes a record of `flow` as one line, without a line end.
#[must_use]
pub fn encode(format: EventFormat, flow: &Name, partition: u32, record: &Record) -> String {
    match format {
        EventFormat::Record => record::encode(partition, record),
        EventFormat::CloudEvents => encode::encode(flow, partition, record),
    }
}

/// Reads one line. Where it can be, the record's value is a part of the line, not a copy.
///
/// # Errors
/// [`EventError`] says which member is wrong.
pub fn decode(format: EventFormat, line: &Bytes) -> Result<WrittenEvent, EventError> {
    match format {
        EventFormat::Record => record::decode(line),
        EventFormat::CloudEvents => decode::decode(line).map(|record| WrittenEvent {
            partition: None,
            record,
        }),
    }
}
