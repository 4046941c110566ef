//! All instances of this process, by their ids.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eson_protocol::BrokerKind;
use futures::future::join_all;
use tokio::task::JoinHandle;

use crate::brokers::BrokerFactory;
use crate::budget::{MemoryBudget, OutOfMemory};
use crate::instance::{Created, Instance};
use crate::leg::Resources;
use crate::proto;
use crate::report::{Changes, Inbox, InstanceReport};
use crate::schema_ids::Registries;
use crate::signal::Programs;
use crate::spec::{InstanceSpec, LegSpec, SpecError, Work};
use crate::threads::Threads;

/// All instances of this process. Every call is safe to repeat.
pub struct Processors {
    instances: Mutex<BTreeMap<String, Arc<Instance>>>,
    changes: Arc<Changes>,
    resources: Resources,
    counters: JoinHandle<()>,
    closing: AtomicBool,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessorError {
    /// The spec is wrong; correct it.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Another spec has the id; update or destroy it.
    #[error("an instance `{0}` with another spec exists")]
    Exists(String),
    /// There is no such instance.
    #[error("there is no instance `{0}`")]
    NotFound(String),
    /// No memory for so many legs.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// Paused, but not everything that was read could be written; it is read again later.
    #[error("leg `{0}` is paused, but its destination does not take what was read")]
    NotDrained(String),
    /// The process is about to end.
    #[error("this processor is shutting down")]
    Closing,
}

impl Processors {
    /// No instance yet. Must be called within a tokio runtime.
    #[must_use]
    pub fn new(
        brokers: Arc<dyn BrokerFactory>,
        memory: MemoryBudget,
        threads: Threads,
        programs: Programs,
        registries: Registries,
    ) -> Arc<Self> {
        let threads = Arc::new(threads);
        let changes = Arc::new(Changes::default());
        Arc::new(Self {
            instances: Mutex::default(),
            counters: tokio::spawn(changes.clone().tell_counters()),
            changes,
            resources: Resources {
                brokers,
                memory,
                programs,
                registries,
                threads,
            },
            closing: AtomicBool::new(false),
        })
    }

    /// The kinds of brokers that endpoints may have.
    #[must_use]
    pub fn kinds(&self) -> Vec<BrokerKind> {
        self.resources.brokers.kinds()
    }

    /// Creates an instance and starts it; with the same spec again it changes nothing.
    ///
    /// # Errors
    /// [`ProcessorError::Exists`] with another spec; [`ProcessorError::Memory`].
    pub async fn create(&self, spec: InstanceSpec) -> Result<(), ProcessorError> {
        self.check(&spec).await?;
        loop {
            let instance = self.find_or_add(&spec.id);
            let created = instance.create(spec.clone(), &self.resources).await;
            if instance.report().is_destroyed() {
                self.forget(&instance);
            }
            if created? == Created::Running {
                return Ok(());
            }
        }
    }

    /// Replaces an instance's spec. Returns when legs that are gone have stopped.
    ///
    /// # Errors
    /// [`ProcessorError::NotFound`]; [`ProcessorError::Memory`], with as many legs started as
    /// there is memory for.
    pub async fn update(&self, spec: InstanceSpec) -> Result<(), ProcessorError> {
        self.check(&spec).await?;
        let instance = self.find(&spec.id)?;
        instance.update(spec, &self.resources).await
    }

    /// Stops reading and returns when everything read is written.
    ///
    /// # Errors
    /// [`ProcessorError::NotFound`]; [`ProcessorError::NotDrained`] when a destination takes too
    /// long: the instance is paused all the same.
    pub async fn pause(&self, id: &str) -> Result<(), ProcessorError> {
        self.find(id)?.pause().await
    }

    /// Goes on after a pause, and starts failed legs again.
    ///
    /// # Errors
    /// [`ProcessorError::NotFound`].
    pub async fn resume(&self, id: &str) -> Result<(), ProcessorError> {
        self.find(id)?.resume(&self.resources).await
    }

    /// Drains, for a bounded time, stops and forgets an instance. One that is gone is no error.
    pub async fn destroy(&self, id: &str) {
        if let Ok(instance) = self.find(id) {
            instance.destroy().await;
            self.forget(&instance);
        }
    }

    /// Drains and stops every instance, for a bounded time each, and refuses new ones: the
    /// process is about to end. Positions stay where they are stored.
    pub async fn shut_down(&self) {
        self.closing.store(true, Ordering::SeqCst);
        let instances: Vec<_> = self.lock().values().cloned().collect();
        join_all(instances.iter().map(|instance| instance.halt())).await;
    }

    /// The status of one instance, or of all for an empty id.
    ///
    /// # Errors
    /// [`ProcessorError::NotFound`].
    pub fn describe(&self, id: &str) -> Result<Vec<proto::Status>, ProcessorError> {
        if id.is_empty() {
            let reports = self.reports();
            return Ok(reports.iter().map(|report| report.to_proto()).collect());
        }
        Ok(vec![self.find(id)?.report().to_proto()])
    }

    /// What happens from now on, beginning with what is.
    pub(crate) fn watch(&self) -> Arc<Inbox> {
        self.changes.watch(|| self.reports())
    }

    async fn check(&self, spec: &InstanceSpec) -> Result<(), ProcessorError> {
        if self.closing.load(Ordering::SeqCst) {
            return Err(ProcessorError::Closing);
        }
        let known = self.kinds();
        let ends = spec.legs.values();
        let unknown = ends
            .flat_map(LegSpec::endpoints)
            .find(|endpoint| !known.contains(&endpoint.kind));
        if let Some(endpoint) = unknown {
            return Err(SpecError::Unreached(endpoint.kind).into());
        }
        // All legs of a signal have the same program.
        let work = spec.legs.values().next().map(|leg| &leg.work);
        if let Some(Work::Signal(signal)) = work {
            let checked = self.resources.programs.check(signal).await;
            checked.map_err(SpecError::from)?;
        }
        Ok(())
    }

    fn reports(&self) -> Vec<Arc<InstanceReport>> {
        let instances = self.lock();
        instances
            .values()
            .map(|instance| instance.report().clone())
            .collect()
    }

    fn find(&self, id: &str) -> Result<Arc<Instance>, ProcessorError> {
        let found = self.lock().get(id).cloned();
        found.ok_or_else(|| ProcessorError::NotFound(id.to_owned()))
    }

    fn find_or_add(&self, id: &str) -> Arc<Instance> {
        self.lock()
            .entry(id.to_owned())
            .or_insert_with(|| Arc::new(Instance::new(id, self.changes.clone())))
            .clone()
    }

    /// Forgets an instance, and no other one that has its id by now.
    fn forget(&self, instance: &Arc<Instance>) {
        let mut instances = self.lock();
        let id = instance.report().id();
        if instances
            .get(id)
            .is_some_and(|known| Arc::ptr_eq(known, instance))
        {
            instances.remove(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Instance>>> {
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Processors {
    fn drop(&mut self) {
        self.counters.abort();
    }
}
