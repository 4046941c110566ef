//! Contracts judge records.

use std::sync::Arc;

use bytes::Bytes;
use eson_protocol::event::{Attribute, CloudEvent, ContentMode, Value};
use eson_protocol::{Header, Record};
use eson_schema::{Contract, ContractError, Schema, SchemaError, Violation};
use prost::Message as _;

const ORDERS: &str = r#"
    syntax = "proto3";
    package orders.v1;
    message Order { string id = 1; repeated Line lines = 2; map<string, Line> extra = 3; }
    message Line { int32 amount = 1; }
"#;

/// The serialised descriptor set of one file.
fn descriptor(source: &str) -> Vec<u8> {
    let file = protox::file::File::from_source("orders.proto", source).expect("a proto file");
    let set = prost_types::FileDescriptorSet {
        file: vec![file.file_descriptor_proto().clone()],
    };
    set.encode_to_vec()
}

fn orders() -> Schema {
    Schema::read(&descriptor(ORDERS), Some("orders.v1.Order")).expect("a schema")
}

fn json_schema(text: &str) -> Schema {
    Schema::read(text.as_bytes(), None).expect("a schema")
}

fn plain(content_type: Option<&str>, value: &[u8]) -> Record {
    let header = |text: &str| Header {
        name: "content-type".to_owned(),
        value: Some(Bytes::copy_from_slice(text.as_bytes())),
    };
    Record {
        offset: 0,
        timestamp: -1,
        key: None,
        value: Some(Bytes::copy_from_slice(value)),
        headers: content_type.map(header).into_iter().collect(),
    }
}

fn event(media_type: &str, data: &[u8], mode: ContentMode) -> Record {
    let texts = [
        ("specversion", "1.0"),
        ("id", "1"),
        ("source", "/s"),
        ("type", "t"),
        ("datacontenttype", media_type),
    ];
    let attribute = |(name, text): (&str, &str)| {
        Attribute::new(name, Value::String(text.to_owned())).expect("an attribute")
    };
    let attributes = texts.map(attribute).to_vec();
    let event = CloudEvent::new(attributes, Some(Bytes::copy_from_slice(data)));
    event.expect("an event").into_record(mode)
}

fn at(violation: Result<(), Violation>) -> String {
    match violation {
        Err(Violation::Schema { at, .. }) => at,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_json_schema_says_where_and_not_what() {
    let schema = json_schema(
        r#"{"properties":{"a/b":{"items":{"type":"integer"}},"c":{"maximum":3},"d":{"pattern":"^x+$"}}}"#,
    );
    let check = |text: &str| schema.check(&Bytes::copy_from_slice(text.as_bytes()));
    assert_eq!(check(r#"{"a/b":[1,2],"c":3}"#), Ok(()));
    assert_eq!(at(check(r#"{"a/b":[1,"secret"]}"#)), "/a~1b/1");
    let violation = check(r#"{"a/b":["secret"]}"#).expect_err("no integer");
    assert!(!violation.to_string().contains("secret"), "{violation}");
    assert_eq!(at(check(r#"{"c":4}"#)), "/c");
    assert!(matches!(check("{"), Err(Violation::NotJson(_))));
}

/// A pattern that other engines take exponential time for, on a text of their worst case: the
/// test would not end.
#[test]
fn patterns_cost_linear_time() {
    let schema = json_schema(r#"{"pattern":"^(a+)+$"}"#);
    let text = format!("\"{}!\"", "a".repeat(50_000));
    assert_eq!(at(schema.check(&Bytes::from(text))), "/");
    let backwards = Schema::read(br#"{"pattern":"(?<=a)b"}"#, None);
    assert!(matches!(backwards, Err(SchemaError::Json { .. })));
}

#[test]
fn a_schema_refers_to_itself_and_to_nothing_else() {
    json_schema(r##"{"$ref":"#/$defs/a","$defs":{"a":{"type":"string"}}}"##);
    json_schema(r#"{"$ref":"https://json-schema.org/draft/2020-12/schema"}"#);
    for elsewhere in [
        "http://127.0.0.1:1/a.json",
        "file:///etc/passwd",
        "other.json",
    ] {
        let text = format!(r#"{{"$ref":"{elsewhere}"}}"#);
        let read = Schema::read(text.as_bytes(), None);
        assert!(matches!(read, Err(SchemaError::Json { .. })), "{read:?}");
    }
}

#[test]
fn what_is_no_schema_is_refused() {
    for (document, part) in [("7", None), ("no JSON", None), ("", None)] {
        let read = Schema::read(document.as_bytes(), part);
        assert!(matches!(read, Err(SchemaError::Unknown(_))), "{read:?}");
    }
    let wrong = Schema::read(br#"{"type":"colour"}"#, None);
    assert!(matches!(wrong, Err(SchemaError::Json { at, .. }) if at == "/type"));
    let part = Schema::read(b"{}", Some("a.B"));
    assert_eq!(part.unwrap_err(), SchemaError::Part("a.B".to_owned()));
    let read = |part| Schema::read(&descriptor(ORDERS), part);
    for part in [None, Some("orders.v1.Other")] {
        let read = read(part);
        assert!(matches!(read, Err(SchemaError::Message(_))), "{read:?}");
    }
    let one = "syntax = \"proto3\"; package a; message Only { bool b = 1; }";
    Schema::read(&descriptor(one), None).expect("only one message can be meant");
}

#[test]
fn a_descriptor_says_where_a_field_is_that_it_does_not_have() {
    let check = |octets: &'static [u8]| orders().check(&Bytes::from_static(octets));
    assert_eq!(check(b"\x0a\x01a\x12\x02\x08\x07"), Ok(()));
    assert_eq!(check(b""), Ok(()));
    assert_eq!(at(check(b"\x48\x01")), "/");
    assert_eq!(at(check(b"\x12\x00\x12\x02\x10\x07")), "/lines/1");
    assert_eq!(
        at(check(b"\x1a\x09\x0a\x03a/~\x12\x02\x10\x07")),
        "/extra/a~1~0"
    );
    assert_eq!(at(check(b"\x0a\x05a")), "/");
    assert_eq!(at(check(b"{\"id\":1}")), "/");
}

#[test]
fn content_of_another_media_type_is_refused() {
    let contract = Contract::new(Some("application/json; charset=utf-8"), None, false);
    let contract = contract.expect("a contract");
    assert_eq!(contract.mode(), ContentMode::Binary);
    for good in [
        plain(None, b"{}"),
        plain(Some("Application/JSON"), b"1"),
        event("application/json", b"[]", ContentMode::Binary),
        event("application/json", b"[]", ContentMode::Protobuf),
    ] {
        assert_eq!(contract.check(&good), Ok(()));
    }
    let other = contract.check(&event("text/plain", b"{}", ContentMode::Json));
    assert!(matches!(other, Err(Violation::MediaType { .. })));
    let broken = contract.check(&plain(None, b"{"));
    assert!(matches!(broken, Err(Violation::NotJson(_))));
    let pretended = Record {
        headers: vec![Header {
            name: "ce_id".to_owned(),
            value: Some(Bytes::from_static(b"1")),
        }],
        ..plain(None, b"{}")
    };
    assert!(matches!(
        contract.check(&pretended),
        Err(Violation::Event(_))
    ));
}

#[test]
fn cloud_events_may_be_asked_for_in_one_mode_or_in_any() {
    let any = Contract::new(Some("application/cloudevents"), None, false).expect("a contract");
    let json = Contract::new(Some("application/cloudevents+json"), None, false);
    let json = json.expect("a contract");
    assert_eq!(json.mode(), ContentMode::Json);
    let of = |mode| event("text/plain", b"x", mode);
    for mode in [
        ContentMode::Binary,
        ContentMode::Json,
        ContentMode::Protobuf,
    ] {
        assert_eq!(any.check(&of(mode)), Ok(()));
        assert_eq!(json.check(&of(mode)).is_ok(), mode == ContentMode::Json);
    }
    assert_eq!(any.check(&plain(None, b"x")), Err(Violation::NoEvent));
    let tombstone = Record {
        key: Some(Bytes::from_static(b"k")),
        value: None,
        ..plain(None, b"")
    };
    assert_eq!(any.check(&tombstone), Ok(()));
    let nothing = Record {
        key: None,
        ..tombstone
    };
    assert_eq!(any.check(&nothing), Err(Violation::NoEvent));
}

#[test]
fn a_schema_judges_the_content_inside_an_event() {
    let schema = Some(Arc::new(orders()));
    let contract = Contract::new(Some("application/cloudevents+protobuf"), schema, false);
    let contract = contract.expect("a contract");
    let of = |media_type, data: &[u8]| event(media_type, data, ContentMode::Protobuf);
    assert_eq!(
        contract.check(&of("application/protobuf", b"\x0a\x01a")),
        Ok(())
    );
    assert_eq!(
        at(contract.check(&of("application/protobuf", b"\x48\x01"))),
        "/"
    );
    let json = contract.check(&of("application/json", b"{}"));
    assert!(matches!(json, Err(Violation::MediaType { .. })));
}

#[test]
fn a_registrys_id_stands_in_front() {
    let schema = Some(Arc::new(orders()));
    let contract = Contract::new(None, schema, true).expect("a contract");
    assert_eq!(
        contract.check(&plain(None, b"\0\0\0\0\x01\0\x0a\x01a")),
        Ok(())
    );
    assert_eq!(
        at(contract.check(&plain(None, b"\0\0\0\0\x01\0\x48\x01"))),
        "/"
    );
    for unframed in [&b"\x0a\x01a"[..], b"\0\0\0\0\x01"] {
        let check = contract.check(&plain(None, unframed));
        assert_eq!(check, Err(Violation::NotFramed));
    }
    let json = Arc::new(json_schema(r#"{"type":"integer"}"#));
    let json = Contract::new(Some("application/json"), Some(json), true).expect("a contract");
    assert_eq!(json.check(&plain(None, b"\0\0\0\0\x017")), Ok(()));
}

#[test]
fn what_contradicts_itself_is_no_contract() {
    let schema = |text| Some(Arc::new(json_schema(text)));
    let text = Contract::new(Some("text/plain"), schema("true"), false);
    assert!(matches!(text, Err(ContractError::Language { .. })));
    for (media_type, expected) in [
        ("json", ContractError::MediaType("json".to_owned())),
        (
            "application/cloudevents-batch+json",
            ContractError::Format("application/cloudevents-batch+json".to_owned()),
        ),
    ] {
        let contract = Contract::new(Some(media_type), None, false);
        assert_eq!(contract.unwrap_err(), expected);
    }
}
