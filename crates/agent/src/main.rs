//! The command `fnaad`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use eson_agent::config::Config;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A participant's server: the Flow Namespace Accessing Agent.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration.
    #[arg(long)]
    config: PathBuf,
    /// Where everything is kept that must survive a restart.
    #[arg(long)]
    state_dir: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    match serve(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("fnaad: {text}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: &Arguments) -> Result<(), String> {
    let config = Config::load(&arguments.config, arguments.state_dir.as_deref());
    let config = config.map_err(|error| error.to_string())?;
    let stop = CancellationToken::new();
    let mut term = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let stopper = stop.clone();
    tokio::spawn(async move {
        term.recv().await;
        stopper.cancel();
    });
    let (_keep, reloads) = tokio::sync::mpsc::channel(1);
    eson_agent::run(config, stop, reloads).await.map_err(|error| error.to_string())
}
