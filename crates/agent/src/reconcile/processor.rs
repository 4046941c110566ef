//! Processors that users run between flows of this participant.

use std::sync::Arc;
use std::time::Duration;

use eson_processor::proto;
use eson_protocol::{Code, Name};

use super::{Outcome, Reconciler, report, start};
use crate::participant::Participant;
use crate::resource::{Activity, Failure, Flow, Processor, ProcessorSpec};
use crate::store::Stored;

/// Users' processors run together.
const SHARD: &str = "processors";

/// Reconciles processors.
pub(super) struct ProcessorReconciler(pub(super) Arc<Participant>);

/// The instance's id at the runtime.
pub(crate) fn instance(name: &str) -> String {
    format!("processor/{name}")
}

impl Reconciler for ProcessorReconciler {
    async fn reconcile(&self, name: &str) -> Outcome {
        let result = self.step(name).await;
        report(&self.0.processors, name, result, |it| {
            &mut it.status.condition
        })
        .await
    }
}

impl ProcessorReconciler {
    async fn step(&self, name: &str) -> Result<Outcome, Failure> {
        let Some(stored) = self.0.processors.get(name).await? else {
            return Ok(Outcome::Settled);
        };
        if stored.deleting {
            return self.tear_down(&stored).await;
        }
        let spec = &stored.resource.spec;
        if spec.activity == Activity::Stopped {
            self.0.runtime.remove(SHARD, &instance(name)).await?;
        } else {
            let Some(instance) = self.instance_spec(spec).await? else {
                return Ok(Outcome::Settled);
            };
            self.0.runtime.ensure(SHARD, instance).await?;
            if let Some(waiting) = self.wait_until_it_runs(&stored.resource)? {
                return Ok(waiting);
            }
        }
        let generation = spec.generation;
        let succeed = |it: &mut Processor| it.status.condition.succeed(generation);
        self.0.processors.update(name, succeed).await?;
        Ok(Outcome::Settled)
    }

    /// None while one of its flows is being made.
    async fn instance_spec(&self, spec: &ProcessorSpec) -> Result<Option<proto::Spec>, Failure> {
        let mut sources = Vec::new();
        for source in &spec.sources {
            let Some(flow) = self.flow(source).await? else {
                return Ok(None);
            };
            sources.push(self.0.flow_endpoint(&flow)?);
        }
        let mut legs = Vec::new();
        for destination in &spec.destinations {
            let Some(flow) = self.flow(destination).await? else {
                return Ok(None);
            };
            legs.push(proto::Leg {
                id: leg_id(spec),
                destination: Some(self.0.flow_endpoint(&flow)?),
                start: Some(start(spec.start)),
                paused: spec.activity == Activity::Paused,
                ..Default::default()
            });
        }
        Ok(Some(proto::Spec {
            id: instance(&spec.name),
            r#type: proto::ProcessorType::Bridge.into(),
            sources,
            legs,
        }))
    }

    /// None while the flow is being made; its becoming ready wakes this up again.
    async fn flow(&self, name: &Name) -> Result<Option<Flow>, Failure> {
        let flow = self.0.flows.get(name.as_str()).await?;
        let gone = || Failure::refused(Code::NotFound, format!("the flow {name} is gone"));
        let flow = flow.filter(|flow| !flow.deleting).ok_or_else(gone)?;
        if flow.resource.status.condition.ready == 0 {
            return Ok(None);
        }
        Ok(Some(flow.resource))
    }

    fn wait_until_it_runs(&self, processor: &Processor) -> Result<Option<Outcome>, Failure> {
        let spec = &processor.spec;
        if processor.status.condition.ready > 0 || spec.activity != Activity::Running {
            return Ok(None);
        }
        let leg = self.0.leg_status(&instance(&spec.name), &leg_id(spec));
        match leg.map(|leg| (leg.state(), leg)) {
            Some((proto::State::Running, _)) => Ok(None),
            Some((proto::State::Failed | proto::State::Retrying, leg)) => {
                let text = leg.error.map(|error| error.text).unwrap_or_default();
                Err(Failure::backend(format!("events can't be moved: {text}")))
            }
            _ => Ok(Some(Outcome::Again(Duration::from_secs(1)))),
        }
    }

    async fn tear_down(&self, stored: &Stored<Processor>) -> Result<Outcome, Failure> {
        self.0
            .runtime
            .remove(SHARD, &instance(&stored.name))
            .await?;
        self.0.processors.remove(&stored.name).await?;
        let spec = &stored.resource.spec;
        for flow in spec.sources.iter().chain(&spec.destinations) {
            self.0.controllers.flow.poke(flow.as_str());
        }
        Ok(Outcome::Settled)
    }
}

/// Names the positions at the destination.
pub(crate) fn leg_id(spec: &ProcessorSpec) -> String {
    format!("{}.{}", spec.incarnation, spec.name)
}
