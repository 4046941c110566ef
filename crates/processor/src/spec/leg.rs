//! One leg of a spec.

use std::sync::Arc;
use std::time::Duration;

use eson_broker::{Delivery, QueueId, Rates, WriterOptions};
use eson_protocol::{OnGap, Start};

use super::rules::check_id;
use super::{LegSpec, MAX_COMMIT_INTERVAL, SpecError, Work};
use crate::endpoint::Endpoint;
use crate::proto;
use crate::schema_ids::SchemaIdsSpec;
use crate::signal::SignalSpec;
use crate::validation::ContractSpec;

/// A leg by itself; what its instance says of all legs is filled in.
pub(super) fn leg_spec(
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
        follows: leg.follows,
        begun: Some(QueueId(leg.begun)).filter(|begun| !begun.0.is_empty()),
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
