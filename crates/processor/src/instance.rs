//! An instance: its legs, what they read together, and what may be done with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::Mutex;

use crate::budget::OutOfMemory;
use crate::leg::{Drained, Leg, Resources, Shared, Wish};
use crate::processors::ProcessorError;
use crate::report::{Changes, InstanceReport};
use crate::source::SharedReads;
use crate::spec::{InstanceSpec, LegSpec};
use crate::turns::Turns;

/// An instance. What is done with it is done one after the other.
pub(crate) struct Instance {
    report: Arc<InstanceReport>,
    work: Mutex<Work>,
}

struct Work {
    /// None before the instance was started and after it was destroyed.
    spec: Option<InstanceSpec>,
    paused: bool,
    /// Of the source that the legs read together, where they do.
    reads: Arc<SharedReads>,
    /// At the destination that the legs write together, where they do.
    turns: Arc<Turns>,
    legs: BTreeMap<String, Leg>,
}

/// What became of a request to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// The instance runs, or ran already with this spec.
    Running,
    /// The instance was destroyed meanwhile: take another one.
    Gone,
}

impl Instance {
    /// An instance that does nothing before [`Instance::create`].
    pub(crate) fn new(id: &str, changes: Arc<Changes>) -> Self {
        Self {
            report: InstanceReport::new(id.to_owned(), changes),
            work: Mutex::new(Work {
                spec: None,
                paused: false,
                reads: Arc::default(),
                turns: Arc::default(),
                legs: BTreeMap::new(),
            }),
        }
    }

    pub(crate) fn report(&self) -> &Arc<InstanceReport> {
        &self.report
    }

    pub(crate) async fn create(
        &self,
        spec: InstanceSpec,
        resources: &Resources,
    ) -> Result<Created, ProcessorError> {
        let mut work = self.work.lock().await;
        match &work.spec {
            Some(existing) if *existing == spec => Ok(Created::Running),
            Some(_) => Err(ProcessorError::Exists(spec.id)),
            None if self.report.is_destroyed() => Ok(Created::Gone),
            None => {
                let applied = self.apply(&mut work, spec, resources).await;
                if applied.is_err() {
                    self.end(&mut work).await;
                }
                applied.map(|()| Created::Running)
            }
        }
    }

    pub(crate) async fn update(
        &self,
        spec: InstanceSpec,
        resources: &Resources,
    ) -> Result<(), ProcessorError> {
        let mut work = self.work.lock().await;
        work.existing(&self.report)?;
        self.apply(&mut work, spec, resources).await
    }

    pub(crate) async fn pause(&self) -> Result<(), ProcessorError> {
        let mut work = self.work.lock().await;
        work.existing(&self.report)?;
        work.paused = true;
        let pausing = work.legs.iter_mut().map(async |(id, leg)| {
            let drained = leg.pause().await;
            (drained == Drained::Partly).then(|| id.clone())
        });
        match join_all(pausing).await.into_iter().flatten().next() {
            Some(leg) => Err(ProcessorError::NotDrained(leg)),
            None => Ok(()),
        }
    }

    pub(crate) async fn resume(&self, resources: &Resources) -> Result<(), ProcessorError> {
        let mut work = self.work.lock().await;
        let spec = work.existing(&self.report)?.clone();
        work.paused = false;
        self.apply(&mut work, spec, resources).await
    }

    pub(crate) async fn destroy(&self) {
        let mut work = self.work.lock().await;
        if !self.report.is_destroyed() {
            self.end(&mut work).await;
        }
    }

    /// Drains and stops every leg, because the process ends and not the instance.
    pub(crate) async fn halt(&self) {
        self.work.lock().await.stop_all().await;
    }

    async fn end(&self, work: &mut Work) {
        work.stop_all().await;
        self.report.destroyed();
    }

    /// Makes the legs those of `spec`: stops what is gone, has changed or has failed, then
    /// starts what is missing.
    async fn apply(
        &self,
        work: &mut Work,
        spec: InstanceSpec,
        resources: &Resources,
    ) -> Result<(), ProcessorError> {
        let before = work.spec.as_ref();
        let same_source = before.is_some_and(|it| it.shared_source == spec.shared_source);
        let keeps = |id: &str, leg: &Leg| {
            let wanted = spec.legs.get(id);
            same_source && !leg.has_failed() && wanted.is_some_and(|to| leg.spec().is_same(to))
        };
        let legs = std::mem::take(&mut work.legs);
        let (kept, ended): (BTreeMap<_, _>, BTreeMap<_, _>) =
            legs.into_iter().partition(|(id, leg)| keeps(id, leg));
        work.legs = kept;
        self.stop(ended, &spec).await;
        if !same_source {
            work.reads = Arc::default();
        }
        work.reads.set_legs(spec.legs.len());
        let started = self.start_missing(work, &spec, resources);
        self.follow_pauses(work, &spec).await;
        work.spec = Some(spec);
        Ok(started?)
    }

    async fn stop(&self, legs: BTreeMap<String, Leg>, spec: &InstanceSpec) {
        let stopping = legs.into_iter().map(async |(id, leg)| {
            leg.stop().await;
            if !spec.legs.contains_key(&id) {
                self.report.remove_leg(&id);
            }
        });
        join_all(stopping).await;
    }

    fn start_missing(
        &self,
        work: &mut Work,
        spec: &InstanceSpec,
        resources: &Resources,
    ) -> Result<(), OutOfMemory> {
        for (id, wanted) in &spec.legs {
            if work.legs.contains_key(id) {
                continue;
            }
            let wish = work.wish(wanted);
            let shared = Shared {
                reads: match &spec.shared_source {
                    Some(_) => work.reads.clone(),
                    None => Arc::default(),
                },
                place: wanted.fair.then(|| Arc::new(work.turns.place())),
            };
            let leg = Leg::start(id, wanted.clone(), shared, wish, resources, &self.report)?;
            work.legs.insert(id.clone(), leg);
        }
        Ok(())
    }

    /// Lets each leg run or pause as its spec and the instance say.
    async fn follow_pauses(&self, work: &mut Work, spec: &InstanceSpec) {
        let paused = work.paused;
        let following = work.legs.iter_mut().map(async |(id, leg)| {
            let Some(wanted) = spec.legs.get(id) else {
                return;
            };
            leg.replace_spec(wanted.clone());
            if paused || wanted.paused {
                leg.pause().await;
            } else {
                leg.resume();
            }
        });
        join_all(following).await;
    }
}

impl Work {
    async fn stop_all(&mut self) {
        self.spec = None;
        let legs = std::mem::take(&mut self.legs);
        join_all(legs.into_values().map(Leg::stop)).await;
    }

    fn existing(&self, report: &InstanceReport) -> Result<&InstanceSpec, ProcessorError> {
        self.spec
            .as_ref()
            .ok_or_else(|| ProcessorError::NotFound(report.id().to_owned()))
    }

    fn wish(&self, leg: &LegSpec) -> Wish {
        if self.paused || leg.paused {
            Wish::Pause
        } else {
            Wish::Run
        }
    }
}

impl LegSpec {
    /// Whether a leg with this spec may go on undisturbed under the other one.
    fn is_same(&self, other: &Self) -> bool {
        let may_change = Self {
            paused: self.paused,
            rates: self.rates,
            // What it has seen says the same.
            begun: self.begun.clone(),
            ..other.clone()
        };
        *self == may_change
    }
}
