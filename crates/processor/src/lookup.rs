//! Who is asked for the addresses of brokers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use eson_client::{Lookup, SystemLookup};
use eson_names::{Resolver, ResolverConfig, StubZone};
use eson_protocol::Name;

const DNS_PORT: u16 = 53;

/// A name server: `ADDRESS` or `ADDRESS:PORT` (IPv6 with a port in brackets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nameserver(SocketAddr);

/// A zone whose server is known: `ZONE=ADDRESS` or `ZONE=ADDRESS:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    zone: Name,
    server: Nameserver,
}

/// A text that names no name server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadNameserver {
    /// Not an address.
    #[error("`{0}` is neither ADDRESS nor ADDRESS:PORT; a name server is given by its address")]
    Address(String),
    /// Not a zone and an address.
    #[error("`{0}` is not ZONE=ADDRESS, as flows.orange.example=127.0.0.1:5300 is")]
    Stub(String),
}

impl FromStr for Nameserver {
    type Err = BadNameserver;

    fn from_str(text: &str) -> Result<Self, BadNameserver> {
        let with_port = text.parse::<SocketAddr>();
        let alone = |_| text.parse::<IpAddr>().map(|ip| (ip, DNS_PORT).into());
        with_port
            .or_else(alone)
            .map(Self)
            .map_err(|_| BadNameserver::Address(text.to_owned()))
    }
}

impl FromStr for Stub {
    type Err = BadNameserver;

    fn from_str(text: &str) -> Result<Self, BadNameserver> {
        let bad = || BadNameserver::Stub(text.to_owned());
        let (zone, server) = text.split_once('=').ok_or_else(bad)?;
        Ok(Self {
            zone: Name::parse(zone).map_err(|_| bad())?,
            server: server.parse()?,
        })
    }
}

/// Asks the servers of `stubs` for names in their zones and `nameservers` for all others, or the
/// operating system where there are none.
#[must_use]
pub fn lookup(nameservers: &[Nameserver], stubs: &[Stub]) -> Arc<dyn Lookup> {
    if nameservers.is_empty() && stubs.is_empty() {
        return Arc::new(SystemLookup);
    }
    let stub_zones = stubs.iter().map(|stub| StubZone {
        zone: stub.zone.clone(),
        servers: vec![stub.server.0],
    });
    let resolver = Resolver::new(ResolverConfig {
        nameservers: nameservers.iter().map(|server| server.0).collect(),
        stub_zones: stub_zones.collect(),
        ..ResolverConfig::default()
    });
    if !nameservers.is_empty() {
        return Arc::new(resolver);
    }
    Arc::new(StubsAndSystem {
        zones: stubs.iter().map(|stub| stub.zone.clone()).collect(),
        resolver,
    })
}

/// Known zones by their servers, everything else by the operating system.
struct StubsAndSystem {
    zones: Vec<Name>,
    resolver: Resolver,
}

#[async_trait]
impl Lookup for StubsAndSystem {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let is_known = |name: Name| self.zones.iter().any(|zone| name.is_within(zone));
        if Name::parse(host).is_ok_and(is_known) {
            return self.resolver.lookup(host).await;
        }
        SystemLookup.lookup(host).await
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use eson_names::embedded::{EmbeddedServer, EmbeddedZone};
    use eson_names::{Record, RecordData};

    use super::*;

    #[test]
    fn servers_are_addresses() {
        for (text, address) in [
            ("127.0.0.1", "127.0.0.1:53"),
            ("127.0.0.1:5300", "127.0.0.1:5300"),
            ("::1", "[::1]:53"),
            ("[::1]:5300", "[::1]:5300"),
        ] {
            let server: Nameserver = text.parse().expect(text);
            assert_eq!(server.0.to_string(), address);
        }
        for text in ["", "ns.unix.ar", "127.0.0.1:dns"] {
            text.parse::<Nameserver>().expect_err(text);
        }
    }

    #[test]
    fn stubs_are_zones_with_a_server() {
        let stub: Stub = "flows.orange.example=127.0.0.1:5300"
            .parse()
            .expect("a stub");
        assert_eq!(stub.zone.to_string(), "flows.orange.example");
        for text in [
            "flows.orange.example",
            "=127.0.0.1",
            "a..b=127.0.0.1",
            "a.b=ns",
        ] {
            text.parse::<Stub>().expect_err(text);
        }
    }

    #[tokio::test]
    async fn whom_it_is_told_to_ask_it_asks() {
        let zone = EmbeddedZone {
            zone: Name::parse("orange.example").expect("a name"),
            server: Name::parse("ns.orange.example").expect("a name"),
            records: vec![Record {
                owner: "kf1.orange.example.".to_owned(),
                ttl: 60,
                data: RecordData::A(Ipv4Addr::new(127, 9, 9, 9)),
            }],
        };
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = EmbeddedServer::start(listen, vec![zone]).await;
        let server = server.expect("a name server");
        let asked = server.address().to_string();
        let nameserver = asked.parse().expect("a name server");
        let stub = format!("orange.example={asked}").parse().expect("a stub");
        for lookup in [lookup(&[nameserver], &[]), lookup(&[], &[stub])] {
            let found = lookup.lookup("kf1.orange.example").await;
            assert_eq!(found.expect("found"), [IpAddr::from([127, 9, 9, 9])]);
            lookup.lookup("kf2.orange.example").await.expect_err("none");
        }
    }

    #[tokio::test]
    async fn names_outside_the_stubs_are_the_systems() {
        let stub = "flows.orange.example=192.0.2.1:1".parse().expect("a stub");
        let found = lookup(&[], &[stub]).lookup("localhost").await;
        assert!(found.expect("found").iter().all(IpAddr::is_loopback));
    }
}
