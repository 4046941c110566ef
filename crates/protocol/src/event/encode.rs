//! From a record to the JSON format of CloudEvents.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::RECORD_TYPE;
use super::attribute::{
    CONTENT_TYPE, PREFIX, REQUIRED, check, essence, is_json, is_name, is_text, repeats,
};
use super::decode::{Members, attributes};
use super::json::{push_base64, push_string};
use crate::text::format_time;
use crate::{FlowUri, Header, Name, Record};

/// A record in structured mode is passed through, one in binary mode put together, any other
/// wrapped.
pub(super) fn encode(flow: &Name, partition: u32, record: &Record) -> String {
    if let Some(event) = structured(record) {
        return event.into_owned();
    }
    match binary(record) {
        Some(attributes) => {
            let content_type = find(&attributes, "datacontenttype");
            object(&attributes, record, |out, value| {
                push_content(out, value, content_type);
            })
        }
        None => object(&wrapped(flow, partition, record), record, push_data_base64),
    }
}

/// The JSON object of attributes and content.
fn object(
    attributes: &Attributes<'_>,
    record: &Record,
    push_content: impl FnOnce(&mut String, &[u8]),
) -> String {
    let mut out = String::with_capacity(256 + record.value.as_ref().map_or(0, |v| v.len() / 3 * 4));
    for (at, (name, value)) in attributes.iter().enumerate() {
        out.push(if at == 0 { '{' } else { ',' });
        push_string(&mut out, name);
        out.push(':');
        push_string(&mut out, value);
    }
    if let Some(value) = &record.value {
        push_content(&mut out, value);
    }
    out.push('}');
    out
}

fn find<'a>(attributes: &'a Attributes<'_>, name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| &**value)
}

type Attributes<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// The value of a record in structured mode, if it is a valid CloudEvent.
fn structured(record: &Record) -> Option<Cow<'_, str>> {
    let content_type = text(header(record, CONTENT_TYPE)?)?;
    if !essence(content_type).eq_ignore_ascii_case("application/cloudevents+json") {
        return None;
    }
    let event = std::str::from_utf8(record.value.as_ref()?).ok()?;
    let members: Members<'_> = serde_json::from_str(event).ok()?;
    let one_content = !(members.data.is_some() && members.data_base64.is_some());
    (one_content && attributes(members.attributes).is_ok()).then(|| on_one_line(event))
}

/// The attributes of a record in binary mode, if it is a valid CloudEvent.
fn binary(record: &Record) -> Option<Attributes<'_>> {
    let mut attributes: Attributes<'_> = Vec::with_capacity(record.headers.len() + 1);
    for header in &record.headers {
        let name = match header.name.strip_prefix(PREFIX) {
            Some(name) if is_name(name) => name,
            Some(_) => return None,
            None if header.name == CONTENT_TYPE => "datacontenttype",
            None => continue,
        };
        let value = text(header)?;
        check(name, value).ok()?;
        attributes.push((name.into(), value.into()));
    }
    if repeats(attributes.iter().map(|(name, _)| &**name)) {
        return None;
    }
    let has = |name: &str| attributes.iter().any(|(known, _)| known == name);
    if !REQUIRED.into_iter().all(has) {
        return None;
    }
    if !has("partitionkey") {
        push_key(&mut attributes, record);
    }
    Some(attributes)
}

/// The attributes of a CloudEvent around a record that is none.
fn wrapped<'a>(flow: &Name, partition: u32, record: &'a Record) -> Attributes<'a> {
    let mut attributes: Attributes<'a> = vec![
        ("specversion".into(), "1.0".into()),
        ("id".into(), format!("{partition}-{}", record.offset).into()),
        (
            "source".into(),
            FlowUri::from(flow.clone()).to_string().into(),
        ),
        ("type".into(), RECORD_TYPE.into()),
    ];
    let time = (record.timestamp >= 0).then(|| format_time(record.timestamp));
    if let Some(time) = time.flatten() {
        attributes.push(("time".into(), time.into()));
    }
    if record.value.is_some() {
        let content_type = header(record, CONTENT_TYPE).and_then(text);
        let content_type = content_type.filter(|value| check("datacontenttype", value).is_ok());
        let content_type = content_type.unwrap_or("application/octet-stream");
        attributes.push(("datacontenttype".into(), content_type.into()));
    }
    push_key(&mut attributes, record);
    attributes
}

/// The key as the extension `partitionkey`, where it is a text.
fn push_key<'a>(attributes: &mut Attributes<'a>, record: &'a Record) {
    let key = record.key.as_deref().map(std::str::from_utf8);
    if let Some(Ok(key)) = key
        && check("partitionkey", key).is_ok()
    {
        attributes.push(("partitionkey".into(), key.into()));
    }
}

fn push_content(out: &mut String, value: &[u8], content_type: Option<&str>) {
    if let Ok(text) = std::str::from_utf8(value) {
        if is_json(content_type) && serde_json::from_str::<&RawValue>(text).is_ok() {
            out.push_str(r#","data":"#);
            out.push_str(&on_one_line(text));
            return;
        }
        if content_type.is_some_and(is_text) {
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
fn on_one_line(json: &str) -> Cow<'_, str> {
    if json.contains(['\r', '\n']) {
        Cow::Owned(json.replace(['\r', '\n'], " "))
    } else {
        Cow::Borrowed(json)
    }
}

fn header<'a>(record: &'a Record, name: &str) -> Option<&'a Header> {
    record.headers.iter().find(|header| header.name == name)
}

fn text(header: &Header) -> Option<&str> {
    std::str::from_utf8(header.value.as_deref()?).ok()
}
