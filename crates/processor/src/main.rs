//! The command `flow-processor`: runs flow processors for an FNAA that tells it which.

use std::io::{self, IsTerminal};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Parser;
use eson_processor::{
    Brokers, ListenError, Listener, MemoryBudget, Nameserver, Processors, Programs, Registries,
    SocketAddress, Stub, Threads, jq, lookup,
};
use tokio::io::AsyncReadExt;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// How long everything may take to drain when the process is asked to end.
const DRAIN: Duration = Duration::from_secs(20);

/// Moves events between brokers, as an FNAA says over gRPC.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where the FNAA reaches this process: unix:PATH, or HOST:PORT, which asks nobody who he is
    /// and is for loopback or for a network where only the FNAA is.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddress,
    /// How many bytes readers and writers may hold together.
    #[arg(long, value_name = "BYTES", default_value_t = 512 * 1024 * 1024)]
    memory_limit: usize,
    /// How many threads move events; without it, as many as there are processors.
    #[arg(long, value_name = "COUNT")]
    threads: Option<NonZero<usize>>,
    /// A PEM file with the certificate authorities of brokers, registries and programs; without it,
    /// the system's.
    #[arg(long, value_name = "FILE")]
    tls_roots: Option<PathBuf>,
    /// For how many seconds a Kafka may leave a request without an answer before its connection is
    /// given up for another one.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    request_timeout: u64,
    /// Whom to ask for brokers' addresses, instead of the operating system's resolver. May be
    /// given several times; the first that answers is used.
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    nameserver: Vec<Nameserver>,
    /// A zone whose server is known. May be given several times.
    #[arg(long, value_name = "ZONE=ADDRESS[:PORT]")]
    stub_zone: Vec<Stub>,
    /// Where signals keep their windows; without it, there are no windows.
    #[arg(long, value_name = "DIRECTORY")]
    state_directory: Option<PathBuf>,
    /// How many bytes of events the windows of one signal may hold.
    #[arg(long, value_name = "BYTES", default_value_t = 64 * 1024 * 1024)]
    window_limit: usize,
    /// End at once, without draining, when standard input ends: the FNAA holds it open, and is
    /// gone then.
    #[arg(long)]
    exit_with_stdin: bool,
    /// What to log: a level, or levels by module.
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "info",
        env = "FLOW_PROCESSOR_LOG"
    )]
    log: String,
}

/// Why the command ended.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("--log: {0}")]
    Log(#[from] ParseError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("the socket broke: {0}")]
    Serve(#[from] tonic::transport::Error),
    #[error("can't set up the process: {0}")]
    System(#[from] io::Error),
}

fn main() -> ExitCode {
    // A process of a signal's program; nobody but its parent starts one.
    let ended = match std::env::args_os().nth(1) {
        Some(argument) if argument == jq::WORKER => jq::work().map_err(Failure::System),
        _ => start(Arguments::parse()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("flow-processor: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> Result<(), Failure> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&arguments.log)?)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(run(arguments));
    // A read of standard input that never ends must not hold the process.
    runtime.shutdown_background();
    ended
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let orphaned = arguments.exit_with_stdin;
    let listener = Listener::bind(&arguments.listen).await?;
    let lookup = lookup(&arguments.nameserver, &arguments.stub_zone);
    let registries = Registries::new(lookup.clone(), arguments.tls_roots.clone());
    let brokers = Brokers::new(lookup.clone(), arguments.tls_roots.clone())
        .with_request_timeout(Duration::from_secs(arguments.request_timeout));
    let memory = MemoryBudget::new(arguments.memory_limit);
    let threads = match arguments.threads {
        Some(count) => count,
        None => available_parallelism()?,
    };
    let threads = Threads::start(threads)?;
    let programs = Programs::new(std::env::current_exe()?, lookup);
    let programs = programs.with_state(arguments.state_directory);
    let programs = programs.with_window_limit(arguments.window_limit);
    let programs = programs.with_tls_roots(arguments.tls_roots);
    let processors = Processors::new(Arc::new(brokers), memory, threads, programs, registries);
    tracing::info!(address = %arguments.listen, "ready");

    // Calls go on being answered while instances drain; watchers are cut off at the end.
    let (end, ended) = oneshot::channel::<()>();
    let served = listener.serve(processors.clone(), async {
        drop(ended.await);
    });
    let stopped = async {
        asked_to_end().await?;
        tracing::info!("draining");
        if timeout(DRAIN, processors.shut_down()).await.is_err() {
            tracing::warn!("not everything drained in time; it will be read again");
        }
        Ok(())
    };
    let result = tokio::select! {
        served = served => served.map_err(Failure::from),
        stopped = stopped => stopped,
        () = standard_input_ends(), if orphaned => {
            tracing::warn!("standard input has ended, and with it the FNAA");
            Ok(())
        }
    };
    drop(end);
    result
}

async fn asked_to_end() -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn standard_input_ends() {
    let mut input = tokio::io::stdin();
    let mut ignored = [0; 256];
    // An input that can't be read has ended too.
    while input
        .read(&mut ignored)
        .await
        .is_ok_and(|length| length > 0)
    {}
}
