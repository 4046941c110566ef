//! What an instance is to do, checked.

use std::collections::BTreeMap;
use std::time::Duration;

use eson_broker::{Delivery, WriterOptions};
use eson_protocol::{BrokerKind, Start};

use crate::endpoint::{Endpoint, EndpointError};
use crate::proto;

/// The most legs of one instance.
pub const MAX_LEGS: usize = 1_000;
/// The longest id of an instance or leg, in bytes.
pub const MAX_ID: usize = 255;
/// The longest commit interval of a leg: a transaction has to be committed well within the time
/// after which its broker aborts it, also when that broker restarts meanwhile.
pub(crate) const MAX_COMMIT_INTERVAL: Duration = Duration::from_secs(10);

/// What an instance is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSpec {
    /// The instance's id.
    pub id: String,
    /// Where events come from.
    pub source: Endpoint,
    /// Where they go, by the leg's id; at least one.
    pub legs: BTreeMap<String, LegSpec>,
}

/// One destination and how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegSpec {
    /// Where events go.
    pub destination: Endpoint,
    /// Where reading begins when the destination has no position of this leg.
    pub start: Start,
    /// Whether the leg is held still.
    pub paused: bool,
    /// How often an event shall arrive, whatever crashes.
    pub delivery: Delivery,
    /// How often a leg to Kafka commits that delivers exactly once.
    pub commit_interval: Duration,
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
    #[error("this program runs bridges and distributors, and not processors of type {0}")]
    Type(String),
    /// Not one source.
    #[error("a processor of this type has one source, and not {0}")]
    Sources(usize),
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
}

impl TryFrom<proto::Spec> for InstanceSpec {
    type Error = SpecError;

    fn try_from(spec: proto::Spec) -> Result<Self, SpecError> {
        check_id(&spec.id)?;
        check_legs(spec.r#type(), spec.legs.len())?;
        let source = only_source(spec.sources)?;
        let mut legs = BTreeMap::new();
        for leg in spec.legs {
            let id = leg.id.clone();
            check_id(&id)?;
            let leg = leg_spec(leg)?;
            if source.is_same_queue(&leg.destination) {
                return Err(SpecError::SameQueue(id));
            }
            if legs.insert(id.clone(), leg).is_some() {
                return Err(SpecError::LegTwice(id));
            }
        }
        check_destinations(&legs)?;
        Ok(Self {
            id: spec.id,
            source,
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

fn check_legs(kind: proto::ProcessorType, legs: usize) -> Result<(), SpecError> {
    use proto::ProcessorType::{Bridge, Distributor};
    match (kind, legs) {
        (Bridge | Distributor, 0) => Err(SpecError::NoLegs),
        (Bridge, 1) | (Distributor, 1..=MAX_LEGS) => Ok(()),
        (Bridge, _) => Err(SpecError::BridgeLegs(legs)),
        (Distributor, _) => Err(SpecError::TooManyLegs(legs)),
        (other, _) => Err(SpecError::Type(other.as_str_name().to_owned())),
    }
}

fn only_source(sources: Vec<proto::Endpoint>) -> Result<Endpoint, SpecError> {
    let [source] =
        <[_; 1]>::try_from(sources).map_err(|sources| SpecError::Sources(sources.len()))?;
    source.try_into().map_err(SpecError::Source)
}

fn leg_spec(leg: proto::Leg) -> Result<LegSpec, SpecError> {
    let delivery = delivery(leg.delivery());
    let commit_interval = commit_interval(&leg)?;
    let Some(destination) = leg.destination else {
        return Err(SpecError::NoDestination(leg.id));
    };
    let destination = destination
        .try_into()
        .map_err(|cause| SpecError::Destination { leg: leg.id, cause })?;
    Ok(LegSpec {
        destination,
        start: start(leg.start),
        paused: leg.paused,
        delivery,
        commit_interval,
    })
}

fn delivery(wanted: proto::Delivery) -> Delivery {
    match wanted {
        proto::Delivery::Unspecified | proto::Delivery::ExactlyOnce => Delivery::ExactlyOnce,
        proto::Delivery::AtLeastOnce => Delivery::AtLeastOnce,
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

fn start(start: Option<proto::Start>) -> Start {
    use proto::start::From;
    match start.and_then(|start| start.from) {
        Some(From::Latest(true)) => Start::Latest,
        Some(From::Timestamp(at)) => Start::Timestamp(at),
        Some(From::Earliest(_) | From::Latest(false)) | None => Start::Earliest,
    }
}

fn check_destinations(legs: &BTreeMap<String, LegSpec>) -> Result<(), SpecError> {
    let mut seen: BTreeMap<_, &String> = BTreeMap::new();
    for (id, leg) in legs {
        for server in &leg.destination.servers {
            let queue = (leg.destination.kind, server, &leg.destination.queue);
            match seen.insert(queue, id) {
                Some(other) if other != id => {
                    return Err(SpecError::DestinationTwice(other.clone(), id.clone()));
                }
                _ => {}
            }
        }
    }
    Ok(())
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
        }
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        type Change = fn(&mut proto::Spec);
        let cases: [(Change, &str); 14] = [
            (|s| s.id.clear(), "can't be an id"),
            (|s| s.id = "a\nb".into(), "can't be an id"),
            (|s| s.r#type = 0, "PROCESSOR_TYPE_UNSPECIFIED"),
            (|s| s.r#type = 4, "PROCESSOR_TYPE_SIGNAL"),
            (|s| s.sources.clear(), "and not 0"),
            (|s| s.sources.push(endpoint("more")), "and not 2"),
            (|s| s.legs.clear(), "at least one leg"),
            (|s| s.r#type = 1, "a bridge has one leg"),
            (|s| *s = distributor(10_000), "more than the 1000"),
            (|s| s.legs[1].id = "0".into(), "two legs"),
            (|s| s.legs[1].destination = None, "has no destination"),
            (|s| s.legs[1].commit_interval_ms = 10_001, "10s at most"),
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
    fn reading_begins_where_the_leg_says() {
        use proto::start::From;
        let from = |from| start(Some(proto::Start { from: Some(from) }));
        assert_eq!(start(None), Start::Earliest);
        assert_eq!(from(From::Earliest(true)), Start::Earliest);
        assert_eq!(from(From::Latest(true)), Start::Latest);
        assert_eq!(from(From::Timestamp(7)), Start::Timestamp(7));
    }

    #[test]
    fn exactly_once_is_what_is_not_said() {
        let spec = |change: fn(&mut proto::Leg)| {
            let mut leg = leg("0");
            change(&mut leg);
            leg_spec(leg).expect("a good leg")
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
