//! Whom a resolver asks and whom it trusts.

use std::net::SocketAddr;
use std::time::Duration;

use eson_protocol::{AddressPolicy, Name};

pub use super::anchor::{TrustAnchor, TrustAnchorError};

/// Whom a resolver asks and whom it trusts.
#[derive(Clone, Debug)]
pub struct ResolverConfig {
    /// Recursive resolvers, the first that answers is used.
    pub nameservers: Vec<SocketAddr>,
    /// Zones whose servers are known and asked directly.
    pub stub_zones: Vec<StubZone>,
    /// The keys that DNSSEC chains may begin at. Without one nothing is validated and every
    /// answer is insecure. A stub zone is validated only where an anchor lies within it.
    pub trust_anchors: Vec<TrustAnchor>,
    /// How long one server may take for one question.
    pub timeout: Duration,
    /// How long a resolution may take, with all of its questions.
    pub deadline: Duration,
    /// How often each server is asked before the question has failed, at least once.
    pub attempts: u32,
    /// How many answers the cache holds.
    pub cache_size: usize,
    /// Which of a zone's own servers may be asked when the resolver knows no such name: their
    /// addresses are the zone owner's word.
    pub address_policy: AddressPolicy,
    /// The port of those servers; 53 on the Internet.
    pub authoritative_port: u16,
}

/// A zone whose servers are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StubZone {
    /// The zone; every name at or below it is asked there.
    pub zone: Name,
    /// Its servers, the first that answers is used.
    pub servers: Vec<SocketAddr>,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        Self {
            nameservers: Vec::new(),
            stub_zones: Vec::new(),
            trust_anchors: Vec::new(),
            timeout: Duration::from_secs(2),
            deadline: Duration::from_secs(20),
            attempts: 2,
            cache_size: 4096,
            address_policy: AddressPolicy::default(),
            authoritative_port: 53,
        }
    }
}
