//! What went wrong on a leg, and at which end.

use std::time::{SystemTime, UNIX_EPOCH};

use eson_broker::BrokerError;
use eson_schema::{RegistryError, TransferError};

use crate::proto;

/// Which end of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Source,
    Destination,
}

/// What went wrong on a leg.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    side: Option<Side>,
    kind: proto::error::Kind,
    text: String,
    transient: bool,
    /// The partition of which a transaction hides records.
    hides: Option<u32>,
    at: i64,
}

impl Trouble {
    pub(crate) fn at_source(error: &BrokerError) -> Self {
        Self::of(Side::Source, error)
    }

    pub(crate) fn at_destination(error: &BrokerError) -> Self {
        Self::of(Side::Destination, error)
    }

    fn of(side: Side, error: &BrokerError) -> Self {
        Self {
            side: Some(side),
            kind: kind(error),
            text: error.to_string(),
            transient: error.is_transient(),
            hides: match error {
                BrokerError::Hanging { partition, .. } => Some(*partition),
                _ => None,
            },
            at: now(),
        }
    }

    /// The leg goes on with another source than it had.
    pub(crate) fn succeeded(text: String) -> Self {
        Self {
            side: Some(Side::Source),
            kind: proto::error::Kind::Replaced,
            ..Self::own(text)
        }
    }

    /// The destination's brokers do not all know yet what was made there.
    pub(crate) fn not_yet_at_destination(text: String) -> Self {
        Self {
            side: Some(Side::Destination),
            transient: true,
            ..Self::own(text)
        }
    }

    /// Events of the source are gone, and the leg stops there.
    pub(crate) fn gap(text: String) -> Self {
        Self {
            side: Some(Side::Source),
            kind: proto::error::Kind::OutOfRange,
            ..Self::own(text)
        }
    }

    /// A trouble that no broker reported and no waiting cures.
    pub(crate) fn own(text: String) -> Self {
        Self {
            side: None,
            kind: proto::error::Kind::Other,
            text,
            transient: false,
            hides: None,
            at: now(),
        }
    }

    /// The program of a signal does not answer.
    pub(crate) fn of_program(text: String) -> Self {
        Self {
            kind: proto::error::Kind::Program,
            transient: true,
            ..Self::own(text)
        }
    }

    /// A Schema Registry does not do what is asked. One that is away is waited for.
    pub(crate) fn of_registry(error: &TransferError) -> Self {
        let (side, registry) = match error {
            TransferError::To(error) => (Side::Destination, Some(error)),
            TransferError::From(error) => (Side::Source, Some(error)),
            _ => (Side::Source, None),
        };
        Self {
            side: Some(side),
            kind: proto::error::Kind::Registry,
            transient: registry.is_some_and(RegistryError::is_transient),
            ..Self::own(error.to_string())
        }
    }

    /// An event is not what it must be, and the leg stops there.
    pub(crate) fn of_content(partition: u32, offset: u64, why: &str) -> Self {
        let text = format!("partition {partition} offset {offset}: {why}");
        Self {
            side: Some(Side::Source),
            kind: proto::error::Kind::Content,
            ..Self::own(text)
        }
    }

    /// An event is not what it must be, and there is no flow of dead letters for it yet.
    pub(crate) fn unfit(why: &str) -> Self {
        Self {
            side: Some(Side::Destination),
            kind: proto::error::Kind::Refused,
            ..Self::own(why.to_owned())
        }
    }

    /// An event passed with an id that the destination's readers can't look up.
    pub(crate) fn passed_unknown(partition: u32, offset: u64, why: &str) -> Self {
        let why = format!("an event passed as it was: {why}");
        Self::of_content(partition, offset, &why)
    }

    /// A signal's windows can't be kept.
    pub(crate) fn of_windows(error: &dyn std::error::Error) -> Self {
        Self {
            transient: true,
            ..Self::own(error.to_string())
        }
    }

    /// A signal's windows hold so much that the oldest events fall out.
    pub(crate) fn crowded_out(max_bytes: usize) -> Self {
        let max = max_bytes >> 20;
        Self {
            kind: proto::error::Kind::Crowded,
            ..Self::own(format!(
                "events fall out of the windows early, the oldest first: these hold at most {max} MiB"
            ))
        }
    }

    /// An event went to the dead-letter flow.
    pub(crate) fn buried(reason: &str) -> Self {
        Self {
            kind: proto::error::Kind::DeadLetter,
            ..Self::own(format!("an event went to the dead-letter flow: {reason}"))
        }
    }

    /// Whether it is over once records of this partition arrive.
    pub(crate) fn ends_with(&self, partition: u32) -> bool {
        self.hides == Some(partition)
    }

    /// Whether the source is another queue by now.
    pub(crate) fn is_of_another_source(&self) -> bool {
        self.side == Some(Side::Source) && self.kind == proto::error::Kind::Replaced
    }

    /// Whether it is that windows hold too much.
    pub(crate) fn is_crowding(&self) -> bool {
        self.kind == proto::error::Kind::Crowded
    }

    /// Whether a signal's program does not answer.
    pub(crate) fn is_of_program(&self) -> bool {
        self.kind == proto::error::Kind::Program
    }

    /// Whether it may pass by itself.
    pub(crate) fn is_transient(&self) -> bool {
        self.transient
    }

    /// Whether a queue, right or user is missing: not there yet, since clusters tell their members
    /// a moment later, or until somebody gives it back. The same goes for what a Schema Registry
    /// refuses, whose rules somebody may change.
    pub(crate) fn may_be_given_back(&self) -> bool {
        use proto::error::Kind::{Denied, NotFound, Registry, Unauthenticated};
        matches!(self.kind, Denied | NotFound | Registry | Unauthenticated)
    }

    /// Whether the destination's writer is still of use.
    pub(crate) fn leaves_destination(&self) -> bool {
        use proto::error::Kind::{Program, Registry, TooLarge};
        self.side == Some(Side::Source) || matches!(self.kind, Program | Registry | TooLarge)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn to_proto(&self) -> proto::Error {
        use proto::error::Side as Wire;
        let side = match self.side {
            Some(Side::Source) => Wire::Source,
            Some(Side::Destination) => Wire::Destination,
            None => Wire::Unspecified,
        };
        proto::Error {
            side: side.into(),
            kind: self.kind.into(),
            text: self.text.clone(),
            at: self.at,
        }
    }
}

fn kind(error: &BrokerError) -> proto::error::Kind {
    use proto::error::Kind;
    match error {
        BrokerError::Unreachable { .. } => Kind::Unreachable,
        BrokerError::Unauthenticated { .. } => Kind::Unauthenticated,
        BrokerError::Denied { .. } => Kind::Denied,
        BrokerError::NotFound(_) => Kind::NotFound,
        BrokerError::Replaced { .. } => Kind::Replaced,
        BrokerError::OutOfRange { .. } | BrokerError::Truncated { .. } => Kind::OutOfRange,
        BrokerError::TooLarge { .. } => Kind::TooLarge,
        BrokerError::Refused { .. } => Kind::Refused,
        BrokerError::Fenced(_) => Kind::Fenced,
        BrokerError::Hanging { .. } => Kind::Hanging,
        _ => Kind::Other,
    }
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_is_away_is_waited_for_and_one_that_refuses_is_not() {
        let refused = |status| RegistryError::Refused {
            registry: "https://registry.unix.ar".into(),
            status,
            said: ": incompatible (409)".into(),
        };
        let away = Trouble::of_registry(&TransferError::From(refused(503)));
        assert!(away.is_transient());
        let refused = Trouble::of_registry(&TransferError::To(refused(409)));
        assert!(!refused.is_transient() && refused.may_be_given_back());
        assert!(refused.leaves_destination());
        let message = refused.to_proto();
        assert_eq!(message.side(), proto::error::Side::Destination);
        assert!(
            message.text.ends_with("answers 409: incompatible (409)"),
            "{message:?}"
        );
    }

    #[test]
    fn only_what_passes_by_itself_is_transient() {
        let unreachable = BrokerError::Unreachable {
            server: "kf1.unix.ar:9092".into(),
            cause: "connection refused".into(),
        };
        let trouble = Trouble::at_destination(&unreachable);
        assert!(trouble.is_transient() && !trouble.may_be_given_back());
        let message = trouble.to_proto();
        assert_eq!(message.side(), proto::error::Side::Destination);
        assert_eq!(message.kind(), proto::error::Kind::Unreachable);

        for fatal in [
            BrokerError::NotFound("time.flows.unix.ar".into()),
            BrokerError::Fenced("time.flows.unix.ar".into()),
        ] {
            assert!(!Trouble::at_source(&fatal).is_transient(), "{fatal}");
        }
    }
}
