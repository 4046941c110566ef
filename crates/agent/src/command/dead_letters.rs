//! The flow of a processor's dead letters: `dlq.<processor>`.

use eson_protocol::{Code, Name, Program, Right, Status};

use super::Request;
use crate::resource::{DEAD_LETTERS, Flow, FlowSpec, ProcessorSpec, SignalSpec};
use crate::store::Stored;

impl Request<'_> {
    /// What a new signal does.
    pub(super) async fn signal_spec(
        &self,
        spec: &ProcessorSpec,
        program: Program,
    ) -> Result<SignalSpec, Status> {
        let dead_letters = self.dead_letters_name(spec).await?;
        Ok(SignalSpec {
            program,
            dead_letters,
            window: None,
        })
    }

    /// Where a new bridge, collector or distributor sends what its destinations do not take. None
    /// where there can be no such flow: copying is no reason to ask for another name.
    pub(super) async fn dead_letters_of_copies(
        &self,
        spec: &ProcessorSpec,
    ) -> Result<Option<Name>, Status> {
        match self.dead_letters_name(spec).await {
            Ok(name) => Ok(Some(name)),
            Err(status) if status.is_transient() => Err(status),
            Err(_) => Ok(None),
        }
    }

    /// `dlq.<processor>`, in the namespace of the first flow that it writes: that is added where
    /// the processor's name is not within it.
    async fn dead_letters_name(&self, spec: &ProcessorSpec) -> Result<Name, Status> {
        let named = format!("{DEAD_LETTERS}.{}", spec.name);
        let Some(first) = spec.destinations.first() else {
            let text = format!("{} needs a flow in to=", spec.name);
            return Err(Status::new(Code::Argument, text));
        };
        let namespace = self
            .participant
            .hosting_namespace(self.caller, first)
            .await?;
        let namespace = namespace.resource.spec.name;
        let within = Name::parse(&named).ok();
        let within = within.filter(|name| name.is_within(&namespace));
        let whole = format!("{named}.{namespace}");
        let name = within.map_or_else(|| Name::parse(&whole), Ok);
        let name = name.map_err(|error| {
            let text = format!(
                "the dead letters of {} would go to {whole}, which can be no flow: {error}; choose \
                 another name for the processor",
                spec.name
            );
            Status::new(Code::Name, text)
        })?;
        if spec.touches(&name) {
            let text = format!("{name} takes the dead letters of {}", spec.name);
            return Err(Status::new(Code::Loop, text));
        }
        Ok(name)
    }

    /// Creates the flow of a signal's dead letters, where it is not there from before: private,
    /// the owner's, at the broker of the first flow that the signal writes. Gives its name where it
    /// is new.
    ///
    /// # Errors
    /// 552 where the owner may neither write the one that is there nor make one.
    pub(super) async fn ensure_dead_letters(
        &self,
        spec: &ProcessorSpec,
    ) -> Result<Option<Name>, Status> {
        let (Some(signal), Some(first)) = (&spec.signal, spec.destinations.first()) else {
            return Ok(None);
        };
        let name = &signal.dead_letters;
        if let Some(found) = self.participant.flows.get(name.as_str()).await? {
            self.check_dead_letters(spec, &found).await?;
            return Ok(None);
        }
        let namespace = self
            .participant
            .hosting_namespace(self.caller, name)
            .await?
            .resource
            .spec;
        let rights = self
            .participant
            .rights_on_namespace(self.caller, &namespace.name)
            .await?;
        if !rights.include(Right::Admin) {
            return Err(no_dead_letters(spec, name));
        }
        let beside = self.participant.flows.require(first.as_str()).await?;
        let broker = beside.resource.spec.broker;
        let entry = self.participant.brokers.require(&broker)?;
        let queue = entry.queue_name(name);
        let owner = spec.owner.clone();
        let flow = FlowSpec {
            partitions: Some(1),
            ..FlowSpec::private(name.clone(), namespace.name, owner, broker, queue)
        };
        self.ensure_flow(flow).await?;
        Ok(Some(name.clone()))
    }

    /// One that is there has to be the caller's to write.
    async fn check_dead_letters(
        &self,
        spec: &ProcessorSpec,
        found: &Stored<Flow>,
    ) -> Result<(), Status> {
        let name = &found.resource.spec.name;
        let rights = self
            .participant
            .rights_on_flow(self.caller, &found.resource)
            .await?;
        if !rights.include(Right::Write) {
            return Err(no_dead_letters(spec, name));
        }
        if found.deleting {
            let text = format!("{name} is being deleted; try again when that is done");
            return Err(Status::new(Code::Busy, text));
        }
        Ok(())
    }
}

/// 552: the same whether or not there is the flow, for that is not the caller's to know.
fn no_dead_letters(spec: &ProcessorSpec, name: &Name) -> Status {
    let (processor, owner) = (&spec.name, &spec.owner);
    let text = format!(
        "the dead letters of {processor} go to {name}, which {owner} may neither create nor write; who may \
         can do both: CREATE FLOW {name}, GRANT write ON {name} TO {owner}"
    );
    Status::new(Code::Denied, text)
}
