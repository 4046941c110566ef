//! Telling a service that hangs from an event that makes it hang.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::proto::Input;

/// After how many inputs in a row that it did not answer in time a service is waited for.
pub(super) const IN_A_ROW: usize = 3;

/// How often a service is asked, where there is nothing else to ask it about, before it is these
/// inputs that it can't answer.
const MOST_PROBES: usize = 20;

/// How many inputs that a service can't answer are remembered until they are asked about again.
const MOST_GUILTY: usize = 1_000;

/// What a leg's service has not answered in time. It outlives the leg's ends, which are opened anew
/// each time that the service is waited for. Cheap to clone, and shared then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Silence(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Since it last answered anything.
    suspects: BTreeSet<Subject>,
    /// It has answered others since.
    guilty: BTreeSet<Subject>,
    /// How often it was asked since it is waited for.
    probes: usize,
}

/// What an input is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Event(u32, u64),
    Window(String, i64),
    Nothing,
}

impl Subject {
    fn of(input: &Input) -> Self {
        match (&input.event, &input.window) {
            (Some(event), _) => Self::Event(event.partition, event.offset),
            (None, Some(window)) => Self::Window(window.key.clone(), window.from),
            (None, None) => Self::Nothing,
        }
    }
}

impl Silence {
    /// Whether the service has not answered so many inputs in a row that it is waited for.
    pub(super) fn is_long(&self) -> bool {
        self.known().suspects.len() >= IN_A_ROW
    }

    /// An input was not answered in time, however often it was asked about alone.
    pub(super) fn goes_on(&self, input: &Input) {
        self.known().suspects.insert(Subject::of(input));
    }

    /// Something was answered.
    pub(super) fn ends(&self) {
        let mut known = self.known();
        known.suspects.clear();
        known.probes = 0;
    }

    /// Which input to ask about, to see whether the service answers anything: one of those that it
    /// was not asked about, another each time. None where it was asked often enough.
    pub(super) fn probe<'a>(&self, inputs: &'a [Input]) -> Option<&'a Input> {
        let mut known = self.known();
        let is_other = |input: &&Input| !known.suspects.contains(&Subject::of(input));
        let others: Vec<_> = inputs.iter().filter(is_other).collect();
        let candidates = match others.is_empty() {
            true => inputs.iter().collect(),
            false => others,
        };
        let probe = candidates.get(known.probes.checked_rem(candidates.len())?);
        let probe = probe.copied().filter(|input| {
            let is_other = !known.suspects.contains(&Subject::of(input));
            is_other || known.probes < MOST_PROBES
        });
        known.probes += 1;
        probe
    }

    /// The service has answered this one: those that it did not answer before are what it can't
    /// answer, unless this is one of them.
    pub(super) fn ends_with(&self, input: &Input) {
        if !self.known().suspects.contains(&Subject::of(input)) {
            self.convict();
        }
        self.ends();
    }

    /// What the service did not answer it can't answer.
    pub(super) fn convict(&self) {
        let mut known = self.known();
        if known.guilty.len() >= MOST_GUILTY {
            known.guilty.clear();
        }
        let suspects = std::mem::take(&mut known.suspects);
        known.guilty.extend(suspects);
        known.probes = 0;
    }

    /// Whether the service has answered others, but not this one: it is asked about alone, and says
    /// nothing of the service.
    pub(super) fn is_of(&self, input: &Input) -> bool {
        self.known().guilty.contains(&Subject::of(input))
    }

    /// What becomes of this one is known.
    pub(super) fn forget(&self, input: &Input) {
        self.known().guilty.remove(&Subject::of(input));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
