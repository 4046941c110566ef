//! The DNS records that this participant's flows, copies and namespaces are to have.

use eson_names::{FlowRecords, NamespaceRecords, QueueRecords, Target};
use eson_protocol::{Access, Name, Server, Status};

use super::{BrokerEntry, Participant};
use crate::resource::{FlowSpec, NamespaceSpec, RegisteredView, Subscriber};

impl Participant {
    /// The records of a flow in each view: in the public one only if everybody may read it.
    ///
    /// # Errors
    /// When the store does not answer, or the configuration has lost the flow's broker.
    pub(crate) async fn flow_views(&self, spec: &FlowSpec) -> Result<Vec<RegisteredView>, Status> {
        let namespace = self
            .namespaces
            .require(spec.namespace.as_str())
            .await?
            .resource
            .spec;
        let entry = self.brokers.require(&spec.broker)?;
        let public = spec.access == Access::Public;
        let records = FlowRecords {
            listed: public,
            queue: self.queue_records(entry, spec.queue.clone(), Some(spec)),
            ..self.records(spec.name.clone(), spec.namespace.clone())
        };
        Ok(views(&namespace, public, &records))
    }

    /// The records of a copy, in the private view only: its name is nobody else's business.
    ///
    /// # Errors
    /// As [`Participant::flow_views`].
    pub(crate) async fn copy_views(
        &self,
        subscriber: &Subscriber,
    ) -> Result<Vec<RegisteredView>, Status> {
        let flow = self
            .flows
            .require(subscriber.spec.flow.as_str())
            .await?
            .resource;
        let namespace = self
            .namespaces
            .require(flow.spec.namespace.as_str())
            .await?
            .resource
            .spec;
        if namespace.ns_private == namespace.ns_public {
            // One name server for both views would show it to everybody.
            return Ok(Vec::new());
        }
        let entry = self.brokers.require(&subscriber.status.broker)?;
        let copy = subscriber
            .copy()
            .map_err(|error| Status::name(error.to_string()))?;
        let queue = entry.queue_name(&copy);
        let records = FlowRecords {
            queue: self.queue_records(entry, queue, None),
            ..self.records(copy, flow.spec.namespace)
        };
        Ok(views(&namespace, false, &records))
    }

    /// The records of a namespace.
    pub(crate) fn namespace_records(&self, namespace: &Name) -> NamespaceRecords {
        NamespaceRecords {
            namespace: namespace.clone(),
            agent: self.agent_target(),
            agent_tls: self.agent_tls(),
            owner: self.fqdn.to_string(),
            ttl: self.record_ttl(),
        }
    }

    fn records(&self, flow: Name, namespace: Name) -> FlowRecords {
        FlowRecords {
            flow,
            namespace,
            agent: self.agent_target(),
            agent_tls: self.agent_tls(),
            queue: None,
            owner: self.fqdn.to_string(),
            listed: false,
            ttl: self.record_ttl(),
        }
    }

    /// None for servers that have no name: SRV can't tell an address.
    fn queue_records(
        &self,
        entry: &BrokerEntry,
        queue: String,
        spec: Option<&FlowSpec>,
    ) -> Option<QueueRecords> {
        let servers: Vec<Target> = entry.public().servers.iter().filter_map(target).collect();
        (!servers.is_empty()).then(|| QueueRecords {
            servers,
            kind: entry.kind,
            tls: entry.is_tls(),
            queue,
            payload: spec.map(|spec| spec.payload.clone()).unwrap_or_default(),
        })
    }

    fn agent_target(&self) -> Target {
        let port = self
            .config()
            .listen
            .first()
            .map_or(0, |listener| listener.advertised_port);
        Target {
            host: self.fqdn.clone(),
            port,
        }
    }

    fn agent_tls(&self) -> bool {
        self.config()
            .listen
            .first()
            .is_some_and(|listener| listener.tls.is_some())
    }

    fn record_ttl(&self) -> u32 {
        self.config()
            .nameservers
            .iter()
            .map(|server| server.ttl)
            .min()
            .unwrap_or(60)
    }
}

fn target(server: &Server) -> Option<Target> {
    let is_address = server.host.parse::<std::net::IpAddr>().is_ok();
    let host = Name::parse(&server.host).ok().filter(|_| !is_address)?;
    Some(Target {
        host,
        port: server.port,
    })
}

/// One registration for each name server, also where it serves both views.
fn views(namespace: &NamespaceSpec, public: bool, records: &FlowRecords) -> Vec<RegisteredView> {
    let public_view = namespace.ns_public.as_ref().filter(|_| public);
    let mut nameservers: Vec<&String> = public_view
        .into_iter()
        .chain(&namespace.ns_private)
        .collect();
    nameservers.dedup();
    let view = |nameserver: &String| RegisteredView {
        nameserver: nameserver.clone(),
        records: records.clone(),
        confirmed: true,
    };
    nameservers.into_iter().map(view).collect()
}
