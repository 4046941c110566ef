//! What is wrong with keys that are right each by itself.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::reader::Reading;
use super::{Broker, BrokerType, Config, NameserverKind};

/// Reports everything.
pub(super) fn cross_check(config: &Config, reading: &Reading) {
    let names = |key, names: Vec<String>| report_duplicates(reading, key, names);
    let nameservers = config.nameservers.iter().map(|nameserver| &nameserver.name);
    names("nameservers[].name", nameservers.cloned().collect());
    names(
        "brokers[].name",
        config
            .brokers
            .iter()
            .map(|broker| broker.name.clone())
            .collect(),
    );
    names(
        "namespaces[].name",
        texts(config.namespaces.iter().map(|namespace| &namespace.name)),
    );
    names(
        "users[].name",
        config.users.iter().map(|user| user.name.clone()).collect(),
    );
    let peers = config.peers.iter().map(|peer| match &peer.domain {
        Some(domain) => domain.to_string(),
        None => "*".to_owned(),
    });
    names("peers[].domain", peers.collect());
    let registries = config.schema_registries.iter().map(|it| &it.url);
    names("schema-registries[].url", texts(registries));
    names("addresses listened on", listen_addresses(config));
    check_brokers(config, reading);
}

fn texts<T: Display>(items: impl Iterator<Item = T>) -> Vec<String> {
    items.map(|item| item.to_string()).collect()
}

fn report_duplicates(reading: &Reading, path: &str, names: Vec<String>) {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_insert(0) += 1;
    }
    for (name, _) in counts.iter().filter(|(_, count)| **count > 1) {
        reading.report(path, format!("`{name}` is there more than once"));
    }
}

/// TCP only: every listener has TCP. Port 0 is another one each time.
fn listen_addresses(config: &Config) -> Vec<String> {
    let fnap = config.listen.iter().map(|listener| listener.address);
    let web = config.web.iter().map(|web| web.listen);
    let dns = config
        .nameservers
        .iter()
        .filter_map(|nameserver| match nameserver.kind {
            NameserverKind::Embedded { listen, .. } => Some(listen),
            NameserverKind::Rfc2136 { .. } => None,
        });
    texts(
        fnap.chain(web)
            .chain(dns)
            .filter(|address| address.port() != 0),
    )
}

fn check_brokers(config: &Config, reading: &Reading) {
    let is_local = |broker: &&Broker| broker.kind == BrokerType::Local;
    if config.brokers.iter().filter(is_local).count() > 1 {
        reading.report(
            "brokers",
            "one of `type: local` is enough: it is fnaad itself",
        );
    }
}
