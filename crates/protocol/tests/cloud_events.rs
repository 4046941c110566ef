//! CloudEvents in JSON against records in the Kafka protocol binding.

use bytes::Bytes;
use eson_protocol::event::{EventError, decode, encode};
use eson_protocol::{EventFormat, Header, Name, Record};

fn flow() -> Name {
    Name::parse("time.flows.orange.example").expect("a name")
}

fn decoded(line: &str) -> Result<Record, EventError> {
    let line = Bytes::copy_from_slice(line.as_bytes());
    decode(EventFormat::CloudEvents, &line).map(|written| written.record)
}

fn encoded(record: &Record) -> String {
    encode(EventFormat::CloudEvents, &flow(), 3, record)
}

fn record(headers: &[(&str, &str)], value: Option<&[u8]>) -> Record {
    let header = |(name, value): &(&str, &str)| Header {
        name: (*name).to_owned(),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
    };
    Record {
        offset: 42,
        timestamp: 1_700_000_000_123,
        key: None,
        value: value.map(Bytes::copy_from_slice),
        headers: headers.iter().map(header).collect(),
    }
}

const BASE: &str = r#""specversion":"1.0","id":"1","source":"/s","type":"t""#;

const BASE_HEADERS: [(&str, &str); 4] = [
    ("ce_specversion", "1.0"),
    ("ce_id", "1"),
    ("ce_source", "/s"),
    ("ce_type", "t"),
];

#[test]
fn attributes_are_headers_and_data_is_the_value() {
    let line = format!(
        r#"{{{BASE},"datacontenttype":"application/json","colour":"blue","data":{{"n": 1.50}}}}"#
    );
    let read = decoded(&line).expect("a CloudEvent");
    let names: Vec<_> = read.headers.iter().map(|h| h.name.as_str()).collect();
    let expected = [
        "ce_specversion",
        "ce_id",
        "ce_source",
        "ce_type",
        "content-type",
        "ce_colour",
    ];
    assert_eq!(names, expected);
    assert_eq!(read.value.as_deref(), Some(&br#"{"n": 1.50}"#[..]));
    assert_eq!(encoded(&read), line);
}

#[test]
fn round_trips_through_a_record() {
    for rest in [
        r#""#,
        r#","datacontenttype":"application/json","data":null"#,
        r#","datacontenttype":"text/json","data":"text in JSON""#,
        r#","datacontenttype":"a/b+json; v=1","data":12345678901234567890.123"#,
        r#","data_base64":"AP8=""#,
        r#","data_base64":"""#,
        r#","datacontenttype":"text/plain; charset=utf-8","data":"a\"b\u0001é""#,
        r#","datacontenttype":"application/xml","data":"<a/>""#,
        r#","datacontenttype":"application/protobuf","data_base64":"CgA=""#,
        r#","datacontenttype":"application/cloudevents+json; charset=utf-8","data_base64":"CgA=""#,
        r#","time":"2026-01-31T12:00:00.123+01:00","subject":"a b","dataschema":"https://a.example/s""#,
        r#","partitionkey":"k","datacontenttype":"application/json","data":1"#,
    ] {
        let line = format!("{{{BASE}{rest}}}");
        let read = decoded(&line).expect("a CloudEvent");
        assert_eq!(encoded(&read), line);
    }
}

#[test]
fn extensions_become_text_and_null_is_absent() {
    let line = format!(r#"{{{BASE},"hops":7,"signed":true,"subject":null}}"#);
    let read = decoded(&line).expect("a CloudEvent");
    assert_eq!(
        encoded(&read),
        format!(r#"{{{BASE},"hops":"7","signed":"true"}}"#)
    );
}

#[test]
fn no_data_is_a_tombstone_and_the_partition_key_is_the_key() {
    let read = decoded(&format!(r#"{{{BASE},"partitionkey":"k"}}"#)).expect("a CloudEvent");
    assert_eq!(read.value, None);
    assert_eq!(read.key.as_deref(), Some(&b"k"[..]));
}

#[test]
fn what_is_wrong_is_named() {
    let value = |name: &str, expected| EventError::Value {
        name: name.to_owned(),
        expected,
    };
    for (rest, error) in [
        (r#","Colour":"b""#, EventError::Name("Colour".to_owned())),
        (r#","time":"noon""#, value("time", "a time by RFC 3339")),
        (
            r#","subject":"""#,
            value("subject", "a text that is not empty"),
        ),
        (r#","dataschema":"a b""#, value("dataschema", "a URI")),
        (
            r#","datacontenttype":"json""#,
            value("datacontenttype", "a media type"),
        ),
        (r#","x":"\u0000""#, value("x", "without control characters")),
        (
            r#","x":[1]"#,
            value("x", "a string, a truth value or an integer"),
        ),
        (
            r#","x":1.5"#,
            value("x", "a string, a truth value or an integer of 32 bits"),
        ),
        (r#","subject":7"#, value("subject", "a text")),
        (r#","dataschema":"%zz""#, value("dataschema", "a URI")),
        (r#","data":1,"data_base64":"""#, EventError::TwoContents),
    ] {
        assert_eq!(decoded(&format!("{{{BASE}{rest}}}")), Err(error), "{rest}");
    }
    for required in ["specversion", "id", "source", "type"] {
        let line = format!("{{{BASE}}}").replace(&format!("\"{required}\""), "\"x\"");
        assert_eq!(decoded(&line), Err(EventError::Missing(required)));
    }
    let old = format!("{{{}}}", BASE.replace("1.0", "0.3"));
    assert_eq!(decoded(&old), Err(EventError::Version("0.3".to_owned())));
    for line in [
        "",
        "[]",
        "{",
        r#"{"id":"1","id":"2"}"#,
        r#"{"data_base64":"!"}"#,
    ] {
        assert!(matches!(decoded(line), Err(EventError::Json(_))), "{line}");
    }
}

#[test]
fn the_status_names_the_line() {
    let error = decoded("{}").expect_err("no CloudEvent");
    assert_eq!(
        error.status(7).to_string(),
        "501 [ARGUMENT] line 7: the CloudEvent has no `specversion`; specversion, id, source and \
         type are required"
    );
}

#[test]
fn a_structured_record_passes_through_on_one_line() {
    let event = format!("{{\r\n{BASE}, \"data\":\n1}}");
    let content_type = (
        "content-type",
        "application/cloudevents+json; charset=UTF-8",
    );
    let read = encoded(&record(&[content_type], Some(event.as_bytes())));
    assert_eq!(read, event.replace(['\r', '\n'], " "));
}

const WRAPPED: &str = r#"{"specversion":"1.0","id":"3-42","source":"flow://time.flows.orange.example","type":"eson.record","time":"2023-11-14T22:13:20.123Z""#;

#[test]
fn what_is_no_cloud_event_is_wrapped() {
    let octets = r#""datacontenttype":"application/octet-stream""#;
    assert_eq!(
        encoded(&record(&[("trace", "1")], Some(b"\xff"))),
        format!(r#"{WRAPPED},{octets},"data_base64":"/w=="}}"#)
    );
    assert_eq!(encoded(&record(&[], None)), format!("{WRAPPED}}}"));
    let mut keyed = record(&[("content-type", "application/json")], Some(b"{}"));
    keyed.key = Some(Bytes::from_static(b"k"));
    assert_eq!(
        encoded(&keyed),
        format!(
            r#"{WRAPPED},"datacontenttype":"application/json","partitionkey":"k","data_base64":"e30="}}"#
        )
    );
}

#[test]
fn headers_that_are_no_valid_event_are_not_believed() {
    for extra in [
        ("ce_id", "2"),
        ("ce_time", "noon"),
        ("ce_Colour", "blue"),
        ("ce_data", "x"),
        ("content-type", "json"),
    ] {
        let mut headers = BASE_HEADERS.to_vec();
        headers.push(extra);
        let line = encoded(&record(&headers, Some(b"1")));
        assert!(line.contains(r#""type":"eson.record""#), "{line}");
    }
    for missing in 0..BASE_HEADERS.len() {
        let mut headers = BASE_HEADERS.to_vec();
        headers.remove(missing);
        let line = encoded(&record(&headers, Some(b"1")));
        assert!(line.starts_with(WRAPPED), "{line}");
    }
}

#[test]
fn a_binary_record_that_is_no_json_shows_its_octets() {
    let line = encoded(&record(&BASE_HEADERS, Some(b"not json\n")));
    assert_eq!(line, format!(r#"{{{BASE},"data_base64":"bm90IGpzb24K"}}"#));
    // Line ends are the only octets of JSON that READ FLOW changes.
    let pretty = encoded(&record(&BASE_HEADERS, Some(b"{\n}")));
    assert_eq!(pretty, format!(r#"{{{BASE},"data":{{ }}}}"#));
}

/// As many members as fit in a line: each is looked at, and their number costs no more than that.
#[test]
fn very_many_attributes_are_taken() {
    let many: String = (0..60_000).map(|n| format!(r#","a{n}":1"#)).collect();
    let read = decoded(&format!("{{{BASE}{many}}}")).expect("a CloudEvent");
    assert_eq!(read.headers.len(), 60_004);
    assert_eq!(encoded(&read).matches("\"a").count(), 60_000);
    let twice = format!(r#"{{{BASE}{many},"a7":1}}"#);
    assert!(matches!(decoded(&twice), Err(EventError::Json(_))));
}
