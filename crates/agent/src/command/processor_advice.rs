//! What to do about a leg's error.

use eson_processor::proto::error::{Kind, Side};
use eson_processor::proto::{Error, State};

/// What a person can do about it.
pub(super) fn advice(state: State, error: &Error) -> &'static str {
    match (error.kind(), error.side()) {
        (Kind::OutOfRange, _) if state == State::Failed => {
            "these events are lost here; on-gap=earliest (UPDATE PROCESSOR, SUBSCRIBE) goes on with the oldest that is left"
        }
        (Kind::OutOfRange, _) => {
            "these events are lost here; keep events longer at the source (retention) or read sooner"
        }
        (Kind::Unreachable, Side::Destination) => {
            "it is tried again by itself; see whether the destination's broker runs and is reached from here"
        }
        (Kind::Unreachable, _) => {
            "it is tried again by itself; see whether the source's broker runs and is reached from here"
        }
        (Kind::Unauthenticated, _) => {
            "correct the broker's user and password in the configuration, then RESUME PROCESSOR"
        }
        (Kind::Denied, Side::Destination) => {
            "let the broker's user write the destination's queue, then RESUME PROCESSOR"
        }
        (Kind::Denied, _) => "let the broker's user read the source's queue, then RESUME PROCESSOR",
        (Kind::NotFound, _) => {
            "the queue is gone from the broker: create the flow again, or take it out by UPDATE PROCESSOR"
        }
        (Kind::Replaced, _) => {
            "another queue has the name by now; create the processor again if that one is meant"
        }
        (Kind::TooLarge, _) => {
            "let the destination take larger events (max.message.bytes in Kafka) and RESUME PROCESSOR; or create the flow dlq.NAME of this processor or local flow: such events go there then"
        }
        (Kind::Refused, _) => {
            "let the destination take such events and RESUME PROCESSOR; or create the flow dlq.NAME of this processor or local flow: they go there then"
        }
        (Kind::DeadLetter, _) => {
            "read the flow of dead letters: each event there says why in deadletterreason"
        }
        (Kind::Hanging, _) => {
            "end that transaction at the source: start its producer again, or abort it with kafka-transactions.sh"
        }
        (Kind::Program, _) => {
            "it is tried again by itself; see whether the program's service runs and is reached from here"
        }
        (Kind::Registry, _) if state == State::Retrying => {
            "it is tried again by itself; see whether the Schema Registry runs and is reached from here"
        }
        (Kind::Registry, Side::Destination) => {
            "let the registry of registry-to= take it: its rules of compatibility for the subject, or our login in schema-registries; it is tried again by itself"
        }
        (Kind::Registry, _) => {
            "see what the registry of registry-from= lacks, or our login in schema-registries; it is tried again by itself"
        }
        (Kind::Content, _) if state == State::Failed => {
            "correct what writes such events to the source; with validate=dead-letter or on-unknown-schema=dead-letter it goes on without them (UPDATE PROCESSOR)"
        }
        (Kind::Content, _) => "correct what writes such events to the source",
        (Kind::Fenced, _) => "another process moves the same events; end it, then RESUME PROCESSOR",
        (Kind::Unspecified | Kind::Other, _) if state == State::Retrying => {
            "it is tried again by itself; the log of fnaad says more"
        }
        (Kind::Unspecified | Kind::Other, _) => {
            "the log of fnaad says more; RESUME PROCESSOR tries again"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice_on(state: State, kind: Kind, side: Side) -> &'static str {
        let error = Error {
            kind: kind.into(),
            side: side.into(),
            ..Default::default()
        };
        advice(state, &error)
    }

    #[test]
    fn what_to_do_depends_on_what_it_is_and_where() {
        let retrying = |kind, side| advice_on(State::Retrying, kind, side);
        let at_source = retrying(Kind::Unreachable, Side::Source);
        let at_destination = retrying(Kind::Unreachable, Side::Destination);
        assert!(at_source.contains("by itself") && at_source.contains("source"));
        assert!(at_destination.contains("destination"));
        let failed = advice_on(State::Failed, Kind::Denied, Side::Destination);
        assert!(failed.contains("write") && failed.contains("RESUME"));
        let gap = |state| advice_on(state, Kind::OutOfRange, Side::Source);
        assert!(gap(State::Failed).contains("on-gap=earliest"));
        assert!(gap(State::Running).contains("retention"));
    }
}
