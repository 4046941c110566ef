//! DESCRIBE PROCESSOR and GET PROCESSORS.

use eson_processor::proto::{self, LegStatus, State};
use eson_protocol::text::format_duration;
use eson_protocol::{DataLine, Name, ProcessorType, Program, Reply};

use super::lines::{attribute, entry, optional, words};
use super::processor_advice::advice;
use super::{Answer, Request};
use crate::resource::{Activity, Processor, ProcessorLeg, ProcessorSpec};
use crate::store::Stored;

impl Request<'_> {
    pub(super) async fn describe_processor(&self, name: String) -> Answer {
        let found = self.own_processor(&name).await?;
        let spec = &found.resource.spec;
        let legs = self.participant.processor_legs(&name);
        let mut lines = vec![
            attribute("processor", &spec.name),
            attribute("type", spec.kind.as_str()),
        ];
        lines.extend(spec.sources.iter().map(|flow| attribute("from", flow)));
        lines.extend(spec.destinations.iter().map(|flow| attribute("to", flow)));
        lines.push(attribute("owner", &spec.owner));
        lines.push(attribute("activity", activity_word(spec.activity)));
        if spec.kind == ProcessorType::Collector {
            lines.push(attribute("annotate", spec.annotate));
            lines.push(attribute("fair", spec.fair));
        }
        if let Some(signal) = &spec.signal {
            lines.extend(program_lines(&signal.program));
            if let Some(window) = &signal.window {
                lines.push(attribute("window", format_duration(window.length)));
                lines.push(attribute("tumbling", window.tumbling));
                lines.extend(optional("by", window.by.as_ref()));
            }
            lines.push(attribute("dead-letters-to", &signal.dead_letters));
            let count: u64 = legs.iter().map(|leg| leg.dead_letters).sum();
            lines.push(attribute("dead-letters", count));
        }
        let failure = found.resource.status.condition.failure.as_ref();
        lines.extend(optional("failure", failure.map(|failure| &failure.text)));
        match (spec.kind, &legs[..]) {
            (ProcessorType::Bridge, [leg]) => lines.extend(leg_lines(leg)),
            _ => {
                lines.extend(total_lines(spec, &legs));
                lines.extend(spec.legs().map(|leg| leg_line(spec, leg, &legs)));
            }
        }
        Ok(Reply::data(lines))
    }

    pub(super) async fn list_processors(&self) -> Answer {
        let mut lines = Vec::new();
        for found in self.participant.processors.list().await? {
            if found.resource.spec.owner == self.caller.principal {
                lines.push(self.processor_entry(&found));
            }
        }
        Ok(Reply::data(lines))
    }

    fn processor_entry(&self, found: &Stored<Processor>) -> DataLine {
        let spec = &found.resource.spec;
        let legs = self.participant.processor_legs(&found.name);
        let join = |names: &[Name]| names.iter().map(Name::as_str).collect::<Vec<_>>().join(",");
        let mut values = vec![
            ("type", spec.kind.as_str().to_owned()),
            ("from", join(&spec.sources)),
            ("to", join(&spec.destinations)),
            ("state", state(spec, &legs).to_owned()),
        ];
        if !legs.is_empty() {
            let total = Total::of(&legs);
            values.push(("lag", total.lag.to_string()));
            values.push(("records", total.records.to_string()));
            values.push(("rate", format!("{:.1}", total.rate)));
        }
        values.extend(worst_error(&legs).map(|error| ("error", error.text.clone())));
        entry(&spec.name, &values)
    }
}

/// Each line of a program is a line here.
fn program_lines(program: &Program) -> Vec<DataLine> {
    match program {
        Program::Grpc(server) => vec![attribute("grpc", server)],
        Program::Jq(code) => {
            let lines = code.split('\n');
            lines.map(|line| attribute("program", line)).collect()
        }
    }
}

/// The figures of all legs together.
#[derive(Default)]
struct Total {
    lag: u64,
    records: u64,
    bytes: u64,
    lost: u64,
    rate: f64,
}

impl Total {
    fn of(legs: &[LegStatus]) -> Self {
        legs.iter().fold(Self::default(), |sum, leg| Self {
            lag: sum.lag + leg.lag,
            records: sum.records + leg.records,
            bytes: sum.bytes + leg.bytes,
            lost: sum.lost + leg.lost,
            rate: sum.rate + leg.rate,
        })
    }
}

fn total_lines(spec: &ProcessorSpec, legs: &[LegStatus]) -> Vec<DataLine> {
    let total = Total::of(legs);
    vec![
        attribute("processor-state", state(spec, legs)),
        attribute("lag", total.lag),
        attribute("records", total.records),
        attribute("bytes", total.bytes),
        attribute("lost", total.lost),
        attribute("rate", format!("{:.1}", total.rate)),
    ]
}

/// A leg under the flow that it alone reads or writes.
fn leg_line(spec: &ProcessorSpec, leg: ProcessorLeg<'_>, legs: &[LegStatus]) -> DataLine {
    let id = spec.leg_id(leg);
    let flow = spec.own_end(leg).as_str();
    let Some(status) = legs.iter().find(|status| status.id == id) else {
        let state = activity_state(spec.activity).to_owned();
        return attribute("leg", words(flow, &[("state", state)]));
    };
    let mut values = vec![
        ("state", state_word(status.state()).to_owned()),
        ("lag", status.lag.to_string()),
        ("records", status.records.to_string()),
        ("bytes", status.bytes.to_string()),
        ("lost", status.lost.to_string()),
        ("rate", format!("{:.1}", status.rate)),
        ("position", positions(status).join(",")),
    ];
    if let Some(error) = &status.error {
        values.push(("error", error.text.clone()));
        values.push(("advice", advice(status.state(), error).to_owned()));
    }
    attribute("leg", words(flow, &values))
}

/// One word for a processor with many legs: that of the leg that needs most attention.
fn state(spec: &ProcessorSpec, legs: &[LegStatus]) -> &'static str {
    let worst = legs
        .iter()
        .map(LegStatus::state)
        .max_by_key(|it| attention(*it));
    match worst {
        Some(state) if spec.activity == Activity::Running => state_word(state),
        _ => activity_state(spec.activity),
    }
}

fn attention(state: State) -> u8 {
    match state {
        State::Unspecified | State::Running => 0,
        State::Paused => 1,
        State::Starting => 2,
        State::Retrying => 3,
        State::Failed => 4,
    }
}

fn worst_error(legs: &[LegStatus]) -> Option<&proto::Error> {
    let with_error = legs.iter().filter(|leg| leg.error.is_some());
    let worst = with_error.max_by_key(|leg| attention(leg.state()));
    worst.and_then(|leg| leg.error.as_ref())
}

fn activity_word(activity: Activity) -> &'static str {
    match activity {
        Activity::Running => "running",
        Activity::Paused => "paused",
        Activity::Stopped => "stopped",
    }
}

/// How a leg is that the runtime does not tell of.
fn activity_state(activity: Activity) -> &'static str {
    match activity {
        Activity::Running => "pending",
        other => activity_word(other),
    }
}

/// What the runtime tells of a leg, as data lines.
pub(super) fn leg_lines(leg: &LegStatus) -> Vec<DataLine> {
    let mut lines = vec![
        attribute("processor-state", state_word(leg.state())),
        attribute("lag", leg.lag),
        attribute("records", leg.records),
        attribute("bytes", leg.bytes),
        attribute("lost", leg.lost),
        attribute("rate", format!("{:.1}", leg.rate)),
    ];
    let positions = positions(leg);
    lines.extend(
        positions
            .iter()
            .map(|position| attribute("position", position)),
    );
    if let Some(error) = &leg.error {
        lines.push(attribute("processor-error", &error.text));
        lines.push(attribute("advice", advice(leg.state(), error)));
    }
    lines
}

/// `<partition>-<offset>` of each partition, in order.
fn positions(leg: &LegStatus) -> Vec<String> {
    let mut stored: Vec<_> = leg.stored.iter().collect();
    stored.sort();
    let position = |(partition, next): &(&u32, &u64)| format!("{partition}-{next}");
    stored.iter().map(position).collect()
}

pub(super) fn state_word(state: State) -> &'static str {
    match state {
        State::Unspecified => "unknown",
        State::Starting => "starting",
        State::Running => "running",
        State::Paused => "paused",
        State::Retrying => "retrying",
        State::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(state: State, error: Option<&str>) -> LegStatus {
        let error = error.map(|text| proto::Error {
            text: text.to_owned(),
            ..Default::default()
        });
        LegStatus {
            state: state.into(),
            error,
            ..Default::default()
        }
    }

    #[test]
    fn the_worst_leg_speaks_for_all() {
        let legs = [
            leg(State::Running, Some("records are gone")),
            leg(State::Retrying, Some("nobody answers")),
            leg(State::Starting, None),
        ];
        let text = worst_error(&legs).map(|error| error.text.as_str());
        assert_eq!(text, Some("nobody answers"));
        let worst = legs
            .iter()
            .map(LegStatus::state)
            .max_by_key(|it| attention(*it));
        assert_eq!(worst, Some(State::Retrying));
    }

    #[test]
    fn positions_stand_in_order() {
        let leg = LegStatus {
            stored: [(10, 7), (2, 5)].into(),
            ..Default::default()
        };
        assert_eq!(positions(&leg), ["2-5", "10-7"]);
    }
}
