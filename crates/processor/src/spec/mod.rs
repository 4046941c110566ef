//! What an instance is to do, checked.

mod error;
mod leg;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use eson_broker::{Delivery, QueueId, Rates};
use eson_protocol::{OnGap, Positions, Start};

pub use self::error::SpecError;
use self::leg::leg_spec;
use self::rules::{check_collected, check_counts, check_dead_letters, check_distributed, check_id};
use crate::endpoint::Endpoint;
use crate::proto;
use crate::schema_ids::SchemaIdsSpec;
use crate::signal::{SignalError, SignalSpec};
use crate::validation::ContractSpec;

/// The types of processors that this program runs.
pub const TYPES: [proto::ProcessorType; 4] = [
    proto::ProcessorType::Bridge,
    proto::ProcessorType::Collector,
    proto::ProcessorType::Distributor,
    proto::ProcessorType::Signal,
];
/// The most legs of one instance, and so the most sources of a collector; of a signal, the most pairs of
/// a source and a destination, since each of its legs writes to all destinations.
pub const MAX_LEGS: usize = 1_000;
/// The longest id of an instance or leg, in bytes.
pub const MAX_ID: usize = 255;
/// The longest commit interval of a leg: a transaction has to be committed well within the time
/// after which its broker aborts it, also when that broker restarts meanwhile.
pub const MAX_COMMIT_INTERVAL: Duration = Duration::from_secs(10);

/// What an instance is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSpec {
    /// The instance's id.
    pub id: String,
    /// The source that all legs read together; none in a collector, where each has its own.
    pub shared_source: Option<Arc<Endpoint>>,
    /// The ways that events take, by the leg's id; at least one.
    pub legs: BTreeMap<String, LegSpec>,
}

/// One way from a source to a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegSpec {
    /// Where events come from.
    pub source: Arc<Endpoint>,
    /// What becomes of them.
    pub work: Work,
    /// Where reading begins when the destination has no position of this leg.
    pub start: Start,
    /// What happens when events are gone before they were read.
    pub on_gap: OnGap,
    /// Offsets that go before `start`.
    pub cursor: Positions,
    /// Whether a queue that was created again under the source's name is gone on with, as `on_gap`
    /// says.
    pub follows: bool,
    /// The queue that `start` and `cursor` speak of, where that is known.
    pub begun: Option<QueueId>,
    /// Whether each event is told where it came from.
    pub annotate: bool,
    /// Whether the leg takes turns with the others of its instance.
    pub fair: bool,
    /// Whether the leg is held still.
    pub paused: bool,
    /// How often an event shall arrive, whatever crashes.
    pub delivery: Delivery,
    /// How often a leg to Kafka commits that delivers exactly once.
    pub commit_interval: Duration,
    /// How fast it may go.
    pub rates: Rates,
    /// Where copied events go that the destination does not take; none fails the leg instead. A
    /// signal says it in [`SignalSpec`].
    pub dead_letters: Option<Arc<Endpoint>>,
    /// Between which Schema Registries the ids in events are translated, where they are.
    pub schema_ids: Option<Arc<SchemaIdsSpec>>,
    /// What the events must be that it writes; anything where there is none.
    pub contract: Option<Arc<ContractSpec>>,
}

/// What a leg does with events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Writes them there.
    Copy(Box<Endpoint>),
    /// Asks a program.
    Signal(Arc<SignalSpec>),
}

impl LegSpec {
    /// The queues that it reads and writes.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        let (copied, signal) = match &self.work {
            Work::Copy(destination) => (Some(&**destination), None),
            Work::Signal(signal) => (None, Some(signal)),
        };
        let written = signal.into_iter().flat_map(|signal| signal.endpoints());
        let dead_letters = self.dead_letters.as_deref();
        let written = written.chain(dead_letters);
        [&*self.source].into_iter().chain(copied).chain(written)
    }

    /// The queue that it copies to; none in a signal.
    pub(crate) fn destination(&self) -> Option<&Endpoint> {
        match &self.work {
            Work::Copy(destination) => Some(destination),
            Work::Signal(_) => None,
        }
    }
}

impl TryFrom<proto::Spec> for InstanceSpec {
    type Error = SpecError;

    fn try_from(spec: proto::Spec) -> Result<Self, SpecError> {
        let kind = spec.r#type();
        check_id(&spec.id)?;
        check_counts(kind, spec.sources.len(), spec.legs.len())?;
        let collects = kind == proto::ProcessorType::Collector;
        if (spec.annotate || spec.fair) && !collects {
            return Err(SpecError::NoCollector);
        }
        let signals = kind == proto::ProcessorType::Signal;
        if spec.signal.is_some() != signals {
            return Err(SignalError::Misplaced.into());
        }
        let ids = spec.legs.iter().map(|leg| leg.id.clone()).collect();
        let signal = spec.signal.map(|signal| SignalSpec::check(signal, ids));
        let signal = signal.transpose()?.map(Arc::new);
        let dead_letters = dead_letters(spec.dead_letters, signals)?;
        let sources = sources(spec.sources)?;
        let mut legs = BTreeMap::new();
        let mut read = BTreeSet::new();
        for leg in spec.legs {
            let (id, index) = (leg.id.clone(), leg.source);
            let leg = LegSpec {
                annotate: spec.annotate,
                fair: spec.fair,
                dead_letters: dead_letters.clone(),
                ..leg_spec(leg, &sources, signal.as_ref())?
            };
            if legs.insert(id.clone(), leg).is_some() {
                return Err(SpecError::LegTwice(id));
            }
            if (collects || signals) && !read.insert(index) {
                return Err(SpecError::ReadTwice(index));
            }
        }
        match &signal {
            Some(signal) => {
                let sources: Vec<_> = sources.iter().map(|source| &**source).collect();
                signal.check_queues(&sources)?;
            }
            None if collects => check_collected(&legs)?,
            None => check_distributed(&legs)?,
        }
        check_dead_letters(&legs)?;
        let shares = !(collects || signals);
        Ok(Self {
            id: spec.id,
            shared_source: sources.into_iter().next().filter(|_| shares),
            legs,
        })
    }
}

fn sources(sources: Vec<proto::Endpoint>) -> Result<Vec<Arc<Endpoint>>, SpecError> {
    let source = |source: proto::Endpoint| {
        let source = source.try_into().map_err(SpecError::Source)?;
        Ok(Arc::new(source))
    };
    sources.into_iter().map(source).collect()
}

fn dead_letters(
    endpoint: Option<proto::Endpoint>,
    signals: bool,
) -> Result<Option<Arc<Endpoint>>, SpecError> {
    if signals && endpoint.is_some() {
        return Err(SpecError::SignalDeadLetters);
    }
    let endpoint = endpoint.map(Endpoint::try_from).transpose();
    Ok(endpoint.map_err(SpecError::DeadLetters)?.map(Arc::new))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint(queue: &str) -> proto::Endpoint {
        proto::Endpoint {
            kind: "local".into(),
            servers: vec!["unix:/run/fnaad.sock".into()],
            queue: queue.into(),
            ..Default::default()
        }
    }

    fn leg(id: &str) -> proto::Leg {
        proto::Leg {
            id: id.into(),
            destination: Some(endpoint(&format!("copy-{id}"))),
            ..Default::default()
        }
    }

    fn distributor(legs: usize) -> proto::Spec {
        proto::Spec {
            id: "fan-out".into(),
            r#type: proto::ProcessorType::Distributor.into(),
            sources: vec![endpoint("source")],
            legs: (0..legs).map(|leg_id| leg(&leg_id.to_string())).collect(),
            ..Default::default()
        }
    }

    fn collector(sources: u32) -> proto::Spec {
        let leg = |source: u32| proto::Leg {
            id: source.to_string(),
            destination: Some(endpoint("all")),
            source,
            ..Default::default()
        };
        let source = |source: u32| endpoint(&format!("source-{source}"));
        proto::Spec {
            id: "collector".into(),
            r#type: proto::ProcessorType::Collector.into(),
            sources: (0..sources).map(source).collect(),
            legs: (0..sources).map(leg).collect(),
            annotate: true,
            fair: true,
            signal: None,
            dead_letters: None,
        }
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        type Change = fn(&mut proto::Spec);
        let cases: [(Change, &str); 20] = [
            (|s| s.id.clear(), "can't be an id"),
            (|s| s.id = "a\nb".into(), "can't be an id"),
            (|s| s.r#type = 0, "PROCESSOR_TYPE_UNSPECIFIED"),
            (|s| s.r#type = 4, "one leg for each of its 1 sources"),
            (|s| s.sources.clear(), "and not 0"),
            (|s| s.sources.push(endpoint("more")), "and not 2"),
            (|s| s.legs.clear(), "at least one leg"),
            (|s| s.r#type = 1, "a bridge has one leg"),
            (|s| *s = distributor(10_000), "more than the 1000"),
            (|s| s.legs[1].id = "0".into(), "two legs"),
            (|s| s.legs[1].destination = None, "has no destination"),
            (|s| s.legs[1].commit_interval_ms = 10_001, "10s at most"),
            (
                |s| s.legs[1].source = 1,
                "reads source 1, and there are only 1",
            ),
            (
                |s| s.dead_letters = Some(endpoint("copy-1")),
                "dead letters would go to `",
            ),
            (
                |s| s.dead_letters = Some(proto::Endpoint::default()),
                "the queue of dead letters",
            ),
            (
                |s| s.legs[1].schema_ids = Some(Default::default()),
                "leg `1`: schema ids are translated between two registries",
            ),
            (|s| s.annotate = true, "only a collector"),
            (|s| s.fair = true, "only a collector"),
            (
                |s| s.legs[1].destination = Some(endpoint("source")),
                "that it reads",
            ),
            (
                |s| s.legs[1].destination = Some(endpoint("copy-0")),
                "the same queue",
            ),
        ];
        for (change, expected) in cases {
            let mut spec = distributor(2);
            change(&mut spec);
            let error = InstanceSpec::try_from(spec).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn each_mistake_of_a_collector_has_its_own_error() {
        type Change = fn(&mut proto::Spec);
        let cases: [(Change, &str); 8] = [
            (|s| s.legs.clear(), "at least one leg"),
            (|s| s.sources.clear(), "each of its 0 sources, and not 3"),
            (|s| *s = collector(10_000), "more than the 1000"),
            (|s| s.legs[1].source = 2, "two legs read source 2"),
            (|s| s.legs[1].source = 9, "there are only 3"),
            (
                |s| s.sources[1] = endpoint("source-0"),
                "would read the same",
            ),
            (|s| s.sources[1] = endpoint("all"), "that it reads"),
            (
                |s| s.legs[2].destination = Some(endpoint("other")),
                "have to write the same queue",
            ),
        ];
        for (change, expected) in cases {
            let mut spec = collector(3);
            change(&mut spec);
            let error = InstanceSpec::try_from(spec).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn only_the_legs_of_a_distributor_read_together() {
        let shared = |spec| {
            InstanceSpec::try_from(spec)
                .expect("a good spec")
                .shared_source
        };
        assert!(shared(distributor(2)).is_some());
        assert!(shared(collector(1)).is_none());
    }

    #[test]
    fn exactly_once_is_what_is_not_said() {
        let spec = |change: fn(&mut proto::Leg)| {
            let mut wanted = distributor(1);
            change(&mut wanted.legs[0]);
            let mut spec = InstanceSpec::try_from(wanted).expect("a good spec");
            spec.legs.remove("0").expect("its leg")
        };
        let silent = spec(|_| {});
        assert_eq!(silent.delivery, Delivery::ExactlyOnce);
        assert_eq!(silent.commit_interval, Duration::from_millis(100));
        let spoken = spec(|leg| {
            leg.set_delivery(proto::Delivery::AtLeastOnce);
            leg.commit_interval_ms = 7;
        });
        assert_eq!(spoken.delivery, Delivery::AtLeastOnce);
        assert_eq!(spoken.commit_interval, Duration::from_millis(7));
    }

    proptest! {
        #[test]
        fn the_legs_of_a_good_spec_are_all_there(legs in 1..=MAX_LEGS) {
            let spec = InstanceSpec::try_from(distributor(legs)).expect("a good spec");
            prop_assert_eq!(spec.legs.len(), legs);
        }
    }
}
