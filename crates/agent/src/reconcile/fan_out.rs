//! The fan-out of a flow: one processor that reads it, with a leg for each subscriber's copy.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use eson_processor::proto;
use eson_protocol::Name;

use super::flow::is_ready_for_leg;
use super::{begun, delivering, on_gap, start};
use crate::participant::Participant;
use crate::resource::{Activity, Failure, Flow, Subscriber, limited};
use crate::store::Stored;

/// Fan-outs run together: they only reach our own brokers.
const SHARD: &str = "fan-out";

/// Applies what the subscribers of each flow add up to, one call at a time for each flow.
#[derive(Default)]
pub(crate) struct FanOut {
    turns: Mutex<HashMap<Name, Arc<Turn>>>,
}

/// Whose turn it is to apply one flow. A caller that waited while another began and ended an
/// application need not repeat it, so that many callers at once cost two applications.
#[derive(Default)]
struct Turn {
    begun: AtomicU64,
    applying: tokio::sync::Mutex<u64>,
}

/// The instance's id at the runtime.
#[must_use]
pub(crate) fn instance(flow: &Name) -> String {
    format!("fan-out/{flow}")
}

impl FanOut {
    /// Makes the flow's fan-out match its subscribers as they are stored at the time of the call
    /// or later. Without any the processor is removed, drained.
    pub(crate) async fn apply(
        &self,
        participant: &Participant,
        flow: &Name,
    ) -> Result<(), Failure> {
        let turn = self.turn(flow);
        let begun_before = turn.begun.load(Ordering::SeqCst);
        let mut done = turn.applying.lock().await;
        if *done > begun_before {
            return Ok(());
        }
        let mine = turn.begun.fetch_add(1, Ordering::SeqCst) + 1;
        apply(participant, flow).await?;
        *done = mine;
        Ok(())
    }

    /// Starts those legs of the flow's fan-out again that have failed; false where it can't be
    /// asked now.
    pub(crate) async fn restart_failed(
        &self,
        participant: &Participant,
        flow: &Name,
    ) -> Result<bool, Failure> {
        let runtime = &participant.runtime;
        Ok(runtime.restart_failed(SHARD, &instance(flow)).await?)
    }

    fn turn(&self, flow: &Name) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|known, turn| known == flow || Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(flow.clone()).or_default())
    }
}

async fn apply(participant: &Participant, name: &Name) -> Result<(), Failure> {
    let flow = participant.flows.get(name.as_str()).await?;
    let legs = match &flow {
        Some(flow) if !flow.deleting => legs(participant, flow).await?,
        _ => Vec::new(),
    };
    let Some(flow) = flow.filter(|_| !legs.is_empty()) else {
        return Ok(participant.runtime.remove(&instance(name)).await?);
    };
    let spec = proto::Spec {
        id: instance(name),
        r#type: proto::ProcessorType::Distributor.into(),
        sources: vec![participant.flow_endpoint(&flow.resource)?],
        legs,
        ..Default::default()
    };
    let applied = participant.runtime.ensure(SHARD, spec).await;
    // Never the fault of the one subscriber for whom it is applied.
    applied.map_err(|error| Failure::backend(error.to_string()))
}

async fn legs(participant: &Participant, flow: &Stored<Flow>) -> Result<Vec<proto::Leg>, Failure> {
    if flow.resource.spec.activity == Activity::Stopped {
        return Ok(Vec::new());
    }
    let subscribers = participant.subscribers_of(&flow.resource.spec.name).await?;
    subscribers
        .iter()
        .filter(|subscriber| !subscriber.deleting)
        .map(|subscriber| &subscriber.resource)
        .filter(|it| is_ready_for_leg(it.spec.lease, &it.status.queue))
        .filter(|it| it.spec.activity != Activity::Stopped)
        .map(|subscriber| leg(participant, &flow.resource, subscriber))
        .collect()
}

fn leg(
    participant: &Participant,
    flow: &Flow,
    subscriber: &Subscriber,
) -> Result<proto::Leg, Failure> {
    let spec = &subscriber.spec;
    let paused = [flow.spec.activity, spec.activity].contains(&Activity::Paused);
    let quality = spec.quality.or(flow.spec.quality);
    Ok(proto::Leg {
        id: subscriber.leg_id(),
        destination: Some(participant.copy_endpoint(subscriber)?),
        start: Some(start(spec.start, &spec.cursor)),
        on_gap: on_gap(spec.on_gap).into(),
        follows: true,
        begun: begun(subscriber.status.begun.as_ref()),
        paused: paused || subscriber.status.overlagging,
        events_per_second: limited(quality.events_rate).unwrap_or_default(),
        bytes_per_second: limited(quality.bytes_rate).unwrap_or_default(),
        ..delivering(spec.delivery)
    })
}
