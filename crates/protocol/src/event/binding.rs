//! CloudEvents in records: the Kafka protocol binding of CloudEvents 1.0, for every kind of broker.

use bytes::Bytes;

use super::attribute::{Attribute, REQUIRED, repeated};
use super::media_type::{CLOUDEVENTS_JSON, CLOUDEVENTS_PROTOBUF, essence};
use super::{CloudEvent, ContentMode, EventError, json_format, protobuf_format};
use crate::{Header, Record};

/// The header that holds `datacontenttype`, or the media type of an event in structured mode.
pub(super) const CONTENT_TYPE: &str = "content-type";

/// What stands in front of the other attributes' names in headers.
const PREFIX: &str = "ce_";

/// Reads a record, and says in which mode it was.
///
/// Where the value is no event although `content-type` says so, the headers may still be one:
/// the content of an event may be an event.
pub(super) fn read(record: &Record) -> Result<Option<(CloudEvent, ContentMode)>, EventError> {
    let structured = match structured_mode(record) {
        Some(mode) => structured(record, mode).map(Some),
        None => Ok(None),
    };
    match structured {
        Ok(Some(event)) => Ok(Some(event)),
        Ok(None) => binary(record),
        Err(error) => match binary(record) {
            Ok(Some(event)) => Ok(Some(event)),
            _ => Err(error),
        },
    }
}

/// What `content-type` says of the value.
fn structured_mode(record: &Record) -> Option<ContentMode> {
    let media_type = essence(text(header(record, CONTENT_TYPE)?)?);
    if media_type.eq_ignore_ascii_case(CLOUDEVENTS_JSON) {
        return Some(ContentMode::Json);
    }
    let protobuf = media_type.eq_ignore_ascii_case(CLOUDEVENTS_PROTOBUF);
    protobuf.then_some(ContentMode::Protobuf)
}

fn structured(record: &Record, mode: ContentMode) -> Result<(CloudEvent, ContentMode), EventError> {
    let value = record.value.as_ref().ok_or(EventError::NoValue)?;
    let event = match mode {
        ContentMode::Protobuf => CloudEvent::from_protobuf(value),
        _ => CloudEvent::from_json(value),
    };
    event.map(|event| (event, mode))
}

/// Sets an extension attribute of the event that the value is; what is none has no attributes there.
pub(super) fn set_in_value(record: &mut Record, extension: &Attribute) {
    let Some(mode) = structured_mode(record) else {
        return;
    };
    let value = record.value.clone().unwrap_or_default();
    let set = structured(record, mode).and_then(|_| match mode {
        ContentMode::Protobuf => protobuf_format::set(&value, extension),
        _ => json_format::set(&value, extension),
    });
    if let Ok(value) = set {
        record.value = Some(value);
    }
}

fn binary(record: &Record) -> Result<Option<(CloudEvent, ContentMode)>, EventError> {
    let names = || {
        record
            .headers
            .iter()
            .filter_map(|it| attribute_name(&it.name))
    };
    if !names().any(|name| REQUIRED.contains(&name)) {
        return Ok(None);
    }
    if let Some(name) = repeated(names()) {
        return Err(EventError::Repeated(name.to_owned()));
    }
    let mut attributes = Vec::with_capacity(record.headers.len() + 1);
    for header in &record.headers {
        if let Some(name) = attribute_name(&header.name) {
            let text = text(header).ok_or_else(|| EventError::Value {
                name: name.to_owned(),
                expected: "a text in UTF-8",
            })?;
            attributes.push(Attribute::from_text(name, text)?);
        }
    }
    let event = CloudEvent::new(attributes, record.value.clone())?;
    Ok(Some((event, ContentMode::Binary)))
}

/// The attribute that a header holds.
fn attribute_name(header: &str) -> Option<&str> {
    match header {
        CONTENT_TYPE => Some("datacontenttype"),
        _ => header.strip_prefix(PREFIX),
    }
}

/// The header of an attribute.
fn header_name(attribute: &str) -> String {
    match attribute {
        "datacontenttype" => CONTENT_TYPE.to_owned(),
        _ => format!("{PREFIX}{attribute}"),
    }
}

pub(super) fn bind(event: CloudEvent, mode: ContentMode) -> Record {
    match mode {
        ContentMode::Binary => bind_binary(event),
        ContentMode::Json => {
            let value = Bytes::from(event.to_json());
            bind_structured(&event, mode, value)
        }
        ContentMode::Protobuf => {
            let value = event.to_protobuf();
            bind_structured(&event, mode, value)
        }
    }
}

fn bind_binary(event: CloudEvent) -> Record {
    let key = key(&event);
    let (attributes, value) = event.into_parts();
    let headers = attributes.iter().map(|attribute| Header {
        name: header_name(attribute.name()),
        value: Some(Bytes::from(attribute.value().text().into_owned())),
    });
    Record {
        offset: 0,
        timestamp: -1,
        key,
        value,
        headers: headers.collect(),
    }
}

/// A record around an event that has its structured form already.
pub(super) fn bind_structured(event: &CloudEvent, mode: ContentMode, value: Bytes) -> Record {
    let media_type = match mode {
        ContentMode::Protobuf => CLOUDEVENTS_PROTOBUF,
        _ => "application/cloudevents+json; charset=UTF-8",
    };
    let content_type = Header {
        name: CONTENT_TYPE.to_owned(),
        value: Some(Bytes::from_static(media_type.as_bytes())),
    };
    Record {
        offset: 0,
        timestamp: -1,
        key: key(event),
        value: Some(value),
        headers: vec![content_type],
    }
}

fn key(event: &CloudEvent) -> Option<Bytes> {
    let key = event.attribute("partitionkey")?;
    Some(Bytes::from(key.text().into_owned()))
}

/// The first header of a name.
pub(super) fn header<'a>(record: &'a Record, name: &str) -> Option<&'a Header> {
    record.headers.iter().find(|header| header.name == name)
}

/// A header's value as text.
pub(super) fn text(header: &Header) -> Option<&str> {
    std::str::from_utf8(header.value.as_deref()?).ok()
}
