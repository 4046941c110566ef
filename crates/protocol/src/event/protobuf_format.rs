//! The Protobuf format of CloudEvents (`application/cloudevents+protobuf`): messages with the
//! field numbers of the specification's `cloudevents.proto`, package `io.cloudevents.v1`.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::{Message, Oneof};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::attribute::{Attribute, REQUIRED, Value};
use super::media_type::{PROTOBUF, is_json, is_protobuf, is_text};
use super::{CloudEvent, EventError};

/// `io.cloudevents.v1.CloudEvent`.
#[derive(Clone, PartialEq, Message)]
struct EventMessage {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    source: String,
    #[prost(string, tag = "3")]
    spec_version: String,
    #[prost(string, tag = "4")]
    r#type: String,
    #[prost(btree_map = "string, message", tag = "5")]
    attributes: BTreeMap<String, AttributeMessage>,
    #[prost(oneof = "Content", tags = "6, 7, 8")]
    data: Option<Content>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Content {
    #[prost(bytes = "bytes", tag = "6")]
    Binary(Bytes),
    #[prost(string, tag = "7")]
    Text(String),
    #[prost(message, tag = "8")]
    Proto(AnyMessage),
}

/// `google.protobuf.Any`, without a copy of the octets.
#[derive(Clone, PartialEq, Message)]
struct AnyMessage {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// `io.cloudevents.v1.CloudEvent.CloudEventAttributeValue`.
#[derive(Clone, PartialEq, Message)]
struct AttributeMessage {
    #[prost(oneof = "AttributeValue", tags = "1, 2, 3, 4, 5, 6, 7")]
    attr: Option<AttributeValue>,
}

#[derive(Clone, PartialEq, Oneof)]
enum AttributeValue {
    #[prost(bool, tag = "1")]
    Boolean(bool),
    #[prost(int32, tag = "2")]
    Integer(i32),
    #[prost(string, tag = "3")]
    String(String),
    #[prost(bytes = "bytes", tag = "4")]
    Bytes(Bytes),
    #[prost(string, tag = "5")]
    Uri(String),
    #[prost(string, tag = "6")]
    UriReference(String),
    #[prost(message, tag = "7")]
    Timestamp(TimestampMessage),
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Message)]
struct TimestampMessage {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

fn message(octets: &Bytes) -> Result<EventMessage, EventError> {
    EventMessage::decode(octets.clone()).map_err(|error| EventError::Protobuf(error.to_string()))
}

/// The same event with this extension attribute, in place of one of its name.
pub(super) fn set(octets: &Bytes, extension: &Attribute) -> Result<Bytes, EventError> {
    let mut message = message(octets)?;
    let (name, value) = attribute_message(extension);
    message.attributes.insert(name, value);
    Ok(Bytes::from(message.encode_to_vec()))
}

pub(super) fn decode(octets: &Bytes) -> Result<CloudEvent, EventError> {
    let message = message(octets)?;
    let required = [
        message.spec_version,
        message.id,
        message.source,
        message.r#type,
    ];
    let mut attributes = Vec::with_capacity(REQUIRED.len() + message.attributes.len());
    for (name, text) in REQUIRED.into_iter().zip(required) {
        if text.is_empty() {
            return Err(EventError::Missing(name));
        }
        attributes.push(Attribute::new(name, Value::of(name, text))?);
    }
    for (name, value) in message.attributes {
        if let Some(value) = value.attr {
            let value = value_of(&name, value)?;
            attributes.push(Attribute::new(name, value)?);
        }
    }
    with_content(CloudEvent::new(attributes, None)?, message.data)
}

fn with_content(mut event: CloudEvent, content: Option<Content>) -> Result<CloudEvent, EventError> {
    let data = match content {
        None => return Ok(event),
        Some(Content::Binary(octets)) => octets,
        Some(Content::Text(text)) => {
            event.add(Attribute::from_text("datacontenttype", "text/plain")?);
            Bytes::from(text)
        }
        Some(Content::Proto(any)) => {
            event.add(Attribute::from_text("datacontenttype", PROTOBUF)?);
            if !any.type_url.is_empty() {
                event.add(Attribute::from_text("dataschema", &any.type_url)?);
            }
            any.value
        }
    };
    Ok(event.with_data(data))
}

fn value_of(name: &str, value: AttributeValue) -> Result<Value, EventError> {
    Ok(match value {
        AttributeValue::Boolean(truth) => Value::Boolean(truth),
        AttributeValue::Integer(number) => Value::Integer(number),
        AttributeValue::String(text) => Value::of(name, text),
        AttributeValue::Bytes(octets) => Value::Binary(octets),
        AttributeValue::Uri(text) => Value::Uri(text),
        AttributeValue::UriReference(text) => Value::UriReference(text),
        AttributeValue::Timestamp(time) => match format(time) {
            Some(text) => Value::Timestamp(text),
            None => {
                return Err(EventError::Value {
                    name: name.chars().take(64).collect(),
                    expected: "a time of the years 0 to 9999",
                });
            }
        },
    })
}

fn format(time: TimestampMessage) -> Option<String> {
    let nanos = u32::try_from(time.nanos).ok()?;
    let seconds = OffsetDateTime::from_unix_timestamp(time.seconds).ok()?;
    seconds
        .replace_nanosecond(nanos)
        .ok()?
        .format(&Rfc3339)
        .ok()
}

pub(super) fn encode(event: &CloudEvent) -> Bytes {
    let text = |name: &str| match event.attribute(name) {
        Some(value) => value.text().into_owned(),
        None => String::new(),
    };
    let optional = |attribute: &&Attribute| !REQUIRED.contains(&attribute.name());
    let optional = event.attributes().iter().filter(optional);
    let message = EventMessage {
        id: text("id"),
        source: text("source"),
        spec_version: text("specversion"),
        r#type: text("type"),
        attributes: optional.map(attribute_message).collect(),
        data: event.data().map(|data| content(event, data)),
    };
    Bytes::from(message.encode_to_vec())
}

fn attribute_message(attribute: &Attribute) -> (String, AttributeMessage) {
    let value = match attribute.value() {
        Value::Boolean(truth) => AttributeValue::Boolean(*truth),
        Value::Integer(number) => AttributeValue::Integer(*number),
        Value::String(text) => AttributeValue::String(text.clone()),
        Value::Binary(octets) => AttributeValue::Bytes(octets.clone()),
        Value::Uri(text) => AttributeValue::Uri(text.clone()),
        Value::UriReference(text) => AttributeValue::UriReference(text.clone()),
        Value::Timestamp(text) => match parse(text) {
            Some(time) => AttributeValue::Timestamp(time),
            None => AttributeValue::String(text.clone()),
        },
    };
    let message = AttributeMessage { attr: Some(value) };
    (attribute.name().to_owned(), message)
}

fn parse(text: &str) -> Option<TimestampMessage> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(TimestampMessage {
        seconds: time.unix_timestamp(),
        nanos: i32::try_from(time.nanosecond()).ok()?,
    })
}

/// A message whose type is known goes as one, text as text, and everything else as octets
/// (Protobuf format, section 3).
fn content(event: &CloudEvent, data: &Bytes) -> Content {
    let media_type = event.media_type().unwrap_or_default();
    if is_protobuf(media_type)
        && let Some(schema) = event.attribute("dataschema")
        && is_type_url(&schema.text())
    {
        return Content::Proto(AnyMessage {
            type_url: schema.text().into_owned(),
            value: data.clone(),
        });
    }
    let is_text = is_json(media_type) || is_text(media_type);
    match std::str::from_utf8(data) {
        Ok(text) if is_text => Content::Text(text.to_owned()),
        _ => Content::Binary(data.clone()),
    }
}

/// Whether a URI ends in a message's full name behind a slash, as `google.protobuf.Any` asks for.
fn is_type_url(uri: &str) -> bool {
    let is_identifier = |part: &str| {
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_';
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.bytes().all(allowed)
    };
    let name = uri.rsplit_once('/').map(|(_, name)| name);
    name.is_some_and(|name| name.split('.').all(is_identifier))
}
