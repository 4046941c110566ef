//! New CloudEvents (version 1.0, JSON format) around lines of data.

use eson_protocol::EventFormat;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::failure::Failure;

/// What all events of one `fnua write` have in common.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// The event's `type`.
    pub(crate) kind: String,
    /// The event's `source`.
    pub(crate) source: String,
    /// The extension `partitionkey`: events with the same key stay in order.
    pub(crate) key: Option<String>,
}

impl Template {
    /// The form of the lines that this makes.
    pub(crate) const FORMAT: EventFormat = EventFormat::CloudEvents;

    /// One line of data as an event with an id of its own and the present time. A JSON object
    /// or array becomes JSON data, everything else text.
    ///
    /// # Errors
    /// When the system gives no random numbers or no time.
    pub(crate) fn wrap(&self, line: &str) -> Result<String, Failure> {
        let (content_type, data) = data(line);
        let now = OffsetDateTime::now_utc().format(&Rfc3339);
        let mut event = Map::new();
        let mut set = |key: &str, value: Value| event.insert(key.to_owned(), value);
        set("specversion", "1.0".into());
        set("id", unique_id()?.into());
        set("type", self.kind.as_str().into());
        set("source", self.source.as_str().into());
        set("time", now.map_err(Failure::usage)?.into());
        set("datacontenttype", content_type.into());
        if let Some(key) = &self.key {
            set("partitionkey", key.as_str().into());
        }
        set("data", data);
        Ok(Value::Object(event).to_string())
    }
}

fn data(line: &str) -> (&'static str, Value) {
    match serde_json::from_str::<Value>(line) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => ("application/json", value),
        _ => ("text/plain", line.into()),
    }
}

/// A random UUID (version 4, RFC 9562).
fn unique_id() -> Result<String, Failure> {
    let mut octets = [0u8; 16];
    getrandom::fill(&mut octets)
        .map_err(|cause| Failure::usage(format!("the system gives no random numbers: {cause}")))?;
    let random = u128::from_be_bytes(octets);
    let version = (random & !(0xf << 76)) | (4 << 76);
    let uuid = format!("{:032x}", (version & !(0b11 << 62)) | (0b10 << 62));
    let parts = [
        &uuid[..8],
        &uuid[8..12],
        &uuid[12..16],
        &uuid[16..20],
        &uuid[20..],
    ];
    Ok(parts.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(line: &str, key: Option<&str>) -> Value {
        let template = Template {
            kind: "arrival".to_owned(),
            source: "/airport".to_owned(),
            key: key.map(str::to_owned),
        };
        template
            .wrap(line)
            .expect("an event")
            .parse()
            .expect("JSON")
    }

    #[test]
    fn text_is_text() {
        let event = wrapped("42 cups", None);
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["type"], "arrival");
        assert_eq!(event["source"], "/airport");
        assert_eq!(event["datacontenttype"], "text/plain");
        assert_eq!(event["data"], "42 cups");
        assert!(event.get("partitionkey").is_none());
        assert_eq!(wrapped("42", None)["data"], "42");
    }

    #[test]
    fn json_is_json() {
        let event = wrapped(r#"{"flight":"OS 1"}"#, Some("OS"));
        assert_eq!(event["datacontenttype"], "application/json");
        assert_eq!(event["data"]["flight"], "OS 1");
        assert_eq!(event["partitionkey"], "OS");
    }

    #[test]
    fn ids_are_version_4_and_differ() {
        let (one, other) = (unique_id().expect("an id"), unique_id().expect("an id"));
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4', "{one}");
        assert!(
            matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'),
            "{one}"
        );
    }
}
