//! CloudEvents 1.0, and the lines of READ FLOW and WRITE FLOW, one event each.
//!
//! [`CloudEvent`] is read from and written to JSON, Protobuf, and records (the Kafka protocol
//! binding, in its binary and its structured mode). A line is in one of three forms:
//! [`EventFormat::CloudEvents`] is an event in JSON, [`EventFormat::Protobuf`] one in Protobuf and
//! base64, [`EventFormat::Record`] everything that a broker stores.

mod attribute;
mod binding;
mod cloud_event;
mod error;
mod json;
mod json_format;
mod line;
pub mod media_type;
mod protobuf_format;
mod record;

use bytes::Bytes;

use crate::{EventFormat, Name, Record};

pub use attribute::{Attribute, Value};
pub use cloud_event::{CloudEvent, ContentMode};
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
        EventFormat::CloudEvents => line::show_json(flow, partition, record),
        EventFormat::Protobuf => line::show_protobuf(flow, partition, record),
    }
}

/// Reads one line; a CloudEvent becomes a record in binary mode. Where it can be, the record's
/// value is a part of the line, not a copy.
///
/// # Errors
/// [`EventError`] says which member is wrong.
pub fn decode(format: EventFormat, line: &Bytes) -> Result<WrittenEvent, EventError> {
    decode_for(ContentMode::Binary, format, line)
}

/// Reads one line; a CloudEvent becomes a record in `mode`.
///
/// # Errors
/// As [`decode`].
pub fn decode_for(
    mode: ContentMode,
    format: EventFormat,
    line: &Bytes,
) -> Result<WrittenEvent, EventError> {
    let record = match format {
        EventFormat::Record => return record::decode(line),
        EventFormat::CloudEvents => line::read_json(mode, line)?,
        EventFormat::Protobuf => line::read_protobuf(mode, line)?,
    };
    Ok(WrittenEvent {
        partition: None,
        record,
    })
}

/// Sets an extension attribute of an event in structured mode, in place of one of its name, and
/// leaves it in that mode.
///
/// Key, headers, timestamp, content and the other attributes stay as they are. So does a record
/// whose value is no event, whatever it says of itself.
pub fn set_in_value(record: &mut Record, extension: &Attribute) {
    binding::set_in_value(record, extension);
}
