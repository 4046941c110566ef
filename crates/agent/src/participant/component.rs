//! The state of what a participant runs on, asked at the moment of the question.

use eson_protocol::{ComponentKind, Status};

use super::Participant;

impl Participant {
    /// The names of the components of a kind.
    ///
    /// # Errors
    /// None today; agents may come from the store.
    pub(crate) async fn component_names(&self, kind: ComponentKind) -> Result<Vec<String>, Status> {
        Ok(match kind {
            ComponentKind::Broker => self.brokers.names().map(str::to_owned).collect(),
            ComponentKind::Nameserver => self.nameservers.names().map(str::to_owned).collect(),
            ComponentKind::Agent => vec![self.fqdn.to_string()],
        })
    }

    /// What is worth knowing of a component, its state first. A broken one is no error here.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn component(
        &self,
        kind: ComponentKind,
        name: &str,
    ) -> Result<Vec<(&'static str, String)>, Status> {
        match kind {
            ComponentKind::Broker => Ok(self.broker_component(name).await),
            ComponentKind::Nameserver => self.nameserver_component(name).await,
            ComponentKind::Agent => Ok(self.agent_component()),
        }
    }

    async fn broker_component(&self, name: &str) -> Vec<(&'static str, String)> {
        let Some(entry) = self.brokers.get(name) else {
            return Vec::new();
        };
        let mut values = vec![("type", entry.kind.to_string())];
        values.extend(state(entry.broker.check().await));
        let servers = entry.public().servers.iter().map(ToString::to_string);
        values.push(("servers", servers.collect::<Vec<_>>().join(",")));
        values
    }

    async fn nameserver_component(
        &self,
        name: &str,
    ) -> Result<Vec<(&'static str, String)>, Status> {
        let Some(registrar) = self.nameservers.get(name) else {
            return Ok(Vec::new());
        };
        let mut values = Vec::new();
        for namespace in self.namespaces.list().await? {
            let spec = &namespace.resource.spec;
            let serves = [&spec.ns_public, &spec.ns_private];
            if serves.iter().any(|server| server.as_deref() == Some(name)) {
                values.push(("namespace", spec.name.to_string()));
                values.extend(state(registrar.check(&spec.name).await.map(|_| ())));
            }
        }
        Ok(values)
    }

    fn agent_component(&self) -> Vec<(&'static str, String)> {
        let config = self.config();
        let listeners = config
            .listen
            .iter()
            .map(|listener| listener.address.to_string());
        vec![
            ("state", "ready".to_owned()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("domain", self.domain.to_string()),
            ("listen", listeners.collect::<Vec<_>>().join(",")),
        ]
    }
}

fn state(check: Result<(), impl std::fmt::Display>) -> Vec<(&'static str, String)> {
    match check {
        Ok(()) => vec![("state", "ready".to_owned())],
        Err(error) => vec![("state", "failed".to_owned()), ("error", error.to_string())],
    }
}
