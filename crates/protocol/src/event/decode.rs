//! From the JSON format of CloudEvents to a record in the Kafka binding's binary mode.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::EventError;
use super::attribute::{REQUIRED, canonical, check, header_name, is_json, is_name, repeats};
use super::json::Base64;
use crate::{Header, Record};

/// A CloudEvent's members in their order; `data` as it stands in the line.
pub(super) struct Members<'a> {
    pub(super) attributes: Vec<(String, Value)>,
    pub(super) data: Option<&'a RawValue>,
    pub(super) data_base64: Option<Bytes>,
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
        if twice || repeats(members.attributes.iter().map(|(name, _)| name.as_str())) {
            return Err(A::Error::custom("a member is there twice"));
        }
        Ok(members)
    }
}

/// The checked attributes of a CloudEvent with their canonical texts. Those that are `null` are
/// not there.
pub(super) fn attributes(
    members: Vec<(String, Value)>,
) -> Result<Vec<(String, String)>, EventError> {
    let mut attributes = Vec::with_capacity(members.len());
    for (name, value) in members {
        if !is_name(&name) {
            return Err(EventError::Name(name.chars().take(64).collect()));
        }
        if value.is_null() {
            continue;
        }
        let value = canonical(&name, value)?;
        check(&name, &value)?;
        attributes.push((name, value));
    }
    let missing = |required: &&&str| !attributes.iter().any(|(name, _)| name == **required);
    match REQUIRED.iter().find(missing) {
        Some(required) => Err(EventError::Missing(required)),
        None => Ok(attributes),
    }
}

pub(super) fn decode(line: &Bytes) -> Result<Record, EventError> {
    let members: Members<'_> =
        serde_json::from_slice(line).map_err(|error| EventError::Json(error.to_string()))?;
    let attributes = attributes(members.attributes)?;
    let content_type = find(&attributes, "datacontenttype");
    let value = match (members.data, members.data_base64) {
        (Some(_), Some(_)) => return Err(EventError::TwoContents),
        (None, base64) => base64,
        (Some(data), None) => Some(content(line, data, content_type)?),
    };
    let key = find(&attributes, "partitionkey").map(|key| Bytes::copy_from_slice(key.as_bytes()));
    let headers = attributes.into_iter().map(|(name, value)| Header {
        name: header_name(&name),
        value: Some(Bytes::from(value)),
    });
    Ok(Record {
        offset: 0,
        timestamp: -1,
        key,
        value,
        headers: headers.collect(),
    })
}

fn find<'a>(attributes: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// JSON content is kept as it stands in the line; a string of another media type is its text.
fn content(line: &Bytes, data: &RawValue, content_type: Option<&str>) -> Result<Bytes, EventError> {
    let raw = data.get();
    if is_json(content_type) || !raw.starts_with('"') {
        return Ok(line.slice_ref(raw.as_bytes()));
    }
    serde_json::from_str::<String>(raw)
        .map(Bytes::from)
        .map_err(|error| EventError::Json(error.to_string()))
}
