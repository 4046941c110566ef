//! The reconcilers: they make the world match the specs, one kind of resource each.
//!
//! Every step is idempotent and every intention is stored before anything is done, so a crash
//! anywhere is repaired by starting again; deleting runs the same steps backwards. A reconciler
//! looks at a resource when its spec changes, when something that it depends on changes, when
//! the runtime tells of its processor, and when it has asked to be called again.

mod controller;
mod dead_letters;
pub(crate) mod fan_out;
mod flow;
mod namespace;
pub(crate) mod processor;
pub(crate) mod queue;
mod records;
mod subscriber;
pub(crate) mod subscription;
mod watch;
mod work_queue;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use eson_broker::QueueId;
use eson_processor::proto::error::Kind;
use eson_processor::proto::{self, State};
use eson_protocol::{Delivery, DeliveryOptions, OnGap, Positions, Start};
use tokio_util::task::TaskTracker;

pub(crate) use controller::{Controller, Reconciler};
pub(crate) use fan_out::FanOut;
pub(crate) use work_queue::Outcome;

use crate::agent::Ending;
use crate::participant::Participant;
use crate::resource::{Failure, Reconciled};
use crate::store::{Resources, StoreError};

/// One controller for each kind of resource.
#[derive(Clone, Default)]
pub(crate) struct Controllers {
    /// Namespaces.
    pub namespace: Controller,
    /// Flows.
    pub flow: Controller,
    /// Subscribers.
    pub subscriber: Controller,
    /// Subscriptions.
    pub subscription: Controller,
    /// Processors.
    pub processor: Controller,
}

/// Starts every reconciler and what wakes them up; they end when the FNAA is asked to.
pub(crate) fn spawn(participant: &Arc<Participant>, tasks: &TaskTracker, ending: &Ending) {
    let own = || Arc::clone(participant);
    let controllers = &participant.controllers;
    let namespaces = Arc::new(namespace::NamespaceReconciler(own()));
    tasks.spawn(
        controllers
            .namespace
            .clone()
            .run(namespaces, ending.clone()),
    );
    let flows = Arc::new(flow::FlowReconciler(own()));
    tasks.spawn(controllers.flow.clone().run(flows, ending.clone()));
    let subscribers = Arc::new(subscriber::SubscriberReconciler(own()));
    tasks.spawn(
        controllers
            .subscriber
            .clone()
            .run(subscribers, ending.clone()),
    );
    let subscriptions = Arc::new(subscription::SubscriptionReconciler::new(own()));
    tasks.spawn(
        controllers
            .subscription
            .clone()
            .run(subscriptions, ending.clone()),
    );
    let processors = Arc::new(processor::ProcessorReconciler(own()));
    tasks.spawn(
        controllers
            .processor
            .clone()
            .run(processors, ending.clone()),
    );
    watch::spawn(participant, tasks, &ending.asked);
}

/// Takes the steps towards what a resource's spec wants. Notes in it why it is not as wanted, and
/// says when to look again.
async fn settle<R: Reconciled>(
    resources: &Resources<R>,
    name: &str,
    steps: impl Future<Output = Result<Outcome, Failure>>,
) -> Outcome {
    let failure = match towards(resources, name, steps).await {
        Ok(outcome) => return outcome,
        Err(failure) => failure,
    };
    if failure.is_transient() {
        tracing::info!(kind = %R::KIND, name, reason = failure.text, "not yet as wanted");
        Outcome::Retry
    } else {
        tracing::warn!(kind = %R::KIND, name, reason = failure.text, "can't be as wanted");
        Outcome::Settled
    }
}

async fn towards<R: Reconciled>(
    resources: &Resources<R>,
    name: &str,
    steps: impl Future<Output = Result<Outcome, Failure>>,
) -> Result<Outcome, Failure> {
    let before = resources.get(name).await?;
    let result = steps.await;
    if let (Err(failure), Some(before)) = (&result, before) {
        let note = |resource: &mut R| {
            // It says nothing of a spec that has come meanwhile: that is looked at next.
            if resource.generation() == before.resource.generation() {
                resource.fail(failure);
            }
        };
        match resources.update(name, note).await {
            Ok(_) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => {
                tracing::error!(kind = %R::KIND, name, %error, "the reason can't be stored");
            }
        }
    }
    result
}

/// Whether a new leg has run; when to look again where that is not known yet.
///
/// One that has failed over what it read has run: what is to be done about that is in its status.
///
/// # Errors
/// Begins with `what` and says why it does not run. It is tried again.
fn first_run(leg: Option<proto::LegStatus>, what: &str) -> Result<Option<Outcome>, Failure> {
    let state = leg.as_ref().map(proto::LegStatus::state);
    let error = leg.and_then(|leg| leg.error).unwrap_or_default();
    match state {
        Some(State::Running) => Ok(None),
        Some(State::Failed) if is_over_events(error.kind()) => Ok(None),
        Some(State::Failed | State::Retrying) => {
            Err(Failure::backend(format!("{what}: {}", error.text)))
        }
        // The runtime tells when that changes; this is only for a message that was lost.
        _ => Ok(Some(Outcome::Again(Duration::from_secs(1)))),
    }
}

fn is_over_events(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::OutOfRange | Kind::TooLarge | Kind::Refused | Kind::Content
    )
}

fn on_gap(wanted: OnGap) -> proto::OnGap {
    match wanted {
        OnGap::Earliest => proto::OnGap::Earliest,
        OnGap::Stop => proto::OnGap::Stop,
    }
}

/// The queue that a leg's beginning speaks of, as a leg has it.
fn begun(id: Option<&QueueId>) -> String {
    id.map(ToString::to_string).unwrap_or_default()
}

fn start(start: Start, cursor: &Positions) -> proto::Start {
    use proto::start::From;
    let from = match start {
        Start::Earliest => From::Earliest(true),
        Start::Latest => From::Latest(true),
        Start::Timestamp(milliseconds) => From::Timestamp(milliseconds),
    };
    proto::Start {
        from: Some(from),
        offsets: cursor.iter().map(|(key, value)| (*key, *value)).collect(),
    }
}

/// A leg with what is asked for of its delivery.
fn delivering(options: DeliveryOptions) -> proto::Leg {
    let delivery = match options.delivery {
        None => proto::Delivery::Unspecified,
        Some(Delivery::ExactlyOnce) => proto::Delivery::ExactlyOnce,
        Some(Delivery::AtLeastOnce) => proto::Delivery::AtLeastOnce,
    };
    let interval = options.commit_interval.unwrap_or_default();
    proto::Leg {
        delivery: delivery.into(),
        // Commands take no more than ten seconds.
        commit_interval_ms: u32::try_from(interval).unwrap_or(u32::MAX),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use eson_protocol::{Code, ProcessorType};
    use tempfile::TempDir;

    use super::*;
    use crate::resource::{Processor, ProcessorSpec, ProcessorStatus};
    use crate::store::RedbStore;

    async fn processors(directory: &TempDir) -> Resources<Processor> {
        let store = RedbStore::open(directory.path()).expect("a store");
        let processors = Resources::new(Arc::new(store));
        let processor = Processor {
            spec: ProcessorSpec::between(ProcessorType::Bridge, &["from.example"], &["to.example"]),
            status: ProcessorStatus::default(),
        };
        processors.create("p", processor).await.expect("a new one");
        processors
    }

    async fn failure(processors: &Resources<Processor>) -> Option<Failure> {
        let stored = processors.get("p").await.expect("a store that works");
        stored
            .expect("a processor")
            .resource
            .status
            .condition
            .failure
    }

    #[tokio::test]
    async fn why_a_spec_is_not_true_is_noted() {
        let directory = TempDir::new().expect("a directory");
        let processors = processors(&directory).await;
        let refused = Failure::refused(Code::Denied, "not so");
        let steps = async { Err(refused.clone()) };
        let outcome = settle(&processors, "p", steps).await;
        assert_eq!(outcome, Outcome::Settled);
        assert_eq!(failure(&processors).await, Some(refused));
    }

    #[tokio::test]
    async fn a_failure_says_nothing_of_a_spec_that_came_meanwhile() {
        let directory = TempDir::new().expect("a directory");
        let processors = processors(&directory).await;
        let steps = async {
            let change = |it: &mut Processor| it.spec.generation += 1;
            processors.update("p", change).await?;
            Err(Failure::refused(Code::Denied, "not so"))
        };
        settle(&processors, "p", steps).await;
        assert_eq!(failure(&processors).await, None);
    }
}
