//! Processors that users run between flows.

use std::collections::BTreeMap;

use eson_broker::QueueId;
use eson_protocol::{
    DeliveryOptions, Name, OnGap, Positions, Principal, ProcessorType, Program, Start, Validate,
};
use serde::{Deserialize, Serialize};

use super::{Activity, Condition, Reconciled, RegistryTerms};
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
    /// The flows it reads, all hosted here; one, but for a collector or signal.
    pub sources: Vec<Name>,
    /// The flows it writes, all hosted here; one, but for a distributor or signal.
    pub destinations: Vec<Name>,
    /// Where to begin.
    pub start: Start,
    /// What becomes of a gap in a source.
    #[serde(default)]
    pub on_gap: OnGap,
    /// Offsets of its one source that go before `start`.
    #[serde(default)]
    pub cursor: Positions,
    /// How often events shall arrive, and how soon.
    #[serde(default)]
    pub delivery: DeliveryOptions,
    /// Whether each event is told where it came from.
    #[serde(default)]
    pub annotate: bool,
    /// Whether its sources get equal shares of the destination.
    #[serde(default)]
    pub fair: bool,
    /// What a signal does.
    #[serde(default)]
    pub signal: Option<SignalSpec>,
    /// Of others: the flow of the events that a destination does not take. It is made when the first
    /// needs it.
    #[serde(default)]
    pub dead_letters: Option<Name>,
    /// Whether what it writes is judged.
    #[serde(default)]
    pub validate: Validate,
    /// Between which Schema Registries ids are translated, where they are.
    #[serde(default)]
    pub registry: Option<RegistryTerms>,
    /// Names its positions: another incarnation begins anew.
    pub incarnation: String,
    /// Whether it is to run.
    #[serde(default)]
    pub activity: Activity,
    /// Counts changes of this spec.
    pub generation: u64,
}

/// What a signal does beside reading and writing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignalSpec {
    /// What it asks about each event.
    pub program: Program,
    /// The flow of the events that could not be processed or written.
    pub dead_letters: Name,
    /// What the program sees beside an event, or instead of it.
    #[serde(default)]
    pub window: Option<WindowSpec>,
}

/// What the program of a signal sees beside an event, or instead of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WindowSpec {
    /// The length, in milliseconds.
    pub length: u64,
    /// Whether windows follow each other.
    pub tumbling: bool,
    /// Where the key is in an event; none is the record's key.
    pub by: Option<String>,
}

/// One way that events take through a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leg<'a> {
    /// Where they come from.
    pub source: &'a Name,
    /// Where they go.
    pub destination: &'a Name,
}

impl ProcessorSpec {
    /// Its legs: one for each source and destination. The legs of a signal write all of its
    /// destinations, and there is one for each source.
    pub(crate) fn legs(&self) -> impl Iterator<Item = Leg<'_>> {
        let destinations = match self.kind {
            ProcessorType::Signal => self.destinations.get(..1).unwrap_or_default(),
            _ => &self.destinations,
        };
        self.sources.iter().flat_map(move |source| {
            let leg = move |destination| Leg {
                source,
                destination,
            };
            destinations.iter().map(leg)
        })
    }

    /// The flows that it writes, or may write.
    pub(crate) fn written(&self) -> impl Iterator<Item = &Name> {
        self.needed_to_write().chain(&self.dead_letters)
    }

    /// The flows without which it does not run.
    pub(crate) fn flows(&self) -> impl Iterator<Item = &Name> {
        self.sources.iter().chain(self.needed_to_write())
    }

    /// Those of them that it writes.
    pub(crate) fn needed_to_write(&self) -> impl Iterator<Item = &Name> {
        let dead_letters = self.signal.iter().map(|signal| &signal.dead_letters);
        self.destinations.iter().chain(dead_letters)
    }

    /// Whether it needs the flow.
    pub(crate) fn touches(&self, flow: &Name) -> bool {
        self.flows().any(|touched| touched == flow)
    }

    /// Leaves a flow out. Nothing is left of a signal without the flow of its dead letters.
    pub(crate) fn leave_out(&mut self, flow: &Name) {
        self.sources.retain(|source| source != flow);
        self.destinations.retain(|destination| destination != flow);
        if self
            .signal
            .as_ref()
            .is_some_and(|signal| signal.dead_letters == *flow)
        {
            self.sources.clear();
        }
    }

    /// The end of a leg that no other leg of this processor has.
    pub(crate) fn own_end<'a>(&self, leg: Leg<'a>) -> &'a Name {
        match self.kind {
            ProcessorType::Collector | ProcessorType::Signal => leg.source,
            _ => leg.destination,
        }
    }

    /// Names the leg's positions at its destination. It stays when other legs come and go, so that
    /// a flow that is taken out and in again goes on where it was.
    pub(crate) fn leg_id(&self, leg: Leg<'_>) -> String {
        let own = self.leg_of(self.own_end(leg));
        own.unwrap_or_else(|| format!("{}.{}", self.incarnation, self.name))
    }

    /// The id of the leg whose own end the flow is, or was. None for a bridge, which has one leg
    /// for good.
    pub(crate) fn leg_of(&self, flow: &Name) -> Option<String> {
        let has_many = self.kind != ProcessorType::Bridge;
        has_many.then(|| format!("{}.{flow}", self.incarnation))
    }
}

/// What a processor does. Its counters live in the runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessorStatus {
    /// How far it matches.
    pub condition: Condition,
    /// The queue that each source had when its leg began: what `start` and `cursor` speak of.
    #[serde(default)]
    pub begun: BTreeMap<Name, QueueId>,
    /// When its deletion began, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub deleting_since: Option<u64>,
}

impl Resource for Processor {
    const KIND: Kind = Kind::Processor;
}

impl Reconciled for Processor {
    fn generation(&self) -> u64 {
        self.spec.generation
    }

    fn condition(&mut self) -> &mut Condition {
        &mut self.status.condition
    }
}

#[cfg(test)]
impl ProcessorSpec {
    /// A running processor of alice's, for tests.
    pub(crate) fn between(kind: ProcessorType, sources: &[&str], destinations: &[&str]) -> Self {
        let names = |flows: &[&str]| {
            let name = |flow: &&str| Name::parse(flow).expect("a name");
            flows.iter().map(name).collect()
        };
        Self {
            name: "p".to_owned(),
            owner: Principal::parse("alice@example").expect("a principal"),
            kind,
            sources: names(sources),
            destinations: names(destinations),
            start: Start::Earliest,
            on_gap: OnGap::Earliest,
            cursor: Positions::new(),
            delivery: DeliveryOptions::default(),
            annotate: false,
            fair: false,
            signal: None,
            dead_letters: None,
            validate: Validate::Off,
            registry: None,
            incarnation: "token".to_owned(),
            activity: Activity::Running,
            generation: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    fn leg_ids(spec: &ProcessorSpec) -> Vec<String> {
        spec.legs().map(|leg| spec.leg_id(leg)).collect()
    }

    #[test]
    fn a_leg_is_named_by_the_end_that_is_its_own() {
        use ProcessorType::{Bridge, Collector, Distributor};
        let bridge = ProcessorSpec::between(Bridge, &["a.example"], &["b.example"]);
        assert_eq!(leg_ids(&bridge), ["token.p"]);
        let collector =
            ProcessorSpec::between(Collector, &["a.example", "b.example"], &["c.example"]);
        assert_eq!(leg_ids(&collector), ["token.a.example", "token.b.example"]);
        let distributor =
            ProcessorSpec::between(Distributor, &["a.example"], &["b.example", "c.example"]);
        assert_eq!(
            leg_ids(&distributor),
            ["token.b.example", "token.c.example"]
        );
    }

    #[test]
    fn a_flow_that_is_left_out_takes_its_leg_along() {
        let flows = ["a.example", "b.example"];
        let mut collector =
            ProcessorSpec::between(ProcessorType::Collector, &flows, &["c.example"]);
        assert!(collector.touches(&name("a.example")));
        collector.leave_out(&name("a.example"));
        assert!(!collector.touches(&name("a.example")));
        assert_eq!(leg_ids(&collector), ["token.b.example"]);
        collector.leave_out(&name("c.example"));
        assert_eq!(collector.legs().count(), 0);
    }
}
