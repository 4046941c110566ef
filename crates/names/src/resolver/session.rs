//! One resolution: sets of records, aliases followed.

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use eson_protocol::Name;
use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{Name as WireName, RData, Record, RecordType};

use super::answer::{Agent, Security};
use super::error::ResolveErrorKind;
use super::order::{order, random};
use super::trace::Step;
use super::upstream::{Upstream, address};
use crate::publish::Target;
use crate::text::Attributes;
use crate::wire;

/// How many aliases may follow each other.
const MAX_ALIASES: usize = 8;

/// How many targets of one service are used.
const MAX_TARGETS: usize = 16;

/// One resolution under way.
pub(super) struct Session {
    pub(super) upstream: Upstream,
    security: Mutex<Security>,
}

impl Session {
    pub(super) fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            security: Mutex::new(Security::Secure),
        }
    }

    /// What comes of a resolution, if that is known soon enough: whoever owns a name decides how many
    /// servers that never answer are asked for it.
    pub(super) async fn in_time<T>(
        &self,
        name: &str,
        resolution: impl Future<Output = Result<T, ResolveErrorKind>>,
    ) -> Result<T, ResolveErrorKind> {
        let limit = self.upstream.shared.config.deadline;
        let resolved = tokio::time::timeout(limit, resolution).await;
        resolved.unwrap_or_else(|_| {
            Err(ResolveErrorKind::Unreachable {
                name: name.to_owned(),
                why: format!("it is not resolved within {} seconds", limit.as_secs()),
            })
        })
    }

    /// The weakest of all answers so far.
    pub(super) fn security(&self) -> Security {
        self.security
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn weaken(&self, answer: Security) {
        let mut security = self.security.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *security, Security::Secure);
        *security = before.and(answer);
    }

    /// The zone that a name lies in, by its SOA.
    pub(super) async fn zone(&self, name: &WireName) -> Result<Option<Name>, ResolveErrorKind> {
        self.announce(name, RecordType::SOA);
        let answer = self.upstream.ask_validated(name, RecordType::SOA).await?;
        self.weaken(answer.security);
        let zone = answer.zone.filter(|zone| zone.zone_of(name));
        Ok(zone.and_then(|zone| Name::parse(&wire::without_dot(&zone)).ok()))
    }

    /// The set at a name; empty when there is none. Aliases are followed.
    pub(super) async fn set(
        &self,
        name: &WireName,
        kind: RecordType,
    ) -> Result<Vec<RData>, ResolveErrorKind> {
        self.announce(name, kind);
        let mut path = vec![name.clone()];
        loop {
            let asked = path.len();
            let current = path[asked - 1].clone();
            let answer = self.upstream.ask_validated(&current, kind).await?;
            self.weaken(answer.security);
            follow(&answer.records, &mut path)?;
            let end = &path[path.len() - 1];
            let at_the_end = answer.records.iter().filter(|record| record.name == *end);
            let set: Vec<RData> = at_the_end
                .filter(|record| record.record_type() == kind)
                .map(|record| record.data.clone())
                .collect();
            if !set.is_empty() || path.len() == asked {
                return Ok(set);
            }
        }
    }

    fn announce(&self, name: &WireName, kind: RecordType) {
        let servers = self.upstream.shared.servers(name, kind);
        if let Some(server) = servers.first() {
            self.upstream.trace(Step::Resolving {
                kind: kind.to_string(),
                name: wire::without_dot(name),
                server: *server,
            });
        }
    }

    /// The targets of a service in the order in which to try them; none when there is no SRV.
    ///
    /// # Errors
    /// [`ResolveErrorKind::NotOffered`] when the one target is `.`.
    pub(super) async fn service(
        &self,
        owner: &WireName,
    ) -> Result<Option<Vec<Target>>, ResolveErrorKind> {
        let set = self.set(owner, RecordType::SRV).await?;
        let records: Vec<SRV> = set.into_iter().filter_map(srv).take(MAX_TARGETS).collect();
        if records.is_empty() {
            return Ok(None);
        }
        let ordered = order(records, random).into_iter();
        let offered: Vec<SRV> = ordered.filter(|srv| !srv.target.is_root()).collect();
        if offered.is_empty() {
            return Err(ResolveErrorKind::NotOffered {
                name: wire::without_dot(owner),
            });
        }
        let targets: Result<Vec<_>, _> = offered.iter().map(|srv| target(owner, srv)).collect();
        Ok(Some(targets?))
    }

    /// The attributes of a service.
    pub(super) async fn text(&self, owner: &WireName) -> Result<Attributes, ResolveErrorKind> {
        let set = self.set(owner, RecordType::TXT).await?;
        let strings: Vec<String> = set.iter().flat_map(wire::strings).collect();
        Ok(Attributes::parse(strings.iter().map(String::as_str)))
    }

    /// Each target with its addresses.
    ///
    /// # Errors
    /// [`ResolveErrorKind::NotFound`] when none of them has an address.
    pub(super) async fn agents(
        &self,
        targets: Vec<Target>,
    ) -> Result<Vec<Agent>, ResolveErrorKind> {
        let mut agents = Vec::with_capacity(targets.len());
        for Target { host, port } in targets {
            let addresses = self.addresses(&host).await?;
            agents.push(Agent {
                host,
                port,
                addresses,
            });
        }
        if agents.iter().all(|agent| agent.addresses.is_empty()) {
            let hosts: Vec<String> = agents.iter().map(|agent| agent.host.to_string()).collect();
            return Err(ResolveErrorKind::NotFound {
                name: hosts.join(", "),
                what: "address",
            });
        }
        Ok(agents)
    }

    /// The addresses of a host, IPv4 first; empty when it has none. `localhost` is never asked
    /// for (RFC 6761, section 6.3).
    pub(super) async fn addresses(&self, host: &Name) -> Result<Vec<IpAddr>, ResolveErrorKind> {
        if host.labels().last() == Some("localhost") {
            return Ok(LOCALHOST.to_vec());
        }
        let name = wire_name(host)?;
        let mut addresses = Vec::new();
        for kind in [RecordType::A, RecordType::AAAA] {
            addresses.extend(self.set(&name, kind).await?.iter().filter_map(address));
        }
        Ok(addresses)
    }
}

const LOCALHOST: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
];

pub(super) fn wire_name(name: &Name) -> Result<WireName, ResolveErrorKind> {
    Ok(wire::name(&format!("{name}."))?)
}

/// Adds to the path the aliases that the answer itself has.
fn follow(records: &[Record], path: &mut Vec<WireName>) -> Result<(), ResolveErrorKind> {
    let chain = |path: &[WireName], why: &str| ResolveErrorKind::Chain {
        name: wire::without_dot(&path[0]),
        why: why.to_owned(),
    };
    while let Some(next) = alias(records, &path[path.len() - 1]) {
        if path.contains(next) {
            return Err(chain(path, "go round in a circle"));
        }
        if path.len() > MAX_ALIASES {
            return Err(chain(path, "are more than 8 in a row"));
        }
        path.push(next.clone());
    }
    Ok(())
}

fn alias<'a>(records: &'a [Record], name: &WireName) -> Option<&'a WireName> {
    records.iter().find_map(|record| match &record.data {
        RData::CNAME(target) if record.name == *name => Some(&target.0),
        _ => None,
    })
}

fn srv(data: RData) -> Option<SRV> {
    match data {
        RData::SRV(srv) => Some(srv),
        _ => None,
    }
}

fn target(owner: &WireName, srv: &SRV) -> Result<Target, ResolveErrorKind> {
    let host =
        Name::parse(&srv.target.to_ascii()).map_err(|error| ResolveErrorKind::Malformed {
            name: wire::without_dot(owner),
            why: error.to_string(),
        })?;
    Ok((host, srv.port).into())
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::CNAME;

    use super::*;

    fn name(text: &str) -> WireName {
        WireName::from_ascii(text).expect("a name")
    }

    fn chain(links: &[(&str, &str)]) -> Result<Vec<WireName>, ResolveErrorKind> {
        let link = |(from, to): &(&str, &str)| {
            Record::from_rdata(name(from), 60, RData::CNAME(CNAME(name(to))))
        };
        let records: Vec<Record> = links.iter().map(link).collect();
        let mut path = vec![name("a.")];
        follow(&records, &mut path).map(|()| path)
    }

    #[test]
    fn aliases_are_followed_to_their_end() {
        assert_eq!(chain(&[]).expect("a path"), [name("a.")]);
        let path = chain(&[("b.", "c."), ("A.", "b.")]).expect("a path");
        assert_eq!(path, [name("a."), name("b."), name("c.")]);
    }

    #[test]
    fn circles_and_long_chains_are_refused() {
        for links in [vec![("a.", "a.")], vec![("a.", "b."), ("b.", "a.")]] {
            let error = chain(&links).expect_err("a circle").to_string();
            assert!(error.contains("circle"), "{error}");
        }
        let names: Vec<String> = ('a'..='z').map(|letter| format!("{letter}.")).collect();
        let links: Vec<(&str, &str)> = names
            .windows(2)
            .map(|pair| (pair[0].as_str(), pair[1].as_str()))
            .collect();
        assert!(chain(&links[..8]).is_ok());
        let error = chain(&links[..9]).expect_err("too long").to_string();
        assert!(error.contains("more than 8"), "{error}");
    }
}
