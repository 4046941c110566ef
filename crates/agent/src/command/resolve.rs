//! RESOLVE: the resolution of a flow, step by step, as this FNAA sees it.

use eson_names::{QueueLocation, Resolution, Security, Trace};
use eson_protocol::{Code, DataLine, Name, Reply, Status};

use super::lines::attribute;
use super::{Answer, Request};

impl Request<'_> {
    /// For our own users: what is found may be in a private view, and each step is told.
    pub(super) async fn resolve(&self, name: Name) -> Answer {
        self.insiders_only()?;
        match self.participant.resolver.resolve(&name).await {
            Ok(found) => Ok(Reply::data(resolution_lines(&name, &found))),
            Err(error) => {
                let code = if error.is_transient() {
                    Code::Backend
                } else {
                    Code::NotFound
                };
                Err(Status::new(code, format!("{name}: {error}")))
            }
        }
    }
}

fn resolution_lines(name: &Name, found: &Resolution) -> Vec<DataLine> {
    let mut lines = vec![attribute("flow", name)];
    lines.extend(found.queue.iter().flat_map(queue_lines));
    lines.push(attribute("zone", &found.zone));
    lines.push(attribute("dnssec", security(&found.security)));
    let agents = found.agents.iter();
    lines.extend(agents.map(|agent| attribute("agent", format!("{}:{}", agent.host, agent.port))));
    lines.push(attribute(
        "agent-tls",
        if found.agent_tls { "yes" } else { "no" },
    ));
    lines.extend(trace_lines(&found.trace));
    lines
}

fn queue_lines(queue: &QueueLocation) -> Vec<DataLine> {
    let mut lines = vec![
        attribute("type", queue.kind),
        attribute("topic", &queue.queue),
    ];
    let servers = queue.servers.iter();
    lines.extend(servers.map(|at| attribute("server", format!("{}:{}", at.host, at.port))));
    lines.extend(queue.tls.then(|| attribute("tls", "yes")));
    lines.extend(queue.payload.lines());
    lines
}

fn trace_lines(trace: &Trace) -> Vec<DataLine> {
    trace
        .to_string()
        .lines()
        .map(|line| attribute("trace", line))
        .collect()
}

fn security(security: &Security) -> String {
    match security {
        Security::Secure => "secure".to_owned(),
        Security::Insecure { why } => format!("insecure: {why}"),
    }
}
