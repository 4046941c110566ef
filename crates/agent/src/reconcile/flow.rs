//! Flows: queue, records, and what reads them.

use std::sync::Arc;
use std::time::Duration;

use eson_broker::{Broker, QueueDescription, QueueSpec};
use eson_protocol::{Code, Name};

use super::queue::{self, Advance};
use super::{Outcome, Reconciler, records, settle};
use crate::participant::Participant;
use crate::resource::{Failure, Flow, FlowSpec, Lease, Processor, QueueState};
use crate::store::Stored;

/// How long until it is seen again whether processors have let go of a flow.
const RELEASE: Duration = Duration::from_millis(200);

/// How long until a queue that is gone, or another one, is looked for again.
const LOOK: Duration = Duration::from_secs(5);

/// Reconciles flows.
pub(super) struct FlowReconciler(pub(super) Arc<Participant>);

impl Reconciler for FlowReconciler {
    async fn reconcile(&self, name: &str) -> Outcome {
        let outcome = settle(&self.0.flows, name, self.step(name)).await;
        match outcome == Outcome::Settled && self.has_lost_its_queue(name).await {
            true => Outcome::Again(LOOK),
            false => outcome,
        }
    }
}

impl FlowReconciler {
    async fn step(&self, name: &str) -> Result<Outcome, Failure> {
        let Some(stored) = self.0.flows.get(name).await? else {
            return Ok(Outcome::Settled);
        };
        if stored.deleting {
            return self.tear_down(&stored).await;
        }
        let found = self.ensure_queue(&stored).await?;
        self.register(name).await?;
        self.0
            .fan_out
            .apply(&self.0, &stored.resource.spec.name)
            .await?;
        let generation = stored.resource.spec.generation;
        let count = u32::try_from(found.partitions.len()).unwrap_or(u32::MAX);
        let succeed = |it: &mut Flow| {
            it.status.partitions = count;
            it.status.condition.succeed(generation);
        };
        self.0.flows.update(name, succeed).await?;
        Ok(Outcome::Settled)
    }

    /// Whether the queue of a flow that was ready is gone, or another one, until somebody does
    /// something about it.
    async fn has_lost_its_queue(&self, name: &str) -> bool {
        let found = match self.0.flows.get(name).await {
            Ok(found) => found.filter(|found| !found.deleting),
            Err(error) => {
                tracing::error!(flow = name, %error, "can't be read");
                return false;
            }
        };
        let condition = found.map(|found| found.resource.status.condition);
        let failure = condition
            .filter(|it| it.ready > 0)
            .and_then(|it| it.failure);
        let gone = [Code::NotFound, Code::Exists].map(Code::number);
        failure.is_some_and(|failure| gone.contains(&failure.code))
    }

    async fn ensure_queue(&self, stored: &Stored<Flow>) -> Result<QueueDescription, Failure> {
        let spec = &stored.resource.spec;
        let broker = self.broker(spec)?;
        let mut state = stored.resource.status.queue.clone();
        loop {
            let step = if spec.adopted {
                queue::adopt(broker, &spec.queue, &state).await?
            } else {
                queue::advance(broker, &queue_spec(spec), &state).await?
            };
            match step {
                Advance::There(found) => return Ok(found),
                Advance::Store(next) => {
                    let store = |it: &mut Flow| it.status.take_queue(&spec.queue, next.clone());
                    self.0.flows.update(&stored.name, store).await?;
                    state = next;
                }
            }
        }
    }

    async fn register(&self, name: &str) -> Result<(), Failure> {
        let stored = self.0.flows.require(name).await?;
        let wanted = self.0.flow_views(&stored.resource.spec).await?;
        records::converge(&self.0, &self.0.flows, name, &wanted, Flow::views).await
    }

    /// Backwards: subscribers, processors, records, queue, grants.
    async fn tear_down(&self, stored: &Stored<Flow>) -> Result<Outcome, Failure> {
        let spec = &stored.resource.spec;
        if self.end_subscribers(spec).await? || self.end_readers(spec).await? {
            // Their end is a change that wakes this up again.
            return Ok(Outcome::Settled);
        }
        if self.is_still_in_use(spec).await? {
            return Ok(Outcome::Again(RELEASE));
        }
        self.0.fan_out.apply(&self.0, &spec.name).await?;
        records::converge(&self.0, &self.0.flows, &stored.name, &[], Flow::views).await?;
        if !spec.adopted {
            queue::delete(
                self.broker(spec)?,
                &spec.queue,
                &stored.resource.status.queue,
            )
            .await?;
        }
        self.0.forget_grants(&spec.name).await?;
        self.0.forget_schema(&spec.name).await?;
        self.0.flows.remove(&stored.name).await?;
        Ok(Outcome::Settled)
    }

    /// Whether there are still some.
    async fn end_subscribers(&self, spec: &FlowSpec) -> Result<bool, Failure> {
        let subscribers = self.0.subscribers_of(&spec.name).await?;
        for subscriber in subscribers.iter().filter(|known| !known.deleting) {
            self.0.subscribers.mark_deleting(&subscriber.name).await?;
        }
        Ok(!subscribers.is_empty())
    }

    /// Whether there are still some. Held apart from CREATE and UPDATE PROCESSOR, one of which
    /// might just have seen that the flow is there.
    async fn end_readers(&self, spec: &FlowSpec) -> Result<bool, Failure> {
        let _alone = self.0.routing.lock().await;
        self.end_processors(spec).await
    }

    /// Whether there are still some. A subscription without its flow is no more, and so is a
    /// processor, unless it has other flows to go on with.
    async fn end_processors(&self, spec: &FlowSpec) -> Result<bool, Failure> {
        let mut left = false;
        for processor in self.0.processors.list().await? {
            if processor.resource.spec.touches(&spec.name) {
                left |= self.leave_out(&processor, &spec.name).await?;
            }
        }
        if let Some(subscription) = self.0.subscriptions.get(spec.name.as_str()).await? {
            left = true;
            self.0
                .subscriptions
                .mark_deleting(&subscription.name)
                .await?;
        }
        Ok(left)
    }

    /// Whether the processor goes with its flow.
    async fn leave_out(&self, processor: &Stored<Processor>, flow: &Name) -> Result<bool, Failure> {
        let mut rest = processor.resource.spec.clone();
        rest.leave_out(flow);
        if processor.deleting || rest.legs().next().is_none() {
            self.0.processors.mark_deleting(&processor.name).await?;
            return Ok(true);
        }
        let leave_out = |it: &mut Processor| {
            if it.spec.touches(flow) {
                it.spec.leave_out(flow);
                it.spec.generation += 1;
            }
        };
        self.0.processors.update(&processor.name, leave_out).await?;
        Ok(false)
    }

    /// Whether a processor that is to leave the flow out has not yet done so.
    async fn is_still_in_use(&self, spec: &FlowSpec) -> Result<bool, Failure> {
        for processor in self.0.processors.list().await? {
            let own = &processor.resource.spec;
            let leg = own.leg_of(&spec.name);
            let instance = super::processor::instance(&own.name);
            if leg.is_some_and(|leg| self.0.leg_status(&instance, &leg).is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn broker(&self, spec: &FlowSpec) -> Result<&dyn Broker, Failure> {
        let entry = self.0.brokers.get(&spec.broker).ok_or_else(|| {
            let text = format!("the configuration has no broker {} any more", spec.broker);
            Failure::refused(Code::Backend, text)
        })?;
        Ok(entry.broker.as_ref())
    }
}

fn queue_spec(spec: &FlowSpec) -> QueueSpec {
    QueueSpec {
        name: spec.queue.clone(),
        partitions: spec.partitions.unwrap_or(1),
        retention: spec.retention,
        retention_bytes: None,
    }
}

/// Whether a subscriber's copy is to be filled.
pub(super) fn is_ready_for_leg(lease: Lease, queue: &QueueState) -> bool {
    lease == Lease::Held && queue.id().is_some()
}
