//! What goes where: a program's outputs by destination and partition.

use eson_broker::partition_of_key;
use eson_protocol::Record;

use super::asked::Verdict;
use super::outlet::{Outlet, Refused};
use super::place::{self, MAX_OUTPUTS};
use super::proto::Output;
use super::proto::output::Content;
use super::record::to_stored;

/// What goes to which outlet.
pub(super) struct Routed {
    /// For each outlet: partition there and record, whose offset is its place.
    pub(super) written: Vec<Vec<(u32, Record)>>,
    pub(super) failed: Vec<Refused>,
}

/// Sorts the outcomes of consecutive records by destination. An event of which an output can't be
/// sent anywhere has failed as a whole.
pub(super) fn route(
    outlets: &[Outlet],
    from: (u32, u32),
    records: &[Record],
    verdicts: Vec<Verdict>,
) -> Routed {
    let names: Vec<_> = outlets.iter().map(|it| it.endpoint.flow.as_str()).collect();
    let mut routed = Routed {
        written: outlets.iter().map(|_| Vec::new()).collect(),
        failed: Vec::new(),
    };
    for (record, verdict) in records.iter().zip(verdicts) {
        match verdict.and_then(|outputs| aims(&names, outputs)) {
            Ok(aims) => routed.take(outlets, from, record, aims),
            Err(reason) => routed.failed.push(Refused {
                place: place::before(record.offset),
                reason,
            }),
        }
    }
    routed
}

impl Routed {
    fn take(
        &mut self,
        outlets: &[Outlet],
        from: (u32, u32),
        record: &Record,
        aims: Vec<(Vec<usize>, Content)>,
    ) {
        let mut numbers = vec![0; outlets.len()];
        for (destinations, content) in aims {
            let new = content_of(content, record);
            for outlet in destinations {
                let partitions = outlets[outlet].partitions();
                let to = partition_for(&new, record, from, partitions);
                let mut new = new.clone();
                new.offset = place::of(record.offset, numbers[outlet]);
                numbers[outlet] += 1;
                self.written[outlet].push((to, new));
            }
        }
    }
}

/// Each output with the outlets that it goes to.
fn aims(names: &[&str], outputs: Vec<Output>) -> Result<Vec<(Vec<usize>, Content)>, String> {
    if outputs.len() > MAX_OUTPUTS {
        return Err(format!("more than {MAX_OUTPUTS} outputs of one event"));
    }
    let aim = |output: Output| {
        let content = output
            .content
            .ok_or("an output is neither unchanged nor a record")?;
        Ok((destinations(names, &output.flow)?, content))
    };
    outputs.into_iter().map(aim).collect()
}

/// The destinations of a name: all for the empty one, else one, by its name or first label.
fn destinations(names: &[&str], flow: &str) -> Result<Vec<usize>, String> {
    if flow.is_empty() {
        return Ok((0..names.len()).collect());
    }
    if let Some(at) = names.iter().position(|name| *name == flow) {
        return Ok(vec![at]);
    }
    let has_label = |name: &str| name.split('.').next() == Some(flow);
    let mut found = (0..names.len()).filter(|at| has_label(names[*at]));
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(vec![at]),
        (None, _) => Err(format!(
            "`{flow}` is no destination; there are {}",
            names.join(", ")
        )),
        (Some(one), Some(other)) => Err(format!(
            "`{flow}` may be {} or {}; give the whole name",
            names[one], names[other]
        )),
    }
}

fn content_of(content: Content, record: &Record) -> Record {
    match content {
        Content::Unchanged(_) => record.clone(),
        Content::Record(new) => {
            let timestamp = new.timestamp.unwrap_or(record.timestamp);
            Record {
                timestamp,
                ..to_stored(new, record.offset)
            }
        }
    }
}

/// Where counts are equal an event stays in its partition, unless it got another key. `from` is the
/// partition that it was in, and how many there are.
fn partition_for(new: &Record, record: &Record, from: (u32, u32), partitions: u32) -> u32 {
    let (partition, of) = from;
    match &new.key {
        Some(key) if new.key != record.key || of != partitions => partition_of_key(key, partitions),
        _ => partition % partitions,
    }
}
