//! One wanted instance and how far its processor knows of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eson_processor::client::{Client, ClientError};
use eson_processor::proto::Spec;
use tokio::time::{Instant, timeout};

use super::RuntimeError;
use super::shard::{Running, Shard};

/// How long a caller waits for a processor that is not running.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long one call to a processor may take; draining takes longest.
const CALL: Duration = Duration::from_secs(60);

/// An instance that is wanted, or that is to go.
#[derive(Debug)]
pub(super) struct Instance {
    id: String,
    wanted: Mutex<Wanted>,
    /// Held while the processor is told, so that no older spec overtakes a newer one.
    applied: tokio::sync::Mutex<Applied>,
}

/// What is asked for, and what has come of asking.
#[derive(Debug, Default)]
struct Wanted {
    spec: Option<Spec>,
    /// The last spec that was refused, and why. Whoever tells the processor is not always who has
    /// asked for it: several may ask at once, and a new process is told of everything.
    refused: Option<(Spec, RuntimeError)>,
}

/// What the processor was last told, and which process that was.
#[derive(Debug, Default)]
struct Applied {
    process: u64,
    spec: Option<Spec>,
}

/// No process: they are counted from 1.
const NOBODY: u64 = 0;

impl Instance {
    pub(super) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            wanted: Mutex::default(),
            applied: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn wanted(&self) -> Option<Spec> {
        self.lock().spec.clone()
    }

    pub(super) fn want(&self, spec: Option<Spec>) {
        self.lock().spec = spec;
    }

    /// Why this spec was refused; none where it was not, or has been taken since.
    pub(super) fn refusal(&self, spec: &Spec) -> Option<RuntimeError> {
        let wanted = self.lock();
        let (refused, error) = wanted.refused.as_ref()?;
        (refused == spec).then(|| error.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the processor what is wanted by now. Where it refuses that, it is told what it had taken
    /// before; only a refusal of that too is an error. [`Instance::refusal`] has the first.
    pub(super) async fn apply(&self, shard: &Shard) -> Result<(), RuntimeError> {
        let deadline = Instant::now() + PATIENCE;
        let mut applied = self.applied.lock().await;
        loop {
            let wanted = self.wanted();
            let running = match shard.running() {
                Some(running) => running,
                // Nothing of it can be running.
                None if wanted.is_none() => return Ok(()),
                None => shard.wait_until_running(deadline).await?,
            };
            if applied.process == running.process && applied.spec == wanted {
                return Ok(());
            }
            // What comes of a call that fails is not known.
            let before = std::mem::replace(&mut applied.process, NOBODY);
            match tell(&running.client, &self.id, wanted.clone()).await {
                Ok(()) => {
                    self.forget_refusal(wanted.as_ref());
                    *applied = Applied {
                        process: running.process,
                        spec: wanted,
                    };
                    return Ok(());
                }
                Err(ClientError::Unavailable(_)) => self.wait(shard, &running, deadline).await?,
                Err(error) => {
                    let error = RuntimeError::of_call(&self.id, &error);
                    let Some(refused) = wanted.filter(|_| !error.is_transient()) else {
                        return Err(error);
                    };
                    applied.process = before;
                    self.take_back(refused, applied.spec.as_ref(), error)?;
                }
            }
        }
    }

    /// A spec that the processor refuses leaves what it was told before.
    ///
    /// # Errors
    /// The refusal, where that spec is what it was told before.
    fn take_back(
        &self,
        refused: Spec,
        before: Option<&Spec>,
        error: RuntimeError,
    ) -> Result<(), RuntimeError> {
        let mut wanted = self.lock();
        let is_wanted = wanted.spec.as_ref() == Some(&refused);
        let was_taken = before == Some(&refused);
        if is_wanted && !was_taken {
            wanted.spec = before.cloned();
        }
        wanted.refused = Some((refused, error.clone()));
        if is_wanted && was_taken {
            return Err(error);
        }
        Ok(())
    }

    fn forget_refusal(&self, taken: Option<&Spec>) {
        let mut wanted = self.lock();
        let is_taken = |refused: &mut (Spec, RuntimeError)| Some(&refused.0) == taken;
        wanted.refused.take_if(is_taken);
    }

    /// The process is ending: its supervisor starts another one.
    async fn wait(
        &self,
        shard: &Shard,
        running: &Running,
        deadline: Instant,
    ) -> Result<(), RuntimeError> {
        shard.wait_until_over(running.process, deadline).await
    }
}

async fn tell(client: &Client, id: &str, wanted: Option<Spec>) -> Result<(), ClientError> {
    let call = async {
        let Some(spec) = wanted else {
            return client.destroy(id).await;
        };
        match client.create(spec.clone()).await {
            Err(ClientError::Exists(_)) => client.update(spec).await,
            result => result,
        }
    };
    let late = |_| {
        Err(ClientError::NotDrained(format!(
            "no answer within {CALL:?}"
        )))
    };
    timeout(CALL, call).await.unwrap_or_else(late)
}
