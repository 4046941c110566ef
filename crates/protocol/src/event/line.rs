//! CloudEvents as lines of READ FLOW and WRITE FLOW.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::attribute::{Attribute, Value};
use super::binding::{self, CONTENT_TYPE, header, text};
use super::json_format::{encode_opaque, on_one_line};
use super::{CloudEvent, ContentMode, EventError, RECORD_TYPE};
use crate::text::format_time;
use crate::{FlowUri, Name, Record};

/// A record as an event in JSON. One that holds it so already is passed through, any that is no
/// event is wrapped in one.
pub(super) fn show_json(flow: &Name, partition: u32, record: &Record) -> String {
    match binding::read(record) {
        Ok(Some((_, ContentMode::Json))) => {
            let value = record.value.as_deref().unwrap_or_default();
            on_one_line(&String::from_utf8_lossy(value)).into_owned()
        }
        Ok(Some((event, mode))) => keyed(event, mode, record).to_json(),
        Ok(None) | Err(_) => encode_opaque(&wrapped(flow, partition, record)),
    }
}

/// A record as an event in Protobuf, in base64.
pub(super) fn show_protobuf(flow: &Name, partition: u32, record: &Record) -> String {
    match binding::read(record) {
        Ok(Some((_, ContentMode::Protobuf))) => {
            STANDARD.encode(record.value.as_deref().unwrap_or_default())
        }
        Ok(Some((event, mode))) => STANDARD.encode(keyed(event, mode, record).to_protobuf()),
        Ok(None) | Err(_) => STANDARD.encode(wrapped(flow, partition, record).to_protobuf()),
    }
}

/// The key of a record in binary mode as the extension `partitionkey`, where it is a text and
/// the event has none.
fn keyed(mut event: CloudEvent, mode: ContentMode, record: &Record) -> CloudEvent {
    if let (ContentMode::Binary, Some(key)) = (mode, key(record)) {
        event.add(key);
    }
    event
}

fn key(record: &Record) -> Option<Attribute> {
    let key = std::str::from_utf8(record.key.as_deref()?).ok()?;
    Attribute::from_text("partitionkey", key).ok()
}

/// A CloudEvent around a record that is none.
fn wrapped(flow: &Name, partition: u32, record: &Record) -> CloudEvent {
    let time = (record.timestamp >= 0).then(|| format_time(record.timestamp));
    let media_type = record.value.as_ref().map(|_| media_type(record));
    let texts = [
        ("specversion", Some("1.0".to_owned())),
        ("id", Some(format!("{partition}-{}", record.offset))),
        ("source", Some(FlowUri::from(flow.clone()).to_string())),
        ("type", Some(RECORD_TYPE.to_owned())),
        ("time", time.flatten()),
        ("datacontenttype", media_type),
    ];
    let attribute =
        |(name, text): (&str, Option<String>)| Attribute::new(name, Value::of(name, text?)).ok();
    let attributes = texts.into_iter().filter_map(attribute);
    let attributes = attributes.chain(key(record)).collect();
    CloudEvent::of_ours(attributes, record.value.clone())
}

fn media_type(record: &Record) -> String {
    let named = header(record, CONTENT_TYPE).and_then(text);
    let named = named.filter(|text| Attribute::from_text("datacontenttype", text).is_ok());
    named.unwrap_or("application/octet-stream").to_owned()
}

/// Reads a line in JSON into a record. In structured mode, the line is the value.
pub(super) fn read_json(mode: ContentMode, line: &Bytes) -> Result<Record, EventError> {
    let event = CloudEvent::from_json(line)?;
    Ok(match mode {
        ContentMode::Json => binding::bind_structured(&event, mode, line.clone()),
        _ => event.into_record(mode),
    })
}

/// Reads a line in base64 of Protobuf into a record. In structured mode, the message is the
/// value.
pub(super) fn read_protobuf(mode: ContentMode, line: &Bytes) -> Result<Record, EventError> {
    let message = STANDARD.decode(line).map_err(|_| EventError::Base64)?;
    let message = Bytes::from(message);
    let event = CloudEvent::from_protobuf(&message)?;
    Ok(match mode {
        ContentMode::Protobuf => binding::bind_structured(&event, mode, message),
        _ => event.into_record(mode),
    })
}
