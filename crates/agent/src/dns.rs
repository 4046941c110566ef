//! What the operators of the parent zones have to add, once.

use std::net::IpAddr;

use eson_names::{Delegation, HostRecords, Target, parent_zone_lines};

use crate::config::{Config, NameserverKind};

/// How long others may remember these records, in seconds: they hardly change.
const TTL: u32 = 3600;

/// The records in zone-file syntax, one a line: our own name, at `addresses` or where we listen,
/// and the delegation of each namespace that the embedded name server answers for.
#[must_use]
pub fn dns_records(config: &Config, addresses: &[IpAddr]) -> Vec<String> {
    let listening = config.listen.iter().map(|listener| listener.address.ip());
    let mut found: Vec<_> = match addresses {
        [] => listening
            .filter(|address| !address.is_unspecified())
            .collect(),
        given => given.to_vec(),
    };
    found.sort();
    found.dedup();
    let port = config
        .listen
        .first()
        .map_or(0, |listener| listener.advertised_port);
    let host = HostRecords {
        agent: Target::from((config.fqdn.clone(), port)),
        addresses: found,
        ttl: TTL,
    };
    parent_zone_lines(&host, &delegations(config))
}

fn delegations(config: &Config) -> Vec<Delegation> {
    let is_embedded = |name: &str| {
        config.nameservers.iter().any(|nameserver| {
            nameserver.name == name && matches!(nameserver.kind, NameserverKind::Embedded { .. })
        })
    };
    let embedded = config
        .namespaces
        .iter()
        .filter(|namespace| namespace.ns_public.as_deref().is_some_and(is_embedded));
    let delegation = |zone| Delegation {
        zone,
        servers: vec![config.fqdn.clone()],
        ttl: TTL,
    };
    embedded
        .map(|namespace| delegation(namespace.name.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn example(name: &str) -> Config {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        Config::load(&examples.join(name), None).unwrap()
    }

    #[test]
    fn names_the_host_and_delegates_what_is_embedded() {
        let host = [
            "fnaa.orange.example. 3600 IN A 127.0.0.1",
            "fnaa.orange.example. 3600 IN SRV 0 0 61000 fnaa.orange.example.",
        ];
        assert_eq!(dns_records(&example("kafka/orange.yaml"), &[]), host);
        let embedded = dns_records(&example("orange.yaml"), &[]);
        assert_eq!(embedded[..2], host);
        assert_eq!(
            embedded[2..],
            ["flows.orange.example. 3600 IN NS fnaa.orange.example."]
        );
        let elsewhere = "192.0.2.1".parse().unwrap();
        let given = dns_records(&example("orange.yaml"), &[elsewhere]);
        assert_eq!(given[0], "fnaa.orange.example. 3600 IN A 192.0.2.1");
    }
}
