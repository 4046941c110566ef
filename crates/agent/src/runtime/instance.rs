//! One wanted instance and how far its processor knows of it.

use std::sync::{Mutex, PoisonError};
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
    wanted: Mutex<Option<Spec>>,
    /// Held while the processor is told, so that no older spec overtakes a newer one.
    applied: tokio::sync::Mutex<Applied>,
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
        self.lock().clone()
    }

    pub(super) fn want(&self, spec: Option<Spec>) {
        *self.lock() = spec;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Spec>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the processor what is wanted by now.
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
                    *applied = Applied {
                        process: running.process,
                        spec: wanted,
                    };
                    return Ok(());
                }
                Err(ClientError::Unavailable(_)) => self.wait(shard, &running, deadline).await?,
                Err(error) => {
                    let error = RuntimeError::of_call(&self.id, &error);
                    if !error.is_transient() {
                        applied.process = before;
                        self.take_back(&wanted, &applied.spec);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// A spec that the processor refuses leaves what it was told before.
    fn take_back(&self, refused: &Option<Spec>, before: &Option<Spec>) {
        let mut wanted = self.lock();
        if *wanted == *refused {
            wanted.clone_from(before);
        }
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
