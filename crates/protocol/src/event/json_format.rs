//! The JSON format of CloudEvents (`application/cloudevents+json`).

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::attribute::{Attribute, Value, repeated};
use super::json::{Base64, push_base64, push_string};
use super::media_type::{JSON, is_json, is_text};
use super::{CloudEvent, EventError};

/// A CloudEvent's members in their order; `data` as it stands in the line.
struct Members<'a> {
    attributes: Vec<(String, Json)>,
    data: Option<&'a RawValue>,
    data_base64: Option<Bytes>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvent, which is a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members {
            attributes: Vec::new(),
            data: None,
            data_base64: None,
        };
        let mut twice = false;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "data" => twice |= members.data.replace(map.next_value()?).is_some(),
                "data_base64" => {
                    let data: Option<Base64> = map.next_value()?;
                    let data = data.map(|data| data.0);
                    twice |= std::mem::replace(&mut members.data_base64, data).is_some();
                }
                _ => members.attributes.push((name, map.next_value()?)),
            }
        }
        if twice || repeated(members.attributes.iter().map(|(name, _)| name.as_str())).is_some() {
            return Err(A::Error::custom("a member is there twice"));
        }
        Ok(members)
    }
}

pub(super) fn decode(json: &Bytes) -> Result<CloudEvent, EventError> {
    let members: Members<'_> =
        serde_json::from_slice(json).map_err(|error| EventError::Json(error.to_string()))?;
    let mut attributes = Vec::with_capacity(members.attributes.len() + 1);
    for (name, value) in members.attributes {
        if let Some(value) = value_of(&name, value)? {
            attributes.push(Attribute::new(name, value)?);
        }
    }
    let mut event = CloudEvent::new(attributes, None)?;
    match (members.data, members.data_base64) {
        (Some(_), Some(_)) => Err(EventError::TwoContents),
        (None, None) => Ok(event),
        (None, Some(octets)) => Ok(event.with_data(octets)),
        (Some(data), None) => {
            // What this form implies has to be said in the others (section 3.1.2).
            event.add(Attribute::from_text("datacontenttype", JSON)?);
            let data = content(json, data, event.media_type())?;
            Ok(event.with_data(data))
        }
    }
}

/// Texts, truth values and 32-bit integers can be extensions, only texts the attributes that the
/// specification names. What is `null` is not there.
fn value_of(name: &str, value: Json) -> Result<Option<Value>, EventError> {
    let expected = match value {
        Json::Null => return Ok(None),
        Json::String(text) => return Ok(Some(Value::of(name, text))),
        _ if is_text_attribute(name) => "a text",
        Json::Bool(truth) => return Ok(Some(Value::Boolean(truth))),
        Json::Number(number) => match number.as_i64().map(i32::try_from) {
            Some(Ok(integer)) => return Ok(Some(Value::Integer(integer))),
            _ => "a string, a truth value or an integer of 32 bits",
        },
        _ => "a string, a truth value or an integer",
    };
    Err(EventError::Value {
        name: name.chars().take(64).collect(),
        expected,
    })
}

fn is_text_attribute(name: &str) -> bool {
    let optional = ["datacontenttype", "dataschema", "subject", "time"];
    super::attribute::REQUIRED.contains(&name) || optional.contains(&name)
}

/// JSON content is kept as it stands in the line; a string of another media type is its text.
fn content(line: &Bytes, data: &RawValue, media_type: Option<&str>) -> Result<Bytes, EventError> {
    let raw = data.get();
    if media_type.is_none_or(is_json) || !raw.starts_with('"') {
        return Ok(line.slice_ref(raw.as_bytes()));
    }
    serde_json::from_str::<String>(raw)
        .map(Bytes::from)
        .map_err(|error| EventError::Json(error.to_string()))
}

/// The members of an object in their order, as they stand in the line.
struct RawMembers<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawMembers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawMembersVisitor)
    }
}

struct RawMembersVisitor;

impl<'de> Visitor<'de> for RawMembersVisitor {
    type Value = RawMembers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(RawMembers(members))
    }
}

/// The same event with this attribute, in place of one of its name; every other member's value
/// stays in every octet.
pub(super) fn set(json: &[u8], attribute: &Attribute) -> Result<Bytes, EventError> {
    let RawMembers(members) =
        serde_json::from_slice(json).map_err(|error| EventError::Json(error.to_string()))?;
    let mut out = String::with_capacity(json.len() + 64);
    out.push('{');
    for (name, value) in members.iter().filter(|(name, _)| name != attribute.name()) {
        push_string(&mut out, name);
        out.push(':');
        out.push_str(value.get());
        out.push(',');
    }
    push_string(&mut out, attribute.name());
    out.push(':');
    push_value(&mut out, attribute.value());
    out.push('}');
    Ok(Bytes::from(out))
}

pub(super) fn encode(event: &CloudEvent) -> String {
    object(event, |out, value| {
        push_content(out, value, event.media_type());
    })
}

/// The JSON format with the content in base64, whatever its media type.
pub(super) fn encode_opaque(event: &CloudEvent) -> String {
    object(event, push_data_base64)
}

fn object(event: &CloudEvent, push_content: impl FnOnce(&mut String, &[u8])) -> String {
    let data = event.data();
    let mut out = String::with_capacity(256 + data.map_or(0, |data| data.len() / 3 * 4));
    for (at, attribute) in event.attributes().iter().enumerate() {
        out.push(if at == 0 { '{' } else { ',' });
        push_string(&mut out, attribute.name());
        out.push(':');
        push_value(&mut out, attribute.value());
    }
    if let Some(data) = data {
        push_content(&mut out, data);
    }
    out.push('}');
    out
}

fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::Boolean(_) | Value::Integer(_) => out.push_str(&value.text()),
        _ => push_string(out, &value.text()),
    }
}

fn push_content(out: &mut String, value: &[u8], media_type: Option<&str>) {
    if let Ok(text) = std::str::from_utf8(value) {
        let json = media_type.is_none_or(is_json);
        if json && serde_json::from_str::<&RawValue>(text).is_ok() {
            out.push_str(r#","data":"#);
            out.push_str(&on_one_line(text));
            return;
        }
        if media_type.is_some_and(is_text) {
            out.push_str(r#","data":"#);
            push_string(out, text);
            return;
        }
    }
    push_data_base64(out, value);
}

fn push_data_base64(out: &mut String, value: &[u8]) {
    out.push_str(r#","data_base64":"#);
    push_base64(out, value);
}

/// Line ends in JSON are white space between tokens.
pub(super) fn on_one_line(json: &str) -> Cow<'_, str> {
    if json.contains(['\r', '\n']) {
        Cow::Owned(json.replace(['\r', '\n'], " "))
    } else {
        Cow::Borrowed(json)
    }
}
