//! The lines of READ FLOW with `format=record`.

use bytes::Bytes;
use eson_protocol::event::{EventError, decode};
use eson_protocol::{EventFormat, Record};
use serde::Deserialize;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A record of a partition.
    Record(u32, Record),
    /// Everything of a partition before `next` has been sent or does not exist.
    Position {
        partition: u32,
        next: u64,
        high_watermark: u64,
    },
    /// What was asked for is gone; reading goes on at `earliest`.
    Gap {
        partition: u32,
        wanted: u64,
        earliest: u64,
        latest: u64,
    },
}

impl Line {
    /// The partition that it is about.
    pub(super) fn partition(&self) -> u32 {
        match self {
            Self::Record(partition, _)
            | Self::Position { partition, .. }
            | Self::Gap { partition, .. } => *partition,
        }
    }
}

/// A line that is no event.
#[derive(Deserialize)]
#[serde(untagged)]
enum Told {
    Position {
        partition: u32,
        next: u64,
        high_watermark: u64,
    },
    Gap {
        partition: u32,
        out_of_range: Range,
    },
}

#[derive(Deserialize)]
struct Range {
    wanted: u64,
    earliest: u64,
    latest: u64,
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it, taken as a record.
pub(super) fn parse(line: &Bytes) -> Result<Line, EventError> {
    let error = match decode(EventFormat::Record, line) {
        Ok(event) => {
            return Ok(Line::Record(
                event.partition.unwrap_or_default(),
                event.record,
            ));
        }
        Err(error) => error,
    };
    match serde_json::from_slice(line) {
        Ok(Told::Position {
            partition,
            next,
            high_watermark,
        }) => Ok(Line::Position {
            partition,
            next,
            high_watermark,
        }),
        Ok(Told::Gap {
            partition,
            out_of_range,
        }) => Ok(Line::Gap {
            partition,
            wanted: out_of_range.wanted,
            earliest: out_of_range.earliest,
            latest: out_of_range.latest,
        }),
        Err(_) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &'static str) -> Result<Line, EventError> {
        parse(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn the_three_kinds_are_told_apart() {
        let position = Line::Position {
            partition: 1,
            next: 5,
            high_watermark: 9,
        };
        let gap = Line::Gap {
            partition: 1,
            wanted: 3,
            earliest: 5,
            latest: 9,
        };
        assert_eq!(
            line(r#"{"partition":1,"next":5,"high_watermark":9}"#),
            Ok(position)
        );
        assert_eq!(
            line(r#"{"partition":1,"out_of_range":{"wanted":3,"earliest":5,"latest":9}}"#),
            Ok(gap)
        );
        let record = line(
            r#"{"cursor":"1-6","partition":1,"offset":5,"timestamp":7,"key":null,"headers":[],"value":null}"#,
        );
        assert!(matches!(record, Ok(Line::Record(1, record)) if record.offset == 5));
    }

    #[test]
    fn anything_else_is_an_error() {
        for wrong in [
            "",
            "{}",
            "220",
            r#"{"partition":1}"#,
            r#"{"partition":1,"next":-5}"#,
        ] {
            assert!(line(wrong).is_err(), "{wrong}");
        }
    }
}
