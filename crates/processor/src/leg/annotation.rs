//! What a collector writes on each event: where it came from.

use bytes::Bytes;
use eson_broker::{Chunk, Payload};
use eson_protocol::event::{Attribute, EventError, Value, set_in_value};
use eson_protocol::{Header, Record};

use crate::endpoint::Endpoint;
use crate::report::Trouble;

/// The header with the name of the flow that a collector has read an event from.
///
/// It is the CloudEvents extension attribute `sourceflow` as CloudEvents' Kafka protocol binding
/// writes it, so that READ FLOW shows it as such; on a record that is no CloudEvent it is a header
/// like any other. An event in structured mode has the attribute in its value, too, since that is
/// all of it.
pub const SOURCE_FLOW: &str = "ce_sourceflow";

/// The attribute's name.
const ATTRIBUTE: &str = "sourceflow";

/// What a collector writes on each record of one source.
pub(super) struct Annotation {
    header: Header,
    attribute: Attribute,
}

impl Annotation {
    /// For what is read from a source.
    ///
    /// # Errors
    /// Where the flow's name can be no attribute.
    pub(super) fn of(source: &Endpoint) -> Result<Self, Trouble> {
        Self::naming(&source.flow)
            .map_err(|error| Trouble::own(format!("the source's name: {error}")))
    }

    fn naming(flow: &str) -> Result<Self, EventError> {
        Ok(Self {
            header: Header {
                name: SOURCE_FLOW.to_owned(),
                value: Some(Bytes::from(flow.to_owned())),
            },
            attribute: Attribute::new(ATTRIBUTE, Value::String(flow.to_owned()))?,
        })
    }

    /// Writes it on each record of a chunk, which its reader was asked to unpack. What an event
    /// says of itself there is replaced: whoever may write to the source could have made it up.
    pub(super) fn put_on(&self, mut chunk: Chunk) -> Chunk {
        if let Payload::Records(records) = &mut chunk.payload {
            records
                .iter_mut()
                .for_each(|record| self.put_on_record(record));
        }
        chunk
    }

    fn put_on_record(&self, record: &mut Record) {
        record.headers.retain(|header| header.name != SOURCE_FLOW);
        record.headers.push(self.header.clone());
        set_in_value(record, &self.attribute);
    }
}

#[cfg(test)]
mod tests {
    use eson_protocol::event::{CloudEvent, ContentMode};
    use proptest::collection::btree_map;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    const FLOW: &str = "a.example";

    fn header(name: &str, value: &str) -> Header {
        Header {
            name: name.to_owned(),
            value: Some(Bytes::from(value.to_owned())),
        }
    }

    /// A record after a collector has read it from [`FLOW`].
    fn collected(record: Record) -> Record {
        let chunk = Chunk {
            partition: 0,
            first: record.offset,
            next: record.offset + 1,
            high_watermark: record.offset + 1,
            epoch: None,
            payload: Payload::Records(vec![record]),
        };
        let annotation = Annotation::naming(FLOW).expect("a name");
        match annotation.put_on(chunk).payload {
            Payload::Records(mut records) => records.remove(0),
            other => panic!("records stay records: {other:?}"),
        }
    }

    fn record(value: Option<Bytes>, headers: Vec<Header>) -> Record {
        Record {
            offset: 7,
            timestamp: 1_700_000_000_000,
            key: Some(Bytes::from_static(b"\xff k")),
            value,
            headers,
        }
    }

    #[test]
    fn the_collector_knows_better_than_the_event() {
        let headers = vec![
            header(SOURCE_FLOW, "made.up"),
            header("trace", "1"),
            header(SOURCE_FLOW, "made.up.too"),
        ];
        let read = record(None, headers);
        let headers = vec![header("trace", "1"), header(SOURCE_FLOW, FLOW)];
        assert_eq!(collected(read.clone()), Record { headers, ..read });
    }

    #[test]
    fn the_rest_of_an_event_in_json_stays_in_every_octet() {
        let value = concat!(
            r#"{"specversion" : "1.0", "source\u0066low":"made.up","id":"1","source":"/x","type":"t","#,
            r#" "ext":null, "datacontenttype":"application/x-own","data":{"n": 1.50,  "a":[ ]}}"#,
        );
        let json = header("content-type", "application/cloudevents+json");
        let read = record(Some(Bytes::from_static(value.as_bytes())), vec![json]);
        let expected = concat!(
            r#"{"specversion":"1.0","id":"1","source":"/x","type":"t","#,
            r#""ext":null,"datacontenttype":"application/x-own","data":{"n": 1.50,  "a":[ ]},"#,
            r#""sourceflow":"a.example"}"#,
        );
        assert_eq!(collected(read).value.as_deref(), Some(expected.as_bytes()));
    }

    #[test]
    fn what_is_no_event_keeps_its_value() {
        for media_type in [
            "application/cloudevents+json",
            "application/cloudevents+protobuf",
            "application/cloudevents-batch+json",
            "application/json",
        ] {
            for value in [
                None,
                Some(r#"{"sourceflow":"made.up"}"#),
                Some("[]"),
                Some(""),
            ] {
                let value = value.map(|text| Bytes::from_static(text.as_bytes()));
                let read = record(value, vec![header("content-type", media_type)]);
                let told = collected(read.clone());
                let mut headers = read.headers.clone();
                headers.push(header(SOURCE_FLOW, FLOW));
                assert_eq!(told, Record { headers, ..read }, "{media_type}");
            }
        }
    }

    fn events() -> impl Strategy<Value = CloudEvent> {
        let extensions = btree_map("[a-c]{1,2}", "[ -~é]{0,9}", 0..4);
        let media_type = prop_oneof!["application/json", "text/plain", "a/b"];
        let data = prop_oneof![
            Just(br#"{"n": 1.0}"#.to_vec()),
            Just(b"text".to_vec()),
            any::<Vec<u8>>()
        ];
        let made_up = option::of("[ -~]{0,9}");
        (
            extensions,
            option::of(media_type),
            option::of(data),
            made_up,
        )
            .prop_map(|(extensions, media_type, data, made_up)| {
                let texts = [
                    ("specversion", "1.0"),
                    ("id", "1"),
                    ("source", "/x"),
                    ("type", "t"),
                ];
                let texts = texts.map(|(name, text)| (name.to_owned(), text.to_owned()));
                let media_type = media_type.map(|it| ("datacontenttype".to_owned(), it));
                let made_up = made_up.map(|it| (ATTRIBUTE.to_owned(), it));
                let texts = texts
                    .into_iter()
                    .chain(extensions)
                    .chain(media_type)
                    .chain(made_up);
                let attribute =
                    |(name, text)| Attribute::new(name, Value::String(text)).expect("valid");
                CloudEvent::new(texts.map(attribute).collect(), data.map(Bytes::from))
                    .expect("an event")
            })
    }

    /// What an event says, but for its origin.
    fn said(event: &CloudEvent) -> Vec<(&str, String)> {
        let attributes = event.attributes().iter();
        let others = attributes.filter(|attribute| attribute.name() != ATTRIBUTE);
        let mut said: Vec<_> = others
            .map(|attribute| (attribute.name(), attribute.value().text().into_owned()))
            .collect();
        said.sort();
        said
    }

    proptest! {
        #[test]
        fn readers_of_each_mode_see_the_origin_and_all_that_was_there(
            event in events(),
            mode in prop_oneof![
                Just(ContentMode::Binary),
                Just(ContentMode::Json),
                Just(ContentMode::Protobuf),
            ],
        ) {
            let mut read = event.into_record(mode);
            read.headers.push(header("trace", "1"));
            read = record(read.value, read.headers);
            let before = CloudEvent::from_record(&read).expect("valid").expect("an event");
            let told = collected(read.clone());
            let (after, kept) = CloudEvent::read_record(&told).expect("valid").expect("an event");
            prop_assert_eq!(kept, mode);
            let origin = after.attribute(ATTRIBUTE).map(|value| value.text().into_owned());
            prop_assert_eq!(origin.as_deref(), Some(FLOW));
            prop_assert_eq!(said(&after), said(&before));
            prop_assert_eq!(after.data(), before.data());
            prop_assert_eq!((told.offset, told.timestamp, &told.key), (7, read.timestamp, &read.key));
            let mut headers = read.headers;
            headers.retain(|header| header.name != SOURCE_FLOW);
            headers.push(header(SOURCE_FLOW, FLOW));
            prop_assert_eq!(told.headers, headers);
        }
    }
}
