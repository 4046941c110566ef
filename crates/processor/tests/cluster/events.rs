//! Numbered events, and whether all of them have arrived.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use eson_tests::records::{Sample, compare};

use super::writing::FLOW;

pub(crate) const PARTITIONS: u32 = 4;

/// The headers in which an event says from which source it is, and which one there.
const SOURCE: &str = "source";
const NUMBER: &str = "number";

/// A source and the events that were written to it so far, from number 0 on.
pub(crate) struct Source {
    pub(crate) topic: String,
    pub(crate) events: Vec<Sample>,
}

impl Source {
    pub(crate) fn new(topic: String) -> Self {
        let events = vec![];
        Self { topic, events }
    }

    /// So many more events, of the time from now on in which they are to be written.
    pub(crate) fn next(&mut self, count: u64) -> Vec<Sample> {
        let (first, now) = (self.events.len() as u64, now());
        let event = |number: u64| {
            let later = FLOW.as_millis() as u64 * number / count;
            self.event(first + number, now + later.cast_signed())
        };
        let next: Vec<_> = (0..count).map(event).collect();
        self.events.extend_from_slice(&next);
        next
    }

    fn event(&self, number: u64, timestamp: i64) -> Sample {
        let text = format!("event {number} ").repeat(10);
        let from = self.topic.clone().into_bytes();
        Sample {
            partition: (number % u64::from(PARTITIONS)) as i32,
            timestamp,
            key: Some(format!("key-{}", number % 50).into_bytes()),
            value: Some(format!(r#"{{"n":{number},"text":"{text}"}}"#).into_bytes()),
            headers: vec![
                (SOURCE.to_owned(), Some(from)),
                (NUMBER.to_owned(), Some(number.to_be_bytes().to_vec())),
            ],
        }
    }
}

/// Milliseconds since the Unix epoch. Events are of today: a broker that restarts forgets producers
/// whose last record is older than a day, by the record's own time.
fn now() -> i64 {
    let now = UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    i64::try_from(now).expect("before the year 292,000,000")
}

/// Whether `arrived` is what is expected: of each source all events, in each partition in their order;
/// those of different sources come in any. Says how many came more than once.
///
/// # Errors
/// The first event that is missing.
///
/// # Panics
/// When something arrived that was not expected, or in another order: waiting can't mend that.
pub(crate) fn compare_by_source(expected: &[Sample], arrived: &[Sample]) -> Result<usize, String> {
    let (expected, mut arrived) = (by_source(expected), by_source(arrived));
    let compared = expected.into_iter().map(|(source, expected)| {
        let arrived = arrived.remove(&source).unwrap_or_default();
        compare(&expected, &arrived)
    });
    let repeats = compared.sum::<Result<usize, String>>()?;
    assert!(arrived.is_empty(), "of no source: {arrived:?}");
    Ok(repeats)
}

fn by_source(samples: &[Sample]) -> BTreeMap<Option<&[u8]>, Vec<Sample>> {
    let mut sources: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for sample in samples {
        let source = header(sample, SOURCE);
        sources.entry(source).or_default().push(sample.clone());
    }
    sources
}

/// From which source an event is, and which one there, whatever was added to it since.
pub(crate) fn origin(event: &Sample) -> [Option<&[u8]>; 2] {
    [SOURCE, NUMBER].map(|name| header(event, name))
}

fn header<'a>(sample: &'a Sample, name: &str) -> Option<&'a [u8]> {
    let mut headers = sample.headers.iter();
    let (_, value) = headers.find(|(found, _)| found == name)?;
    value.as_deref()
}
