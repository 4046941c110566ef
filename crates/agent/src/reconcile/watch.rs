//! What wakes the reconcilers up: changes of specs, of what resources depend on, and of the
//! processors' states.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use eson_processor::proto::error::Kind;
use eson_processor::proto::{self, LegStatus, State, Status};
use eson_protocol::Name;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Controller;
use crate::participant::Participant;
use crate::resource::{DEAD_LETTERS, Flow, Namespace, Processor, Subscriber, Subscription};
use crate::store::{Resource, ResourceChange, Resources, StoreError, Stored};

pub(super) fn spawn(participant: &Arc<Participant>, tasks: &TaskTracker, stop: &CancellationToken) {
    let mut forward = Forward { tasks, stop };
    let controllers = &participant.controllers;
    forward.changes(
        &participant.namespaces,
        &controllers.namespace,
        |it: &Namespace| fingerprint(&it.spec),
    );
    forward.changes(&participant.flows, &controllers.flow, |it: &Flow| {
        fingerprint(&it.spec)
    });
    forward.changes(
        &participant.subscribers,
        &controllers.subscriber,
        |it: &Subscriber| fingerprint(&it.spec),
    );
    forward.changes(
        &participant.subscriptions,
        &controllers.subscription,
        |it: &Subscription| fingerprint(&it.spec),
    );
    forward.changes(
        &participant.processors,
        &controllers.processor,
        |it: &Processor| fingerprint(&it.spec),
    );
    tasks.spawn(dependents(Arc::clone(participant), stop.clone()));
    tasks.spawn(instances(Arc::clone(participant), stop.clone()));
}

struct Forward<'a> {
    tasks: &'a TaskTracker,
    stop: &'a CancellationToken,
}

impl Forward<'_> {
    /// A reconciler is woken up by a changed spec, and not by the statuses that it writes itself.
    fn changes<R: Resource>(
        &mut self,
        resources: &Resources<R>,
        controller: &Controller,
        spec: fn(&R) -> u64,
    ) {
        let (resources, controller) = (resources.clone(), controller.clone());
        let forward = forward(resources, controller, spec);
        self.tasks
            .spawn(self.stop.clone().run_until_cancelled_owned(forward));
    }
}

async fn forward<R: Resource>(
    resources: Resources<R>,
    controller: Controller,
    spec: fn(&R) -> u64,
) {
    let mut known: HashMap<String, (u64, bool)> = HashMap::new();
    let look = |known: &mut HashMap<_, _>, found: &Stored<R>| {
        let now = (spec(&found.resource), found.deleting);
        if known.insert(found.name.clone(), now) != Some(now) {
            controller.poke(&found.name);
        }
    };
    let mut changes = resources.changes();
    loop {
        match changes.next().await {
            Ok(None) => return,
            Ok(Some(ResourceChange::Put(found))) => look(&mut known, &found),
            Ok(Some(ResourceChange::Removed(name))) => {
                known.remove(&name);
                controller.poke(&name);
            }
            Ok(Some(ResourceChange::Resync)) => match resources.list().await {
                Ok(all) => all.iter().for_each(|found| look(&mut known, found)),
                Err(error) => tracing::error!(kind = %R::KIND, %error, "can't be listed"),
            },
            Err(error) => tracing::error!(kind = %R::KIND, %error, "a change can't be read"),
        }
    }
}

fn fingerprint(spec: &impl Serialize) -> u64 {
    let mut hasher = DefaultHasher::new();
    // A spec that can't be written as JSON could not have been stored.
    serde_json::to_string(spec)
        .unwrap_or_default()
        .hash(&mut hasher);
    hasher.finish()
}

/// What reads or writes a flow is woken up when the flow becomes ready, changes or goes.
async fn dependents(participant: Arc<Participant>, stop: CancellationToken) {
    let mut known: HashMap<String, u64> = HashMap::new();
    let mut changes = participant.flows.changes();
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.next() => change,
        };
        match change {
            Ok(None) => return,
            Ok(Some(ResourceChange::Put(flow))) => {
                let now = relevant(&flow);
                if known.insert(flow.name.clone(), now) != Some(now) {
                    wake_dependents(&participant, &flow.name).await;
                }
            }
            Ok(Some(ResourceChange::Removed(name))) => {
                known.remove(&name);
                wake_dependents(&participant, &name).await;
            }
            Ok(Some(ResourceChange::Resync)) => {
                known.clear();
                if let Err(error) = wake_all(&participant).await {
                    tracing::error!(%error, "what depends on flows can't be listed");
                }
            }
            Err(error) => tracing::error!(%error, "a change of a flow can't be read"),
        }
    }
}

fn relevant(flow: &Stored<Flow>) -> u64 {
    let status = &flow.resource.status;
    let spec = &flow.resource.spec;
    fingerprint(&(
        status.condition.ready,
        &status.condition.failure,
        status.partitions,
        &status.queue,
        flow.deleting,
        spec.activity,
        &spec.payload,
    ))
}

/// What depends on any flow.
async fn wake_all(participant: &Participant) -> Result<(), StoreError> {
    participant.look_at_what_runs().await?;
    for subscriber in participant.subscribers.list().await? {
        participant.controllers.subscriber.poke(&subscriber.name);
    }
    Ok(())
}

async fn wake_dependents(participant: &Participant, flow: &str) {
    let controllers = &participant.controllers;
    controllers.subscription.poke(flow);
    if let Some((DEAD_LETTERS, local)) = flow.split_once('.') {
        controllers.subscription.poke(local);
    }
    match participant
        .subscribers
        .list_prefix(&format!("{flow} "))
        .await
    {
        Ok(found) => found
            .iter()
            .for_each(|found| controllers.subscriber.poke(&found.name)),
        Err(error) => tracing::error!(flow, %error, "its subscribers can't be listed"),
    }
    match participant.processors.list().await {
        Ok(found) => found.iter().for_each(|found| {
            let spec = &found.resource.spec;
            let mut touched = spec.flows().chain(&spec.dead_letters);
            if touched.any(|name| name.as_str() == flow) {
                controllers.processor.poke(&found.name);
            }
        }),
        Err(error) => tracing::error!(flow, %error, "its processors can't be listed"),
    }
}

/// What of a leg wakes up others when it changes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    state: i32,
    /// Whether a queue is gone, or another one.
    misses: bool,
    /// The partitions of the source.
    partitions: u32,
}

impl Seen {
    fn of(leg: &LegStatus) -> Self {
        let kind = leg.error.as_ref().map(proto::Error::kind);
        Self {
            state: leg.state,
            misses: leg.state() == State::Failed
                && matches!(kind, Some(Kind::NotFound | Kind::Replaced)),
            partitions: leg.partitions,
        }
    }
}

/// A processor that begins to run, or fails, wakes up what it belongs to, and one that finds a queue
/// to be another than its flow has it that flow.
async fn instances(participant: Arc<Participant>, stop: CancellationToken) {
    let mut known: HashMap<String, BTreeMap<String, Seen>> = HashMap::new();
    let mut statuses = participant.runtime.watch();
    loop {
        let status = tokio::select! {
            () = stop.cancelled() => return,
            status = statuses.next() => status,
        };
        let Some(status) = status else { return };
        let states = status
            .legs
            .iter()
            .map(|leg| (leg.id.clone(), Seen::of(leg)));
        let states: BTreeMap<_, _> = states.collect();
        let before = match status.destroyed {
            true => known.remove(&status.id),
            false => known.insert(status.id.clone(), states.clone()),
        };
        let before = before.unwrap_or_default();
        let mut wakes_flows = false;
        for (leg, now) in &states {
            let known = before.get(leg);
            let before = known.copied().unwrap_or_default();
            let grows = now.partitions > 0 && before.partitions != now.partitions;
            if known.is_none() || before.state != now.state || grows {
                wake_owner(&participant, &status.id, leg);
            }
            wakes_flows |= grows || before.misses != now.misses;
        }
        if wakes_flows && let Err(error) = wake_flows(&participant, &status, &states).await {
            tracing::error!(instance = status.id, %error, "its flows can't be read");
        }
    }
}

/// Wakes up the flows of an instance whose queues may not be as they are said to be.
async fn wake_flows(
    participant: &Participant,
    status: &Status,
    legs: &BTreeMap<String, Seen>,
) -> Result<(), StoreError> {
    let misses = legs.values().any(|leg| leg.misses);
    let partitions = legs
        .values()
        .map(|leg| leg.partitions)
        .max()
        .unwrap_or_default();
    for name in flows_of(participant, &status.id).await? {
        let Some(flow) = participant.flows.get(name.as_str()).await? else {
            continue;
        };
        let status = &flow.resource.status;
        if misses || status.condition.failure.is_some() || status.partitions < partitions {
            participant.controllers.flow.poke(name.as_str());
        }
    }
    Ok(())
}

async fn flows_of(participant: &Participant, instance: &str) -> Result<Vec<Name>, StoreError> {
    Ok(match instance.split_once('/') {
        Some(("fan-out" | "subscription", flow)) => Name::parse(flow).into_iter().collect(),
        Some(("processor", name)) => {
            let found = participant.processors.get(name).await?;
            let spec = found.map(|found| found.resource.spec);
            spec.iter().flat_map(|spec| spec.flows().cloned()).collect()
        }
        _ => Vec::new(),
    })
}

fn wake_owner(participant: &Participant, instance: &str, leg: &str) {
    let controllers = &participant.controllers;
    match instance.split_once('/') {
        Some(("fan-out", flow)) => {
            let label = leg.strip_suffix(&format!(".{flow}")).unwrap_or(leg);
            controllers.subscriber.poke(&format!("{flow} {label}"));
        }
        Some(("subscription", local)) => controllers.subscription.poke(local),
        Some(("processor", name)) => controllers.processor.poke(name),
        _ => tracing::warn!(
            instance,
            "the runtime tells of an instance that is nobody's"
        ),
    }
}
