//! Processors that users run between flows of this participant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use eson_broker::QueueId;
use eson_processor::proto;
use eson_protocol::{Code, Name, ProcessorType, Program, Right, Validate};

use super::{Outcome, Reconciler, delivering, first_run, on_gap, settle, start};
use crate::authority::{Caller, lost_right};
use crate::participant::Participant;
use crate::resource::{
    Activity, Failure, Flow, Processor, ProcessorLeg, ProcessorSpec, SignalSpec,
};
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
        settle(&self.0.processors, name, self.step(name)).await
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
        let allowed = self.allowed(&stored.resource.spec).await?;
        let begun = self.note_begun(&stored).await?;
        let waiting = match self.instance_spec(&allowed.spec, &begun).await? {
            Wanted::Legs(instance) => self.run(&stored.resource, &allowed.spec, *instance).await?,
            Wanted::Nothing => {
                self.0.runtime.remove(&instance(name)).await?;
                None
            }
            Wanted::Later => {
                self.stop_what_is_denied(&allowed.spec).await?;
                Some(Outcome::Settled)
            }
        };
        if let Some(denied) = allowed.denied {
            return Err(denied);
        }
        if let Some(waiting) = waiting {
            return Ok(waiting);
        }
        let generation = stored.resource.spec.generation;
        let succeed = |it: &mut Processor| it.status.condition.succeed(generation);
        self.0.processors.update(name, succeed).await?;
        Ok(Outcome::Settled)
    }

    /// Notes which queue each source is when its leg begins, before it does.
    async fn note_begun(&self, stored: &Stored<Processor>) -> Result<Begun, Failure> {
        let Processor { spec, status } = &stored.resource;
        let mut begun = Begun::new();
        for name in &spec.sources {
            let known = status
                .begun
                .get(name)
                .filter(|_| status.condition.ready > 0);
            let flow = self.0.flows.get(name.as_str()).await?;
            let now = flow.and_then(|flow| flow.resource.status.queue.id().cloned());
            begun.extend(known.cloned().or(now).map(|id| (name.clone(), id)));
        }
        if begun != status.begun {
            let note = |it: &mut Processor| it.status.begun.clone_from(&begun);
            self.0.processors.update(&stored.name, note).await?;
        }
        Ok(begun)
    }

    /// What of a processor its owner may still run: a right that is taken away ends what it was
    /// needed for.
    async fn allowed(&self, spec: &ProcessorSpec) -> Result<Allowed, Failure> {
        let mut allowed = Allowed {
            spec: spec.clone(),
            denied: None,
        };
        let owner = Caller::participant(spec.owner.clone());
        let read = spec.sources.iter().map(|flow| (Right::Read, flow));
        let written = spec.needed_to_write().map(|flow| (Right::Write, flow));
        for (right, name) in read.chain(written) {
            let Some(flow) = self.0.flows.get(name.as_str()).await? else {
                continue;
            };
            let rights = self.0.rights_on_flow(&owner, &flow.resource).await?;
            if !rights.include(right) {
                allowed.spec.leave_out(name);
                let text = lost_right(&spec.owner, right, name);
                allowed.denied = Some(Failure::refused(Code::Denied, text));
            }
        }
        Ok(allowed)
    }

    /// While what is left has to wait, nothing may go on that its owner has lost the right for.
    async fn stop_what_is_denied(&self, allowed: &ProcessorSpec) -> Result<(), Failure> {
        let legs: BTreeSet<_> = allowed.legs().map(|leg| allowed.leg_id(leg)).collect();
        let running = self.0.processor_legs(&allowed.name);
        if running.iter().any(|leg| !legs.contains(&leg.id)) {
            self.0.runtime.remove(&instance(&allowed.name)).await?;
        }
        Ok(())
    }

    /// Makes the runtime run this; says when to look again where that is not yet so.
    async fn run(
        &self,
        processor: &Processor,
        spec: &ProcessorSpec,
        wanted: proto::Spec,
    ) -> Result<Option<Outcome>, Failure> {
        let legs: Vec<String> = wanted.legs.iter().map(|leg| leg.id.clone()).collect();
        let lacks_dead_letters = wanted.dead_letters.is_none();
        self.0.runtime.ensure(SHARD, wanted).await?;
        if lacks_dead_letters && self.make_dead_letters(spec).await? {
            // The flow's becoming ready wakes this up again.
            return Ok(Some(Outcome::Settled));
        }
        self.restart_failed(processor).await?;
        self.wait_until_it_runs(processor, &legs)
    }

    async fn restart_failed(&self, processor: &Processor) -> Result<(), Failure> {
        let Processor { spec, status } = processor;
        let generation = spec.generation;
        if status.condition.wants_restart(generation) && self.has_failed_legs(spec) {
            let instance = instance(&spec.name);
            if self.0.runtime.restart_failed(SHARD, &instance).await? {
                let note = |it: &mut Processor| it.status.condition.restarted = generation;
                self.0.processors.update(&spec.name, note).await?;
            }
        }
        Ok(())
    }

    async fn instance_spec(&self, spec: &ProcessorSpec, begun: &Begun) -> Result<Wanted, Failure> {
        if spec.activity == Activity::Stopped {
            return Ok(Wanted::Nothing);
        }
        let flows = self.flows(spec).await?;
        let dead_letters = spec.dead_letters.as_ref();
        let mut wanted = proto::Spec {
            id: instance(&spec.name),
            r#type: wire_type(spec.kind).into(),
            annotate: spec.annotate,
            fair: spec.fair,
            dead_letters: self.0.dead_letters(dead_letters, &spec.owner).await?,
            ..Default::default()
        };
        let mut pending = false;
        if let Some(signal) = &spec.signal {
            pending = !spec.written().all(|flow| is_ready(&flows[flow]));
            wanted.signal = Some(self.signal(spec, signal, &flows).await?);
        }
        if pending {
            return Ok(Wanted::Later);
        }
        for leg in spec.legs() {
            let (source, destination) = (&flows[leg.source], &flows[leg.destination]);
            if !is_ready(source) || !is_ready(destination) {
                pending = true;
            } else if source.spec.activity != Activity::Stopped {
                self.add_leg(&mut wanted, spec, leg, source, destination)
                    .await?;
                if let Some(added) = wanted.legs.last_mut() {
                    added.begun = super::begun(begun.get(leg.source));
                }
            }
        }
        Ok(match (wanted.legs.is_empty(), pending) {
            (false, _) => Wanted::Legs(Box::new(wanted)),
            // Their becoming ready wakes this up again.
            (true, true) => Wanted::Later,
            (true, false) => Wanted::Nothing,
        })
    }

    /// The flows that a processor touches, by name.
    async fn flows(&self, spec: &ProcessorSpec) -> Result<BTreeMap<Name, Flow>, Failure> {
        let mut flows = BTreeMap::new();
        for name in spec.flows() {
            let Some(flow) = self.0.flows.get(name.as_str()).await? else {
                let text = format!("the flow {name} is gone");
                return Err(Failure::refused(Code::NotFound, text));
            };
            flows.insert(name.clone(), flow.resource);
        }
        Ok(flows)
    }

    async fn add_leg(
        &self,
        wanted: &mut proto::Spec,
        spec: &ProcessorSpec,
        leg: ProcessorLeg<'_>,
        source: &Flow,
        destination: &Flow,
    ) -> Result<(), Failure> {
        let signals = spec.kind == ProcessorType::Signal;
        if wanted.sources.is_empty() || signals || spec.kind == ProcessorType::Collector {
            wanted.sources.push(self.0.flow_endpoint(source)?);
        }
        let ids_of = source.spec.payload.schema_registry.as_deref();
        let paused = [spec.activity, source.spec.activity].contains(&Activity::Paused);
        wanted.legs.push(proto::Leg {
            id: spec.leg_id(leg),
            source: wanted.sources.len() as u32 - 1,
            destination: match signals {
                true => None,
                false => Some(self.0.destination_endpoint(destination)?),
            },
            start: Some(start(spec.start, &spec.cursor)),
            on_gap: on_gap(spec.on_gap).into(),
            follows: true,
            paused,
            contract: match signals {
                true => None,
                false => {
                    let judged = self.0.leg_contract(&destination.spec, spec.validate);
                    judged.await?
                }
            },
            schema_ids: self.0.schema_ids(spec.registry.as_ref(), ids_of)?,
            ..delivering(spec.delivery)
        });
        Ok(())
    }

    async fn signal(
        &self,
        spec: &ProcessorSpec,
        signal: &SignalSpec,
        flows: &BTreeMap<Name, Flow>,
    ) -> Result<proto::Signal, Failure> {
        let endpoint = |flow| self.0.flow_endpoint(&flows[flow]);
        let destinations = spec.destinations.iter().map(endpoint);
        Ok(proto::Signal {
            contracts: self.contracts(spec, flows).await?,
            destinations: destinations.collect::<Result<_, _>>()?,
            dead_letters: Some(endpoint(&signal.dead_letters)?),
            program: Some(match &signal.program {
                Program::Jq(code) => proto::signal::Program::Jq(code.clone()),
                Program::Grpc(server) => proto::signal::Program::Grpc(server.to_string()),
                Program::Grpcs(server) => proto::signal::Program::Grpcs(server.to_string()),
            }),
            tls_ca: self.0.program_ca(),
            trusted_networks: self.0.program_networks(),
            window: signal.window.as_ref().map(|window| proto::Window {
                length_ms: window.length,
                tumbling: window.tumbling,
                by: window.by.clone().unwrap_or_default(),
                state: spec.incarnation.clone(),
            }),
        })
    }

    /// What the events to each destination of a signal must be; none where nothing is judged.
    async fn contracts(
        &self,
        spec: &ProcessorSpec,
        flows: &BTreeMap<Name, Flow>,
    ) -> Result<Vec<proto::Contract>, Failure> {
        let mut contracts = Vec::new();
        if spec.validate == Validate::Off {
            return Ok(contracts);
        }
        for flow in &spec.destinations {
            let contract = self.0.leg_contract(&flows[flow].spec, spec.validate);
            contracts.push(contract.await?.unwrap_or_default());
        }
        Ok(contracts)
    }

    async fn make_dead_letters(&self, spec: &ProcessorSpec) -> Result<bool, Failure> {
        let Some(beside) = spec.destinations.first() else {
            return Ok(false);
        };
        let beside = self.0.flows.require(beside.as_str()).await?.resource.spec;
        let legs = self.0.processor_legs(&spec.name);
        let name = spec.dead_letters.as_ref();
        let making = self.0.make_dead_letters(name, &spec.owner, &beside, &legs);
        making.await
    }

    fn has_failed_legs(&self, spec: &ProcessorSpec) -> bool {
        let status = self.0.runtime.status(&instance(&spec.name));
        let legs = status.into_iter().flat_map(|status| status.legs);
        legs.into_iter()
            .any(|leg| leg.state() == proto::State::Failed)
    }

    /// A new processor is ready when every leg of it has run once. Later, a leg's trouble is its
    /// own.
    fn wait_until_it_runs(
        &self,
        processor: &Processor,
        legs: &[String],
    ) -> Result<Option<Outcome>, Failure> {
        let spec = &processor.spec;
        if processor.status.condition.ready > 0 {
            return Ok(None);
        }
        let mut waiting = None;
        for leg in legs {
            let leg = self.0.leg_status(&instance(&spec.name), leg);
            // It may be made with a source that is paused.
            if leg.as_ref().map(proto::LegStatus::state) != Some(proto::State::Paused) {
                waiting = first_run(leg, "events can't be moved")?.or(waiting);
            }
        }
        Ok(waiting)
    }

    async fn tear_down(&self, stored: &Stored<Processor>) -> Result<Outcome, Failure> {
        self.0.runtime.remove(&instance(&stored.name)).await?;
        let spec = &stored.resource.spec;
        self.0.forget_windows(&spec.incarnation)?;
        self.forget_positions(stored).await?;
        self.0.processors.remove(&stored.name).await?;
        for flow in spec.flows() {
            self.0.controllers.flow.poke(flow.as_str());
        }
        Ok(Outcome::Settled)
    }

    /// Those of legs that were taken out before, too: all are named by the incarnation.
    async fn forget_positions(&self, stored: &Stored<Processor>) -> Result<(), Failure> {
        let now = self.0.now();
        let note = |it: &mut Processor| {
            it.status.deleting_since.get_or_insert(now);
        };
        let noted = self.0.processors.update(&stored.name, note).await?;
        let Processor { spec, status } = noted.resource;
        let mut brokers = BTreeSet::new();
        for flow in spec.written() {
            if let Some(flow) = self.0.flows.get(flow.as_str()).await? {
                brokers.insert(flow.resource.spec.broker);
            }
        }
        let since = status.deleting_since.unwrap_or(now);
        let forgetting = self.0.forget_positions(brokers, &spec.incarnation, since);
        forgetting.await
    }
}

/// The queue that each source was when its leg began.
type Begun = BTreeMap<Name, QueueId>;

/// What of a processor may run.
struct Allowed {
    /// The spec without the flows that its owner has no right to.
    spec: ProcessorSpec,
    /// One of those.
    denied: Option<Failure>,
}

/// What the runtime is to do.
enum Wanted {
    /// Run these.
    Legs(Box<proto::Spec>),
    /// Run nothing of it.
    Nothing,
    /// What is to run is not known before its flows are ready.
    Later,
}

fn is_ready(flow: &Flow) -> bool {
    flow.status.condition.ready > 0
}

fn wire_type(kind: ProcessorType) -> proto::ProcessorType {
    match kind {
        ProcessorType::Bridge => proto::ProcessorType::Bridge,
        ProcessorType::Collector => proto::ProcessorType::Collector,
        ProcessorType::Distributor => proto::ProcessorType::Distributor,
        ProcessorType::Signal => proto::ProcessorType::Signal,
    }
}
