//! CREATE, UPDATE, PAUSE, RESUME, DELETE and DESCRIBE PROCESSOR, GET PROCESSORS.

use eson_processor::proto;
use eson_protocol::{Code, DataLine, Name, ProcessorOptions, ProcessorType, Reply, Right, Status};

use super::lines::{attribute, entry, optional};
use super::{Answer, Request, wait};
use crate::resource::{Activity, Processor, ProcessorSpec, ProcessorStatus};
use crate::store::{StoreError, Stored};

impl Request<'_> {
    /// Runs a bridge between two flows that are hosted here.
    pub(super) async fn create_processor(&self, name: String, options: ProcessorOptions) -> Answer {
        let spec = self.processor_spec(name, options).await?;
        let processors = &self.participant.processors;
        let wanted = Processor {
            spec: spec.clone(),
            status: ProcessorStatus::default(),
        };
        let created = match processors.create(&spec.name, wanted).await {
            Ok(_) => true,
            Err(StoreError::Exists { .. }) => self.same_processor(&spec).await.map(|()| false)?,
            Err(error) => return Err(error.into()),
        };
        let settled = wait::settled(processors, &spec.name, 1, |it| &it.status.condition).await;
        match settled {
            Err(status) if created && !status.is_transient() => {
                processors.mark_deleting(&spec.name).await?;
                Err(status)
            }
            Err(status) => Err(status),
            Ok(_) => Ok(Status::done_with(&spec.name).into()),
        }
    }

    async fn processor_spec(
        &self,
        name: String,
        options: ProcessorOptions,
    ) -> Result<ProcessorSpec, Status> {
        check_processor_name(&name)?;
        match options.kind {
            Some(ProcessorType::Bridge) => {}
            Some(_) => {
                let text = "this FNAA runs processors of type=bridge";
                return Err(Status::new(Code::Unsupported, text));
            }
            None => return Err(Status::new(Code::Argument, "type=bridge is missing")),
        }
        let (source, destination) = one_each(&options)?;
        self.check_processor_flows(&source, &destination).await?;
        Ok(ProcessorSpec {
            name,
            owner: self.caller.principal.clone(),
            kind: ProcessorType::Bridge,
            sources: vec![source],
            destinations: vec![destination],
            start: options.start.unwrap_or_default(),
            incarnation: crate::secrets::random_token()?,
            activity: Activity::Running,
            generation: 1,
        })
    }

    async fn check_processor_flows(&self, from: &Name, to: &Name) -> Result<(), Status> {
        let reads = self
            .participant
            .authorized_flow(self.caller, Right::Read, from)
            .await?;
        let writes = self
            .participant
            .authorized_flow(self.caller, Right::Write, to)
            .await?;
        let (source, destination) = (&reads.resource.spec, &writes.resource.spec);
        let same_queue = source.broker == destination.broker && source.queue == destination.queue;
        if same_queue || self.participant.feeds(to, from).await? {
            let text = format!("{to} feeds {from}: events would go round");
            return Err(Status::new(Code::Loop, text));
        }
        Ok(())
    }

    async fn same_processor(&self, wanted: &ProcessorSpec) -> Result<(), Status> {
        let found = self.participant.processors.get(&wanted.name).await?;
        let same = found.as_ref().is_some_and(|found| {
            let spec = &found.resource.spec;
            !found.deleting
                && spec.owner == wanted.owner
                && spec.sources == wanted.sources
                && spec.destinations == wanted.destinations
        });
        if same {
            return Ok(());
        }
        let text = format!("a processor {} exists already", wanted.name);
        Err(Status::new(Code::Exists, text))
    }

    /// Where a processor reads and writes is what it is; another is another processor.
    pub(super) async fn update_processor(&self, name: String, options: ProcessorOptions) -> Answer {
        let found = self.own_processor(&name).await?;
        let spec = &found.resource.spec;
        let same = (options.sources.is_empty() || options.sources == spec.sources)
            && (options.destinations.is_empty() || options.destinations == spec.destinations)
            && options.kind.is_none_or(|kind| kind == spec.kind)
            && options.start.is_none_or(|start| start == spec.start);
        if same {
            return Ok(Status::done_with(&name).into());
        }
        let text = format!("{name}: a bridge can't change; delete it and create another");
        Err(Status::new(Code::Argument, text))
    }

    pub(super) async fn pause_processor(&self, name: String) -> Answer {
        self.set_processor_activity(name, Activity::Paused).await
    }

    pub(super) async fn resume_processor(&self, name: String) -> Answer {
        self.set_processor_activity(name, Activity::Running).await
    }

    async fn set_processor_activity(&self, name: String, activity: Activity) -> Answer {
        self.own_processor(&name).await?;
        let processors = &self.participant.processors;
        let change = |processor: &mut Processor| {
            if processor.spec.activity != activity {
                processor.spec.activity = activity;
                processor.spec.generation += 1;
                processor.status.condition.failure = None;
            }
        };
        let stored = processors.update(&name, change).await?;
        let generation = stored.resource.spec.generation;
        wait::settled(processors, &name, generation, |it| &it.status.condition).await?;
        Ok(Status::done_with(&name).into())
    }

    pub(super) async fn delete_processor(&self, name: String) -> Answer {
        self.own_processor(&name).await?;
        let processors = &self.participant.processors;
        processors.mark_deleting(&name).await?;
        wait::gone(processors, &name, |it| &it.status.condition).await?;
        Ok(Status::done_with(&name).into())
    }

    pub(super) async fn describe_processor(&self, name: String) -> Answer {
        let found = self.own_processor(&name).await?;
        let spec = &found.resource.spec;
        let mut lines = vec![
            attribute("processor", &spec.name),
            attribute("type", "bridge"),
        ];
        lines.extend(spec.sources.iter().map(|source| attribute("from", source)));
        lines.extend(
            spec.destinations
                .iter()
                .map(|destination| attribute("to", destination)),
        );
        lines.push(attribute("owner", &spec.owner));
        lines.push(attribute("activity", activity_word(spec.activity)));
        let failure = found.resource.status.condition.failure.as_ref();
        lines.extend(optional("failure", failure.map(|failure| &failure.text)));
        if let Some(leg) = self.participant.processor_status(&name) {
            lines.extend(leg_lines(&leg));
        }
        Ok(Reply::data(lines))
    }

    pub(super) async fn list_processors(&self) -> Answer {
        let mut lines = Vec::new();
        for found in self.participant.processors.list().await? {
            if self.own_processor(&found.name).await.is_ok() {
                lines.push(self.processor_entry(&found).await);
            }
        }
        Ok(Reply::data(lines))
    }

    async fn processor_entry(&self, found: &Stored<Processor>) -> DataLine {
        let spec = &found.resource.spec;
        let join = |names: &[Name]| names.iter().map(Name::as_str).collect::<Vec<_>>().join(",");
        let mut values = vec![
            ("type", "bridge".to_owned()),
            ("from", join(&spec.sources)),
            ("to", join(&spec.destinations)),
        ];
        let leg = self.participant.processor_status(&found.name);
        let state = leg
            .as_ref()
            .map_or("pending", |leg| state_word(leg.state()));
        values.push(("state", state.to_owned()));
        values.extend(leg.map(|leg| ("lag", leg.lag.to_string())));
        entry(&spec.name, &values)
    }

    async fn own_processor(&self, name: &str) -> Result<Stored<Processor>, Status> {
        let found = self.participant.processors.get(name).await?;
        let own = found.filter(|found| found.resource.spec.owner == self.caller.principal);
        own.ok_or_else(|| {
            let text = format!("there is no processor {name} of yours");
            Status::new(Code::NotFound, text)
        })
    }
}

fn check_processor_name(name: &str) -> Result<(), Status> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !name.is_empty() && name.len() <= 128 && name.chars().all(allowed) {
        return Ok(());
    }
    let text = "a processor's name has 1 to 128 letters, digits, `-`, `.` and `_`";
    Err(Status::new(Code::Argument, text))
}

fn one_each(options: &ProcessorOptions) -> Result<(Name, Name), Status> {
    match (options.sources.as_slice(), options.destinations.as_slice()) {
        ([source], [destination]) => Ok((source.clone(), destination.clone())),
        _ => Err(Status::new(
            Code::Argument,
            "a bridge has one from= and one to=",
        )),
    }
}

fn activity_word(activity: Activity) -> &'static str {
    match activity {
        Activity::Running => "running",
        Activity::Paused => "paused",
        Activity::Stopped => "stopped",
    }
}

/// What the runtime tells of a leg, as data lines.
pub(super) fn leg_lines(leg: &proto::LegStatus) -> Vec<DataLine> {
    let mut lines = vec![
        attribute("processor-state", state_word(leg.state())),
        attribute("lag", leg.lag),
        attribute("records", leg.records),
        attribute("bytes", leg.bytes),
        attribute("lost", leg.lost),
        attribute("rate", format!("{:.1}", leg.rate)),
    ];
    let mut stored: Vec<_> = leg.stored.iter().collect();
    stored.sort();
    lines.extend(
        stored
            .iter()
            .map(|(partition, next)| attribute("position", format!("{partition}-{next}"))),
    );
    lines.extend(optional(
        "processor-error",
        leg.error.as_ref().map(|error| &error.text),
    ));
    lines
}

pub(super) fn state_word(state: proto::State) -> &'static str {
    match state {
        proto::State::Unspecified => "unknown",
        proto::State::Starting => "starting",
        proto::State::Running => "running",
        proto::State::Paused => "paused",
        proto::State::Retrying => "retrying",
        proto::State::Failed => "failed",
    }
}
