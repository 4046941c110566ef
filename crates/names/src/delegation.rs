//! What an operator puts into zones that this FNAA does not change itself.

use std::net::IpAddr;

use eson_protocol::Name;

use crate::publish::Target;
use crate::record::{Record, RecordData, absolute};

/// The records of an FNAA's own name, which usually lies in the operator's parent zone: its
/// addresses, and the SRV at the name itself that the proof of concept's clients ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRecords {
    /// The FNAA's name and port.
    pub agent: Target,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The time to live of every record, in seconds.
    pub ttl: u32,
}

/// A child zone's name servers, as its parent zone lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The child zone.
    pub zone: Name,
    /// Its name servers.
    pub servers: Vec<Name>,
    /// The time to live of every record, in seconds.
    pub ttl: u32,
}

impl HostRecords {
    /// A or AAAA for each address, and the SRV.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let owner = absolute(&self.agent.host);
        let record = |data| Record {
            owner: owner.clone(),
            ttl: self.ttl,
            data,
        };
        let mut records: Vec<Record> = self.addresses.iter().map(|a| record(address(*a))).collect();
        records.push(record(RecordData::Srv {
            priority: 0,
            weight: 0,
            port: self.agent.port,
            target: owner.clone(),
        }));
        records
    }
}

impl Delegation {
    /// An NS for each server.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let record = |server| Record {
            owner: absolute(&self.zone),
            ttl: self.ttl,
            data: RecordData::Ns(absolute(server)),
        };
        self.servers.iter().map(record).collect()
    }
}

/// What `fnaad dns-records` prints: one line a record, in zone-file syntax, ready for the parent
/// zone.
#[must_use]
pub fn parent_zone_lines(host: &HostRecords, delegations: &[Delegation]) -> Vec<String> {
    let delegated = delegations.iter().flat_map(Delegation::records);
    let records = host.records().into_iter().chain(delegated);
    records.map(|record| record.to_string()).collect()
}

fn address(address: IpAddr) -> RecordData {
    match address {
        IpAddr::V4(address) => RecordData::A(address),
        IpAddr::V6(address) => RecordData::Aaaa(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_zone_gets_host_and_delegation() {
        let name = |text| Name::parse(text).expect("a name");
        let host = HostRecords {
            agent: (name("fnaa.orange.example"), 61000).into(),
            addresses: vec![
                "192.0.2.1".parse().expect("an address"),
                "2001:db8::1".parse().expect("an address"),
            ],
            ttl: 3600,
        };
        let delegation = Delegation {
            zone: name("flows.orange.example"),
            servers: vec![name("fnaa.orange.example")],
            ttl: 3600,
        };
        assert_eq!(
            parent_zone_lines(&host, &[delegation]),
            [
                "fnaa.orange.example. 3600 IN A 192.0.2.1",
                "fnaa.orange.example. 3600 IN AAAA 2001:db8::1",
                "fnaa.orange.example. 3600 IN SRV 0 0 61000 fnaa.orange.example.",
                "flows.orange.example. 3600 IN NS fnaa.orange.example.",
            ]
        );
    }
}
