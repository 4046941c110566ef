//! The command `fnaad`.

mod cli;
mod password;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use eson_agent::config::{Config, ConfigError, LogFormat, UsersFileError, add_user};
use eson_agent::{AgentError, Findings};
use eson_identity::{ScramVerifier, VerifierError};
use eson_protocol::{Principal, PrincipalError};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use self::cli::{Arguments, Command, Configuration, UserCommand};
use self::password::{PasswordError, read_password};

/// Why the command ended.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error("the process can't be set up: {0}")]
    System(#[from] io::Error),
    #[error("{0} problem(s) found")]
    Check(usize),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Verifier(#[from] VerifierError),
    #[error(transparent)]
    UserName(#[from] PrincipalError),
    #[error(transparent)]
    Users(#[from] UsersFileError),
    #[error("the system has no random numbers: {0}")]
    Random(getrandom::Error),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("fnaad: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = load(&arguments.configuration)?;
    match arguments.command {
        Some(Command::User(UserCommand::Add { name, rounds })) => add(&config, &name, rounds),
        Some(Command::DnsRecords { address }) => {
            for line in eson_agent::dns_records(&config, &address) {
                println!("{line}");
            }
            Ok(())
        }
        None if arguments.check => check(config),
        None => serve(config, arguments.configuration),
    }
}

fn load(configuration: &Configuration) -> Result<Config, ConfigError> {
    Config::load(&configuration.config, configuration.state_dir.as_deref())
}

fn add(config: &Config, name: &str, rounds: u32) -> Result<(), Failure> {
    Principal::parse(&format!("{name}@{}", config.domain))?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(Failure::Random)?;
    let verifier = ScramVerifier::derive(&read_password(name)?, &salt, rounds)?;
    add_user(&config.users_file, name, &verifier)?;
    println!("{name} stands in {}", config.users_file.display());
    println!("a fnaad that runs takes it over on SIGHUP");
    Ok(())
}

fn check(config: Config) -> Result<(), Failure> {
    let Findings { problems, notes } = Runtime::new()?.block_on(eson_agent::check(config));
    for note in notes {
        println!("note: {note}");
    }
    for problem in &problems {
        println!("problem: {problem}");
    }
    match problems.len() {
        0 => {
            println!("the configuration is good");
            Ok(())
        }
        count => Err(Failure::Check(count)),
    }
}

fn serve(config: Config, configuration: Configuration) -> Result<(), Failure> {
    start_log(&config);
    let runtime = Runtime::new()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let (send, reloads) = mpsc::channel(1);
        tokio::spawn(stop_on_signal(
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            stop.clone(),
        ));
        tokio::spawn(reload_on_signal(
            signal(SignalKind::hangup())?,
            configuration,
            send,
        ));
        Ok(eson_agent::run(config, stop, reloads).await?)
    })
}

/// The environment's `RUST_LOG` goes before the configuration.
fn start_log(config: &Config) {
    let filter = EnvFilter::try_from_default_env();
    // The configuration's own filter was parsed when it was read.
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(&config.log.filter));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match config.log.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

async fn stop_on_signal(mut terminate: Signal, mut interrupt: Signal, stop: CancellationToken) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
}

async fn reload_on_signal(
    mut hangup: Signal,
    configuration: Configuration,
    reloads: mpsc::Sender<Config>,
) {
    while hangup.recv().await.is_some() {
        match load(&configuration) {
            Ok(config) => {
                if reloads.send(config).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::error!(%error, "nothing is reloaded"),
        }
    }
}
