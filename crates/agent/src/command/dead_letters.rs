//! The flow of a processor's dead letters: `dlq.<processor>`.

use eson_protocol::{Code, Name, Program, Status};

use super::Request;
use crate::resource::{DEAD_LETTERS, FlowSpec, ProcessorSpec, SignalSpec};

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
        let namespace = self.participant.hosting_namespace(first).await?;
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
    pub(super) async fn ensure_dead_letters(
        &self,
        spec: &ProcessorSpec,
    ) -> Result<Option<Name>, Status> {
        let (Some(signal), Some(first)) = (&spec.signal, spec.destinations.first()) else {
            return Ok(None);
        };
        let name = &signal.dead_letters;
        if let Some(found) = self.participant.flows.get(name.as_str()).await? {
            if found.resource.spec.owner == spec.owner && !found.deleting {
                return Ok(None);
            }
            let text = format!("{name} is another flow; choose another name for the processor");
            return Err(Status::new(Code::Exists, text));
        }
        let namespace = self
            .participant
            .hosting_namespace(name)
            .await?
            .resource
            .spec;
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
}
