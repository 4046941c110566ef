//! From the command line to the outcome.

use std::io::{self, Write as _};
use std::path::PathBuf;

use eson_protocol::Reply;

use crate::agent::{Agents, Chosen};
use crate::arguments::{Arguments, Command, Global};
use crate::commands::read::Read;
use crate::commands::resolve::Resolve;
use crate::commands::set::Set;
use crate::commands::subscribe::Subscribe;
use crate::commands::top::Top;
use crate::commands::write::Write;
use crate::configuration::Configuration;
use crate::failure::Failure;
use crate::output::{self, Form, Shape};
use crate::progress::Progress;
use crate::request::Request;
use crate::terminal::written;

/// Does what the command line says. `places` are where the configuration may be.
///
/// # Errors
/// Whatever kept it from being done.
pub(crate) async fn run(arguments: Arguments, places: &[PathBuf]) -> Result<(), Failure> {
    let Arguments { global, command } = arguments;
    if let Command::Completion(completion) = command {
        return completion.run(&mut io::stdout());
    }
    let configuration = Configuration::load(global.config.as_deref(), places)?;
    let agents = Agents {
        global: &global,
        configuration: &configuration,
    };
    match command {
        Command::Set(set) => confirm_set(&agents, set),
        Command::Read(command) => read(&agents, command).await,
        Command::Write(command) => write(&agents, command).await,
        Command::Resolve(command) => resolve(&agents, command).await,
        Command::Subscribe(command) => subscribe(&agents, command).await,
        Command::Top(command) => top(&agents, command).await,
        Command::Collect(command) => perform(&agents, command.request()?).await,
        Command::Distribute(command) => perform(&agents, command.request()?).await,
        Command::Signal(command) => perform(&agents, command.request()?).await,
        Command::Update(command) => perform(&agents, command.request()?).await,
        other => match request(other) {
            Some(request) => perform(&agents, request).await,
            None => Ok(()),
        },
    }
}

/// The commands that are one command of FNAP.
fn request(command: Command) -> Option<Request> {
    Some(match command {
        Command::Create(command) => command.request(),
        Command::Delete(command) => command.request(),
        Command::Get(command) => command.request(),
        Command::Describe(command) => command.request(),
        Command::Replicate(command) => command.request(),
        Command::Unsubscribe(command) => command.request(),
        Command::Grant(command) => command.request(),
        Command::Revoke(command) => command.request(),
        Command::Remove(command) => command.request(),
        Command::Pause(command) => command.request(),
        Command::Resume(command) => command.request(),
        Command::Stop(command) => command.request(),
        Command::Whoami(command) => command.request(),
        Command::Capabilities(command) => command.request(),
        Command::Collect(_)
        | Command::Distribute(_)
        | Command::Signal(_)
        | Command::Update(_)
        | Command::Read(_)
        | Command::Write(_)
        | Command::Resolve(_)
        | Command::Subscribe(_)
        | Command::Top(_)
        | Command::Set(_)
        | Command::Completion(_) => return None,
    })
}

fn confirm_set(agents: &Agents<'_>, set: Set) -> Result<(), Failure> {
    let confirmation = set.run(agents.configuration)?;
    confirm(agents.global, &confirmation)
}

async fn read(agents: &Agents<'_>, command: Read) -> Result<(), Failure> {
    let flow = command.flow.clone();
    let mut client = agents.connect(agents.choose(Some(&flow))?).await?;
    command.run(&mut client).await?;
    client.quit().await;
    Ok(())
}

async fn write(agents: &Agents<'_>, command: Write) -> Result<(), Failure> {
    let flow = command.flow.clone();
    let chosen = agents.choose(Some(&flow))?;
    let input = command.input()?;
    let progress = progress(agents.global, chosen);
    let mut client = agents.connect(chosen).await?;
    let count = command.run(&mut client, input, &progress).await?;
    drop(progress);
    client.quit().await;
    let events = if count == 1 { "event" } else { "events" };
    confirm(
        agents.global,
        &format!("{count} {events} written to {flow}"),
    )
}

async fn resolve(agents: &Agents<'_>, command: Resolve) -> Result<(), Failure> {
    if command.at_agent {
        return perform(agents, command.request()).await;
    }
    let reply = command.look(agents).await?;
    print(agents.global, Shape::One("flow"), &reply)
}

async fn subscribe(agents: &Agents<'_>, command: Subscribe) -> Result<(), Failure> {
    let local = command.local.clone();
    let chosen = agents.choose(local.as_ref())?;
    let request = command.request(chosen.prefix())?;
    ask(agents, chosen, request).await
}

async fn top(agents: &Agents<'_>, command: Top) -> Result<(), Failure> {
    let mut client = agents.connect(agents.choose(None)?).await?;
    command.run(&mut client, agents.global).await?;
    client.quit().await;
    Ok(())
}

async fn perform(agents: &Agents<'_>, request: Request) -> Result<(), Failure> {
    let about = request.about.clone();
    ask(agents, agents.choose(about.as_ref())?, request).await
}

async fn ask(agents: &Agents<'_>, chosen: Chosen<'_>, request: Request) -> Result<(), Failure> {
    let progress = progress(agents.global, chosen);
    let mut client = agents.connect(chosen).await?;
    let reply = client.command(&request.command).await;
    drop(progress);
    client.quit().await;
    print(agents.global, request.shape, &reply?)
}

fn progress(global: &Global, chosen: Chosen<'_>) -> Progress {
    let wanted = !global.quiet && !global.debug;
    Progress::start(wanted, format!("waiting for {}", chosen.name()))
}

fn print(global: &Global, shape: Shape, reply: &Reply) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(output::print(
        &mut out,
        global.output,
        global.quiet,
        shape,
        reply,
    ))?;
    written(out.flush())
}

fn confirm(global: &Global, what: &str) -> Result<(), Failure> {
    if global.quiet {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    written(match global.output {
        Form::Table => writeln!(out, "{what}"),
        form => output::print_value(&mut out, form, &serde_json::json!({ "status": what })),
    })
}
