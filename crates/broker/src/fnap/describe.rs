//! DESCRIBE FLOW and GET POSITIONS, and CAPABILITIES' limits.

use std::collections::BTreeMap;

use eson_client::Client;
use eson_protocol::{Command, DataLine, FlowAttributes, Name, StoredPosition};

use super::link::Link;
use crate::{BrokerError, QueueDescription, QueueId, Reached};

/// What an FNAA takes at once, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// `limits.event`: a line, its end included.
    pub(super) event: usize,
    /// `limits.record`: key, value and headers of one event together.
    pub(super) record: usize,
    /// `limits.write`: a batch.
    pub(super) write: usize,
}

/// What is taken for granted where an FNAA does not say.
impl Default for Limits {
    fn default() -> Self {
        Self {
            event: 1 << 20,
            // Who does not say it refuses what is larger.
            record: usize::MAX,
            write: 1 << 20,
        }
    }
}

impl Link {
    pub(super) async fn describe(
        &self,
        session: &mut Client,
        flow: &Name,
    ) -> Result<QueueDescription, BrokerError> {
        let command = Command::DescribeFlow(flow.clone());
        let lines = self.command(session, flow.as_str(), &command).await?;
        let found = FlowAttributes::from_lines(&lines);
        let found = found.map_err(|error| self.broken(error.to_string()))?;
        let id = values(&lines, "queue-id").next();
        let id = id.ok_or_else(|| self.broken("DESCRIBE FLOW does not tell `queue-id`"))?;
        let partitions = values(&lines, "range").map(|text| {
            parse_range(text).ok_or_else(|| self.broken(format!("`range={text}` is no range")))
        });
        Ok(QueueDescription {
            id: QueueId(id.to_owned()),
            connection: found.connection,
            partitions: partitions.collect::<Result<BTreeMap<_, _>, _>>()?,
            retention: None,
            retention_bytes: None,
            limits_hold: true,
        })
    }

    /// How far a processor has copied its source into a flow.
    pub(super) async fn reached(
        &self,
        session: &mut Client,
        flow: &Name,
        processor: &str,
    ) -> Result<Reached, BrokerError> {
        let command = Command::GetPositions(flow.clone(), processor.to_owned());
        let lines = self.command(session, flow.as_str(), &command).await?;
        let mut reached = Reached::default();
        for line in &lines {
            let (partition, StoredPosition { next, epoch }) = parse_position(line)
                .ok_or_else(|| self.broken(format!("GET POSITIONS answers {line:?}")))?;
            reached.advance(partition, next, epoch);
        }
        Ok(reached)
    }

    pub(super) async fn limits(&self, session: &mut Client) -> Result<Limits, BrokerError> {
        let lines = self.command(session, "", &Command::Capabilities).await?;
        let told = |key, default| {
            let value = values(&lines, key).next();
            value
                .and_then(|value| value.parse().ok())
                .unwrap_or(default)
        };
        let default = Limits::default();
        Ok(Limits {
            event: told("limits.event", default.event),
            record: told("limits.record", default.record),
            write: told("limits.write", default.write),
        })
    }
}

fn values<'a>(lines: &'a [DataLine], key: &'static str) -> impl Iterator<Item = &'a str> {
    lines.iter().filter_map(move |line| match line {
        DataLine::Attribute(found, value) if found == key => Some(value.as_str()),
        _ => None,
    })
}

fn parse_position(line: &DataLine) -> Option<(u32, StoredPosition)> {
    let DataLine::Attribute(partition, position) = line else {
        return None;
    };
    partition.parse().ok().zip(position.parse().ok())
}

/// `P:EARLIEST-LATEST`.
fn parse_range(text: &str) -> Option<(u32, (u64, u64))> {
    let (partition, range) = text.split_once(':')?;
    let (earliest, latest) = range.split_once('-')?;
    Some((
        partition.parse().ok()?,
        (earliest.parse().ok()?, latest.parse().ok()?),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(parse_range("3:5-17"), Some((3, (5, 17))));
        for wrong in ["", "3", "3:5", "3:-5", "x:1-2", "3:5-17-"] {
            assert_eq!(parse_range(wrong), None, "{wrong}");
        }
    }
}
