//! Whom we ask for names, and where ours are registered.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use eson_protocol::Name;

use super::reader::{Node, Section};

/// `resolver`: whom we ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// `nameservers`: recursive resolvers, the first that answers is used; without any, those of
    /// `/etc/resolv.conf`.
    pub nameservers: Vec<SocketAddr>,
    /// `stub-zones`: zones whose servers are asked directly.
    pub stub_zones: Vec<StubZone>,
    /// `trust-anchor`: a file with the DNSKEY or DS records that DNSSEC chains begin at; without
    /// it nothing is validated.
    pub trust_anchor: Option<PathBuf>,
    /// `authoritative-port`: the port of a zone's own servers (53).
    pub authoritative_port: Option<u16>,
}

/// A zone whose servers are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StubZone {
    /// `zone`: the zone and everything below it.
    pub zone: Name,
    /// `nameserver`: one or more, the first that answers is used.
    pub nameservers: Vec<SocketAddr>,
}

/// A name server that our flows are registered in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nameserver {
    /// `name`: what namespaces call it.
    pub name: String,
    /// `type` and the keys of that type.
    pub kind: NameserverKind,
    /// `ttl`: how long others may remember our records, in seconds (60).
    pub ttl: u32,
}

/// What a name server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameserverKind {
    /// `type: embedded`: the server inside fnaad.
    Embedded {
        /// `listen`: where it answers, UDP and TCP.
        listen: SocketAddr,
        /// `zones`: what it is the authority for, beside the namespaces that name it.
        zones: Vec<EmbeddedZone>,
    },
    /// `type: rfc2136`: a server that takes dynamic updates, BIND for one.
    Rfc2136 {
        /// `server`: where it takes updates.
        server: SocketAddr,
        /// `keyfile`: the TSIG key, as `tsig-keygen` writes it.
        keyfile: PathBuf,
    },
}

/// A zone of the embedded server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedZone {
    /// `name`: the zone.
    pub name: Name,
    /// `hosts`: labels below the zone and their addresses.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
}

pub(super) fn resolver(node: Node<'_>) -> Option<Resolver> {
    node.section(|section| {
        let port = section.optional("authoritative-port", |node| node.number(1..=u16::MAX));
        Some(Resolver {
            nameservers: section.one_or_more("nameservers", |node| node.socket_address()),
            stub_zones: section.list("stub-zones", stub_zone),
            trust_anchor: section.optional("trust-anchor", |node| node.file()),
            authoritative_port: port,
        })
    })
}

fn stub_zone(node: Node<'_>) -> Option<StubZone> {
    node.section(|section| {
        let zone = section.required("zone", |node| node.name());
        let nameservers = section.one_or_more("nameserver", |node| node.socket_address());
        if section.node("nameserver").is_none() {
            section.report("nameserver", "is missing");
        }
        Some(StubZone {
            zone: zone?,
            nameservers,
        })
    })
}

pub(super) fn nameserver(node: Node<'_>) -> Option<Nameserver> {
    node.section(|section| {
        let name = section.required("name", |node| node.label());
        let kind = section.variant(&[("embedded", embedded), ("rfc2136", rfc2136)]);
        let ttl = section.optional("ttl", |node| node.number(1..=604_800));
        Some(Nameserver {
            name: name?,
            kind: kind?,
            ttl: ttl.unwrap_or(60),
        })
    })
}

fn embedded(section: &Section<'_>) -> Option<NameserverKind> {
    let listen = section.required("listen", |node| node.socket_address());
    let zones = section.list("zones", embedded_zone);
    Some(NameserverKind::Embedded {
        listen: listen?,
        zones,
    })
}

fn embedded_zone(node: Node<'_>) -> Option<EmbeddedZone> {
    node.section(|section| {
        let name = section.required("name", |node| node.name())?;
        let hosts = section.optional("hosts", |node| node.entries());
        let hosts = hosts.unwrap_or_default().into_iter();
        let hosts = hosts.filter_map(|(label, node)| host(&name, label, &node));
        let hosts = hosts.collect();
        Some(EmbeddedZone { name, hosts })
    })
}

fn host(zone: &Name, label: String, node: &Node<'_>) -> Option<(String, Vec<IpAddr>)> {
    if let Err(cause) = zone.prefixed(&label) {
        return node.report(cause.to_string());
    }
    let addresses = node.one_or_more()?.into_iter();
    let addresses = addresses.filter_map(|node| match node.text()?.parse() {
        Ok(address) => Some(address),
        Err(_) => node.report("must be an address, as in 127.0.0.1"),
    });
    Some((label, addresses.collect()))
}

fn rfc2136(section: &Section<'_>) -> Option<NameserverKind> {
    let server = section.required("server", |node| node.socket_address());
    let keyfile = section.required("keyfile", |node| node.file());
    Some(NameserverKind::Rfc2136 {
        server: server?,
        keyfile: keyfile?,
    })
}
