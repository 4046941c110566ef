//! What to do about a leg's error.

use eson_processor::proto::error::{Kind, Side};
use eson_processor::proto::{Error, State};

/// Whose leg it is: that says which commands do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LegOwner {
    /// A processor that a user runs.
    Processor,
    /// A subscription, whose bridge reads at the publisher's.
    Subscription,
    /// A subscriber, whose copy its publisher fills.
    Subscriber,
}

impl LegOwner {
    /// What starts the leg again.
    fn resume(self) -> &'static str {
        match self {
            Self::Processor => "RESUME PROCESSOR",
            Self::Subscription => "RESUME SUBSCRIPTION",
            Self::Subscriber => "RESUME SUBSCRIBER",
        }
    }

    /// What changes how the leg does its work.
    fn change(self) -> &'static str {
        match self {
            Self::Processor => "UPDATE PROCESSOR",
            Self::Subscription => "SUBSCRIBE again",
            Self::Subscriber => "the subscriber SUBSCRIBEs again",
        }
    }

    /// What to do about a queue that is gone.
    fn make_again(self, side: Side) -> &'static str {
        match (self, side) {
            (Self::Subscription, Side::Source) => {
                "the publisher is asked by itself; if it stays so, ask its owner"
            }
            (Self::Subscriber, Side::Destination) => {
                "REMOVE and RESUME SUBSCRIBER, and it may subscribe again"
            }
            _ => {
                "RESUME FLOW of its flow makes it again; one that the flow adopts has to be created there again"
            }
        }
    }

    /// What to do about a queue that has taken the place of another one.
    fn take(self, side: Side) -> &'static str {
        match (self, side) {
            (Self::Subscription, Side::Source) => {
                "the publisher is asked by itself; if it stays so, ask its owner"
            }
            (Self::Subscriber, Side::Destination) => {
                "delete it at the broker, then REMOVE and RESUME SUBSCRIBER, and it may subscribe again"
            }
            _ => {
                "RESUME FLOW of its flow takes it for the flow's own; one that the flow adopts is taken by itself"
            }
        }
    }

    /// What else there is for an event that the destination does not take.
    fn dead_letters(self) -> &'static str {
        match self {
            Self::Processor => {
                "; or create the flow dlq.NAME of this processor: they go there then"
            }
            Self::Subscription => {
                "; or create the flow dlq.NAME of the local flow: they go there then"
            }
            Self::Subscriber => "",
        }
    }

    /// What keeps events that are not as they have to be from stopping the leg.
    fn set_apart(self) -> &'static str {
        match self {
            Self::Processor | Self::Subscription => {
                "validate=dead-letter or on-unknown-schema=dead-letter"
            }
            Self::Subscriber => "on-unknown-schema=dead-letter",
        }
    }

    /// What to do where the source's broker turns our user down.
    fn admit_at_source(self, what: &str) -> String {
        match self {
            // A copy is read as its publisher says.
            Self::Subscription => {
                "the publisher is asked for another credential by itself; if it stays so, ask its owner".to_owned()
            }
            Self::Processor | Self::Subscriber => format!("{what}, then {}", self.resume()),
        }
    }
}

/// What a person can do about it.
pub(super) fn advice(owner: LegOwner, state: State, error: &Error) -> String {
    let again = owner.resume();
    let side = error.side();
    match (error.kind(), side) {
        (Kind::OutOfRange, _) if state == State::Failed => format!(
            "these events are lost here; with on-gap=earliest ({}) it goes on with the oldest that is left",
            owner.change()
        ),
        (Kind::OutOfRange, _) => {
            "these events are lost here; keep events longer at the source (retention) or read sooner".to_owned()
        }
        (Kind::Unreachable, _) => format!(
            "it is tried again by itself; see whether the {} broker runs and is reached from here",
            whose(side)
        ),
        (Kind::Unauthenticated, Side::Destination) => {
            format!("correct the broker's user and password in the configuration, then {again}")
        }
        (Kind::Unauthenticated, _) => {
            owner.admit_at_source("correct the broker's user and password in the configuration")
        }
        (Kind::Denied, Side::Destination) => {
            format!("let the broker's user write the destination's queue, then {again}")
        }
        (Kind::Denied, _) => owner.admit_at_source("let the broker's user read the source's queue"),
        (Kind::NotFound, _) => format!(
            "the queue is gone from the broker; {}",
            owner.make_again(side)
        ),
        (Kind::Replaced, Side::Source) if state != State::Failed => {
            "what was not read of the queue before is lost here; see who deletes queues at the source"
                .to_owned()
        }
        (Kind::Replaced, _) => format!(
            "another queue has the name by now; {}",
            owner.take(side)
        ),
        (Kind::TooLarge, _) => format!(
            "let the destination take larger events (max.message.bytes in Kafka), then {again}{}",
            owner.dead_letters()
        ),
        (Kind::Refused, _) => format!(
            "let the destination take such events, then {again}{}",
            owner.dead_letters()
        ),
        (Kind::DeadLetter, _) => {
            "read the flow of dead letters: each event there says why in deadletterreason".to_owned()
        }
        (Kind::Hanging, _) => {
            "end that transaction at the source: start its producer again, or abort it with kafka-transactions.sh".to_owned()
        }
        (Kind::Program, _) => {
            "it is tried again by itself; see whether the program's service runs, is reached from here and answers".to_owned()
        }
        (Kind::Registry, _) if state == State::Retrying => {
            "it is tried again by itself; see whether the Schema Registry runs and is reached from here".to_owned()
        }
        (Kind::Registry, Side::Destination) => {
            "let the registry of registry-to= take it: its rules of compatibility for the subject, or our login in schema-registries; it is tried again by itself".to_owned()
        }
        (Kind::Registry, _) => {
            "see what the registry of registry-from= lacks, or our login in schema-registries; it is tried again by itself".to_owned()
        }
        (Kind::Content, _) if state == State::Failed => format!(
            "correct what writes such events to the source; with {} it goes on without them ({})",
            owner.set_apart(),
            owner.change()
        ),
        (Kind::Content, _) => "correct what writes such events to the source".to_owned(),
        (Kind::Crowded, _) => {
            "counts and joins lack events: make the window shorter (create the signal again), or have fewer events or fewer keys in it; or let the operator of the FNAA set a higher `processor: window-limit`".to_owned()
        }
        (Kind::Fenced, _) => format!("another process moves the same events; end it, then {again}"),
        (Kind::Unspecified | Kind::Other, _) if state == State::Failed => {
            format!("the log of fnaad says more; {again} tries again")
        }
        (Kind::Unspecified | Kind::Other, _) => {
            "it is tried again by itself; the log of fnaad says more".to_owned()
        }
    }
}

fn whose(side: Side) -> &'static str {
    match side {
        Side::Destination => "destination's",
        _ => "source's",
    }
}

#[cfg(test)]
mod tests {
    use eson_protocol::text::usage;

    use super::*;

    const OWNERS: [LegOwner; 3] = [
        LegOwner::Processor,
        LegOwner::Subscription,
        LegOwner::Subscriber,
    ];

    fn advice_on(owner: LegOwner, state: State, kind: Kind, side: Side) -> String {
        let error = Error {
            kind: kind.into(),
            side: side.into(),
            ..Default::default()
        };
        advice(owner, state, &error)
    }

    #[test]
    fn what_to_do_depends_on_what_it_is_and_where() {
        let of_processor = |state, kind, side| advice_on(LegOwner::Processor, state, kind, side);
        let at_source = of_processor(State::Retrying, Kind::Unreachable, Side::Source);
        let at_destination = of_processor(State::Retrying, Kind::Unreachable, Side::Destination);
        assert!(at_source.contains("by itself") && at_source.contains("source"));
        assert!(at_destination.contains("destination"));
        let failed = of_processor(State::Failed, Kind::Denied, Side::Destination);
        assert!(failed.contains("write") && failed.contains("RESUME"));
        let crowded = of_processor(State::Running, Kind::Crowded, Side::Unspecified);
        assert!(crowded.contains("shorter") && crowded.contains("fewer keys"));
        let gap = |state| of_processor(state, Kind::OutOfRange, Side::Source);
        assert!(gap(State::Failed).contains("on-gap=earliest"));
        assert!(gap(State::Running).contains("retention"));
        let bug = |state| of_processor(state, Kind::Other, Side::Unspecified);
        assert!(bug(State::Failed).contains("RESUME"));
        assert!(!bug(State::Running).contains("RESUME"));
    }

    /// Also a copy's owner is not sent to what is not there for copies.
    #[test]
    fn the_commands_are_those_of_whose_leg_it_is() {
        let too_large = |owner| advice_on(owner, State::Failed, Kind::TooLarge, Side::Destination);
        assert!(too_large(LegOwner::Processor).contains("dlq.NAME of this processor"));
        assert!(too_large(LegOwner::Subscription).contains("dlq.NAME of the local flow"));
        assert!(!too_large(LegOwner::Subscriber).contains("dlq."));
        for owner in OWNERS {
            // Some numbers between them are free.
            for kind in (0..100).filter_map(|number| Kind::try_from(number).ok()) {
                for side in [Side::Unspecified, Side::Source, Side::Destination] {
                    for state in [State::Running, State::Retrying, State::Failed] {
                        check_commands(owner, &advice_on(owner, state, kind, side));
                    }
                }
            }
        }
    }

    /// Whether FNAP has each command that is named, and whether it is for such a leg.
    fn check_commands(owner: LegOwner, advice: &str) {
        let things = ["PROCESSOR", "SUBSCRIPTION", "SUBSCRIBER"];
        let words: Vec<_> = advice
            .split(|it: char| !it.is_ascii_alphabetic())
            .filter(|word| !word.is_empty())
            .collect();
        for pair in words.windows(2) {
            if things.contains(&pair[1]) {
                let command = format!("{} {}", pair[0], pair[1]);
                let known = usage().any(|line| line.starts_with(&command));
                assert!(known, "{command} in: {advice}");
                assert!(owner.resume().ends_with(pair[1]), "{owner:?}: {advice}");
            }
        }
    }
}
