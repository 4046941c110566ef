//! Events as READ FLOW and WRITE FLOW carry them with `format=record`.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eson_tests::fnap::Answer;
use eson_tests::{RawFnap, until};
use serde_json::{Value, json};

/// What of an event has to arrive as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Event {
    /// A small event with everything, different for each number.
    pub(crate) fn numbered(number: u32) -> Self {
        Self {
            timestamp: first_timestamp() + i64::from(number),
            key: Some(format!("key-{}", number % 7).into_bytes()),
            value: Some(format!("event {number}").into_bytes()),
            headers: vec![("number".to_owned(), Some(number.to_string().into_bytes()))],
        }
    }

    pub(crate) fn with_value(self, value: Vec<u8>) -> Self {
        Self {
            value: Some(value),
            ..self
        }
    }

    /// The line that WRITE FLOW takes.
    pub(crate) fn line(&self) -> String {
        let headers: Vec<Value> = self
            .headers
            .iter()
            .map(|(name, value)| json!({"name": name, "value": encoded(value.as_deref())}))
            .collect();
        json!({
            "timestamp": self.timestamp,
            "key": encoded(self.key.as_deref()),
            "value": encoded(self.value.as_deref()),
            "headers": headers,
        })
        .to_string()
    }

    fn parse(line: &str) -> Self {
        let json: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        let headers = json["headers"].as_array().map_or(&[][..], Vec::as_slice);
        let header = |header: &Value| {
            let name = header["name"].as_str().expect("a header's name");
            (name.to_owned(), decoded(&header["value"]))
        };
        Self {
            timestamp: json["timestamp"].as_i64().unwrap_or(-1),
            key: decoded(&json["key"]),
            value: decoded(&json["value"]),
            headers: headers.iter().map(header).collect(),
        }
    }
}

/// An hour ago: a broker with a bound on what it takes to be the future has no objection.
fn first_timestamp() -> i64 {
    static FIRST: OnceLock<i64> = OnceLock::new();
    *FIRST.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_millis() as i64 - 3_600_000
    })
}

fn encoded(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| STANDARD.encode(bytes).into())
}

fn decoded(value: &Value) -> Option<Vec<u8>> {
    value
        .as_str()
        .map(|text| STANDARD.decode(text).expect("base64"))
}

/// Writes a batch.
pub(crate) fn write<'a>(
    session: &mut RawFnap,
    flow: &str,
    events: impl IntoIterator<Item = &'a Event>,
) -> Answer {
    let lines: Vec<String> = events.into_iter().map(Event::line).collect();
    let command = format!("WRITE FLOW {flow} format=record");
    session.write_flow(&command, lines.iter().map(String::as_str))
}

/// Writes numbered events, which have to be taken.
pub(crate) fn write_numbered(session: &mut RawFnap, flow: &str, numbers: std::ops::Range<u32>) {
    let events: Vec<Event> = numbers.clone().map(Event::numbered).collect();
    let answer = write(session, flow, &events);
    assert_eq!(format!("220 OK {}", numbers.len()), answer.status, "{flow}");
}

/// Everything that is in the flow now. Order holds within a partition.
pub(crate) fn read(session: &mut RawFnap, flow: &str) -> Vec<Event> {
    let answer = session.ok(&format!("READ FLOW {flow} from=earliest format=record"));
    let events = answer.data.iter().filter(|line| !is_progress(line));
    events.map(|line| Event::parse(line)).collect()
}

/// How far a partition has been read, between events.
fn is_progress(line: &str) -> bool {
    line.contains("\"high_watermark\":")
}

/// Waits until the flow, which has one partition, has exactly these events in their order.
pub(crate) fn await_events(session: &mut RawFnap, flow: &str, wanted: &[Event]) {
    until(
        &format!("{} events in {flow}", wanted.len()),
        Duration::from_secs(60),
        || {
            let found = read(session, flow);
            if found == wanted {
                return Ok(());
            }
            let length = found.len();
            let common = wanted
                .iter()
                .zip(&found)
                .take_while(|(one, other)| one == other);
            let at = common.count();
            assert!(
                at == length,
                "{flow} has {:?} at {at} instead of {:?}",
                found[at],
                wanted.get(at)
            );
            Err(format!("{length} are there"))
        },
    );
}

/// [`await_events`] for numbered events.
pub(crate) fn await_numbered(session: &mut RawFnap, flow: &str, numbers: std::ops::Range<u32>) {
    let wanted: Vec<Event> = numbers.map(Event::numbered).collect();
    await_events(session, flow, &wanted);
}
