//! Runs one kind of reconciler: takes names from a work queue and looks at each, many at once.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::work_queue::{Outcome, WorkQueue};
use crate::agent::Ending;

/// How many resources of one kind are looked at at the same time.
const CONCURRENCY: usize = 32;

/// Makes the world match one kind of resource.
pub(crate) trait Reconciler: Send + Sync + 'static {
    /// Looks at the resource of that name and takes every step that is still missing. Each step
    /// is idempotent, and every intention is stored before anything is done, so that this may
    /// be cut off anywhere and called again.
    fn reconcile(&self, name: &str) -> impl Future<Output = Outcome> + Send;
}

/// Wants resources of one kind to be looked at.
#[derive(Clone, Default)]
pub(crate) struct Controller {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<WorkQueue>,
    added: Notify,
}

impl Controller {
    /// Wants `name` to be looked at now.
    pub(crate) fn poke(&self, name: &str) {
        self.with_queue(|queue| queue.add(name, Instant::now()));
        self.shared.added.notify_one();
    }

    /// Works until the FNAA is asked to end; then lets what is running end, or cuts it off.
    pub(crate) async fn run<R: Reconciler>(self, reconciler: Arc<R>, ending: Ending) {
        let mut running = JoinSet::new();
        loop {
            self.start_due(&reconciler, &mut running);
            tokio::select! {
                () = ending.asked.cancelled() => break,
                () = self.shared.added.notified() => {}
                () = self.wait_for_due(), if running.len() < CONCURRENCY => {}
                Some(ended) = running.join_next(), if !running.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a reconciler ended abnormally");
                    }
                }
            }
        }
        let drained = async { while running.join_next().await.is_some() {} };
        if ending.cut_off.run_until_cancelled(drained).await.is_none() {
            running.shutdown().await;
        }
    }

    fn start_due<R: Reconciler>(&self, reconciler: &Arc<R>, running: &mut JoinSet<()>) {
        while running.len() < CONCURRENCY {
            let Some(name) = self.with_queue(|queue| queue.take(Instant::now())) else {
                return;
            };
            let task = InProgress {
                controller: self.clone(),
                name,
                outcome: Outcome::Retry,
            };
            running.spawn(task.run(Arc::clone(reconciler)));
        }
    }

    async fn wait_for_due(&self) {
        match self.with_queue(|queue| queue.next_due()) {
            Some(when) => tokio::time::sleep_until(when.into()).await,
            None => std::future::pending().await,
        }
    }

    fn with_queue<T>(&self, work: impl FnOnce(&mut WorkQueue) -> T) -> T {
        work(
            &mut self
                .shared
                .queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// One look at a resource. Dropped without an outcome, after a panic, it is tried again.
struct InProgress {
    controller: Controller,
    name: String,
    outcome: Outcome,
}

impl InProgress {
    async fn run<R: Reconciler>(mut self, reconciler: Arc<R>) {
        self.outcome = reconciler.reconcile(&self.name).await;
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let now = Instant::now();
        self.controller
            .with_queue(|queue| queue.finish(&self.name, &self.outcome, now));
    }
}
