//! CAPABILITIES and WHOAMI.

use eson_identity::{Authenticator, ConnectionSecurity};
use eson_protocol::{BrokerKind, DataLine, Name, Reply};

use super::lines::attribute;
use super::{Answer, Request};
use crate::participant::Participant;

impl Request<'_> {
    pub(super) async fn who_am_i(&self) -> Answer {
        let caller = self.caller;
        let mut lines = vec![
            attribute("principal", &caller.principal),
            attribute("mechanism", &caller.mechanism),
        ];
        for hosted in self.participant.namespaces.list().await? {
            let name: &Name = &hosted.resource.spec.name;
            let rights = self.participant.rights_on_namespace(caller, name).await?;
            let words = [
                ("read", rights.read),
                ("write", rights.write),
                ("admin", rights.admin),
            ];
            let held: Vec<_> = words
                .iter()
                .filter(|(_, held)| *held)
                .map(|(word, _)| *word)
                .collect();
            if !held.is_empty() {
                lines.push(attribute("namespace", format!("{name} {}", held.join(","))));
            }
        }
        Ok(Reply::data(lines))
    }
}

/// What this FNAA offers over a connection that is protected like that.
pub(crate) fn lines(participant: &Participant, security: ConnectionSecurity) -> Vec<DataLine> {
    let limits = participant.limits();
    let mut lines = vec![attribute("version", "1")];
    lines.extend(Authenticator::mechanisms(security).map(|name| attribute("auth", name)));
    let types = participant.runtime.types();
    lines.extend(
        types
            .iter()
            .map(|kind| attribute("processors", kind.as_str())),
    );
    let mut kinds: Vec<BrokerKind> = participant.brokers.iter().map(|entry| entry.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    lines.extend(kinds.iter().map(|kind| attribute("brokers", kind)));
    lines.push(attribute(
        "limits.line",
        eson_protocol::session::Limits::default().command,
    ));
    lines.push(attribute("limits.event", limits.event));
    lines.push(attribute("limits.write", limits.write));
    let local = participant
        .brokers
        .iter()
        .find_map(|entry| entry.local.as_ref());
    lines.extend(local.map(|local| attribute("limits.record", local.max_event())));
    lines
}
