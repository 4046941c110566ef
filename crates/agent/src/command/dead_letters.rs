//! The flow of a signal's dead letters: `dlq.<processor>`.

use eson_protocol::{Access, Code, Name, PayloadAttributes, Program, Status};

use super::Request;
use crate::resource::{Activity, FlowSpec, ProcessorSpec, Quality, SignalSpec, copies_only};

/// The first label of such a flow.
const LABEL: &str = "dlq";

impl Request<'_> {
    /// What a new signal does.
    pub(super) async fn signal_spec(
        &self,
        spec: &ProcessorSpec,
        program: Program,
    ) -> Result<SignalSpec, Status> {
        let dead_letters = self.dead_letters_name(spec).await?;
        if spec.touches(&dead_letters) {
            let text = format!("{dead_letters} takes the dead letters of {}", spec.name);
            return Err(Status::new(Code::Loop, text));
        }
        Ok(SignalSpec {
            program,
            dead_letters,
            window: None,
        })
    }

    /// `dlq.<processor>`, in the namespace of the first flow that it writes: that is added where
    /// the processor's name is not within it.
    async fn dead_letters_name(&self, spec: &ProcessorSpec) -> Result<Name, Status> {
        let named = format!("{LABEL}.{}", spec.name);
        let Some(first) = spec.destinations.first() else {
            let text = format!("the signal {} needs a flow in to=", spec.name);
            return Err(Status::new(Code::Argument, text));
        };
        let namespace = self.participant.hosting_namespace(first).await?;
        let namespace = namespace.resource.spec.name;
        let within = Name::parse(&named).ok();
        if let Some(name) = within.filter(|name| name.is_within(&namespace)) {
            return Ok(name);
        }
        let name = format!("{named}.{namespace}");
        Name::parse(&name).map_err(|error| {
            let text = format!(
                "the dead letters of {} would go to {name}, which can be no flow: {error}; choose \
                 another name for the processor",
                spec.name
            );
            Status::new(Code::Name, text)
        })
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
        let flow = FlowSpec {
            name: name.clone(),
            namespace: namespace.name,
            owner: spec.owner.clone(),
            queue: entry.queue_name(name),
            broker,
            adopted: false,
            partitions: Some(1),
            retention: None,
            access: Access::Private,
            payload: PayloadAttributes::default(),
            modes: copies_only(),
            history: None,
            quality: Quality::default(),
            activity: Activity::Running,
            generation: 1,
        };
        self.ensure_flow(flow).await?;
        Ok(Some(name.clone()))
    }
}
