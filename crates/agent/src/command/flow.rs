//! CREATE, UPDATE, DESCRIBE and DELETE FLOW, GET FLOWS.

use eson_protocol::text::format_duration;
use eson_protocol::{Access, Code, DataLine, FlowOptions, Mode, Name, Reply, Right, Status};

use super::copy::queue_lines;
use super::lines::{attribute, attributes, optional};
use super::{Answer, Request, payload, wait};
use crate::authority::Role;
use crate::participant::Pinned;
use crate::resource::{
    Activity, COPY_PREFIX, Flow, FlowSpec, FlowStatus, NamespaceSpec, Quality, copies_only, limited,
};
use crate::store::{StoreError, Stored};

impl Request<'_> {
    /// Creates a flow, its queue and its records. The same once more changes nothing.
    pub(super) async fn create_flow(&self, name: Name, options: FlowOptions) -> Answer {
        let spec = self.new_flow(&name, options).await?;
        self.ensure_flow(spec).await?;
        Ok(Status::done_with(&name).into())
    }

    /// The spec of a new flow, if the caller may create it.
    pub(super) async fn new_flow(
        &self,
        name: &Name,
        options: FlowOptions,
    ) -> Result<FlowSpec, Status> {
        let namespace = self
            .participant
            .hosting_namespace(self.caller, name)
            .await?
            .resource
            .spec;
        self.administers_namespace(&namespace.name).await?;
        self.check_flow_name(name, &namespace)?;
        let broker = options
            .broker
            .clone()
            .unwrap_or_else(|| namespace.broker.clone());
        let entry = self.participant.brokers.require(&broker)?;
        let adopted = options.queue.is_some();
        if let Some(queue) = &options.queue {
            entry.check_adoption(queue)?;
            self.check_nobody_has(name, &broker, queue).await?;
        }
        let payload = self.new_payload(name, options.payload).await?;
        let queue = options.queue.unwrap_or_else(|| entry.queue_name(name));
        let default = entry.default_partitions();
        let partitions = (!adopted).then(|| options.partitions.unwrap_or(default));
        let mut quality = Quality::default();
        quality.apply(&options.quality);
        let owner = self.caller.principal.clone();
        let spec = FlowSpec {
            adopted,
            partitions,
            retention: options.retention,
            access: options.access.unwrap_or_default(),
            payload,
            modes: options.modes.unwrap_or_else(copies_only),
            history: limited(options.history),
            quality,
            ..FlowSpec::private(name.clone(), namespace.name, owner, broker, queue)
        };
        check_policy(&spec)?;
        Ok(spec)
    }

    fn check_flow_name(&self, name: &Name, namespace: &NamespaceSpec) -> Result<(), Status> {
        let refuse = |text: String| Err(Status::new(Code::Name, text));
        let Some(relative) = name.relative_to(&namespace.name) else {
            return refuse(format!(
                "{name} is a namespace; a flow needs a label in front of it"
            ));
        };
        if relative
            .split('.')
            .any(|label| label.starts_with(COPY_PREFIX))
        {
            return refuse(format!(
                "{name}: labels that begin with {COPY_PREFIX} are kept for copies of flows"
            ));
        }
        Ok(())
    }

    /// Stores the flow unless the same is there, and waits until it is ready. A flow that can't
    /// be made is taken back.
    pub(super) async fn ensure_flow(&self, spec: FlowSpec) -> Result<Stored<Flow>, Status> {
        let flows = &self.participant.flows;
        let name = spec.name.to_string();
        let flow = Flow {
            spec: spec.clone(),
            status: FlowStatus::default(),
        };
        let created = match flows.create(&name, flow).await {
            Ok(_) => true,
            Err(StoreError::Exists { .. }) => self.same_flow(&spec).await.map(|()| false)?,
            Err(error) => return Err(error.into()),
        };
        match wait::settled(flows, &name, spec.generation, |it| &it.status.condition).await {
            Ok(Some(flow)) => Ok(flow),
            Ok(None) => Err(deleted_meanwhile(&spec.name)),
            Err(status) if created && !status.is_transient() => {
                flows.mark_deleting(&name).await?;
                Err(status)
            }
            Err(status) => Err(status),
        }
    }

    async fn same_flow(&self, wanted: &FlowSpec) -> Result<(), Status> {
        let found = self.participant.flows.get(wanted.name.as_str()).await?;
        let Some(found) = found else {
            return Err(deleted_meanwhile(&wanted.name));
        };
        let spec = &found.resource.spec;
        if found.deleting {
            let text = format!(
                "{} is being deleted; try again when that is done",
                wanted.name
            );
            return Err(Status::new(Code::Busy, text));
        }
        let same = spec.owner == wanted.owner
            && spec.broker == wanted.broker
            && spec.queue == wanted.queue
            && spec.partitions == wanted.partitions
            && spec.retention == wanted.retention
            && spec.access == wanted.access
            && spec.payload == wanted.payload
            && spec.modes == wanted.modes
            && spec.history == wanted.history
            && spec.quality == wanted.quality;
        if same {
            return Ok(());
        }
        let text = format!("the flow {} exists already with other content", wanted.name);
        Err(Status::new(Code::Exists, text))
    }

    pub(super) async fn update_flow(&self, name: Name, options: FlowOptions) -> Answer {
        let flow = self
            .participant
            .authorized_flow(self.caller, Right::Admin, &name)
            .await?;
        check_update(&flow.resource.spec, &options)?;
        let payload = payload::merged(&flow.resource.spec.payload, &options.payload);
        let pinned = match payload == flow.resource.spec.payload {
            true => Pinned::unchanged(payload),
            false => self.participant.pinned(payload).await?,
        };
        let mut wanted = flow.resource.spec.clone();
        apply(&mut wanted, &options);
        check_policy(&wanted)?;
        let change = |flow: &mut Flow| {
            let before = flow.spec.clone();
            apply(&mut flow.spec, &options);
            flow.spec.payload.clone_from(&pinned.payload);
            if flow.spec != before {
                flow.spec.generation += 1;
                flow.status.condition.failure = None;
            }
        };
        let answer = self.change_flow(&name, change).await;
        self.participant.keep_schema(&name, &pinned).await?;
        let answer = answer?;
        // Whom the flow's access or modes let in no longer.
        self.participant.revoke_unentitled(&name).await?;
        Ok(answer)
    }

    pub(super) async fn change_flow(
        &self,
        name: &Name,
        change: impl FnMut(&mut Flow) + Send,
    ) -> Answer {
        let flows = &self.participant.flows;
        let stored = flows.update(name.as_str(), change).await?;
        let generation = stored.resource.spec.generation;
        wait::settled(flows, name.as_str(), generation, |it| &it.status.condition).await?;
        Ok(Status::done_with(name).into())
    }

    /// The draft's four attributes first, then what else is known.
    pub(super) async fn describe_flow(&self, name: Name) -> Answer {
        let copy = self.describe_copy(&name).await?;
        if let Some(lines) = copy {
            return Ok(Reply::data(lines));
        }
        let flow = self
            .participant
            .authorized_flow(self.caller, Right::Read, &name)
            .await?;
        let spec = &flow.resource.spec;
        let entry = self.participant.brokers.require(&spec.broker)?;
        let mut lines = vec![
            attribute("flow", &name),
            attribute("type", entry.kind),
            attribute("topic", &spec.queue),
        ];
        let servers = &entry.public().servers;
        lines.extend(servers.iter().map(|server| attribute("server", server)));
        lines.extend(entry.is_tls().then(|| attribute("tls", "yes")));
        lines.push(attribute("partitions", flow.resource.status.partitions));
        lines.extend(spec.payload.lines());
        lines.push(attribute("access", access_word(spec.access)));
        lines.push(attribute("modes", modes_word(&spec.modes)));
        lines.extend(optional("history", spec.history.map(format_duration)));
        let rights = self
            .participant
            .rights_on_flow(self.caller, &flow.resource)
            .await?;
        if self.caller.role == Role::Processor {
            lines.extend(queue_lines(entry, &spec.queue).await?);
        } else if rights.include(Right::Admin) {
            lines.extend(administrative(&flow));
        }
        Ok(Reply::data(lines))
    }

    /// Deletes the flow, its subscribers' copies, its queue (unless adopted) and its records.
    pub(super) async fn delete_flow(&self, name: Name) -> Answer {
        match self
            .participant
            .authorized_flow(self.caller, Right::Admin, &name)
            .await
        {
            Ok(_) => {}
            Err(status) if status.code == Code::Busy.number() => {}
            Err(status) => return Err(status),
        }
        let flows = &self.participant.flows;
        match flows.mark_deleting(name.as_str()).await {
            Ok(_) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        wait::gone(flows, name.as_str(), |it| &it.status.condition).await?;
        Ok(Status::done_with(&name).into())
    }

    pub(super) async fn list_flows(&self, namespace: Option<Name>) -> Answer {
        if let Some(namespace) = &namespace {
            self.participant
                .hosting_namespace(self.caller, namespace)
                .await?;
        }
        let mut lines = Vec::new();
        for flow in self.participant.flows.list().await? {
            let spec = &flow.resource.spec;
            let asked = namespace
                .as_ref()
                .is_none_or(|asked| spec.name.is_within(asked));
            if asked && self.sees_flow(&flow.resource).await? {
                lines.push(DataLine::Text(spec.name.to_string()));
            }
        }
        Ok(Reply::data(lines))
    }

    async fn sees_flow(&self, flow: &Flow) -> Result<bool, Status> {
        let rights = self.participant.rights_on_flow(self.caller, flow).await?;
        let known = rights.include(Right::Read) || rights.include(Right::Write);
        Ok(known || flow.spec.access == Access::Approval)
    }
}

fn check_update(spec: &FlowSpec, options: &FlowOptions) -> Result<(), Status> {
    let fixed = |what: &str| {
        let text = format!("{what} of {} can't change; create another flow", spec.name);
        Err(Status::new(Code::Argument, text))
    };
    if options
        .broker
        .as_ref()
        .is_some_and(|broker| *broker != spec.broker)
    {
        return fixed("the broker");
    }
    if options
        .queue
        .as_ref()
        .is_some_and(|queue| *queue != spec.queue)
    {
        return fixed("the queue");
    }
    if options.partitions.is_some() && spec.adopted {
        let text = format!(
            "{}: the number of partitions of an adopted queue is its owner's; the flow follows when it grows",
            spec.name
        );
        return Err(Status::new(Code::Argument, text));
    }
    let grows = |wanted: u32| spec.partitions.is_none_or(|has| wanted >= has);
    if options.partitions.is_some_and(|wanted| !grows(wanted)) {
        let text = format!("{}: the number of partitions may only grow", spec.name);
        return Err(Status::new(Code::Argument, text));
    }
    if options.retention.is_some() && spec.adopted {
        let text = format!(
            "{}: the retention of an adopted queue is its owner's",
            spec.name
        );
        return Err(Status::new(Code::Argument, text));
    }
    Ok(())
}

/// Whether what the owner allows can be kept.
fn check_policy(spec: &FlowSpec) -> Result<(), Status> {
    if spec.history.is_some() && spec.modes.contains(&Mode::Direct) {
        let text = format!(
            "{}: who reads the queue itself reads all of it, so history= goes with modes=copy only",
            spec.name
        );
        return Err(Status::new(Code::Argument, text));
    }
    Ok(())
}

fn modes_word(modes: &[Mode]) -> String {
    let words: Vec<_> = modes.iter().map(|mode| mode.as_str()).collect();
    words.join(",")
}

fn apply(spec: &mut FlowSpec, options: &FlowOptions) {
    spec.quality.apply(&options.quality);
    if let Some(modes) = &options.modes {
        spec.modes.clone_from(modes);
    }
    if options.history.is_some() {
        spec.history = limited(options.history);
    }
    spec.partitions = options.partitions.or(spec.partitions);
    spec.retention = options.retention.or(spec.retention);
    spec.access = options.access.unwrap_or(spec.access);
}

fn administrative(flow: &Stored<Flow>) -> Vec<DataLine> {
    let spec = &flow.resource.spec;
    let condition = &flow.resource.status.condition;
    let mut lines = vec![
        attribute("owner", &spec.owner),
        attribute("broker", &spec.broker),
    ];
    lines.extend(spec.adopted.then(|| attribute("adopted", "yes")));
    lines.extend(optional("retention", spec.retention.map(format_duration)));
    lines.extend(attributes(spec.quality.words()));
    lines.push(attribute("state", flow_state(flow)));
    lines.extend(optional(
        "error",
        condition.failure.as_ref().map(|failure| &failure.text),
    ));
    lines.extend(optional(
        "advice",
        super::flow_activity::advice(&flow.resource),
    ));
    lines.extend(optional("notice", flow.resource.status.notice.as_ref()));
    lines
}

fn flow_state(flow: &Stored<Flow>) -> &'static str {
    let condition = &flow.resource.status.condition;
    match flow.resource.spec.activity {
        _ if flow.deleting => "deleting",
        _ if condition.failure.is_some() => "failed",
        _ if condition.ready < flow.resource.spec.generation => "pending",
        Activity::Running => "ready",
        Activity::Paused => "paused",
        Activity::Stopped => "stopped",
    }
}

fn deleted_meanwhile(name: &Name) -> Status {
    Status::new(
        Code::Busy,
        format!("{name} was deleted meanwhile; try again"),
    )
}

pub(super) fn access_word(access: Access) -> &'static str {
    match access {
        Access::Public => "public",
        Access::Private => "private",
        Access::Approval => "approval",
    }
}
