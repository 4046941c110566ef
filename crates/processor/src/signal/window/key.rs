//! The key of an event's window.

use bytes::Bytes;
use eson_protocol::event::{RECORD_TYPE, encode};
use eson_protocol::{EventFormat, Name, Record};
use serde_json::Value;

/// Where the key is: the names of members on the way to it; none is the record's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(Vec<String>);

impl Key {
    /// Reads `.data.customer`; an empty text is the record's key.
    pub(super) fn parse(path: &str) -> Option<Self> {
        if path.is_empty() {
            return Some(Self(Vec::new()));
        }
        let names: Vec<_> = path
            .strip_prefix('.')?
            .split('.')
            .map(str::to_owned)
            .collect();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_name = |name: &String| !name.is_empty() && name.chars().all(plain);
        names.iter().all(is_name).then_some(Self(names))
    }

    /// The key of an event.
    ///
    /// # Errors
    /// Says where there is none.
    pub(crate) fn of(&self, flow: &str, partition: u32, record: &Record) -> Result<String, String> {
        if self.0.is_empty() {
            let key = record.key.as_deref().unwrap_or_default();
            return Ok(String::from_utf8_lossy(key).into_owned());
        }
        let event = shown(flow, partition, record);
        let found = self
            .0
            .iter()
            .try_fold(&event, |value, name| value.get(name));
        match found {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
            _ => Err(format!("the event has no key at .{}", self.0.join("."))),
        }
    }
}

/// The event as READ FLOW shows it; with its content, where that is JSON without attributes.
fn shown(flow: &str, partition: u32, record: &Record) -> Value {
    let Ok(flow) = Name::parse(flow) else {
        return Value::Null;
    };
    let line = encode(EventFormat::CloudEvents, &flow, partition, record);
    let mut event: Value = serde_json::from_str(&line).unwrap_or_default();
    let content = record.value.as_ref().map(Bytes::as_ref);
    if event["type"] == RECORD_TYPE
        && let Some(Ok(content)) = content.map(serde_json::from_slice)
    {
        event["data"] = content;
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: &'static str) -> Record {
        Record {
            offset: 0,
            timestamp: 0,
            key: Some(Bytes::from_static(b"k")),
            value: Some(Bytes::from_static(value.as_bytes())),
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_key_is_at_a_path_or_the_records() {
        let of = |path, value| {
            let key = Key::parse(path).expect(path);
            key.of("a.example", 0, &record(value))
        };
        assert_eq!(of("", "x"), Ok("k".to_owned()));
        assert_eq!(of(".partitionkey", "x"), Ok("k".to_owned()));
        let value = r#"{"customer":{"id":7},"name":"x"}"#;
        assert_eq!(of(".data.customer.id", value), Ok("7".to_owned()));
        assert_eq!(of(".data.name", value), Ok("x".to_owned()));
        for path in [".data.nobody", ".data.customer", ".data.name.more"] {
            let error = of(path, value).expect_err(path);
            assert!(error.contains(path), "{error}");
        }
    }

    #[test]
    fn a_path_is_no_program() {
        for wrong in ["data", ".", ".a..b", ".a[0]", ".a | .b"] {
            assert_eq!(Key::parse(wrong), None, "{wrong}");
        }
    }
}
