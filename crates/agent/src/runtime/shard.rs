//! The instances that share a process, and the supervisor of that process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eson_processor::client::Client;
use eson_processor::proto::State;
use futures::stream::{self, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::child::Child;
use super::instance::Instance;
use super::processes::Sockets;
use super::types::Types;
use super::{RuntimeError, RuntimeOptions};

/// How many instances are told to a new process at once.
const AT_ONCE: usize = 16;

/// The instances that share a process.
#[derive(Debug)]
pub(super) struct Shard {
    name: String,
    instances: Mutex<BTreeMap<String, Arc<Instance>>>,
    population: watch::Sender<usize>,
    state: watch::Sender<ProcessState>,
}

/// The process of a shard.
#[derive(Clone, Debug)]
enum ProcessState {
    /// It answers.
    Running(Running),
    /// No process runs; why not, as far as is known.
    Down(String),
}

/// A process that answers.
#[derive(Clone, Debug)]
pub(super) struct Running {
    /// Counts the processes of all shards.
    pub(super) process: u64,
    /// The system's id of it; none where it has just ended.
    pub(super) id: Option<u32>,
    pub(super) client: Client,
}

impl Shard {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            instances: Mutex::default(),
            population: watch::Sender::new(0),
            state: watch::Sender::new(ProcessState::Down("it was not needed so far".to_owned())),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The instance of this id, made if there is none.
    pub(super) fn instance(&self, id: &str) -> Arc<Instance> {
        let mut instances = self.instances();
        let new = || Arc::new(Instance::new(id));
        let instance = Arc::clone(instances.entry(id.to_owned()).or_insert_with(new));
        self.population.send_replace(instances.len());
        instance
    }

    /// The instance of this id, if there is one.
    pub(super) fn known_instance(&self, id: &str) -> Option<Arc<Instance>> {
        self.instances().get(id).cloned()
    }

    /// Forgets an instance unless it has become wanted again.
    pub(super) fn forget(&self, id: &str) {
        let mut instances = self.instances();
        let unwanted = |instance: &Arc<Instance>| instance.wanted().is_none();
        if instances.get(id).is_some_and(unwanted) {
            instances.remove(id);
        }
        self.population.send_replace(instances.len());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.instances().is_empty()
    }

    /// Waits until there are no instances. Cancel-safe.
    async fn wait_until_empty(&self) {
        let mut population = self.population.subscribe();
        // An error would say that the shard is gone, which holds the sender.
        let _ = population.wait_for(|count| *count == 0).await;
    }

    /// The process, if it answers.
    pub(super) fn running(&self) -> Option<Running> {
        match &*self.state.borrow() {
            ProcessState::Running(running) => Some(running.clone()),
            ProcessState::Down(_) => None,
        }
    }

    pub(super) async fn wait_until_running(
        &self,
        deadline: Instant,
    ) -> Result<Running, RuntimeError> {
        let is_running = |state: &ProcessState| matches!(state, ProcessState::Running(_));
        self.wait_for(is_running, deadline).await?;
        self.running().ok_or_else(|| self.not_running())
    }

    /// Waits until that process has ended.
    pub(super) async fn wait_until_over(
        &self,
        process: u64,
        deadline: Instant,
    ) -> Result<(), RuntimeError> {
        let is_another = |state: &ProcessState| match state {
            ProcessState::Running(running) => running.process != process,
            ProcessState::Down(_) => true,
        };
        self.wait_for(is_another, deadline).await
    }

    async fn wait_for(
        &self,
        condition: impl FnMut(&ProcessState) -> bool,
        deadline: Instant,
    ) -> Result<(), RuntimeError> {
        let mut states = self.state.subscribe();
        match timeout_at(deadline, states.wait_for(condition)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(self.not_running()),
        }
    }

    fn not_running(&self) -> RuntimeError {
        let cause = match &*self.state.borrow() {
            ProcessState::Running(_) => "it does not answer".to_owned(),
            ProcessState::Down(cause) => cause.clone(),
        };
        RuntimeError::NotRunning {
            shard: self.name.clone(),
            cause,
        }
    }

    fn instances(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Instance>>> {
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn all_instances(&self) -> Vec<Arc<Instance>> {
        self.instances().values().cloned().collect()
    }
}

/// Why a process is no longer supervised.
enum End {
    /// It has no instances left.
    Idle,
    /// fnaad is shutting down.
    Stopping,
    /// It has ended, or does not do its work.
    Failed(String),
}

/// Keeps the process of one shard running as long as the shard has instances.
pub(super) struct Supervisor {
    pub(super) shard: Arc<Shard>,
    pub(super) options: Arc<RuntimeOptions>,
    pub(super) board: Arc<Board>,
    pub(super) types: Arc<Types>,
    pub(super) sockets: Arc<Sockets>,
    pub(super) stop: CancellationToken,
}

impl Supervisor {
    /// Runs until the shard has no instances, or fnaad shuts down.
    pub(super) async fn run(&self) {
        let mut delay = self.options.restart_delay;
        loop {
            let begin = Instant::now();
            match self.run_process().await {
                End::Idle | End::Stopping => return,
                End::Failed(cause) => self.note_failure(&cause, delay),
            }
            if begin.elapsed() > self.options.longest_restart_delay {
                delay = self.options.restart_delay;
            }
            if self.pause(delay).await {
                return;
            }
            delay = (delay * 2).min(self.options.longest_restart_delay);
        }
    }

    /// Waits before the next start; answers whether there is to be none.
    async fn pause(&self, delay: Duration) -> bool {
        tokio::select! {
            () = sleep(delay) => false,
            () = self.stop.cancelled() => true,
            () = self.shard.wait_until_empty() => true,
        }
    }

    fn note_failure(&self, cause: &str, delay: Duration) {
        let shard = self.shard.name();
        tracing::warn!(shard, cause, ?delay, "a flow processor is started again");
        let text = format!(
            "the flow processor {}; it is started again",
            cause.trim_start_matches("it ")
        );
        for spec in self
            .shard
            .all_instances()
            .iter()
            .filter_map(|instance| instance.wanted())
        {
            self.board.interrupt(&spec, State::Retrying, &text);
        }
    }

    async fn run_process(&self) -> End {
        let (process, socket) = self.sockets.next();
        let spawned = Child::spawn(&self.options, self.shard.name(), socket);
        let mut child = match spawned {
            Ok(child) => child,
            Err(cause) => return self.down(End::Failed(cause)),
        };
        let end = tokio::select! {
            end = self.supervise(process, &mut child) => end,
            () = self.stop.cancelled() => End::Stopping,
        };
        match end {
            End::Failed(cause) => {
                child.kill().await;
                self.down(End::Failed(cause))
            }
            end => {
                let end = self.down(end);
                child.stop().await;
                end
            }
        }
    }

    fn down(&self, end: End) -> End {
        let cause = match &end {
            End::Idle => "it was not needed".to_owned(),
            End::Stopping => "fnaad is shutting down".to_owned(),
            End::Failed(cause) => cause.clone(),
        };
        self.shard.state.send_replace(ProcessState::Down(cause));
        end
    }

    async fn supervise(&self, process: u64, child: &mut Child) -> End {
        let (client, mut statuses) = match self.connect(child).await {
            Ok(connected) => connected,
            Err(cause) => return End::Failed(cause),
        };
        let running = Running {
            process,
            id: child.id(),
            client,
        };
        self.shard
            .state
            .send_replace(ProcessState::Running(running));
        let apply_all = self.apply_all();
        tokio::pin!(apply_all);
        let mut applying = true;
        loop {
            tokio::select! {
                () = &mut apply_all, if applying => applying = false,
                cause = child.wait() => return End::Failed(cause),
                () = self.shard.wait_until_empty() => return End::Idle,
                status = statuses.next() => match status {
                    Some(Ok(status)) => self.board.put(status),
                    Some(Err(error)) => return End::Failed(self.why(child, error.to_string()).await),
                    None => return End::Failed(self.why(child, "it tells nothing".to_owned()).await),
                },
            }
        }
    }

    async fn connect(
        &self,
        child: &mut Child,
    ) -> Result<
        (
            Client,
            impl stream::Stream<Item = StatusResult> + Unpin + use<>,
        ),
        String,
    > {
        let client = child.connect().await?;
        let learnt = self.types.learn(&client).await;
        learnt.map_err(|error| error.to_string())?;
        let statuses = client.watch().await.map_err(|error| error.to_string())?;
        Ok((client, statuses))
    }

    /// A stream that breaks mostly says that the process has ended: then that is the cause.
    async fn why(&self, child: &mut Child, otherwise: String) -> String {
        let grace = Instant::now() + Duration::from_secs(1);
        timeout_at(grace, child.wait()).await.unwrap_or(otherwise)
    }

    /// Tells a new process everything that is wanted.
    async fn apply_all(&self) {
        let instances = stream::iter(self.shard.all_instances());
        let apply = |instance: Arc<Instance>| async move {
            let result = instance.apply(&self.shard).await;
            if let (Err(error), Some(spec)) = (result, instance.wanted()) {
                tracing::error!(instance = instance.id(), %error, "it can't be started again");
                if !error.is_transient() {
                    self.board
                        .interrupt(&spec, State::Failed, &error.to_string());
                }
            }
        };
        instances.for_each_concurrent(AT_ONCE, apply).await;
    }
}

type StatusResult = Result<eson_processor::proto::Status, eson_processor::client::ClientError>;
