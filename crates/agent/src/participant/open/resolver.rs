//! What the resolver of others' names is told.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use eson_names::{ResolverConfig, StubZone, TrustAnchor};
use eson_protocol::AddressPolicy;

use super::{OpenError, read_file};
use crate::config::{self, Config};

pub(super) fn resolver_config(config: &Config) -> Result<ResolverConfig, OpenError> {
    let resolver = &config.resolver;
    let nameservers = match resolver.nameservers.is_empty() {
        true => system_nameservers()?,
        false => resolver.nameservers.clone(),
    };
    let stub_zones = resolver.stub_zones.iter().map(|stub| StubZone {
        zone: stub.zone.clone(),
        servers: stub.nameservers.clone(),
    });
    let trusted = config
        .peers
        .iter()
        .flat_map(|peer| peer.trusted_networks.clone());
    let defaults = ResolverConfig::default();
    Ok(ResolverConfig {
        nameservers,
        stub_zones: stub_zones.collect(),
        trust_anchors: trust_anchors(resolver)?,
        address_policy: AddressPolicy::new(trusted.collect()),
        authoritative_port: resolver
            .authoritative_port
            .unwrap_or(defaults.authoritative_port),
        ..defaults
    })
}

/// The `nameserver` lines of the system's `resolv.conf`. Without that file only stub zones are
/// asked.
fn system_nameservers() -> Result<Vec<SocketAddr>, OpenError> {
    let file = Path::new("/etc/resolv.conf");
    let text = match std::fs::read_to_string(file) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => String::new(),
        Err(cause) => {
            return Err(OpenError::File {
                key: "resolver",
                file: file.to_owned(),
                cause,
            });
        }
        Ok(text) => text,
    };
    let addresses = text
        .lines()
        .filter_map(|line| line.strip_prefix("nameserver"));
    let addresses = addresses.filter_map(|address| address.trim().parse::<IpAddr>().ok());
    Ok(addresses
        .map(|address| SocketAddr::new(address, 53))
        .collect())
}

fn trust_anchors(resolver: &config::Resolver) -> Result<Vec<TrustAnchor>, OpenError> {
    let Some(file) = &resolver.trust_anchor else {
        return Ok(Vec::new());
    };
    let text = read_file("resolver.trust-anchor", file)?;
    TrustAnchor::parse_all(&text).map_err(|cause| OpenError::TrustAnchor {
        file: file.clone(),
        cause,
    })
}
