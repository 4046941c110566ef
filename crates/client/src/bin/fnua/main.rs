//! `fnua`, the command line of the Event Streaming Open Network (draft sections 4.1.5 and 6.3).

mod agent;
mod arguments;
mod cloud_event;
mod commands;
mod configuration;
mod entry;
mod failure;
mod nameservers;
mod output;
mod progress;
mod request;
mod run;
mod terminal;
mod transcript;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;
use crate::configuration::FILE_NAME;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run::run(Arguments::parse(), &configuration_places()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            failure.exit_code()
        }
    }
}

/// The current directory, then the home one.
fn configuration_places() -> Vec<PathBuf> {
    let home = std::env::home_dir().map(|home| home.join(FILE_NAME));
    std::iter::once(PathBuf::from(FILE_NAME))
        .chain(home)
        .collect()
}
