//! DESCRIBE PROCESSOR and GET PROCESSORS.

use eson_processor::proto::{self, LegStatus, State};
use eson_protocol::text::format_duration;
use eson_protocol::{DataLine, Name, ProcessorType, Program, Reply, Status, Validate};

use super::lines::{attribute, attributes, entry, optional, words};
use super::processor_advice::{LegOwner, advice};
use super::{Answer, Request};
use crate::resource::{Activity, Condition, Processor, ProcessorLeg};
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
        if !legs.is_empty() {
            let total = Total::of(&legs, self.participant.now());
            values.push(("lag", total.lag.to_string()));
            values.extend(total.lag_seconds.map(|it| ("lag-seconds", it.to_string())));
            values.push(("records", total.records.to_string()));
            values.push(("rate", format!("{:.1}", total.rate)));
        }
        match (&found.resource.status.condition.failure, worst_error(&legs)) {
            (Some(failure), _) if !failure.is_transient() => {
                values.push(("error", failure.text.clone()));
            }
            (_, error) => values.extend(error.map(|error| ("error", error.text.clone()))),
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
            crowded_out: sum.crowded_out + leg.crowded_out,
            unknown_schemas: sum.unknown_schemas + leg.unknown_schemas,
            lag_seconds: sum.lag_seconds.max(lag_seconds(leg, now)),
        })
    }
}

/// How long ago the oldest event was written that is not yet at the destination: nothing while
/// none is missing, and none while it is not known.
pub(crate) fn lag_seconds(leg: &LegStatus, now: u64) -> Option<u64> {
    if leg.lag == 0 {
        return Some(0);
    }
    let since = u64::try_from(leg.behind_since?).ok()?;
    Some(now.saturating_sub(since) / 1000)
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
        ("position", positions(status).join(",")),
    ];
    if status.held_back {
        values.push(("held-back", "by its rate".to_owned()));
    }
    if status.crowded_out > 0 {
        values.push(("crowded-out", status.crowded_out.to_string()));
    }
    if status.unknown_schemas > 0 {
        values.push(("unknown-schemas", status.unknown_schemas.to_string()));
    }
    if let Some(error) = &status.error {
        values.push(("error", error.text.clone()));
        let advice = advice(LegOwner::Processor, status.state(), error);
        values.push(("advice", advice));
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

/// Every word for how a leg is, in the order of its life.
pub(crate) const LEG_STATES: [&str; 7] = [
    "pending", "starting", "running", "paused", "stopped", "retrying", "failed",
];

/// How a leg is, of which the runtime tells this, or nothing.
pub(crate) fn leg_state(
    told: Option<&LegStatus>,
    activity: Activity,
    condition: &Condition,
) -> &'static str {
    match told {
        Some(leg) => state_word(leg.state()),
        None => absent_state(activity, condition),
    }
}

/// How a leg is that the runtime does not tell of.
fn absent_state(activity: Activity, condition: &Condition) -> &'static str {
    match activity {
        Activity::Running if has_failed(condition) => state_word(State::Failed),
        Activity::Running => "pending",
        other => activity_word(other),
    }
}

/// Whether something is stopped until somebody changes something.
fn has_failed(condition: &Condition) -> bool {
    let failure = condition.failure.as_ref();
    failure.is_some_and(|failure| !failure.is_transient())
}

fn seconds_word(leg: &LegStatus, now: u64) -> String {
    lag_seconds(leg, now).map_or_else(|| "unknown".to_owned(), |seconds| seconds.to_string())
}

/// What the runtime tells of a leg, as data lines.
pub(super) fn leg_lines(owner: LegOwner, leg: &LegStatus, now: u64) -> Vec<DataLine> {
    let mut lines = vec![
        attribute("processor-state", state_word(leg.state())),
        attribute("lag", leg.lag),
        attribute("lag-seconds", seconds_word(leg, now)),
        attribute("records", leg.records),
        attribute("bytes", leg.bytes),
        attribute("lost", leg.lost),
        attribute("rate", format!("{:.1}", leg.rate)),
    ];
    lines.extend(leg.held_back.then(|| attribute("held-back", "by its rate")));
    let unknown = leg.unknown_schemas;
    lines.extend((unknown > 0).then(|| attribute("unknown-schemas", unknown)));
    let positions = positions(leg);
    lines.extend(
        positions
            .iter()
            .map(|position| attribute("position", position)),
    );
    if let Some(error) = &leg.error {
        lines.push(attribute("processor-error", &error.text));
        lines.push(attribute("advice", advice(owner, leg.state(), error)));
    }
    lines
}

/// What a list tells of the leg of a subscription or of a copy.
pub(super) fn leg_words(leg: &LegStatus, now: u64) -> Vec<(&'static str, String)> {
    vec![
        ("processor-state", state_word(leg.state()).to_owned()),
        ("lag", leg.lag.to_string()),
        ("lag-seconds", seconds_word(leg, now)),
        ("records", leg.records.to_string()),
        ("rate", format!("{:.1}", leg.rate)),
    ]
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
    use eson_protocol::Code;

    use super::*;
    use crate::resource::Failure;

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
    fn lag_in_seconds_is_since_the_oldest_event_that_is_missing() {
        let leg = |lag, behind_since| LegStatus {
            lag,
            behind_since,
            ..Default::default()
        };
        assert_eq!(lag_seconds(&leg(0, None), 9_000), Some(0));
        assert_eq!(lag_seconds(&leg(3, None), 9_000), None);
        assert_eq!(lag_seconds(&leg(3, Some(2_000)), 9_999), Some(7));
        assert_eq!(lag_seconds(&leg(3, Some(20_000)), 9_999), Some(0));
    }

    #[test]
    fn every_word_for_a_leg_is_known() {
        use Activity::{Paused, Running, Stopped};
        let failed = Condition {
            failure: Some(Failure::refused(Code::Denied, "not so")),
            ..Condition::default()
        };
        for condition in [failed, Condition::default()] {
            for activity in [Running, Paused, Stopped] {
                assert!(LEG_STATES.contains(&leg_state(None, activity, &condition)));
            }
        }
        for state in (State::Starting as i32..).map_while(|it| State::try_from(it).ok()) {
            let told = leg(state, None);
            let word = leg_state(Some(&told), Running, &Condition::default());
            assert!(LEG_STATES.contains(&word), "{word}");
        }
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
