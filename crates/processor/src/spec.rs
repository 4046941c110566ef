//! What an instance is to do, checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use eson_broker::{Delivery, WriterOptions};
use eson_protocol::{BrokerKind, OnGap, Positions, Start};

use crate::endpoint::{Endpoint, EndpointError};
use crate::proto;
use crate::schema_ids::{SchemaIdsError, SchemaIdsSpec};
use crate::signal::{SignalError, SignalSpec};
use crate::validation::{ContractSpec, ContractSpecError};

/// The types of processors that this program runs.
pub const TYPES: [proto::ProcessorType; 4] = [
    proto::ProcessorType::Bridge,
    proto::ProcessorType::Collector,
    proto::ProcessorType::Distributor,
    proto::ProcessorType::Signal,
];
/// The most legs of one instance, and so the most sources of a collector.
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

/// How fast a leg may go, on average over seconds; 0 is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Events a second.
    pub events: u64,
    /// Octets a second.
    pub bytes: u64,
}

/// What a leg does with events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Writes them there.
    Copy(Box<Endpoint>),
    /// Asks a program.
    Signal(Arc<SignalSpec>),
}

/// Why a spec can't be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The request has no spec.
    #[error("the request has no spec")]
    Missing,
    /// An id that can't be used.
    #[error("`{0}` can't be an id: 1 to {MAX_ID} bytes without control characters are")]
    Id(String),
    /// A type that this program does not run.
    #[error(
        "this program runs bridges, collectors, distributors and signals, and not processors of \
         type {0}"
    )]
    Type(String),
    /// Not one source.
    #[error("a processor of this type has one source, and not {0}")]
    Sources(usize),
    /// A collector or signal whose sources are not read by one leg each.
    #[error("a collector or signal has one leg for each of its {sources} sources, and not {legs}")]
    CollectorLegs {
        /// The number of sources.
        sources: usize,
        /// The number of legs.
        legs: usize,
    },
    /// A source that two legs of a collector or signal read.
    #[error("two legs read source {0}")]
    ReadTwice(u32),
    /// A leg that reads a source that is not there.
    #[error("leg `{leg}` reads source {source_index}, and there are only {sources}")]
    NoSource {
        /// The leg.
        leg: String,
        /// What it says that it reads.
        source_index: u32,
        /// How many there are.
        sources: usize,
    },
    /// Each event twice.
    #[error("legs `{0}` and `{1}` would read the same queue")]
    SourceTwice(String, String),
    /// A collector of two destinations.
    #[error("the legs `{0}` and `{1}` of a collector have to write the same queue")]
    Destinations(String, String),
    /// Only collectors have sources to tell apart.
    #[error("only a collector can annotate its events or be fair to its sources")]
    NoCollector,
    /// No destination.
    #[error("a processor needs at least one leg")]
    NoLegs,
    /// A bridge with several destinations.
    #[error("a bridge has one leg, and not {0}; a distributor may have more")]
    BridgeLegs(usize),
    /// Too many destinations.
    #[error("{0} legs are more than the {MAX_LEGS} that one instance may have")]
    TooManyLegs(usize),
    /// Two legs with one id.
    #[error("two legs have the id `{0}`")]
    LegTwice(String),
    /// The source can't be used.
    #[error("the source: {0}")]
    Source(EndpointError),
    /// A leg without destination.
    #[error("leg `{0}` has no destination")]
    NoDestination(String),
    /// Ids of schemas can't be translated as asked.
    #[error("leg `{leg}`: {cause}")]
    SchemaIds {
        /// The leg.
        leg: String,
        /// What is wrong.
        cause: SchemaIdsError,
    },
    /// Events can't be judged as asked.
    #[error("leg `{leg}`: {cause}")]
    Contract {
        /// The leg.
        leg: String,
        /// What is wrong.
        cause: ContractSpecError,
    },
    /// A signal's programs read and write what they like.
    #[error("leg `{0}` is a signal's, and those translate no ids of schemas and judge no events")]
    SignalContent(String),
    /// A commit interval that transactions would not survive.
    #[error(
        "leg `{leg}` would commit every {interval:?}, and may wait {MAX_COMMIT_INTERVAL:?} at most"
    )]
    CommitInterval {
        /// The leg.
        leg: String,
        /// What was asked for.
        interval: Duration,
    },
    /// A destination can't be used.
    #[error("the destination of leg `{leg}`: {cause}")]
    Destination {
        /// The leg.
        leg: String,
        /// What is wrong.
        cause: EndpointError,
    },
    /// A kind of broker that this processor was built or started without.
    #[error("this processor does not reach {0} brokers")]
    Unreached(BrokerKind),
    /// A loop of one queue.
    #[error("leg `{0}` would write the queue that it reads")]
    SameQueue(String),
    /// Each event twice.
    #[error("legs `{0}` and `{1}` would write the same queue")]
    DestinationTwice(String, String),
    /// The queue of dead letters can't be used.
    #[error("the queue of dead letters: {0}")]
    DeadLetters(EndpointError),
    /// Dead letters among events.
    #[error("dead letters would go to `{0}`, which this processor reads or writes")]
    DeadLettersAmongEvents(String),
    /// Two queues of dead letters.
    #[error("a signal names the queue of its dead letters in `signal`")]
    SignalDeadLetters,
    /// What a signal is to do is wrong.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// All legs of a signal write all of its destinations.
    #[error("leg `{0}` of a signal has a destination of its own; name it in `signal`")]
    OwnDestination(String),
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

fn check_id(id: &str) -> Result<(), SpecError> {
    if id.is_empty() || id.len() > MAX_ID || id.chars().any(char::is_control) {
        return Err(SpecError::Id(id.chars().take(MAX_ID).collect()));
    }
    Ok(())
}

fn check_counts(kind: proto::ProcessorType, sources: usize, legs: usize) -> Result<(), SpecError> {
    use proto::ProcessorType::{Bridge, Collector, Distributor, Signal};
    match (kind, sources, legs) {
        (Bridge | Collector | Distributor | Signal, _, 0) => Err(SpecError::NoLegs),
        (Bridge, _, 2..) => Err(SpecError::BridgeLegs(legs)),
        (Collector | Distributor | Signal, _, _) if legs > MAX_LEGS => {
            Err(SpecError::TooManyLegs(legs))
        }
        (Bridge | Distributor, 1, _) => Ok(()),
        (Bridge | Distributor, _, _) => Err(SpecError::Sources(sources)),
        (Collector | Signal, _, _) if sources == legs => Ok(()),
        (Collector | Signal, _, _) => Err(SpecError::CollectorLegs { sources, legs }),
        (other, _, _) => Err(SpecError::Type(other.as_str_name().to_owned())),
    }
}

fn sources(sources: Vec<proto::Endpoint>) -> Result<Vec<Arc<Endpoint>>, SpecError> {
    let source = |source: proto::Endpoint| {
        let source = source.try_into().map_err(SpecError::Source)?;
        Ok(Arc::new(source))
    };
    sources.into_iter().map(source).collect()
}

/// A leg by itself; what its instance says of all legs is filled in.
fn leg_spec(
    leg: proto::Leg,
    sources: &[Arc<Endpoint>],
    signal: Option<&Arc<SignalSpec>>,
) -> Result<LegSpec, SpecError> {
    check_id(&leg.id)?;
    let delivery = delivery(leg.delivery());
    let commit_interval = commit_interval(&leg)?;
    let on_gap = on_gap(leg.on_gap());
    if signal.is_some() && (leg.schema_ids.is_some() || leg.contract.is_some()) {
        return Err(SpecError::SignalContent(leg.id));
    }
    let (schema_ids, contract) = (schema_ids(&leg)?, contract(&leg)?);
    let source = usize::try_from(leg.source)
        .ok()
        .and_then(|at| sources.get(at));
    let Some(source) = source.cloned() else {
        return Err(SpecError::NoSource {
            leg: leg.id,
            source_index: leg.source,
            sources: sources.len(),
        });
    };
    let work = match signal {
        None => Work::Copy(Box::new(destination(leg.id, leg.destination, &source)?)),
        Some(_) if leg.destination.is_some() => return Err(SpecError::OwnDestination(leg.id)),
        Some(signal) => Work::Signal(signal.clone()),
    };
    let rates = Rates {
        events: leg.events_per_second,
        bytes: leg.bytes_per_second,
    };
    Ok(LegSpec {
        source,
        work,
        on_gap,
        start: start(leg.start.as_ref()),
        cursor: leg
            .start
            .map(|start| start.offsets.into_iter().collect())
            .unwrap_or_default(),
        annotate: false,
        fair: false,
        paused: leg.paused,
        delivery,
        commit_interval,
        rates,
        dead_letters: None,
        schema_ids,
        contract,
    })
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

fn schema_ids(leg: &proto::Leg) -> Result<Option<Arc<SchemaIdsSpec>>, SpecError> {
    let ids = leg.schema_ids.clone().map(SchemaIdsSpec::try_from);
    let ids = ids.transpose().map_err(|cause| SpecError::SchemaIds {
        leg: leg.id.clone(),
        cause,
    });
    Ok(ids?.map(Arc::new))
}

fn contract(leg: &proto::Leg) -> Result<Option<Arc<ContractSpec>>, SpecError> {
    let contract = leg.contract.clone().map(ContractSpec::try_from);
    let contract = contract.transpose().map_err(|cause| SpecError::Contract {
        leg: leg.id.clone(),
        cause,
    });
    Ok(contract?.map(Arc::new))
}

fn destination(
    leg: String,
    destination: Option<proto::Endpoint>,
    source: &Endpoint,
) -> Result<Endpoint, SpecError> {
    let Some(destination) = destination else {
        return Err(SpecError::NoDestination(leg));
    };
    let destination: Endpoint = match destination.try_into() {
        Ok(destination) => destination,
        Err(cause) => return Err(SpecError::Destination { leg, cause }),
    };
    if source.is_same_queue(&destination) {
        return Err(SpecError::SameQueue(leg));
    }
    Ok(destination)
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

fn delivery(wanted: proto::Delivery) -> Delivery {
    match wanted {
        proto::Delivery::Unspecified | proto::Delivery::ExactlyOnce => Delivery::ExactlyOnce,
        proto::Delivery::AtLeastOnce => Delivery::AtLeastOnce,
    }
}

fn on_gap(wanted: proto::OnGap) -> OnGap {
    match wanted {
        proto::OnGap::Unspecified | proto::OnGap::Earliest => OnGap::Earliest,
        proto::OnGap::Stop => OnGap::Stop,
    }
}

fn commit_interval(leg: &proto::Leg) -> Result<Duration, SpecError> {
    let interval = match leg.commit_interval_ms {
        0 => WriterOptions::COMMIT_INTERVAL,
        milliseconds => Duration::from_millis(milliseconds.into()),
    };
    if interval > MAX_COMMIT_INTERVAL {
        let leg = leg.id.clone();
        return Err(SpecError::CommitInterval { leg, interval });
    }
    Ok(interval)
}

fn start(start: Option<&proto::Start>) -> Start {
    use proto::start::From;
    match start.and_then(|start| start.from) {
        Some(From::Latest(true)) => Start::Latest,
        Some(From::Timestamp(at)) => Start::Timestamp(at),
        Some(From::Earliest(_) | From::Latest(false)) | None => Start::Earliest,
    }
}

/// No two legs of a distributor write the same queue.
fn check_distributed(legs: &BTreeMap<String, LegSpec>) -> Result<(), SpecError> {
    match two_of_one_queue(legs, LegSpec::destination) {
        Some((one, other)) => Err(SpecError::DestinationTwice(one, other)),
        None => Ok(()),
    }
}

/// All legs of a collector write one queue, and no two of them read the same.
fn check_collected(legs: &BTreeMap<String, LegSpec>) -> Result<(), SpecError> {
    if let Some((one, other)) = two_of_one_queue(legs, |leg| Some(&leg.source)) {
        return Err(SpecError::SourceTwice(one, other));
    }
    let mut all = legs.iter();
    let Some((first, leg)) = all.next() else {
        return Err(SpecError::NoLegs);
    };
    let same = |other: &LegSpec| match (leg.destination(), other.destination()) {
        (Some(one), Some(other)) => one.is_same_queue(other),
        _ => false,
    };
    match all.find(|(_, other)| !same(other)) {
        Some((other, _)) => Err(SpecError::Destinations(first.clone(), other.clone())),
        None => Ok(()),
    }
}

/// Dead letters go to a queue of their own.
fn check_dead_letters(legs: &BTreeMap<String, LegSpec>) -> Result<(), SpecError> {
    let is_among = |leg: &LegSpec| {
        let dead_letters = leg.dead_letters.as_deref()?;
        let mut events = [&*leg.source].into_iter().chain(leg.destination());
        let same = events.find(|end| end.is_same_queue(dead_letters))?;
        Some(SpecError::DeadLettersAmongEvents(same.flow.clone()))
    };
    legs.values().find_map(is_among).map_or(Ok(()), Err)
}

fn two_of_one_queue(
    legs: &BTreeMap<String, LegSpec>,
    end: impl Fn(&LegSpec) -> Option<&Endpoint>,
) -> Option<(String, String)> {
    let mut seen: BTreeMap<_, &String> = BTreeMap::new();
    for (id, end) in legs.iter().filter_map(|(id, leg)| Some((id, end(leg)?))) {
        for server in &end.servers {
            match seen.insert((end.kind, server, &end.queue), id) {
                Some(other) if other != id => return Some((other.clone(), id.clone())),
                _ => {}
            }
        }
    }
    None
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
    fn reading_begins_where_the_leg_says() {
        use proto::start::From;
        let from = |from| {
            let offsets = [(0, 42)].into();
            let from = Some(from);
            start(Some(&proto::Start { from, offsets }))
        };
        assert_eq!(start(None), Start::Earliest);
        assert_eq!(from(From::Earliest(true)), Start::Earliest);
        assert_eq!(from(From::Latest(true)), Start::Latest);
        assert_eq!(from(From::Timestamp(7)), Start::Timestamp(7));
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
