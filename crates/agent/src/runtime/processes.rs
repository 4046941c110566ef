//! Flow processors as processes of this machine.

use std::collections::{BTreeMap, HashMap};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use eson_processor::SignalError;
use eson_processor::client::ClientError;
use eson_processor::proto::{Spec, Status};
use eson_processor::signal::check_program;
use eson_protocol::ProcessorType;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::board::Board;
use super::child::Child;
use super::instance::Instance;
use super::shard::{Shard, Supervisor};
use super::types::Types;
use super::{Runtime, RuntimeError, Statuses};
use crate::config::{Config, Processor, Resolver};

/// The flow processor's name.
const PROGRAM: &str = "flow-processor";

/// Whose log lines those of the process are that only tells what it can run.
const PROBE: &str = "capabilities";

/// Where its sockets are, in the state directory.
const DIRECTORY: &str = "processors";

/// The longest path of a Unix socket, in octets, on every system.
const MAX_SOCKET_PATH: usize = 103;

/// How processes are run.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeOptions {
    /// The flow processor.
    pub(crate) program: PathBuf,
    /// What it is told on its command line beside its address.
    pub(crate) arguments: Vec<String>,
    /// Where its sockets are: a directory that is emptied, readable by nobody else.
    pub(crate) directory: PathBuf,
    /// How long to wait before a process that has ended is started again, doubled at each time.
    pub(crate) restart_delay: Duration,
    /// The most that is doubled to; a process that has run so long begins anew.
    pub(crate) longest_restart_delay: Duration,
    /// How long a process may take to write what it has read before it is ended.
    pub(crate) stop_time: Duration,
}

/// A [`Runtime`] of child processes, one for each shard that has instances.
#[derive(Clone, Debug)]
pub(crate) struct ChildProcesses {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Arc<RuntimeOptions>,
    board: Arc<Board>,
    types: Arc<Types>,
    sockets: Arc<Sockets>,
    shards: Mutex<HashMap<String, Arc<Shard>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Names sockets, never the same twice, also not those of a fnaad before this one, whose last
/// processes may still be ending.
#[derive(Debug)]
pub(super) struct Sockets {
    directory: PathBuf,
    last: AtomicU64,
}

impl Sockets {
    /// The number of the next process, and its socket.
    pub(super) fn next(&self) -> (u64, PathBuf) {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("{}-{number}.sock", std::process::id());
        (number, self.directory.join(name))
    }
}

impl RuntimeOptions {
    /// As the configuration says. The program is looked for beside our own where it says none.
    ///
    /// # Errors
    /// [`RuntimeError::Setup`] when the system doesn't say where our own program is.
    pub(crate) fn of(config: &Config) -> Result<Self, RuntimeError> {
        let processor = &config.processor;
        let program = match &processor.program {
            Some(program) => program.clone(),
            None => beside_ourselves()
                .map_err(|cause| RuntimeError::Setup(format!("{PROGRAM} is nowhere: {cause}")))?,
        };
        Ok(Self {
            program,
            arguments: lookup_arguments(&config.resolver)
                .into_iter()
                .chain([windows_argument(&config.state_dir)])
                .chain(limit_arguments(processor))
                .collect(),
            directory: config.state_dir.join(DIRECTORY),
            restart_delay: processor.restart_delay,
            longest_restart_delay: processor.longest_restart_delay,
            stop_time: processor.stop_time,
        })
    }
}

/// Where signals keep their windows.
fn windows_argument(state_dir: &Path) -> String {
    format!(
        "--state-directory={}",
        windows_directory(state_dir).display()
    )
}

/// Where signals keep their windows: a file for each incarnation of a processor that has some.
pub(crate) fn windows_directory(state_dir: &Path) -> PathBuf {
    state_dir.join("windows")
}

/// How much one process may use, as far as the configuration says; what it does not say, the flow
/// processor decides.
fn limit_arguments(processor: &Processor) -> impl Iterator<Item = String> {
    let memory = processor.memory_limit;
    let memory = memory.map(|bytes| format!("--memory-limit={bytes}"));
    let threads = processor.threads;
    let threads = threads.map(|count| format!("--threads={count}"));
    let wait = processor.request_timeout;
    let wait = wait.map(|time| format!("--request-timeout={}", time.as_secs()));
    let windows = processor.window_limit;
    let windows = windows.map(|bytes| format!("--window-limit={bytes}"));
    [memory, threads, wait, windows].into_iter().flatten()
}

/// Brokers' names are looked up where fnaad itself looks names up.
fn lookup_arguments(resolver: &Resolver) -> Vec<String> {
    let nameservers = resolver.nameservers.iter();
    let nameservers = nameservers.map(|server| format!("--nameserver={server}"));
    let stubs = resolver.stub_zones.iter().flat_map(|stub| {
        let servers = stub.nameservers.iter();
        servers.map(|server| format!("--stub-zone={}={server}", stub.zone))
    });
    nameservers.chain(stubs).collect()
}

fn beside_ourselves() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(PROGRAM))
}

impl ChildProcesses {
    /// Runs processors as the configuration says.
    ///
    /// # Errors
    /// As for [`RuntimeOptions::of`] and [`ChildProcesses::with`].
    pub(crate) fn new(config: &Config) -> Result<Self, RuntimeError> {
        Self::with(RuntimeOptions::of(config)?)
    }

    /// Prepares the directory of the sockets. Nothing is started before it is needed.
    ///
    /// # Errors
    /// [`RuntimeError::Setup`] when the directory can't be made, or its path is too long for a
    /// Unix socket's.
    pub(crate) fn with(options: RuntimeOptions) -> Result<Self, RuntimeError> {
        prepare(&options.directory).map_err(|cause| RuntimeError::Setup(cause.to_string()))?;
        let sockets = Sockets {
            directory: options.directory.clone(),
            last: AtomicU64::new(0),
        };
        let inner = Inner {
            options: Arc::new(options),
            board: Arc::default(),
            types: Arc::default(),
            sockets: Arc::new(sockets),
            shards: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}

impl Inner {
    fn shards(&self) -> MutexGuard<'_, HashMap<String, Arc<Shard>>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is wanted, under the lock under which an empty shard is forgotten.
    fn want(self: &Arc<Self>, shard: &str, spec: Spec) -> (Arc<Shard>, Arc<Instance>) {
        let mut shards = self.shards();
        let known = shards.get(shard).cloned();
        let shard = known.unwrap_or_else(|| {
            let new = Arc::new(Shard::new(shard));
            shards.insert(shard.to_owned(), Arc::clone(&new));
            self.tasks
                .spawn(Arc::clone(self).supervise(Arc::clone(&new)));
            new
        });
        let instance = shard.instance(&spec.id);
        instance.want(Some(spec));
        (shard, instance)
    }

    async fn supervise(self: Arc<Self>, shard: Arc<Shard>) {
        let supervisor = Supervisor {
            shard: Arc::clone(&shard),
            options: Arc::clone(&self.options),
            board: Arc::clone(&self.board),
            types: Arc::clone(&self.types),
            sockets: Arc::clone(&self.sockets),
            stop: self.stop.clone(),
        };
        while !self.stop.is_cancelled() {
            supervisor.run().await;
            let mut shards = self.shards();
            if shard.is_empty() {
                shards.remove(shard.name());
                return;
            }
        }
    }

    async fn learn_types(&self) -> Result<(), String> {
        let (_, socket) = self.sockets.next();
        let mut child = Child::spawn(&self.options, PROBE, socket)?;
        let learnt = match child.connect().await {
            Ok(client) => self.types.learn(&client).await,
            Err(cause) => Err(ClientError::Unavailable(cause)),
        };
        child.stop().await;
        learnt.map_err(|error| error.to_string())
    }

    async fn apply(
        self: Arc<Self>,
        shard: Arc<Shard>,
        instance: Arc<Instance>,
    ) -> Result<(), RuntimeError> {
        let result = tokio::select! {
            result = instance.apply(&shard) => result,
            () = self.stop.cancelled() => return Err(RuntimeError::Closed),
        };
        // One that could not be told to go is still to be told.
        let is_told = result
            .as_ref()
            .map_or_else(|error| !error.is_transient(), |()| true);
        if is_told && instance.wanted().is_none() {
            self.board.wait_until_gone(instance.id()).await;
            self.board.forget(instance.id());
            shard.forget(instance.id());
        }
        result
    }

    /// The shards that know of an instance: more than one when it is to move.
    fn homes(&self, id: &str) -> Vec<Arc<Shard>> {
        let shards = self.shards();
        let knows = |shard: &&Arc<Shard>| shard.known_instance(id).is_some();
        shards.values().filter(knows).cloned().collect()
    }

    async fn remove_from(
        self: &Arc<Self>,
        homes: impl IntoIterator<Item = Arc<Shard>>,
        id: &str,
    ) -> Result<(), RuntimeError> {
        for shard in homes {
            if let Some(instance) = shard.known_instance(id) {
                instance.want(None);
                self.apply_whatever_happens(shard, instance).await?;
            }
        }
        Ok(())
    }

    /// Runs to its end even when the caller does not wait for it.
    async fn apply_whatever_happens(
        self: &Arc<Self>,
        shard: Arc<Shard>,
        instance: Arc<Instance>,
    ) -> Result<(), RuntimeError> {
        let task = self.tasks.spawn(Arc::clone(self).apply(shard, instance));
        task.await.unwrap_or(Err(RuntimeError::Closed))
    }
}

#[async_trait]
impl Runtime for ChildProcesses {
    async fn ensure(&self, shard: &str, spec: Spec) -> Result<(), RuntimeError> {
        if self.inner.stop.is_cancelled() {
            return Err(RuntimeError::Closed);
        }
        let others = self.inner.homes(&spec.id).into_iter();
        let others = others.filter(|other| other.name() != shard);
        self.inner.remove_from(others, &spec.id).await?;
        let (shard, instance) = self.inner.want(shard, spec.clone());
        let applied = self
            .inner
            .apply_whatever_happens(shard, Arc::clone(&instance));
        applied.await?;
        instance.refusal(&spec).map_or(Ok(()), Err)
    }

    async fn remove(&self, id: &str) -> Result<(), RuntimeError> {
        self.inner.remove_from(self.inner.homes(id), id).await
    }

    async fn restart_failed(&self, shard: &str, id: &str) -> Result<bool, RuntimeError> {
        let known = self.inner.shards().get(shard).cloned();
        let Some(running) = known.and_then(|shard| shard.running()) else {
            return Ok(true);
        };
        match running.client.resume(id).await {
            Ok(()) | Err(ClientError::NotFound(_)) => Ok(true),
            Err(ClientError::Unavailable(_)) => Ok(false),
            Err(error) => Err(RuntimeError::of_call(id, &error)),
        }
    }

    async fn check_program(&self, name: &str, code: &str) -> Result<(), RuntimeError> {
        let checked = check_program(&self.inner.options.program, code).await;
        checked.map_err(|error| {
            let (id, cause) = (name.to_owned(), error.to_string());
            match error {
                SignalError::Untried(_) => RuntimeError::Busy { id, cause },
                _ => RuntimeError::Refused { id, cause },
            }
        })
    }

    async fn learn_types(&self) {
        if let Err(cause) = self.inner.learn_types().await {
            tracing::warn!(cause, "the flow processor does not tell what it can run");
        }
    }

    fn types(&self) -> Vec<ProcessorType> {
        self.inner.types.get()
    }

    fn status(&self, id: &str) -> Option<Status> {
        self.inner.board.status(id)
    }

    fn statuses(&self) -> Vec<Status> {
        self.inner.board.statuses()
    }

    fn watch(&self) -> Statuses {
        self.inner.board.watch()
    }

    fn processes(&self) -> BTreeMap<String, u32> {
        let shards = self.inner.shards();
        let process = |(name, shard): (&String, &Arc<Shard>)| {
            let running = shard.running()?;
            Some((name.clone(), running.id?))
        };
        shards.iter().filter_map(process).collect()
    }

    async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.board.close();
    }
}

fn prepare(directory: &Path) -> io::Result<()> {
    let longest = format!("{}-{}.sock", u32::MAX, u32::MAX);
    let length = directory.join(longest).as_os_str().len();
    if length > MAX_SOCKET_PATH {
        let text = format!(
            "the path {} is {} octets too long for Unix sockets; choose a shorter state directory",
            directory.display(),
            length - MAX_SOCKET_PATH
        );
        return Err(io::Error::new(io::ErrorKind::InvalidFilename, text));
    }
    match std::fs::remove_dir_all(directory) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}
