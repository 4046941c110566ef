//! `format=record`: everything that a broker stores.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::json::{Base64, push_optional_base64, push_string};
use super::{EventError, WrittenEvent};
use crate::{Header, Record};

pub(super) fn encode(partition: u32, record: &Record) -> String {
    let value = record.value.as_ref().map_or(0, Bytes::len);
    let mut out = String::with_capacity(192 + value / 3 * 4);
    // Writing to a String can't fail.
    let _ = write!(
        out,
        r#"{{"cursor":"{partition}-{next}","partition":{partition},"offset":{offset},"timestamp":{timestamp},"key":"#,
        next = record.offset.saturating_add(1),
        offset = record.offset,
        timestamp = record.timestamp,
    );
    push_optional_base64(&mut out, record.key.as_ref());
    push_headers(&mut out, &record.headers);
    out.push_str(r#","value":"#);
    push_optional_base64(&mut out, record.value.as_ref());
    out.push('}');
    out
}

fn push_headers(out: &mut String, headers: &[Header]) {
    out.push_str(r#","headers":["#);
    for (at, header) in headers.iter().enumerate() {
        out.push_str(if at == 0 {
            r#"{"name":"#
        } else {
            r#",{"name":"#
        });
        push_string(out, &header.name);
        out.push_str(r#","value":"#);
        push_optional_base64(out, header.value.as_ref());
        out.push('}');
    }
    out.push(']');
}

/// A line that a client writes. `value` must be there, for a tombstone should be meant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// What READ FLOW says, so that its lines may be written as they are.
    #[serde(rename = "cursor")]
    _cursor: Option<IgnoredAny>,
    partition: Option<u32>,
    offset: Option<u64>,
    timestamp: Option<i64>,
    key: Option<Base64>,
    #[serde(default)]
    headers: Vec<HeaderLine>,
    #[serde(deserialize_with = "Option::deserialize")]
    value: Option<Base64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    name: String,
    #[serde(deserialize_with = "Option::deserialize")]
    value: Option<Base64>,
}

pub(super) fn decode(line: &[u8]) -> Result<WrittenEvent, EventError> {
    let line: Line =
        serde_json::from_slice(line).map_err(|error| EventError::Json(error.to_string()))?;
    let octets = |base64: Base64| base64.0;
    let headers = line.headers.into_iter().map(|header| Header {
        name: header.name,
        value: header.value.map(octets),
    });
    Ok(WrittenEvent {
        partition: line.partition,
        record: Record {
            offset: line.offset.unwrap_or_default(),
            timestamp: line.timestamp.unwrap_or(-1),
            key: line.key.map(octets),
            value: line.value.map(octets),
            headers: headers.collect(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_kept() {
        let header = |name: &str, value: Option<&'static [u8]>| Header {
            name: name.to_owned(),
            value: value.map(Bytes::from_static),
        };
        let record = Record {
            offset: 42,
            timestamp: 1_700_000_000_000,
            key: Some(Bytes::from_static(b"k\0")),
            value: Some(Bytes::from_static(b"\xff\xfe")),
            headers: vec![header("a\"\n", None), header("a", Some(b""))],
        };
        let line = encode(3, &record);
        assert_eq!(
            line,
            r#"{"cursor":"3-43","partition":3,"offset":42,"timestamp":1700000000000,"key":"awA=","headers":[{"name":"a\"\u000a","value":null},{"name":"a","value":""}],"value":"//4="}"#
        );
        let written = decode(line.as_bytes());
        let partition = Some(3);
        assert_eq!(written, Ok(WrittenEvent { partition, record }));
    }

    #[test]
    fn a_client_may_leave_out_what_it_does_not_know() {
        let written = decode(br#"{"value":null}"#).expect("a tombstone");
        assert_eq!(written.partition, None);
        assert_eq!(written.record.value, None);
        assert_eq!(written.record.timestamp, -1);
    }

    #[test]
    fn what_is_not_meant_is_refused() {
        for line in [
            r#"{"key":"aw=="}"#,
            r#"{"value":"no base64!"}"#,
            r#"{"value":"","colour":"blue"}"#,
            r#"{"value":"","value":""}"#,
            r#"{"value":"","partition":-1}"#,
            r#"{"value":"","headers":[{"name":"a"}]}"#,
            r#"["value"]"#,
            "",
        ] {
            assert!(
                matches!(decode(line.as_bytes()), Err(EventError::Json(_))),
                "{line}"
            );
        }
    }
}
