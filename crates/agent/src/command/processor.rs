//! CREATE, UPDATE, PAUSE, RESUME, STOP and DELETE PROCESSOR.

use eson_protocol::{Code, Name, ProcessorOptions, ProcessorType, Status};

use super::{Answer, Request, wait};
use crate::resource::{Activity, Processor, ProcessorSpec, ProcessorStatus};
use crate::store::{StoreError, Stored};

impl Request<'_> {
    /// Runs a processor between flows that are hosted here.
    pub(super) async fn create_processor(&self, name: String, options: ProcessorOptions) -> Answer {
        let spec = self.processor_spec(name, options).await?;
        let processors = &self.participant.processors;
        self.check_processor_flows(&spec).await?;
        if let Some(signal) = &spec.signal {
            self.check_program(&spec.name, &signal.program).await?;
        }
        let made = self.ensure_dead_letters(&spec).await?;
        let created = self.store_when_free(&spec).await?;
        let settled = wait::settled(processors, &spec.name, 1, |it| &it.status.condition).await;
        match settled {
            Err(status) if created && !status.is_transient() => {
                processors.mark_deleting(&spec.name).await?;
                if let Some(flow) = made {
                    self.participant.flows.mark_deleting(flow.as_str()).await?;
                }
                Err(status)
            }
            Err(status) => Err(status),
            Ok(_) => Ok(Status::done_with(&spec.name).into()),
        }
    }

    /// Stores a new processor, once another one of that name has ended that is being deleted, or that
    /// was refused a moment ago; false where the same one is there already.
    async fn store_when_free(&self, spec: &ProcessorSpec) -> Result<bool, Status> {
        let processors = &self.participant.processors;
        loop {
            match self.store_processor(spec).await? {
                Place::Taken => return Ok(true),
                Place::HeldBySame => return Ok(false),
                Place::NotYetFree => {
                    wait::gone(processors, &spec.name, |it| &it.status.condition).await?;
                }
            }
        }
    }

    async fn store_processor(&self, spec: &ProcessorSpec) -> Result<Place, Status> {
        // Of two that would close a circle together, one has to see the other.
        let _alone = self.participant.routing.lock().await;
        self.check_processor_flows(spec).await?;
        let wanted = Processor {
            spec: spec.clone(),
            status: ProcessorStatus::default(),
        };
        match self.participant.processors.create(&spec.name, wanted).await {
            Ok(_) => return Ok(Place::Taken),
            Err(StoreError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let found = self.participant.processors.get(&spec.name).await?;
        match found.filter(|found| !found.deleting) {
            None => Ok(Place::NotYetFree),
            Some(found) if is_same(spec, &found.resource.spec) => Ok(Place::HeldBySame),
            Some(_) => {
                let text = format!("another processor {} exists already", spec.name);
                Err(Status::new(Code::Exists, text))
            }
        }
    }

    /// Changes which flows a collector, distributor or signal reads or writes, what a collector
    /// does with its sources, what becomes of gaps, and a signal's program. Legs that are not
    /// concerned go on undisturbed.
    pub(super) async fn update_processor(&self, name: String, options: ProcessorOptions) -> Answer {
        self.own_processor(&name).await?;
        if let Some(program) = &options.program {
            self.check_program(&name, program).await?;
        }
        let generation = self.store_update(&name, options).await?;
        self.await_processor(name, generation).await
    }

    /// Stores what the options change; gives the generation of the spec.
    async fn store_update(&self, name: &str, options: ProcessorOptions) -> Result<u64, Status> {
        let _alone = self.participant.routing.lock().await;
        let found = self.own_processor(name).await?;
        let wanted = changed(&found.resource.spec, options)?;
        if wanted == found.resource.spec {
            return Ok(wanted.generation);
        }
        super::processor_check::check_counts(&wanted)?;
        self.check_processor_flows(&wanted).await?;
        let change = |processor: &mut Processor| {
            let spec = &mut processor.spec;
            spec.sources.clone_from(&wanted.sources);
            spec.destinations.clone_from(&wanted.destinations);
            spec.on_gap = wanted.on_gap;
            spec.annotate = wanted.annotate;
            spec.fair = wanted.fair;
            spec.signal.clone_from(&wanted.signal);
            spec.registry.clone_from(&wanted.registry);
            spec.validate = wanted.validate;
            spec.delivery = wanted.delivery;
            spec.generation += 1;
            processor.status.condition.failure = None;
        };
        let stored = self.participant.processors.update(name, change).await?;
        Ok(stored.resource.spec.generation)
    }

    pub(super) async fn pause_processor(&self, name: String) -> Answer {
        self.set_processor_activity(name, Activity::Paused).await
    }

    pub(super) async fn stop_processor(&self, name: String) -> Answer {
        self.set_processor_activity(name, Activity::Stopped).await
    }

    /// Also one that runs already is told again, so that legs that have failed start anew.
    pub(super) async fn resume_processor(&self, name: String) -> Answer {
        self.set_processor_activity(name, Activity::Running).await
    }

    async fn set_processor_activity(&self, name: String, activity: Activity) -> Answer {
        self.own_processor(&name).await?;
        let change = |processor: &mut Processor| {
            if processor.spec.activity != activity || activity == Activity::Running {
                processor.spec.activity = activity;
                processor.spec.generation += 1;
                processor.status.condition.failure = None;
            }
        };
        let stored = self.participant.processors.update(&name, change).await?;
        let generation = stored.resource.spec.generation;
        self.await_processor(name, generation).await
    }

    async fn await_processor(&self, name: String, generation: u64) -> Answer {
        let processors = &self.participant.processors;
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

    /// A processor is its owner's, and nobody else may know of it.
    pub(super) async fn own_processor(&self, name: &str) -> Result<Stored<Processor>, Status> {
        let found = self.participant.processors.get(name).await?;
        let own = found.filter(|found| found.resource.spec.owner == self.caller.principal);
        own.ok_or_else(|| {
            let text = format!("there is no processor {name} of yours");
            Status::new(Code::NotFound, text)
        })
    }
}

/// What became of a name that a new processor is to have.
enum Place {
    /// It is the new one's.
    Taken,
    /// The same processor has it already.
    HeldBySame,
    /// One that is being deleted has it.
    NotYetFree,
}

/// Whether CREATE PROCESSOR would make what is there, but for what comes with its making and running.
fn is_same(wanted: &ProcessorSpec, found: &ProcessorSpec) -> bool {
    let as_wanted = ProcessorSpec {
        incarnation: wanted.incarnation.clone(),
        activity: wanted.activity,
        generation: wanted.generation,
        dead_letters: wanted.dead_letters.clone(),
        ..found.clone()
    };
    as_wanted == *wanted
}

/// The spec with what the options change.
///
/// What a processor is made of can't change, since its positions are kept for that: one with
/// another type, start, or end that all its legs share is another processor.
fn changed(spec: &ProcessorSpec, options: ProcessorOptions) -> Result<ProcessorSpec, Status> {
    let elsewhere = begins_elsewhere(spec, &options);
    let mut wanted = spec.clone();
    if !options.sources.is_empty() {
        wanted.sources = options.sources;
    }
    if !options.destinations.is_empty() {
        wanted.destinations = options.destinations;
    }
    let changes = *options.flow_changes;
    change_flows(
        &mut wanted.sources,
        changes.added_sources,
        &changes.removed_sources,
    );
    change_flows(
        &mut wanted.destinations,
        changes.added_destinations,
        &changes.removed_destinations,
    );
    use ProcessorType::{Collector, Distributor, Signal};
    let shares_source = !matches!(spec.kind, Collector | Signal);
    let shares_destination = !matches!(spec.kind, Distributor | Signal);
    let fixed = [
        ("type=", options.kind.is_some_and(|kind| kind != spec.kind)),
        ("start=", elsewhere),
        ("from=", shares_source && wanted.sources != spec.sources),
        (
            "to=",
            shares_destination && wanted.destinations != spec.destinations,
        ),
    ];
    if let Some((what, _)) = fixed.iter().find(|(_, changes)| *changes) {
        return Err(unchangeable(spec, what));
    }
    let window = spec
        .signal
        .as_ref()
        .and_then(|signal| signal.window.as_ref());
    let by = window.and_then(|window| window.by.as_deref());
    let fixed = [
        (
            "window=",
            options
                .window
                .is_some_and(|it| window.is_none_or(|is| is.length != it)),
        ),
        (
            "tumbling=",
            options
                .tumbling
                .is_some_and(|it| window.is_none_or(|is| is.tumbling != it)),
        ),
        ("by=", options.by.is_some() && options.by.as_deref() != by),
    ];
    if let Some((what, _)) = fixed.iter().find(|(_, changes)| *changes) {
        return Err(unchangeable(spec, what));
    }
    wanted.on_gap = options.on_gap.unwrap_or(spec.on_gap);
    wanted.annotate = options.annotate.unwrap_or(spec.annotate);
    wanted.fair = options.fair.unwrap_or(spec.fair);
    wanted.delivery = super::delivery::changed(spec.delivery, options.delivery);
    wanted.validate = options.validate.unwrap_or(spec.validate);
    wanted.registry = super::registry::changed(spec.registry.as_ref(), &options.registry)?;
    match (&mut wanted.signal, options.program) {
        (_, None) => {}
        (Some(signal), Some(program)) => signal.program = program,
        (None, Some(_)) => {
            let text = "program=, grpc= and grpcs= are for type=signal only";
            return Err(Status::new(Code::Argument, text));
        }
    }
    Ok(wanted)
}

/// What is there already, or gone already, changes nothing: a command may be said again.
fn change_flows(flows: &mut Vec<Name>, added: Vec<Name>, removed: &[Name]) {
    flows.retain(|flow| !removed.contains(flow));
    for flow in added {
        if !flows.contains(&flow) {
            flows.push(flow);
        }
    }
}

fn unchangeable(spec: &ProcessorSpec, what: &str) -> Status {
    let text = format!(
        "{what} of the {} {} can't change; delete it and create another",
        spec.kind.as_str(),
        spec.name
    );
    Status::new(Code::Argument, text)
}

fn begins_elsewhere(spec: &ProcessorSpec, options: &ProcessorOptions) -> bool {
    options.start.is_some_and(|it| it != spec.start)
        || options.cursor.as_ref().is_some_and(|it| *it != spec.cursor)
}
