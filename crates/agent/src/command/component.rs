//! GET and DESCRIBE BROKERS, NAMESERVERS and AGENTS: what this participant runs on.

use eson_protocol::{Code, ComponentKind, DataLine, Reply, Status};

use super::lines::{attribute, entry};
use super::{Answer, Request};

impl Request<'_> {
    /// Each with its state now: every one is asked.
    pub(super) async fn list_components(&self, kind: ComponentKind) -> Answer {
        self.insiders_only()?;
        let mut lines = Vec::new();
        for name in self.participant.component_names(kind).await? {
            let values = self.participant.component(kind, &name).await?;
            let values: Vec<_> = values
                .iter()
                .map(|(key, value)| (*key, value.clone()))
                .collect();
            lines.push(entry(&name, &values));
        }
        Ok(Reply::data(lines))
    }

    pub(super) async fn describe_component(&self, kind: ComponentKind, name: String) -> Answer {
        self.insiders_only()?;
        if !self
            .participant
            .component_names(kind)
            .await?
            .contains(&name)
        {
            let text = format!("there is no {} {name} here", kind_word(kind));
            return Err(Status::new(Code::NotFound, text));
        }
        let mut lines: Vec<DataLine> = vec![attribute(kind_word(kind), &name)];
        let values = self.participant.component(kind, &name).await?;
        lines.extend(values.iter().map(|(key, value)| attribute(key, value)));
        Ok(Reply::data(lines))
    }

    /// What a participant runs on, and sees, is for its own users.
    pub(super) fn insiders_only(&self) -> Result<(), Status> {
        if self.participant.is_insider(self.caller) {
            return Ok(());
        }
        let text = "only this participant's own users may see what it runs on and what it sees";
        Err(Status::new(Code::Denied, text))
    }
}

fn kind_word(kind: ComponentKind) -> &'static str {
    match kind {
        ComponentKind::Broker => "broker",
        ComponentKind::Nameserver => "nameserver",
        ComponentKind::Agent => "agent",
    }
}
