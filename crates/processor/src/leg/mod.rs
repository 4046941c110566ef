//! A leg: one way from the source queue to a destination queue, as a task of its own.

mod annotation;
mod copy;
mod drive;
mod examination;
mod open;
mod pace;
mod passage;
mod refusal;
mod run;
mod succession;

use std::sync::Arc;
use std::time::Duration;

pub use annotation::SOURCE_FLOW;
pub(crate) use drive::Ended;
use eson_broker::Rates;
pub(crate) use open::{check_identity, given, progress, store_positions};
pub(crate) use passage::{Opened, Passage};
pub(crate) use succession::Succession;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::brokers::BrokerFactory;
use crate::budget::{MemoryBudget, OutOfMemory};
use crate::report::{InstanceReport, LegReport, State};
use crate::schema_ids::Registries;
use crate::signal::{Programs, Silence};
use crate::source::SharedReads;
use crate::spec::LegSpec;
use crate::threads::{Desk, Threads};
use crate::turns::Place;

/// How long a leg that shall stop or pause waits for the destination to take what was read.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// What a leg is wanted to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Run,
    Pause,
    Stop,
}

/// What a leg is wanted to do, as its task sees it. A leg that nobody holds any more is to stop.
#[derive(Clone, Debug)]
pub(crate) struct Wishes(watch::Receiver<Wish>);

impl Wishes {
    pub(crate) fn current(&mut self) -> Wish {
        match self.0.has_changed() {
            Ok(_) => *self.0.borrow_and_update(),
            Err(_) => Wish::Stop,
        }
    }

    /// Waits for another wish than the one last seen. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        // An error means that nobody holds the leg, which `current` tells.
        drop(self.0.changed().await);
    }

    /// Waits for a wish of some kind. Cancel-safe.
    async fn until(&mut self, wanted: impl Fn(Wish) -> bool) {
        while !wanted(self.current()) {
            self.changed().await;
        }
    }
}

/// What a leg shares with the others of its instance.
pub(crate) struct Shared {
    /// What is read of the source.
    pub(crate) reads: Arc<SharedReads>,
    /// Its place among those that take turns at the destination; none writes when it can.
    pub(crate) place: Option<Arc<Place>>,
}

/// What all legs of a process share.
#[derive(Clone)]
pub(crate) struct Resources {
    pub(crate) brokers: Arc<dyn BrokerFactory>,
    pub(crate) memory: MemoryBudget,
    pub(crate) programs: Programs,
    pub(crate) registries: Registries,
    pub(crate) threads: Arc<Threads>,
}

/// A leg: one way from the source queue to a destination queue, as a task of its own.
#[derive(Debug)]
pub(crate) struct Leg {
    spec: LegSpec,
    wish: watch::Sender<Wish>,
    rates: watch::Sender<Rates>,
    state: watch::Receiver<State>,
    report: Arc<LegReport>,
    task: JoinHandle<()>,
    _desk: Desk,
}

/// How a pause ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Everything read is written.
    Fully,
    /// The destination did not take it in time; it will be read again.
    Partly,
}

impl Leg {
    /// Starts a leg, or takes one up without starting it if `wish` is to pause.
    pub(crate) fn start(
        id: &str,
        spec: LegSpec,
        shared: Shared,
        wish: Wish,
        resources: &Resources,
        instance: &InstanceReport,
    ) -> Result<Self, OutOfMemory> {
        let share = resources.memory.enter()?;
        let state = match wish {
            Wish::Pause => State::Paused,
            Wish::Run | Wish::Stop => State::Starting,
        };
        let report = instance.add_leg(id, state);
        let wish = watch::Sender::new(wish);
        let rates = watch::Sender::new(spec.rates);
        let desk = resources.threads.desk();
        let ids = spec.schema_ids.as_ref().zip(spec.destination());
        let ids = ids.map(|(ids, to)| resources.registries.translation(ids, &to.queue));
        let task = run::Task {
            spec: spec.clone(),
            shared,
            brokers: resources.brokers.clone(),
            programs: resources.programs.clone(),
            share,
            wishes: Wishes(wish.subscribe()),
            pace: pace::Pace::new(rates.subscribe()),
            search: refusal::Search::default(),
            silence: Silence::default(),
            ids,
            report: report.clone(),
        };
        Ok(Self {
            spec,
            wish,
            rates,
            state: report.watch_state(),
            report,
            task: desk.runtime.spawn(task.run()),
            _desk: desk,
        })
    }

    pub(crate) fn spec(&self) -> &LegSpec {
        &self.spec
    }

    pub(crate) fn has_failed(&self) -> bool {
        *self.state.borrow() == State::Failed
    }

    /// Stops reading and waits until all that was read is written, or a while.
    pub(crate) async fn pause(&mut self) -> Drained {
        self.report.was_cut_short();
        self.tell(Wish::Pause);
        let reached = |state: &State| matches!(state, State::Paused | State::Failed);
        // The state's sender lives in the report, which this leg holds: it can't be gone.
        if self.state.wait_for(reached).await.is_err() || self.report.was_cut_short() {
            return Drained::Partly;
        }
        Drained::Fully
    }

    /// Goes on after [`Leg::pause`].
    pub(crate) fn resume(&self) {
        self.tell(Wish::Run);
    }

    /// Tells the task what is wanted, if that is something else than before: one that is opening its
    /// ends, or waits to try that again, would begin anew.
    fn tell(&self, wish: Wish) {
        self.wish.send_if_modified(|before| {
            let before = std::mem::replace(before, wish);
            before != wish
        });
    }

    /// Keeps `spec` for the next comparison: it differs in nothing that the task knows, but for
    /// the rates, which hold from now on.
    pub(crate) fn replace_spec(&mut self, spec: LegSpec) {
        self.rates.send_if_modified(|rates| {
            let before = std::mem::replace(rates, spec.rates);
            before != spec.rates
        });
        self.spec = spec;
    }

    /// Drains, for a bounded time, and ends.
    pub(crate) async fn stop(self) {
        self.tell(Wish::Stop);
        if let Err(error) = self.task.await {
            tracing::error!(leg = self.report.id(), %error, "the leg's task broke");
        }
    }
}
