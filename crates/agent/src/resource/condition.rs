//! How far the world has come to match a spec.

use eson_protocol::{Code, Status};
use serde::{Deserialize, Serialize};

use crate::runtime::RuntimeError;
use crate::store::{Resource, StoreError};

/// Why a resource is not as its spec wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The FNAP status code that a waiting command answers.
    pub code: u16,
    /// The bracketed word.
    pub reason: String,
    /// For people.
    pub text: String,
    /// Whether it passes only when somebody mends something elsewhere: it is tried again, but no
    /// command waits for that.
    #[serde(default)]
    pub needs_mending: bool,
}

impl Failure {
    /// A failure that `status` tells.
    #[must_use]
    pub(crate) fn from_status(status: &Status) -> Self {
        let reason = status
            .reason
            .as_ref()
            .map(|reason| reason.0.clone())
            .unwrap_or_default();
        Self {
            code: status.code,
            reason,
            text: status.text.clone(),
            needs_mending: false,
        }
    }

    /// A passing failure of a backend.
    #[must_use]
    pub(crate) fn backend(text: impl std::fmt::Display) -> Self {
        Self::from_status(&Status::new(Code::Backend, text.to_string()))
    }

    /// A backend's refusal, which passes when somebody gives us there what we lack.
    #[must_use]
    pub(crate) fn refused_by_backend(text: impl std::fmt::Display) -> Self {
        Self {
            needs_mending: true,
            ..Self::backend(text)
        }
    }

    /// A final failure with a code.
    #[must_use]
    pub(crate) fn refused(code: Code, text: impl std::fmt::Display) -> Self {
        Self::from_status(&Status::new(code, text.to_string()))
    }

    /// Whether trying again may help without anybody changing anything.
    #[must_use]
    pub(crate) fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// The status line that tells it.
    #[must_use]
    pub(crate) fn to_status(&self) -> Status {
        let reason = (!self.reason.is_empty()).then(|| eson_protocol::Reason(self.reason.clone()));
        Status {
            code: self.code,
            reason,
            text: self.text.clone(),
        }
    }
}

/// How far the world matches the spec of a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Condition {
    /// The generation of the spec that was last made true; 0 for none yet.
    pub ready: u64,
    /// Why the current generation is not (yet) true.
    pub failure: Option<Failure>,
    /// The generation for which legs that had failed were last started again.
    #[serde(default)]
    pub restarted: u64,
}

impl Condition {
    /// Whether there is nothing to wait for: `generation` was made true, or has failed for good or
    /// until somebody mends something. Whoever changes a spec clears the failure, so that one that is
    /// there is always the latest word.
    #[must_use]
    pub(crate) fn is_settled(&self, generation: u64) -> bool {
        let failed = |failure: &Failure| !failure.is_transient() || failure.needs_mending;
        self.ready >= generation || self.failure.as_ref().is_some_and(failed)
    }

    /// Whether `generation` is not true yet, and was last found to be so for a reason that may pass.
    #[must_use]
    pub(crate) fn is_held_up(&self, generation: u64) -> bool {
        self.ready < generation && self.failure.as_ref().is_some_and(Failure::is_transient)
    }

    /// Whether legs that have failed are still to be started again for `generation`: once for each
    /// change that somebody makes, since their failing again wakes the reconciler up, too.
    #[must_use]
    pub(crate) fn wants_restart(&self, generation: u64) -> bool {
        self.ready.max(self.restarted) < generation
    }

    /// Notes that `generation` is true now.
    pub(crate) fn succeed(&mut self, generation: u64) {
        self.ready = generation;
        self.failure = None;
    }
}

/// A resource whose spec a reconciler makes true.
pub(crate) trait Reconciled: Resource {
    /// Counts the changes of the spec that somebody has made.
    fn generation(&self) -> u64;

    fn condition(&mut self) -> &mut Condition;

    /// Notes why the spec is not (yet) true.
    fn fail(&mut self, failure: &Failure) {
        self.condition().failure = Some(failure.clone());
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::from_status(&status)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::backend(error)
    }
}

/// The client is told that the state is out of reach; where it is, is for the log.
impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store");
        match error {
            StoreError::DiskFull { .. } => {
                Self::backend("the disk of this FNAA's state is full; nothing was changed")
            }
            StoreError::NotFound { kind, name } => Self::busy(format!(
                "the {kind} {name} was deleted meanwhile; try again"
            )),
            _ => Self::backend("this FNAA's state is out of reach; nothing was changed"),
        }
    }
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        if error.is_transient() {
            return Self::backend(error);
        }
        Self::refused(Code::Argument, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(ready: u64, failure: Option<Failure>) -> Condition {
        Condition {
            ready,
            failure,
            restarted: 0,
        }
    }

    #[test]
    fn a_generation_is_settled_by_success_or_a_final_failure() {
        let passing = Some(Failure::backend("away"));
        let lasting = Some(Failure::refused(Code::Revoked, "ended"));
        let refused = Some(Failure::refused_by_backend("no rights"));
        assert!(!condition(0, None).is_settled(1));
        assert!(!condition(0, passing.clone()).is_settled(1));
        assert!(condition(0, lasting).is_settled(1));
        assert!(condition(0, refused).is_settled(1));
        assert!(condition(1, None).is_settled(1));
        assert!(condition(1, passing).is_settled(1));
        assert!(!condition(1, None).is_settled(2));
    }

    #[test]
    fn what_may_pass_holds_up() {
        let passing = Some(Failure::backend("away"));
        let lasting = Some(Failure::refused(Code::Revoked, "ended"));
        let refused = Some(Failure::refused_by_backend("no rights"));
        assert!(condition(0, passing.clone()).is_held_up(1));
        assert!(condition(0, refused).is_held_up(1));
        assert!(!condition(0, lasting).is_held_up(1));
        assert!(!condition(0, None).is_held_up(1));
        assert!(!condition(1, passing).is_held_up(1));
    }

    #[test]
    fn failed_legs_are_restarted_once_for_each_change() {
        let mut condition = condition(1, None);
        assert!(!condition.wants_restart(1));
        assert!(condition.wants_restart(2));
        condition.restarted = 2;
        assert!(!condition.wants_restart(2));
        assert!(condition.wants_restart(3));
    }

    #[test]
    fn success_forgets_the_failure() {
        let mut condition = condition(0, Some(Failure::backend("away")));
        condition.succeed(3);
        assert_eq!(
            condition,
            Condition {
                ready: 3,
                failure: None,
                restarted: 0,
            }
        );
    }

    #[test]
    fn a_failure_tells_its_status_again() {
        let status = Status::revoked("the owner has ended it");
        let failure = Failure::from_status(&status);
        assert!(!failure.is_transient());
        assert_eq!(failure.to_status(), status);
    }
}
