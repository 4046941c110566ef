//! Processors that users run between flows.

use eson_protocol::{Name, Principal, ProcessorType, Start};
use serde::{Deserialize, Serialize};

use super::{Activity, Condition};
use crate::store::{Kind, Resource};

/// A processor that a user runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Processor {
    /// What is wanted.
    pub spec: ProcessorSpec,
    /// What is.
    #[serde(default)]
    pub status: ProcessorStatus,
}

/// What a processor is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessorSpec {
    /// Its name, unique at this FNAA.
    pub name: String,
    /// Who runs it.
    pub owner: Principal,
    /// Its type.
    pub kind: ProcessorType,
    /// The flows it reads, all hosted here.
    pub sources: Vec<Name>,
    /// The flows it writes, all hosted here.
    pub destinations: Vec<Name>,
    /// Where to begin.
    pub start: Start,
    /// Names its positions: another incarnation begins anew.
    pub incarnation: String,
    /// Whether it is to run.
    #[serde(default)]
    pub activity: Activity,
    /// Counts changes of this spec.
    pub generation: u64,
}

/// What a processor does. Its counters live in the runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessorStatus {
    /// How far it matches.
    pub condition: Condition,
}

impl Resource for Processor {
    const KIND: Kind = Kind::Processor;
}
