//! What is told of a leg: in DESCRIBE and GET of processors, subscriptions and subscribers.

use eson_processor::proto::{self, LegStatus, State};
use eson_protocol::DataLine;

use super::lines::{attribute, attributes};
use super::processor_advice::{LegOwner, advice};
use crate::resource::{Activity, Condition};

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
pub(super) fn absent_state(activity: Activity, condition: &Condition) -> &'static str {
    match activity {
        Activity::Running if has_failed(condition) => state_word(State::Failed),
        Activity::Running => "pending",
        other => activity_word(other),
    }
}

/// Whether something is stopped until somebody changes something.
pub(super) fn has_failed(condition: &Condition) -> bool {
    let failure = condition.failure.as_ref();
    failure.is_some_and(|failure| !failure.is_transient())
}

pub(super) fn seconds_word(leg: &LegStatus, now: u64) -> String {
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
        attribute("throughput", format!("{:.0}", leg.throughput)),
    ];
    lines.extend(leg.held_back.then(|| attribute("held-back", "by its rate")));
    lines.extend(path(leg).map(|path| attribute("path", path)));
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
        lines.extend(attributes(remedy(owner, leg.state(), error, now)));
    }
    lines
}

/// Why record batches can't pass whole though nobody looks into them: the counts of partitions differ.
pub(super) fn path(leg: &LegStatus) -> Option<String> {
    let (from, to) = (leg.partitions, leg.destination_partitions);
    let differ = from > 0 && to > 0 && from != to;
    differ.then(|| {
        format!("records: the source has {from} partitions and the destination {to}, so that keys say which one")
    })
}

/// The error of a leg in this state, how old it is and what to do about it.
pub(super) fn error_words(
    owner: LegOwner,
    state: State,
    error: &proto::Error,
    now: u64,
) -> Vec<(&'static str, String)> {
    let mut words = vec![("error", error.text.clone())];
    words.extend(remedy(owner, state, error, now));
    words
}

/// The same for a leg, where it has one.
pub(super) fn leg_error(
    owner: LegOwner,
    leg: Option<&LegStatus>,
    now: u64,
) -> Vec<(&'static str, String)> {
    let error = leg.and_then(|leg| Some((leg.state(), leg.error.as_ref()?)));
    let words = error.map(|(state, error)| error_words(owner, state, error, now));
    words.unwrap_or_default()
}

fn remedy(
    owner: LegOwner,
    state: State,
    error: &proto::Error,
    now: u64,
) -> Vec<(&'static str, String)> {
    let age = now.saturating_sub(error.at.cast_unsigned()) / 1000;
    vec![
        ("error-seconds", age.to_string()),
        ("advice", advice(owner, state, error)),
    ]
}

/// What a list tells of the leg of a subscription or of a copy.
pub(super) fn leg_words(leg: &LegStatus, now: u64) -> Vec<(&'static str, String)> {
    vec![
        ("processor-state", state_word(leg.state()).to_owned()),
        ("lag", leg.lag.to_string()),
        ("lag-seconds", seconds_word(leg, now)),
        ("records", leg.records.to_string()),
        ("rate", format!("{:.1}", leg.rate)),
        ("throughput", format!("{:.0}", leg.throughput)),
    ]
}

/// `<partition>-<offset>` of each partition, in order.
pub(super) fn positions(leg: &LegStatus) -> Vec<String> {
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

/// How long ago the oldest event was written that is not yet at the destination: nothing while
/// none is missing, and none while it is not known.
pub(crate) fn lag_seconds(leg: &LegStatus, now: u64) -> Option<u64> {
    if leg.lag == 0 {
        return Some(0);
    }
    let since = u64::try_from(leg.behind_since?).ok()?;
    Some(now.saturating_sub(since) / 1000)
}

pub(super) fn activity_word(activity: Activity) -> &'static str {
    match activity {
        Activity::Running => "running",
        Activity::Paused => "paused",
        Activity::Stopped => "stopped",
    }
}

#[cfg(test)]
mod tests {
    use eson_processor::proto::error::Kind;
    use eson_protocol::Code;

    use super::*;
    use crate::resource::Failure;

    #[test]
    fn an_error_is_told_with_its_age_and_what_to_do() {
        let error = proto::Error {
            kind: Kind::Hanging.into(),
            text: "a transaction hangs".to_owned(),
            at: 4_000,
            ..Default::default()
        };
        let words = error_words(LegOwner::Processor, State::Running, &error, 9_999);
        assert_eq!(words[0], ("error", "a transaction hangs".to_owned()));
        assert_eq!(words[1], ("error-seconds", "5".to_owned()));
        assert!(matches!(&words[2], ("advice", text) if !text.is_empty()));
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
            let told = LegStatus {
                state: state.into(),
                ..Default::default()
            };
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
