//! `fnua resolve`

use clap::Args;
use eson_names::{Agent, QueueLocation, Resolution};
use eson_protocol::{Command, DataLine, Name, Reply, Status};

use crate::agent::Agents;
use crate::arguments::flow;
use crate::failure::Failure;
use crate::output::Shape;
use crate::request::Request;

/// Which flow to find, and who looks.
#[derive(Debug, Args)]
pub(crate) struct Resolve {
    /// The flow
    #[arg(value_parser = flow)]
    flow: Name,
    /// Let the agent look instead of this machine
    #[arg(long)]
    pub(crate) at_agent: bool,
}

impl Resolve {
    /// RESOLVE.
    pub(crate) fn request(self) -> Request {
        Request::about(
            &self.flow.clone(),
            Shape::One("flow"),
            Command::Resolve(self.flow),
        )
    }

    /// Looks from here, and answers like RESOLVE.
    pub(crate) async fn look(self, agents: &Agents<'_>) -> Result<Reply, Failure> {
        let found = agents.resolver().await?.resolve(&self.flow).await;
        let found = agents.traced(found, |found| &found.trace)?;
        Ok(Reply::Data(lines(&found), Status::done()))
    }
}

fn lines(found: &Resolution) -> Vec<DataLine> {
    let mut lines = vec![
        DataLine::attribute("flow", &found.flow),
        DataLine::attribute("zone", &found.zone),
        DataLine::attribute("dnssec", &found.security),
    ];
    lines.extend(found.agents.iter().flat_map(agent_lines));
    lines.push(DataLine::attribute("agent-tls", yes_no(found.agent_tls)));
    lines.extend(found.queue.iter().flat_map(queue_lines));
    lines
}

fn agent_lines(agent: &Agent) -> Vec<DataLine> {
    let addresses = agent.addresses.iter();
    let at = format!("{}:{}", agent.host, agent.port);
    std::iter::once(DataLine::attribute("agent", at))
        .chain(addresses.map(|address| DataLine::attribute("agent-address", address)))
        .collect()
}

fn queue_lines(queue: &QueueLocation) -> Vec<DataLine> {
    let mut lines = vec![
        DataLine::attribute("type", queue.kind),
        DataLine::attribute("topic", &queue.queue),
    ];
    let servers = queue.servers.iter();
    let at = servers.map(|server| format!("{}:{}", server.host, server.port));
    lines.extend(at.map(|at| DataLine::attribute("server", at)));
    lines.push(DataLine::attribute("tls", yes_no(queue.tls)));
    lines.extend(queue.payload.lines());
    lines
}

fn yes_no(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}
