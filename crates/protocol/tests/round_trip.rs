//! What is written is read back; what is read never panics.

mod generate;

use std::collections::BTreeMap;

use bytes::Bytes;
use eson_protocol::event::{
    Attribute, CloudEvent, ContentMode, Value, WrittenEvent, decode, encode,
};
use eson_protocol::session::{ClientEvent, ClientSession, Limits, ServerEvent, ServerSession};
use eson_protocol::text::{format_command, parse_command, parse_data_line, parse_status};
use eson_protocol::{
    Command, EventFormat, FlowUri, Header, Name, Principal, Record, Reply, Status,
};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use generate::{command, name, reply};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn commands(command in command()) {
        let line = format_command(&command).expect("a line");
        prop_assert_eq!(parse_command(&line), Ok(command));
    }

    #[test]
    fn replies(reply in reply()) {
        prop_assert_eq!(received(&sent(reply.clone())), reply);
    }

    #[test]
    fn uris(name in name()) {
        let uri = FlowUri::new(name);
        prop_assert_eq!(FlowUri::parse(&uri.to_string()), Ok(uri));
    }

    #[test]
    fn records(partition in any::<u32>(), record in record()) {
        let flow = Name::parse("a.example").expect("a name");
        let line = Bytes::from(encode(EventFormat::Record, &flow, partition, &record));
        let written = WrittenEvent { partition: Some(partition), record };
        prop_assert_eq!(decode(EventFormat::Record, &line), Ok(written));
    }

    /// Whatever is in a queue, READ FLOW shows a valid CloudEvent on one line, which is kept when
    /// it is written and read again.
    #[test]
    fn cloud_events(record in prop_oneof![record(), event_record()]) {
        let flow = Name::parse("a.example").expect("a name");
        let shown = |record: &Record| encode(EventFormat::CloudEvents, &flow, 0, record);
        let line = shown(&record);
        prop_assert!(!line.contains(['\r', '\n']));
        let written = decode(EventFormat::CloudEvents, &Bytes::from(line.clone())).expect("valid");
        let again = shown(&written.record);
        let written_again = decode(EventFormat::CloudEvents, &Bytes::from(again)).expect("valid");
        prop_assert_eq!(on_one_line(written_again), on_one_line(written));
    }

    /// The three forms hold the same event: its attributes' texts, whether it has content, and the
    /// content's octets. Between JSON and Protobuf the types of extensions stay too.
    #[test]
    fn cloud_events_in_every_form(event in cloud_event()) {
        let protobuf = CloudEvent::from_protobuf(&event.to_protobuf()).expect("valid");
        prop_assert_eq!(meaning(&protobuf), meaning(&event));
        let types = |event: &CloudEvent| {
            let mut attributes = event.attributes().to_vec();
            attributes.sort_by(|a, b| a.name().cmp(b.name()));
            attributes
        };
        prop_assert_eq!(types(&protobuf), types(&event));
        let json = CloudEvent::from_json(&Bytes::from(event.to_json())).expect("valid");
        prop_assert_eq!(meaning(&json), meaning(&event));
        for mode in [ContentMode::Binary, ContentMode::Json, ContentMode::Protobuf] {
            let record = event.clone().into_record(mode);
            let read = CloudEvent::from_record(&record).expect("valid").expect("an event");
            prop_assert_eq!(meaning(&read), meaning(&event));
        }
    }

    #[test]
    fn nothing_panics(text in any::<String>(), octets in vec(any::<u8>(), 0..200)) {
        let _ = parse_command(&text);
        let _ = parse_status(&text);
        let _ = parse_data_line(&text);
        let _ = FlowUri::parse_lenient(&text);
        let _ = Name::parse(&text);
        let _ = Principal::parse(&text);
        let octets = Bytes::from(octets);
        let _ = decode(EventFormat::Record, &octets);
        let _ = decode(EventFormat::CloudEvents, &octets);
        let _ = decode(EventFormat::Protobuf, &octets);
        let _ = CloudEvent::from_protobuf(&octets);
    }

    /// A command that is read from any text can be written, and then means the same.
    #[test]
    fn odd_lines_have_a_plain_form(text in line_like_a_command()) {
        if let Ok(command) = parse_command(&text) {
            let line = format_command(&command).expect("a line");
            prop_assert_eq!(parse_command(&line), Ok(command));
        }
    }
}

/// JSON content may lose its line ends, which are white space, when it is shown.
fn on_one_line(written: WrittenEvent) -> Record {
    let blank = |octet: &u8| match octet {
        b'\r' | b'\n' => b' ',
        octet => *octet,
    };
    let value = written
        .record
        .value
        .map(|value| value.iter().map(blank).collect());
    Record {
        value,
        ..written.record
    }
}

/// What a server sends for a reply.
fn sent(reply: Reply) -> Bytes {
    let mut session = ServerSession::new(Limits::default());
    session.greet("fnaa.orange.example");
    session.receive(b"CAPABILITIES\r\n");
    match session.next_event() {
        Some(ServerEvent::Command(_, turn)) => session.reply(turn, reply),
        other => panic!("no command: {other:?}"),
    }
    session.take_output()
}

/// The reply that a client makes of it.
fn received(bytes: &[u8]) -> Reply {
    let mut session = ClientSession::new(Limits::default());
    session
        .send(&Command::Capabilities)
        .expect("the first command");
    session.receive(bytes);
    let mut lines = Vec::new();
    loop {
        match session.next_event().expect("FNAP").expect("a whole reply") {
            ClientEvent::Greeting(_) | ClientEvent::DataBegin => {}
            ClientEvent::DataLine(line) => lines.push(line),
            ClientEvent::Status(status) => return Reply::Status(status),
            ClientEvent::DataEnd(status) => return Reply::Data(lines, status),
            other => panic!("not asked for: {other:?}"),
        }
    }
}

fn octets() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..60).prop_map(Bytes::from)
}

fn record() -> impl Strategy<Value = Record> {
    let header = (any::<String>(), of(octets())).prop_map(|(name, value)| Header { name, value });
    (
        any::<u64>(),
        -1..i64::MAX,
        of(octets()),
        of(octets()),
        vec(header, 0..4),
    )
        .prop_map(|(offset, timestamp, key, value, headers)| Record {
            offset,
            timestamp,
            key,
            value,
            headers,
        })
}

/// What all forms of an event agree on, in one order.
fn meaning(event: &CloudEvent) -> (BTreeMap<String, String>, Option<Bytes>) {
    let text = |it: &Attribute| (it.name().to_owned(), it.value().text().into_owned());
    let attributes = event.attributes().iter().map(text).collect();
    (attributes, event.data().cloned())
}

fn cloud_event() -> impl Strategy<Value = CloudEvent> {
    let extension = prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        any::<i32>().prop_map(Value::Integer),
        "[ -~é]{0,8}".prop_map(Value::String),
        vec(any::<u8>(), 0..8).prop_map(|octets| Value::Binary(Bytes::from(octets))),
        Just(Value::Uri("urn:x".to_owned())),
        Just(Value::UriReference("/x?y#z".to_owned())),
        Just(Value::Timestamp(
            "2026-01-31T12:00:00.000000001Z".to_owned()
        )),
    ];
    // In front of the name, so that no attribute of the specification is among them.
    let extensions = btree_map("[a-z0-9]{1,6}", extension, 0..4);
    let content = prop_oneof![
        Just((None, None)),
        octets().prop_map(|data| (Some("application/octet-stream"), Some(data))),
        octets().prop_map(|data| (Some("application/protobuf"), Some(data))),
        "\\PC{0,16}".prop_map(|text| (Some("text/plain"), Some(Bytes::from(text)))),
        any::<i64>().prop_map(|n| (Some("a/b+json"), Some(Bytes::from(n.to_string())))),
    ];
    let schema = of(Just("type.googleapis.com/orders.v1.Order"));
    (extensions, content, schema).prop_map(|(extensions, (media_type, data), schema)| {
        let text = |name: &str, text: &str| match name {
            "source" => (name.to_owned(), Value::UriReference(text.to_owned())),
            "dataschema" => (name.to_owned(), Value::Uri(text.to_owned())),
            _ => (name.to_owned(), Value::String(text.to_owned())),
        };
        let required = ["specversion", "id", "source", "type"].map(|name| text(name, "1.0"));
        let optional = [
            media_type.map(|it| text("datacontenttype", it)),
            schema.map(|it| text("dataschema", it)),
        ];
        let extensions = extensions
            .into_iter()
            .map(|(name, it)| (format!("x{name}"), it));
        let all = required.into_iter().chain(optional.into_iter().flatten());
        let attributes = all
            .chain(extensions)
            .map(|(name, value)| Attribute::new(name, value));
        let attributes = attributes.collect::<Result<_, _>>().expect("attributes");
        CloudEvent::new(attributes, data).expect("an event")
    })
}

/// A record that looks like a CloudEvent in binary mode, and mostly is one.
fn event_record() -> impl Strategy<Value = Record> {
    let value = prop_oneof![
        "[a-z]{1,8}",
        "[a-z/;+ \\n]{0,16}",
        Just("text/plain".to_owned())
    ];
    let name = prop_oneof!["ce_[a-z]{1,6}", Just("content-type".to_owned())];
    let json = prop_oneof![
        Just(Bytes::from_static(b"{\"a\": [1.0,\n null]}")),
        Just(Bytes::from_static(b"\"text\"")),
        octets(),
    ];
    (record(), vec((name, value), 0..3), of(json)).prop_map(|(record, more, value)| {
        let required = ["specversion", "id", "source", "type"]
            .map(|name| (format!("ce_{name}"), "1.0".to_owned()));
        let headers = required
            .into_iter()
            .chain(more)
            .map(|(name, value)| Header {
                name,
                value: Some(Bytes::from(value)),
            });
        Record {
            headers: headers.collect(),
            value,
            ..record
        }
    })
}

/// Words of the protocol in any order, so that some lines are commands.
fn line_like_a_command() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "(create|desc|GET|read|WRITE|grant|subscribe|AUTHENTICATE|Pause)",
        "(flow|FLOWS|fl|ns|namespace|subscription|processor|on|to|local|read)",
        "[a-z]{1,3}\\.example",
        "(from|max|id|for|type|to|position|queue)=[a-z0-9,.:-]{0,6}",
        "(id|queue|schema)=\"[a-z \\\\\"=]{0,4}\"",
        "(from=latest|from=cursor:0-1|max=3|follow|follow=true|format=record|PLAIN|AA==|=)",
    ];
    vec(word, 1..6).prop_map(|words| words.join(" "))
}

#[test]
fn a_line_end_in_a_value_is_not_written() {
    let evil = Command::DeleteProcessor("a\r\nDELETE FLOW b.example".to_owned());
    assert!(format_command(&evil).is_err());
    assert!(!evil.to_string().contains('\n'));
}

#[test]
fn a_long_status_still_fits_in_a_line() {
    let status = Status::not_found("é".repeat(10_000));
    let Reply::Status(read) = received(&sent(Reply::Status(status.clone()))) else {
        panic!("a status was sent");
    };
    assert!(status.text.starts_with(&read.text) && read.text.len() > 8000);
}
