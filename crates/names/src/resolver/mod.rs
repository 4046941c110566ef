//! From a name to where it is served, step by step.

mod anchor;
mod answer;
mod cache;
mod config;
mod error;
mod flow;
mod order;
mod session;
mod trace;
mod trust;
mod upstream;
mod validate;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use eson_protocol::Name;
use hickory_proto::rr::LowerName;

pub use self::answer::{Agent, AgentResolution, QueueLocation, Resolution, Security};
pub use self::config::{ResolverConfig, StubZone, TrustAnchor, TrustAnchorError};
pub use self::error::{ResolveError, ResolveErrorKind};
use self::session::{Session, wire_name};
pub use self::trace::{Step, Trace};
use self::upstream::{Shared, Upstream};

/// Finds flows, FNAAs and hosts. Clones share one cache.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

impl Resolver {
    /// A resolver with an empty cache. Nothing is asked yet.
    #[must_use]
    pub fn new(config: ResolverConfig) -> Self {
        Self {
            shared: Arc::new(Shared::new(config)),
        }
    }

    /// Where a flow is: its zone; the PTR at its name, then SRV and TXT at that service and at its
    /// queue; where there are none, SRV at the flow's name; else the FNAA of the closest
    /// namespace in the zone. Then the addresses of each FNAA.
    ///
    /// A name that the recursive resolver does not know is asked of its zone's own server once:
    /// it may be new.
    ///
    /// # Errors
    /// [`ResolveError`] with the steps taken; a bogus answer is never used. What is not answered by
    /// [`ResolverConfig::deadline`] is [`ResolveErrorKind::Unreachable`].
    pub async fn resolve(&self, flow: &Name) -> Result<Resolution, ResolveError> {
        let session = self.session();
        match session.in_time(flow.as_str(), session.flow(flow)).await {
            Ok(found) => Ok(Resolution {
                flow: flow.clone(),
                agents: found.agents,
                agent_tls: found.agent_tls,
                queue: found.queue,
                zone: found.zone,
                agent_security: found.agent_security,
                security: session.security(),
                trace: session.upstream.take_trace(),
            }),
            Err(kind) => Err(failed(&session, kind)),
        }
    }

    /// Where the FNAA of a namespace or a domain is, or the FNAA that is known by its own name:
    /// `_fnaa._tcp.` at the name, else SRV at the name itself.
    ///
    /// # Errors
    /// As [`Resolver::resolve`].
    pub async fn resolve_agent(&self, name: &Name) -> Result<AgentResolution, ResolveError> {
        let session = self.session();
        match session.in_time(name.as_str(), session.agent(name)).await {
            Ok(found) => Ok(AgentResolution {
                name: name.clone(),
                agents: found.agents,
                agent_tls: found.agent_tls,
                zone: found.zone,
                security: session.security(),
                trace: session.upstream.take_trace(),
            }),
            Err(kind) => Err(failed(&session, kind)),
        }
    }

    /// The addresses of a host: itself when it is one, loopback for `localhost`.
    ///
    /// # Errors
    /// [`ResolveErrorKind::NotFound`] when it has none; otherwise as [`Resolver::resolve`].
    pub async fn lookup_host(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let session = self.session();
        let found = match Name::parse(host) {
            Ok(name) => session.in_time(host, session.addresses(&name)).await,
            Err(error) => Err(ResolveErrorKind::BadName {
                name: host.to_owned(),
                why: error.to_string(),
            }),
        };
        match found {
            Ok(addresses) if !addresses.is_empty() => Ok(addresses),
            Ok(_) => {
                let name = host.to_owned();
                let what = "address";
                Err(failed(&session, ResolveErrorKind::NotFound { name, what }))
            }
            Err(kind) => Err(failed(&session, kind)),
        }
    }

    /// Forgets what it knows of a name, of names below it and of their hosts: for who could not
    /// connect and wants to ask again before giving up.
    pub fn forget(&self, name: &Name) {
        if let Ok(name) = wire_name(name) {
            self.shared.cache().forget(&LowerName::new(&name));
        }
    }

    fn session(&self) -> Session {
        Session::new(Upstream::new(Arc::clone(&self.shared)))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

fn failed(session: &Session, kind: ResolveErrorKind) -> ResolveError {
    let trace = session.upstream.take_trace();
    ResolveError { kind, trace }
}
