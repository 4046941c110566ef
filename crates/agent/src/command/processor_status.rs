//! DESCRIBE PROCESSOR and GET PROCESSORS.

use eson_processor::proto::{self, LegStatus, State};
use eson_protocol::text::format_duration;
use eson_protocol::{DataLine, Name, ProcessorType, Program, Reply, Status, Validate};

use super::leg_status::{
    absent_state, activity_word, error_words, has_failed, lag_seconds, leg_lines, path, positions,
    seconds_word, state_word,
};
use super::lines::{attribute, attributes, entry, optional, words};
use super::processor_advice::LegOwner;
use super::{Answer, Request};
use crate::resource::{Activity, Processor, ProcessorLeg};
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
        lines.push(attribute("on-gap", spec.on_gap.as_str()));
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
        }
        let signal = spec.signal.as_ref().map(|signal| &signal.dead_letters);
        let dead_letters = signal.or(spec.dead_letters.as_ref());
        lines.extend(self.dead_letter_lines(dead_letters, &legs).await?);
        lines.extend(attributes(super::delivery::words(spec.delivery)));
        if spec.validate != Validate::Off {
            lines.push(attribute("validate", spec.validate.as_str()));
        }
        if let Some(registry) = &spec.registry {
            lines.extend(attributes(registry.words()));
        }
        let failure = found.resource.status.condition.failure.as_ref();
        lines.extend(optional("failure", failure.map(|failure| &failure.text)));
        let now = self.participant.now();
        match (spec.kind, &legs[..]) {
            (ProcessorType::Bridge, [leg]) => {
                lines.extend(leg_lines(LegOwner::Processor, leg, now))
            }
            _ => {
                lines.extend(total_lines(&found.resource, &legs, now));
                lines.extend(
                    spec.legs()
                        .map(|leg| leg_line(&found.resource, leg, &legs, now)),
                );
            }
        }
        Ok(Reply::data(lines))
    }

    /// Where dead letters go, once there is such a flow, and how many have gone there.
    pub(super) async fn dead_letter_lines(
        &self,
        flow: Option<&Name>,
        legs: &[LegStatus],
    ) -> Result<Vec<DataLine>, Status> {
        let Some(flow) = flow else {
            return Ok(Vec::new());
        };
        if self.participant.flows.get(flow.as_str()).await?.is_none() {
            return Ok(Vec::new());
        }
        let count: u64 = legs.iter().map(|leg| leg.dead_letters).sum();
        Ok(vec![
            attribute("dead-letters-to", flow),
            attribute("dead-letters", count),
        ])
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
            ("state", state(&found.resource, &legs).to_owned()),
        ];
        let now = self.participant.now();
        if !legs.is_empty() {
            let total = Total::of(&legs, now);
            values.push(("lag", total.lag.to_string()));
            values.extend(total.lag_seconds.map(|it| ("lag-seconds", it.to_string())));
            values.push(("records", total.records.to_string()));
            values.push(("rate", format!("{:.1}", total.rate)));
            values.push(("throughput", format!("{:.0}", total.throughput)));
        }
        match &legs[..] {
            [] => {}
            [leg] => values.push(("position", positions(leg).join(","))),
            several => values.push(("legs", several.len().to_string())),
        }
        let failure = found.resource.status.condition.failure.as_ref();
        match (
            failure.filter(|failure| !failure.is_transient()),
            worst_error(&legs),
        ) {
            (Some(failure), _) => values.push(("error", failure.text.clone())),
            (None, Some((state, error))) => {
                values.extend(error_words(LegOwner::Processor, state, error, now));
            }
            (None, None) => {}
        }
        entry(&spec.name, &values)
    }
}

/// Each line of a program is a line here.
fn program_lines(program: &Program) -> Vec<DataLine> {
    match program {
        Program::Grpc(server) => vec![attribute("grpc", server)],
        Program::Grpcs(server) => vec![attribute("grpcs", server)],
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
    throughput: f64,
    crowded_out: u64,
    unknown_schemas: u64,
    /// Of the leg that is furthest behind.
    lag_seconds: Option<u64>,
}

impl Total {
    fn of(legs: &[LegStatus], now: u64) -> Self {
        legs.iter().fold(Self::default(), |sum, leg| Self {
            lag: sum.lag + leg.lag,
            records: sum.records + leg.records,
            bytes: sum.bytes + leg.bytes,
            lost: sum.lost + leg.lost,
            rate: sum.rate + leg.rate,
            throughput: sum.throughput + leg.throughput,
            crowded_out: sum.crowded_out + leg.crowded_out,
            unknown_schemas: sum.unknown_schemas + leg.unknown_schemas,
            lag_seconds: sum.lag_seconds.max(lag_seconds(leg, now)),
        })
    }
}

fn total_lines(processor: &Processor, legs: &[LegStatus], now: u64) -> Vec<DataLine> {
    let total = Total::of(legs, now);
    let mut lines = vec![
        attribute("processor-state", state(processor, legs)),
        attribute("lag", total.lag),
        attribute("records", total.records),
        attribute("bytes", total.bytes),
        attribute("lost", total.lost),
        attribute("rate", format!("{:.1}", total.rate)),
        attribute("throughput", format!("{:.0}", total.throughput)),
    ];
    lines.extend(optional("lag-seconds", total.lag_seconds));
    let crowded = total.crowded_out;
    lines.extend((crowded > 0).then(|| attribute("crowded-out", crowded)));
    let unknown = total.unknown_schemas;
    lines.extend((unknown > 0).then(|| attribute("unknown-schemas", unknown)));
    lines
}

/// A leg under the flow that it alone reads or writes.
fn leg_line(
    processor: &Processor,
    leg: ProcessorLeg<'_>,
    legs: &[LegStatus],
    now: u64,
) -> DataLine {
    let spec = &processor.spec;
    let id = spec.leg_id(leg);
    let flow = spec.own_end(leg).as_str();
    let Some(status) = legs.iter().find(|status| status.id == id) else {
        let state = absent_state(spec.activity, &processor.status.condition);
        return attribute("leg", words(flow, &[("state", state.to_owned())]));
    };
    let mut values = vec![
        ("state", state_word(status.state()).to_owned()),
        ("lag", status.lag.to_string()),
        ("lag-seconds", seconds_word(status, now)),
        ("records", status.records.to_string()),
        ("bytes", status.bytes.to_string()),
        ("lost", status.lost.to_string()),
        ("rate", format!("{:.1}", status.rate)),
        ("throughput", format!("{:.0}", status.throughput)),
        ("position", positions(status).join(",")),
    ];
    if status.held_back {
        values.push(("held-back", "by its rate".to_owned()));
    }
    values.extend(path(status).map(|path| ("path", path)));
    if status.crowded_out > 0 {
        values.push(("crowded-out", status.crowded_out.to_string()));
    }
    if status.unknown_schemas > 0 {
        values.push(("unknown-schemas", status.unknown_schemas.to_string()));
    }
    if let Some(error) = &status.error {
        let state = status.state();
        values.extend(error_words(LegOwner::Processor, state, error, now));
    }
    attribute("leg", words(flow, &values))
}

/// One word for a processor with many legs: that of the leg that needs most attention.
fn state(processor: &Processor, legs: &[LegStatus]) -> &'static str {
    let spec = &processor.spec;
    let worst = legs
        .iter()
        .map(LegStatus::state)
        .max_by_key(|it| attention(*it));
    match worst {
        Some(_) if has_failed(&processor.status.condition) => state_word(State::Failed),
        Some(state) if spec.activity == Activity::Running => state_word(state),
        _ => absent_state(spec.activity, &processor.status.condition),
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

/// The error of the leg that needs most attention, and how that leg is.
fn worst_error(legs: &[LegStatus]) -> Option<(State, &proto::Error)> {
    let errors = legs
        .iter()
        .filter_map(|leg| Some((leg.state(), leg.error.as_ref()?)));
    errors.max_by_key(|(state, _)| attention(*state))
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
        let worst = worst_error(&legs).map(|(state, error)| (state, error.text.as_str()));
        assert_eq!(worst, Some((State::Retrying, "nobody answers")));
        let worst = legs
            .iter()
            .map(LegStatus::state)
            .max_by_key(|it| attention(*it));
        assert_eq!(worst, Some(State::Retrying));
    }
}
