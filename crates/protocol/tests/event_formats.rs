//! The examples of the CloudEvents 1.0 specification (JSON format 3.2, Protobuf format 6, Kafka
//! protocol binding 3.2.5 and 3.3.4), in each of the three forms.

use bytes::Bytes;
use eson_protocol::event::{Attribute, CloudEvent, ContentMode, EventError, Value, decode, encode};
use eson_protocol::event::{WrittenEvent, decode_for};
use eson_protocol::{EventFormat, Header, Name, Record};

/// The attributes that the examples have in common, as JSON, behind `id`.
const COMMON: &str = r#""type":"com.example.someevent","source":"/mycontext","time":"2018-04-05T17:31:00Z","comexampleextension1":"value","comexampleothervalue":5"#;

fn json_event(rest: &str) -> CloudEvent {
    let json = format!(r#"{{"specversion":"1.0","id":"1234-1234-1234",{COMMON},{rest}}}"#);
    CloudEvent::from_json(&Bytes::from(json)).expect("an example")
}

fn headers(record: &Record) -> Vec<(&str, &str)> {
    let mut pairs = Vec::new();
    for header in &record.headers {
        let value = header.value.as_deref().expect("a value");
        pairs.push((&*header.name, std::str::from_utf8(value).expect("a text")));
    }
    pairs
}

/// The same event in the other forms and back.
fn assert_same_in_all_forms(event: &CloudEvent) {
    for mode in [
        ContentMode::Binary,
        ContentMode::Json,
        ContentMode::Protobuf,
    ] {
        let record = event.clone().into_record(mode);
        let read = CloudEvent::from_record(&record).expect("valid");
        let read = read.expect("a CloudEvent");
        assert_eq!(read.data(), event.data(), "{mode:?}");
        for attribute in event.attributes() {
            let value = read.attribute(attribute.name()).expect("is kept");
            assert_eq!(value.text(), attribute.value().text(), "{mode:?}");
        }
        assert_eq!(read.attributes().len(), event.attributes().len());
    }
}

#[test]
fn binary_data_in_json_and_in_binary_mode() {
    let rest = r#""datacontenttype":"application/vnd.apache.thrift.binary","data_base64":"AQID""#;
    let event = json_event(rest);
    assert_same_in_all_forms(&event);
    assert_eq!(
        event.attribute("comexampleothervalue"),
        Some(&Value::Integer(5))
    );
    let record = event.into_record(ContentMode::Binary);
    let expected = [
        ("ce_specversion", "1.0"),
        ("ce_id", "1234-1234-1234"),
        ("ce_type", "com.example.someevent"),
        ("ce_source", "/mycontext"),
        ("ce_time", "2018-04-05T17:31:00Z"),
        ("ce_comexampleextension1", "value"),
        ("ce_comexampleothervalue", "5"),
        ("content-type", "application/vnd.apache.thrift.binary"),
    ];
    assert_eq!(headers(&record), expected);
    assert_eq!(record.value.as_deref(), Some(&[1, 2, 3][..]));
}

#[test]
fn xml_is_a_string_in_json_and_itself_elsewhere() {
    let rest =
        r#""unsetextension":null,"datacontenttype":"application/xml","data":"<much wow=\"xml\"/>""#;
    let event = json_event(rest);
    assert_same_in_all_forms(&event);
    assert_eq!(event.attribute("unsetextension"), None);
    assert_eq!(event.data().unwrap(), r#"<much wow="xml"/>"#);
}

#[test]
fn json_data_is_itself_everywhere() {
    let data = r#"{"appinfoA":"abc","appinfoB":123,"appinfoC":true}"#;
    let rest = format!(r#""subject":null,"datacontenttype":"application/json","data":{data}"#);
    let event = json_event(&rest);
    assert_same_in_all_forms(&event);
    let record = event.into_record(ContentMode::Binary);
    assert!(headers(&record).contains(&("content-type", "application/json")));
    assert_eq!(record.value.unwrap(), data);
}

#[test]
fn a_media_type_that_json_implies_is_said_in_other_forms() {
    let event = json_event(r#""data":"I'm just a string""#);
    assert_same_in_all_forms(&event);
    let record = event.into_record(ContentMode::Binary);
    assert!(headers(&record).contains(&("content-type", "application/json")));
    assert_eq!(record.value.unwrap(), r#""I'm just a string""#);
}

#[test]
fn the_bindings_example_is_read_from_headers() {
    let pairs = [
        ("ce_specversion", "1.0"),
        ("ce_type", "com.example.someevent"),
        ("ce_source", "/mycontext/subcontext"),
        ("ce_id", "1234-1234-1234"),
        ("ce_time", "2018-04-05T03:56:24Z"),
        ("content-type", "application/avro"),
    ];
    let header = |(name, value): (&str, &str)| Header {
        name: name.to_owned(),
        value: Some(Bytes::from(value.to_owned())),
    };
    let record = Record {
        offset: 0,
        timestamp: -1,
        key: Some(Bytes::from_static(b"mykey")),
        value: Some(Bytes::from_static(b"\x06abc")),
        headers: pairs.map(header).to_vec(),
    };
    let event = CloudEvent::from_record(&record).expect("valid").unwrap();
    assert_eq!(event.media_type(), Some("application/avro"));
    let time = Value::Timestamp("2018-04-05T03:56:24Z".to_owned());
    assert_eq!(event.attribute("time"), Some(&time));
    // The record's key is no attribute of the event.
    assert_eq!(event.attribute("partitionkey"), None);
    assert_eq!(event.data(), record.value.as_ref());
    assert_same_in_all_forms(&event);
}

#[test]
fn the_bindings_structured_example_is_read_in_any_case_of_its_media_type() {
    let value = r#"{"specversion":"1.0","type":"com.example.someevent","source":"/mycontext/subcontext","id":"1234-1234-1234","time":"2018-04-05T03:56:24Z","datacontenttype":"application/xml","data":"<a/>"}"#;
    for media_type in [
        "application/cloudevents+json; charset=UTF-8",
        "Application/CloudEvents+JSON",
    ] {
        let event = structured(media_type, value.as_bytes()).expect("valid");
        assert_eq!(event.expect("an event").data().unwrap(), "<a/>");
    }
}

fn structured(media_type: &str, value: &[u8]) -> Result<Option<CloudEvent>, EventError> {
    CloudEvent::from_record(&Record {
        offset: 0,
        timestamp: -1,
        key: None,
        value: Some(Bytes::copy_from_slice(value)),
        headers: vec![Header {
            name: "content-type".to_owned(),
            value: Some(Bytes::copy_from_slice(media_type.as_bytes())),
        }],
    })
}

/// `id`, `source`, `spec_version` and `type` of the Protobuf format's examples.
const PROTOBUF_HEAD: &[u8] =
    b"\x0a\x01\x31\x12\x0aproducer-1\x1a\x031.0\x22\x15io.cloudevent.example";

/// An entry of the map `attributes` whose value is a field of this number and text.
fn entry(name: &str, field: u8, text: &str) -> Vec<u8> {
    let short = |length: usize| u8::try_from(length).expect("short");
    let value = [&[field << 3 | 2, short(text.len())], text.as_bytes()].concat();
    let key = [&[0x0a, short(name.len())], name.as_bytes()].concat();
    let entry = [&key[..], &[0x12, short(value.len())], &value].concat();
    [&[0x2a, short(entry.len())], &entry[..]].concat()
}

#[test]
fn plain_text_in_protobuf_octet_by_octet() {
    let text = b"\x3a\x1cThis is a plain text message";
    let time = b"\x2a\x10\x0a\x04time\x12\x08\x3a\x06\x08\xd4\xba\x99\xd6\x05";
    let attribute = entry("datacontenttype", 3, "text/plain");
    let message = [PROTOBUF_HEAD, &attribute[..], &time[..], &text[..]].concat();
    let event = CloudEvent::from_protobuf(&Bytes::from(message.clone())).expect("an example");
    assert_eq!(event.data().unwrap(), "This is a plain text message");
    assert_eq!(event.media_type(), Some("text/plain"));
    let time = Value::Timestamp("2018-04-05T17:31:00Z".to_owned());
    assert_eq!(event.attribute("time"), Some(&time));
    assert_eq!(event.to_protobuf(), message);
    assert_same_in_all_forms(&event);
    assert_eq!(
        event.to_json(),
        r#"{"specversion":"1.0","id":"1","source":"producer-1","type":"io.cloudevent.example","datacontenttype":"text/plain","time":"2018-04-05T17:31:00Z","data":"This is a plain text message"}"#
    );
}

const TYPE_URL: &str = "type.googleapis.com/io.cloudevents.test.SomeData";

/// A message `SomeData { some_text: "abc", is_important: true }` in a `google.protobuf.Any`.
fn proto_data() -> Vec<u8> {
    let length = u8::try_from(TYPE_URL.len()).expect("short");
    let url = [&[0x0a, length], TYPE_URL.as_bytes()].concat();
    let any = [&url[..], b"\x12\x07\x0a\x03abc\x10\x01"].concat();
    let length = u8::try_from(any.len()).expect("short");
    [&[0x42, length], &any[..]].concat()
}

#[test]
fn a_message_in_protobuf_keeps_its_type() {
    let attributes = [
        entry("datacontenttype", 3, "application/protobuf"),
        entry("dataschema", 5, TYPE_URL),
    ]
    .concat();
    let message = [PROTOBUF_HEAD, &attributes[..], &proto_data()[..]].concat();
    let event = CloudEvent::from_protobuf(&Bytes::from(message.clone())).expect("an example");
    assert_eq!(event.data().unwrap(), &b"\x0a\x03abc\x10\x01"[..]);
    assert_eq!(event.to_protobuf(), message);
    assert_same_in_all_forms(&event);

    // What the attributes leave out, the message tells.
    let bare = [PROTOBUF_HEAD, &proto_data()[..]].concat();
    let bare = CloudEvent::from_protobuf(&Bytes::from(bare)).expect("an event");
    assert_eq!(bare.media_type(), Some("application/protobuf"));
    let schema = Value::Uri(TYPE_URL.to_owned());
    assert_eq!(bare.attribute("dataschema"), Some(&schema));
    assert_eq!(bare.to_protobuf(), message);
}

#[test]
fn all_seven_types_of_attributes_stay_in_protobuf() {
    let values = [
        Value::Boolean(false),
        Value::Integer(i32::MIN),
        Value::String("é".to_owned()),
        Value::Binary(Bytes::from_static(b"\0\xff")),
        Value::Uri("https://a.example/".to_owned()),
        Value::UriReference("../a".to_owned()),
        Value::Timestamp("9999-12-31T23:59:59.999999999Z".to_owned()),
    ];
    let required = [("specversion", "1.0"), ("id", "1"), ("type", "t")];
    let text = |(name, value): (&str, &str)| (name.to_owned(), Value::String(value.to_owned()));
    let source = ("source".to_owned(), Value::UriReference("/s".to_owned()));
    let extensions = values.into_iter().enumerate();
    let extensions = extensions.map(|(at, value)| (format!("x{at}"), value));
    let all = required.map(text).into_iter().chain([source]);
    let attributes = all.chain(extensions);
    let attributes = attributes.map(|(name, value)| Attribute::new(name, value));
    let attributes: Vec<_> = attributes.collect::<Result<_, _>>().expect("valid");
    let event = CloudEvent::new(attributes, None).expect("an event");
    let read = CloudEvent::from_protobuf(&event.to_protobuf()).expect("our own");
    for attribute in event.attributes() {
        assert_eq!(read.attribute(attribute.name()), Some(attribute.value()));
    }
    assert_same_in_all_forms(&event);
}

#[test]
fn what_is_wrong_in_protobuf_is_named() {
    let read = |octets: &[u8]| CloudEvent::from_protobuf(&Bytes::copy_from_slice(octets));
    assert_eq!(read(b""), Err(EventError::Missing("specversion")));
    assert!(matches!(read(b"\xff"), Err(EventError::Protobuf(_))));
    let with = |more: &[u8]| read(&[PROTOBUF_HEAD, more].concat());
    let upper = with(&entry("Upper", 3, "x"));
    assert_eq!(upper, Err(EventError::Name("Upper".to_owned())));
    let twice = with(&entry("id", 3, "2"));
    assert_eq!(twice, Err(EventError::Repeated("id".to_owned())));
    let noon = with(&entry("time", 3, "noon"));
    assert!(matches!(noon, Err(EventError::Value { .. })), "{noon:?}");
    // A time behind the year 9999: seconds = i64::MAX.
    let late =
        with(b"\x2a\x14\x0a\x04time\x12\x0c\x3a\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
    assert!(late.is_err(), "{late:?}");
}

#[test]
fn a_record_that_says_it_is_an_event_and_is_none_is_an_error() {
    let json = structured("application/cloudevents+json", b"{}");
    assert_eq!(json, Err(EventError::Missing("specversion")));
    let protobuf = structured("application/cloudevents+protobuf", b"");
    assert_eq!(protobuf, Err(EventError::Missing("specversion")));
    for other in ["application/cloudevents+avro", "application/json", "x"] {
        assert_eq!(structured(other, b"{}"), Ok(None), "{other}");
    }
}

#[test]
fn a_line_of_protobuf_is_base64_both_ways() {
    let flow = Name::parse("a.example").expect("a name");
    let event = json_event(r#""partitionkey":"k","datacontenttype":"text/plain","data":"x""#);
    let record = event.clone().into_record(ContentMode::Binary);
    let line = Bytes::from(encode(EventFormat::Protobuf, &flow, 0, &record));
    let written = decode(EventFormat::Protobuf, &line).expect("our own line");
    assert_eq!(written.record.key.as_deref(), Some(&b"k"[..]));
    assert_eq!(written.record.value, record.value);
    assert_eq!(
        decode(EventFormat::Protobuf, &Bytes::from_static(b"{}")),
        Err(EventError::Base64)
    );
    assert_same_in_all_forms(&event);
}

/// Whatever form a line has, the flow decides how a record holds the event; a line that has that
/// form already is kept octet by octet.
#[test]
fn lines_are_stored_as_the_flow_asks() {
    let flow = Name::parse("a.example").expect("a name");
    let line = r#"{"specversion":"1.0", "id":"1","source":"/s","type":"t","n":7,"data":1}"#;
    let line = Bytes::from_static(line.as_bytes());
    let stored = |mode, format, line: &Bytes| -> WrittenEvent {
        decode_for(mode, format, line).expect("an event")
    };
    let json = stored(ContentMode::Json, EventFormat::CloudEvents, &line);
    assert_eq!(json.record.value.as_ref(), Some(&line));
    let protobuf = stored(ContentMode::Protobuf, EventFormat::CloudEvents, &line);
    assert_eq!(
        headers(&protobuf.record),
        [("content-type", "application/cloudevents+protobuf")]
    );
    let shown = encode(EventFormat::Protobuf, &flow, 0, &protobuf.record);
    let again = stored(ContentMode::Protobuf, EventFormat::Protobuf, &shown.into());
    assert_eq!(again.record, protobuf.record);
    let shown = encode(EventFormat::CloudEvents, &flow, 0, &protobuf.record);
    assert_eq!(
        shown,
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"application/json","n":7,"data":1}"#
    );
}
