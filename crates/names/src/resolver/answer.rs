//! What resolving finds.

use std::fmt;
use std::net::IpAddr;

use eson_protocol::{BrokerKind, Connection, Name, PayloadAttributes, Server, TransportSecurity};

use super::trace::Trace;
use crate::publish::Target;

/// Where a flow is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The flow.
    pub flow: Name,
    /// The FNAAs that host it, in the order in which to try them (RFC 2782); at least one.
    pub agents: Vec<Agent>,
    /// Whether the FNAA's port speaks TLS from the first byte. False where only the proof of
    /// concept's records are there, which don't say.
    pub agent_tls: bool,
    /// The queue, where its records are public.
    pub queue: Option<QueueLocation>,
    /// The zone that holds the flow's records, by its SOA.
    pub zone: Name,
    /// What DNSSEC says of all records that this was made from.
    pub security: Security,
    /// What it says of those that name the FNAAs: of all but their addresses.
    pub agent_security: Security,
    /// Each step taken.
    pub trace: Trace,
}

/// Where the FNAA of a namespace, a domain or an FNAA's own name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentResolution {
    /// The name asked for.
    pub name: Name,
    /// The FNAAs, in the order in which to try them (RFC 2782); at least one.
    pub agents: Vec<Agent>,
    /// Whether their port speaks TLS from the first byte, as in [`Resolution::agent_tls`].
    pub agent_tls: bool,
    /// The zone that holds the records, by its SOA.
    pub zone: Name,
    /// What DNSSEC says of all records that this was made from.
    pub security: Security,
    /// Each step taken.
    pub trace: Trace,
}

/// One FNAA that may be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The SRV target.
    pub host: Name,
    /// The TCP port.
    pub port: u16,
    /// The host's addresses as they came; empty when it has none. The address policy is for who
    /// connects to apply.
    pub addresses: Vec<IpAddr>,
}

/// Where a flow's queue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueLocation {
    /// The broker's kind.
    pub kind: BrokerKind,
    /// The bootstrap servers in the order in which to try them; at least one.
    pub servers: Vec<Target>,
    /// Whether they speak TLS from the first byte.
    pub tls: bool,
    /// The queue's name at the broker.
    pub queue: String,
    /// What the events' content is.
    pub payload: PayloadAttributes,
}

/// What DNSSEC (RFC 4033, section 5) says of an answer. Bogus answers are errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// A chain of signatures leads from a trust anchor to each record.
    Secure,
    /// Nothing vouches for the records.
    Insecure {
        /// Why there is no chain.
        why: String,
    },
}

impl Security {
    /// Whether it is [`Security::Secure`].
    #[must_use]
    pub fn is_secure(&self) -> bool {
        *self == Self::Secure
    }

    /// The weaker of both.
    pub(crate) fn and(self, other: Self) -> Self {
        if self.is_secure() { other } else { self }
    }
}

impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secure => f.write_str("secure"),
            Self::Insecure { why } => write!(f, "insecure ({why})"),
        }
    }
}

impl From<&QueueLocation> for Connection {
    fn from(queue: &QueueLocation) -> Self {
        let server = |target: &Target| Server {
            host: target.host.to_string(),
            port: target.port,
        };
        Self {
            kind: queue.kind,
            queue: queue.queue.clone(),
            servers: queue.servers.iter().map(server).collect(),
            security: if queue.tls {
                TransportSecurity::Tls
            } else {
                TransportSecurity::Plaintext
            },
        }
    }
}
