//! Attributes of a CloudEvent (CloudEvents 1.0, section 3), and how a record's headers carry
//! them (Kafka protocol binding, section 3.2.3).

use serde_json::Value;

use super::EventError;
use crate::text::parse_time;

/// The header that holds `datacontenttype`.
pub(super) const CONTENT_TYPE: &str = "content-type";

/// What stands in front of the other attributes' names in headers.
pub(super) const PREFIX: &str = "ce_";

/// The attributes without which there is no CloudEvent.
pub(super) const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// The header of an attribute.
pub(super) fn header_name(attribute: &str) -> String {
    match attribute {
        "datacontenttype" => CONTENT_TYPE.to_owned(),
        _ => format!("{PREFIX}{attribute}"),
    }
}

/// Small letters and digits; `data` is not an attribute.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit();
    !name.is_empty() && name.bytes().all(allowed) && name != "data"
}

/// Whether a name is there twice. Sorting keeps a line with very many members cheap.
pub(super) fn repeats<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

/// The canonical text of a JSON value: strings, booleans and 32-bit integers can be attributes.
pub(super) fn canonical(name: &str, value: Value) -> Result<String, EventError> {
    let expected = match value {
        Value::String(text) => return Ok(text),
        Value::Bool(truth) => return Ok(truth.to_string()),
        Value::Number(number) if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {
            return Ok(number.to_string());
        }
        Value::Number(_) => "a string, a truth value or an integer of 32 bits",
        _ => "a string, a truth value or an integer",
    };
    Err(EventError::Value {
        name: name.to_owned(),
        expected,
    })
}

/// Checks an attribute's value.
pub(super) fn check(name: &str, value: &str) -> Result<(), EventError> {
    if name == "specversion" && value != "1.0" {
        return Err(EventError::Version(value.chars().take(16).collect()));
    }
    let blank = |c: char| c.is_whitespace();
    let (fits, expected) = match name {
        "id" | "type" | "subject" | "partitionkey" => {
            (!value.is_empty(), "a text that is not empty")
        }
        "source" | "dataschema" => (!value.is_empty() && !value.contains(blank), "a URI"),
        "time" => (parse_time(value).is_some(), "a time by RFC 3339"),
        "datacontenttype" => (is_media_type(value), "a media type"),
        _ => (true, ""),
    };
    let (fits, expected) = match value.contains(char::is_control) {
        true => (false, "without control characters"),
        false => (fits, expected),
    };
    if fits {
        return Ok(());
    }
    Err(EventError::Value {
        name: name.to_owned(),
        expected,
    })
}

fn is_media_type(value: &str) -> bool {
    let parts = essence(value).split_once('/');
    parts.is_some_and(|(main, sub)| !main.is_empty() && !sub.is_empty())
}

/// A media type without its parameters.
pub(super) fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or(media_type).trim()
}

/// Whether a media type says JSON; none does in a CloudEvent.
pub(super) fn is_json(media_type: Option<&str>) -> bool {
    media_type.is_none_or(|media_type| {
        let essence = essence(media_type).to_ascii_lowercase();
        essence.ends_with("/json") || essence.ends_with("+json")
    })
}

/// Whether content of a media type is better shown as text than in base64.
pub(super) fn is_text(media_type: &str) -> bool {
    let essence = essence(media_type).to_ascii_lowercase();
    essence.starts_with("text/") || essence.ends_with("/xml") || essence.ends_with("+xml")
}
