//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use eson_protocol::text::{parse_duration, parse_positions, parse_start};
use eson_protocol::{FlowUri, Name, Positions, Principal, Start};

use crate::commands::{
    capabilities, collect, completion, create, delete, describe, distribute, get, grant, pause,
    read, remove, replicate, resolve, resume, revoke, set, signal, stop, subscribe, top,
    unsubscribe, update, whoami, write,
};
use crate::output::Form;

const AFTER_HELP: &str = "\
A FLOW is a URI (flow://time.flows.orange.example) or the bare name.

Configuration (.flow.yml):
  agents:
    - { name: orange, fqdn: fnaa.orange.example, username: alice, password-file: secret }
  namespaces:
    - { name: flows.orange.example, agent: orange }
Without one, the agent of a flow is found in DNS and met as ANONYMOUS.

Exit codes:
  0  done
  1  the server refused (5xx)
  2  wrong usage, configuration or local file
  3  a name could not be resolved
  4  no connection, TLS or answer
  5  the login failed, or one is needed
  6  try again later (4xx)";

/// Manages flows and namespaces of the Event Streaming Open Network, and reads and writes events
#[derive(Debug, Parser)]
#[command(name = "fnua", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Configuration file [default: ./.flow.yml, then ~/.flow.yml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Name server to ask instead of the system's
    #[arg(long, global = true, value_name = "HOST[:PORT]")]
    pub(crate) nameserver: Option<String>,
    /// Agent to talk to, by its name in the configuration
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Find the agent of the flow in DNS and log in as ANONYMOUS, whatever is configured
    #[arg(long, global = true, conflicts_with = "agent")]
    pub(crate) anonymous: bool,
    /// Print the resolution and the exchange on standard error, without secrets
    #[arg(short, long, global = true, action = ArgAction::SetTrue)]
    pub(crate) debug: bool,
    /// Form of the output
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub(crate) output: Form,
    /// Print no confirmations and no progress
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Seconds to wait for each answer
    #[arg(long, global = true, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a namespace or a flow
    #[command(subcommand)]
    Create(create::Create),
    /// Change a namespace, a flow, a subscriber or a processor
    #[command(subcommand)]
    Update(update::Update),
    /// Delete a namespace, a flow or a processor
    #[command(subcommand)]
    Delete(delete::Delete),
    /// List things
    #[command(subcommand)]
    Get(get::Get),
    /// Describe one thing
    #[command(subcommand)]
    Describe(describe::Describe),
    /// Print the events of a flow, one JSON object a line
    Read(read::Read),
    /// Write events to a flow, one a line
    Write(write::Write),
    /// Copy every event of one flow to another, and go on doing so
    Replicate(replicate::Replicate),
    /// Copy the events of several flows into one, and go on doing so
    Collect(collect::Collect),
    /// Copy every event of one flow to several, and go on doing so
    Distribute(distribute::Distribute),
    /// Make new events of those of one or several flows by a program, and go on doing so
    Signal(signal::Signal),
    /// Show the processors and subscriptions and how they do, again and again
    Top(top::Top),
    /// Subscribe a local flow to a remote one
    Subscribe(subscribe::Subscribe),
    /// End the subscription that feeds a local flow
    Unsubscribe(unsubscribe::Unsubscribe),
    /// Give a right on a flow or a namespace
    Grant(grant::Grant),
    /// Take a right away
    Revoke(revoke::Revoke),
    /// Remove a subscriber of a flow
    #[command(subcommand)]
    Remove(remove::Remove),
    /// Stop moving events for now, keep everything
    #[command(subcommand)]
    Pause(pause::Pause),
    /// Go on after a pause or a stop, and start again what has failed
    #[command(subcommand)]
    Resume(resume::Resume),
    /// Release processors and credentials, keep the position
    #[command(subcommand)]
    Stop(stop::Stop),
    /// Show how a flow is found in DNS
    Resolve(resolve::Resolve),
    /// Choose the agent that commands go to by default
    #[command(subcommand)]
    Set(set::Set),
    /// Show who the agent takes the user for
    Whoami(whoami::Whoami),
    /// Show what the agent can do
    Capabilities(capabilities::Capabilities),
    /// Print a completion script for a shell
    Completion(completion::Completion),
}

/// Reads a flow's URI or bare name.
pub(crate) fn flow(text: &str) -> Result<Name, String> {
    FlowUri::parse_lenient(text)
        .map(FlowUri::into_name)
        .map_err(|cause| cause.to_string())
}

/// Reads a principal.
pub(crate) fn principal(text: &str) -> Result<Principal, String> {
    Principal::parse(text).map_err(|cause| cause.to_string())
}

/// Reads where reading begins: `earliest`, `latest`, a time (RFC 3339) or milliseconds since the
/// Unix epoch.
pub(crate) fn start(text: &str) -> Result<Start, String> {
    parse_start(text).map_err(|cause| cause.to_string())
}

/// Where reading begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// At a place that every partition has.
    At(Start),
    /// At these offsets, at the earliest in other partitions.
    Cursor(Positions),
}

/// Reads where reading begins: as [`start`], or offsets as `cursor:0-42,1-7`.
pub(crate) fn begin(text: &str) -> Result<Begin, String> {
    let begin = match text.strip_prefix("cursor:") {
        Some(cursor) => parse_positions(cursor).map(Begin::Cursor),
        None => parse_start(text).map(Begin::At),
    };
    begin.map_err(|cause| cause.to_string())
}

/// Reads a duration: `7d`, `12h`, `30m`, `45s`, `100ms`, `forever`; in milliseconds.
pub(crate) fn duration(text: &str) -> Result<u64, String> {
    parse_duration(text).map_err(|cause| cause.to_string())
}

/// Reads a number of seconds above 0.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a number of seconds above 0".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flows_by_uri_and_by_name() {
        let name = Name::parse("time.flows.unix.ar").expect("a name");
        assert_eq!(flow("flow://time.flows.unix.ar"), Ok(name.clone()));
        assert_eq!(flow("Time.flows.unix.ar."), Ok(name));
        flow("http://time.flows.unix.ar").expect_err("another scheme");
    }
}
