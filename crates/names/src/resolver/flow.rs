//! Where a flow and where an FNAA is: the steps and their fallbacks.

use eson_protocol::{Name, PayloadAttributes};
use hickory_proto::rr::{Name as WireName, RData, RecordType};

use super::answer::{Agent, QueueLocation, Security};
use super::error::ResolveErrorKind;
use super::session::{Session, wire_name};
use crate::publish::Target;
use crate::wire;

/// What every pointer to a flow's service begins with.
const SERVICE: &str = "_flow._tcp.";

/// What was found of a flow or an FNAA.
pub(super) struct Found {
    pub(super) zone: Name,
    pub(super) agents: Vec<Agent>,
    pub(super) agent_tls: bool,
    /// Of all answers but the addresses of the agents.
    pub(super) agent_security: Security,
    pub(super) queue: Option<QueueLocation>,
}

/// An FNAA's service, not looked up further.
struct Service {
    targets: Vec<Target>,
    tls: bool,
}

impl Session {
    /// The flow's own records; else the proof of concept's SRV at its name; else the FNAA of the
    /// closest namespace.
    pub(super) async fn flow(&self, flow: &Name) -> Result<Found, ResolveErrorKind> {
        let name = wire_name(flow)?;
        let zone = self.zone_or_parent(flow, &name).await?;
        if let Some(pointer) = self.pointer(&name).await?
            && let Some(service) = self.service_with_text(&pointer).await?
        {
            let queue = self.queue(flow, &pointer).await?;
            return self.found(zone, service, queue).await;
        }
        if let Some(service) = self.at_the_name(&name).await? {
            return self.found(zone, service, None).await;
        }
        match self.closest_namespace(flow, &zone).await? {
            Some(service) => self.found(zone, service, None).await,
            None => Err(ResolveErrorKind::NotFound {
                name: flow.to_string(),
                what: "flow",
            }),
        }
    }

    /// The namespace's FNAA, else what the proof of concept publishes at an FNAA's own name.
    pub(super) async fn agent(&self, name: &Name) -> Result<Found, ResolveErrorKind> {
        let at = wire_name(name)?;
        let zone = self.zone_or_parent(name, &at).await?;
        let service = match self.namespace(name).await? {
            Some(service) => Some(service),
            None => self.at_the_name(&at).await?,
        };
        match service {
            Some(service) => self.found(zone, service, None).await,
            None => Err(ResolveErrorKind::NotFound {
                name: name.to_string(),
                what: "FNAA",
            }),
        }
    }

    async fn found(
        &self,
        zone: Name,
        service: Service,
        queue: Option<QueueLocation>,
    ) -> Result<Found, ResolveErrorKind> {
        Ok(Found {
            zone,
            // Before the addresses, which TLS makes sure of.
            agent_security: self.security(),
            agents: self.agents(service.targets).await?,
            agent_tls: service.tls,
            queue,
        })
    }

    async fn zone_or_parent(&self, name: &Name, at: &WireName) -> Result<Name, ResolveErrorKind> {
        if let Some(zone) = self.zone(at).await? {
            return Ok(zone);
        }
        self.upstream.note("No SOA tells the zone");
        Ok(name.parent().unwrap_or_else(|| name.clone()))
    }

    /// Where the PTR leads that names a flow's service. Of several the first by name counts, so
    /// that every resolution takes the same.
    async fn pointer(&self, flow: &WireName) -> Result<Option<WireName>, ResolveErrorKind> {
        let set = self.set(flow, RecordType::PTR).await?;
        let targets = set.into_iter().filter_map(|data| match data {
            RData::PTR(target) => Some(target.0),
            _ => None,
        });
        let to_a_service = |target: &WireName| {
            let text = target.to_ascii().to_ascii_lowercase();
            text.starts_with(SERVICE)
        };
        Ok(targets.filter(to_a_service).min())
    }

    async fn service_with_text(
        &self,
        owner: &WireName,
    ) -> Result<Option<Service>, ResolveErrorKind> {
        let Some(targets) = self.service(owner).await? else {
            return Ok(None);
        };
        let tls = self.text(owner).await?.has("tls");
        Ok(Some(Service { targets, tls }))
    }

    async fn at_the_name(&self, name: &WireName) -> Result<Option<Service>, ResolveErrorKind> {
        self.upstream.note("Trying SRV at the name itself");
        let targets = self.service(name).await?;
        Ok(targets.map(|targets| Service {
            targets,
            tls: false,
        }))
    }

    /// From the flow's parent up to the top of its zone: a namespace need not be a zone.
    async fn closest_namespace(
        &self,
        flow: &Name,
        zone: &Name,
    ) -> Result<Option<Service>, ResolveErrorKind> {
        let mut namespace = flow.parent();
        while let Some(name) = namespace.filter(|name| name.is_within(zone)) {
            if let Some(service) = self.namespace(&name).await? {
                return Ok(Some(service));
            }
            namespace = name.parent();
        }
        Ok(None)
    }

    async fn namespace(&self, name: &Name) -> Result<Option<Service>, ResolveErrorKind> {
        self.upstream.note(format!("Trying the FNAA of {name}"));
        match wire::name(&format!("_fnaa._tcp.{name}.")) {
            Ok(owner) => self.service_with_text(&owner).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Where the flow's queue is; none when that is not public, or of a kind that this build does
    /// not know.
    async fn queue(
        &self,
        flow: &Name,
        pointer: &WireName,
    ) -> Result<Option<QueueLocation>, ResolveErrorKind> {
        let owner = wire::name(&format!("_queue.{}", pointer.to_ascii()))?;
        let Some(servers) = self.service(&owner).await? else {
            return Ok(None);
        };
        let attributes = self.text(&owner).await?;
        let kind = match attributes.value("broker-type").unwrap_or("").parse() {
            Ok(kind) => kind,
            Err(unknown) => {
                let error: eson_protocol::UnknownBrokerKind = unknown;
                self.upstream
                    .note(format!("The queue is left out: {error}"));
                return Ok(None);
            }
        };
        let value = |key| attributes.value(key).map(str::to_owned);
        Ok(Some(QueueLocation {
            kind,
            servers,
            tls: attributes.has("tls"),
            queue: value("queue").unwrap_or_else(|| flow.to_string()),
            payload: PayloadAttributes::read(value),
        }))
    }
}
