//! The dead-letter flow: events that could not be processed or written, with the reason.

use std::sync::Arc;

use bytes::Bytes;
use eson_broker::{Broker, BrokerError, Chunk, Payload, QueueWriter, WriterOptions};
use eson_protocol::event::{decode, encode};
use eson_protocol::{EventFormat, Header, Name, Record};

use crate::brokers::BrokerFactory;
use crate::endpoint::Endpoint;
use crate::leg::SOURCE_FLOW;

/// Why an event is there.
const REASON: &str = "ce_deadletterreason";

/// Where it was in the flow that it came from: `<partition>-<offset>`.
const POSITION: &str = "ce_sourceposition";

/// What says of which media type an event's content is; in structured mode, the whole event.
const CONTENT_TYPE: &str = "content-type";

/// What is left of an event of which nothing else fits, as far as it is short: what makes it a
/// CloudEvent, why it is there, and where it came from.
const KEPT: [&str; 7] = [
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    REASON,
    POSITION,
    SOURCE_FLOW,
];

/// How many octets are short.
const SHORT: usize = 4 * MAX_REASON;

/// The longest reason, in characters.
const MAX_REASON: usize = 1_000;

/// An event that could not be processed or written.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    pub(crate) partition: u32,
    pub(crate) record: Record,
    pub(crate) reason: String,
}

/// Writes dead letters. The queue is opened for the first, since mostly there is none.
///
/// A letter is on the queue before the position moves past its event; so after a crash it may come
/// twice, with the same attributes.
pub(crate) struct DeadLetters {
    endpoint: Endpoint,
    source: String,
    brokers: Arc<dyn BrokerFactory>,
    buffer: usize,
    /// With its broker, which other legs find as long as it is held.
    open: Option<(Box<dyn QueueWriter>, Arc<dyn Broker>)>,
}

impl DeadLetters {
    pub(crate) fn new(
        endpoint: Endpoint,
        source: &Endpoint,
        brokers: Arc<dyn BrokerFactory>,
        buffer: usize,
    ) -> Self {
        Self {
            endpoint,
            source: source.flow.clone(),
            brokers,
            buffer,
            open: None,
        }
    }

    /// Writes letters, and returns when the queue has them.
    ///
    /// # Errors
    /// What opening or writing met. One that is too large here too is none: such an event loses its
    /// content, and then all but the reason and where it came from.
    pub(crate) async fn write(&mut self, letters: Vec<DeadLetter>) -> Result<(), BrokerError> {
        if letters.is_empty() {
            return Ok(());
        }
        let source = self.source.clone();
        let writer = self.writer().await?;
        for letter in &letters {
            let record = fitting(&**writer, address(&source, letter));
            let to = letter.partition % writer.partitions().max(1);
            let chunk = Chunk {
                partition: letter.partition,
                first: record.offset,
                next: record.offset + 1,
                high_watermark: record.offset + 1,
                epoch: None,
                payload: Payload::Records(vec![record]),
            };
            writer.write(to, chunk).await?;
        }
        writer.flush().await
    }

    async fn writer(&mut self) -> Result<&mut Box<dyn QueueWriter>, BrokerError> {
        if self.open.is_none() {
            let broker = self.brokers.broker(&self.endpoint).await?;
            let options = WriterOptions::new(None, self.buffer);
            let writer = broker.open_writer(&self.endpoint.queue, options).await?;
            self.open = Some((writer, broker));
        }
        match &mut self.open {
            Some((writer, _)) => Ok(writer),
            None => Err(BrokerError::NotFound(self.endpoint.queue.clone())),
        }
    }
}

/// The event with the reason and where it came from. It is a CloudEvent, so that readers of
/// those see both; where it was none, one is put around it.
fn address(source: &str, letter: &DeadLetter) -> Record {
    let record = &letter.record;
    let event = as_cloud_event(source, letter);
    let is_event = event.is_some();
    let mut event = event.unwrap_or_else(|| record.clone());
    event.offset = record.offset;
    event.timestamp = record.timestamp;
    event.key.clone_from(&record.key);
    // Where the event has no media type of its own, the record's was that of the whole event.
    let known = |name: &str| {
        let has = event.headers.iter().any(|header| header.name == name);
        has || (is_event && name == CONTENT_TYPE)
    };
    let others = record.headers.iter().filter(|header| !known(&header.name));
    let others: Vec<_> = others.cloned().collect();
    event.headers.extend(others);
    let position = format!("{}-{}", letter.partition, record.offset);
    for (name, value) in [
        (REASON, one_line(&letter.reason)),
        (SOURCE_FLOW, source.to_owned()),
        (POSITION, position),
    ] {
        event.headers.retain(|header| header.name != name);
        event.headers.push(Header {
            name: name.to_owned(),
            value: Some(Bytes::from(value)),
        });
    }
    event
}

fn as_cloud_event(source: &str, letter: &DeadLetter) -> Option<Record> {
    let format = EventFormat::CloudEvents;
    let source = Name::parse(source).ok()?;
    let line = encode(format, &source, letter.partition, &letter.record);
    Some(decode(format, &Bytes::from(line)).ok()?.record)
}

/// As much of a letter as the queue takes.
fn fitting(writer: &dyn QueueWriter, mut letter: Record) -> Record {
    if writer.refuses(&letter).is_some() {
        letter.value = None;
    }
    if writer.refuses(&letter).is_some() {
        letter.key = None;
        letter.headers.retain(|header| {
            let length = header.value.as_ref().map_or(0, Bytes::len);
            KEPT.contains(&&*header.name) && length <= SHORT
        });
    }
    letter
}

/// An attribute has no control characters.
fn one_line(reason: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    reason.chars().map(visible).take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use eson_protocol::event::{Attribute, CloudEvent, ContentMode, Value};

    use super::*;

    const SOURCE: &str = "orders.flows.orange.example";

    fn event(data: Option<&'static [u8]>, media_type: Option<&str>) -> CloudEvent {
        let texts = [
            ("specversion", "1.0"),
            ("id", "1"),
            ("source", "/x"),
            ("type", "t"),
        ];
        let texts = texts
            .into_iter()
            .chain(media_type.map(|it| ("datacontenttype", it)));
        let attribute = |(name, text): (&str, &str)| {
            Attribute::new(name, Value::String(text.to_owned())).expect("valid")
        };
        let data = data.map(Bytes::from_static);
        CloudEvent::new(texts.map(attribute).collect(), data).expect("an event")
    }

    /// What a reader of the letter of a record sees.
    fn read(record: Record) -> CloudEvent {
        let letter = DeadLetter {
            partition: 3,
            record,
            reason: "it is\nnot liked".to_owned(),
        };
        let read = CloudEvent::from_record(&address(SOURCE, &letter));
        read.expect("valid").expect("a CloudEvent")
    }

    fn text(event: &CloudEvent, name: &str) -> Option<String> {
        event.attribute(name).map(|value| value.text().into_owned())
    }

    #[test]
    fn a_letter_has_the_content_of_the_event_and_its_media_type_in_each_mode() {
        for mode in [
            ContentMode::Binary,
            ContentMode::Json,
            ContentMode::Protobuf,
        ] {
            for data in [None, Some(&b"\xff"[..])] {
                for media_type in [None, Some("a/b")] {
                    let read = read(event(data, media_type).into_record(mode));
                    assert_eq!(read.data().map(|it| &**it), data, "{mode:?}");
                    assert_eq!(read.media_type(), media_type, "{mode:?} {data:?}");
                    assert_eq!(text(&read, "id").as_deref(), Some("1"));
                    assert_eq!(text(&read, "sourceflow").as_deref(), Some(SOURCE));
                    assert_eq!(text(&read, "sourceposition").as_deref(), Some("3-0"));
                    let reason = text(&read, "deadletterreason");
                    assert_eq!(reason.as_deref(), Some("it is not liked"));
                }
            }
        }
    }

    #[test]
    fn what_only_says_that_it_is_an_event_is_the_content_of_one() {
        let mut record = event(None, None).into_record(ContentMode::Json);
        record.value = None;
        assert_eq!(read(record.clone()).media_type(), None);
        record.value = Some(Bytes::from_static(b"no JSON"));
        let read = read(record);
        assert_eq!(read.data().map(|it| &**it), Some(&b"no JSON"[..]));
        assert_eq!(text(&read, "type").as_deref(), Some("eson.record"));
    }
}
