//! Any line is an event or an error; any record is shown as a valid CloudEvent on one line.
#![no_main]

use bytes::Bytes;
use eson_protocol::event::{CloudEvent, decode, encode};
use eson_protocol::{EventFormat, Header, Name, Record};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let line = Bytes::copy_from_slice(octets);
    let flow = Name::parse("a.example").expect("a name");
    if let Ok(event) = CloudEvent::from_protobuf(&line) {
        let again = CloudEvent::from_protobuf(&event.to_protobuf()).expect("our own message");
        assert_eq!(again.data(), event.data());
    }
    for format in [
        EventFormat::Record,
        EventFormat::CloudEvents,
        EventFormat::Protobuf,
    ] {
        if let Ok(written) = decode(format, &line) {
            let shown = encode(EventFormat::Record, &flow, 0, &written.record);
            let again = decode(EventFormat::Record, &Bytes::from(shown)).expect("our own line");
            assert_eq!(again.record, written.record);
            assert_shown(&flow, &written.record);
        }
    }
    assert_shown(&flow, &record_of(octets));
});

fn assert_shown(flow: &Name, record: &Record) {
    let shown = encode(EventFormat::Protobuf, flow, 7, record);
    decode(EventFormat::Protobuf, &Bytes::from(shown)).expect("our own line");
    let shown = encode(EventFormat::CloudEvents, flow, 7, record);
    assert!(!shown.contains(['\r', '\n']));
    let read = decode(EventFormat::CloudEvents, &Bytes::from(shown)).expect("our own line");
    let shown = encode(EventFormat::CloudEvents, flow, 7, &read.record);
    let again = decode(EventFormat::CloudEvents, &Bytes::from(shown)).expect("our own line");
    assert_eq!(on_one_line(again.record), on_one_line(read.record));
}

/// JSON content may lose its line ends, which are white space, when it is shown.
fn on_one_line(record: Record) -> Record {
    let value = record.value.map(|value| {
        let blank = |octet: &u8| match octet {
            b'\r' | b'\n' => b' ',
            octet => *octet,
        };
        value.iter().map(blank).collect()
    });
    Record { value, ..record }
}

/// Lines of `name:value` are headers; what stands behind an empty line is the value.
fn record_of(octets: &[u8]) -> Record {
    let mut parts = octets.splitn(2, |octet| *octet == 0);
    let head = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    Record {
        offset: 1,
        timestamp: 1,
        key: None,
        value: parts.next().map(Bytes::copy_from_slice),
        headers: headers
            .map(|(name, value)| Header {
                name: name.to_owned(),
                value: Some(Bytes::copy_from_slice(value.as_bytes())),
            })
            .collect(),
    }
}
