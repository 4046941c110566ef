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
    let mut event = as_cloud_event(source, letter).unwrap_or_else(|| record.clone());
    event.offset = record.offset;
    event.timestamp = record.timestamp;
    event.key.clone_from(&record.key);
    let known = |name: &str| event.headers.iter().any(|header| header.name == name);
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
