//! The name servers that records are registered in.

use std::time::Duration;

use eson_names::dynamic::{DynamicUpdate, TsigKey};
use eson_names::embedded::{EmbeddedServer, EmbeddedZone};
use eson_names::{HostRecords, Record, RecordData, Registrar, Target};
use eson_protocol::Name;

use super::super::Nameservers;
use super::{OpenError, read_file};
use crate::config::{self, Config, NameserverKind};

/// How long a name server may take for one update.
const UPDATE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn open_nameservers(config: &Config) -> Result<Nameservers, OpenError> {
    let mut nameservers = Nameservers::default();
    for nameserver in &config.nameservers {
        let registrar: Box<dyn Registrar> = match &nameserver.kind {
            NameserverKind::Embedded { listen, zones } => {
                let zones = embedded_zones(config, &nameserver.name, zones);
                let server = EmbeddedServer::bind(*listen, zones).await?;
                let registrar = server.registrar();
                let name = nameserver.name.clone();
                nameservers.servers().push((name, server));
                Box::new(registrar)
            }
            NameserverKind::Rfc2136 { server, keyfile } => {
                let text = read_file("nameservers[].keyfile", keyfile)?;
                let key = TsigKey::parse(&text).map_err(|cause| OpenError::Keyfile {
                    file: keyfile.clone(),
                    cause,
                })?;
                Box::new(DynamicUpdate::new(*server, key, UPDATE_TIMEOUT))
            }
        };
        nameservers
            .registrars
            .insert(nameserver.name.clone(), registrar);
    }
    Ok(nameservers)
}

/// The zones it lists, and those of our namespaces that lie in none of them.
fn embedded_zones(
    config: &Config,
    nameserver: &str,
    listed: &[config::EmbeddedZone],
) -> Vec<EmbeddedZone> {
    let zone = |zone: Name, records| EmbeddedZone {
        zone,
        server: config.fqdn.clone(),
        records,
    };
    let mut zones: Vec<_> = listed
        .iter()
        .map(|listed| zone(listed.name.clone(), host_records(config, listed)))
        .collect();
    for namespace in &config.namespaces {
        let serves = [&namespace.ns_public, &namespace.ns_private];
        let here = serves
            .iter()
            .any(|server| server.as_deref() == Some(nameserver));
        let covered = zones
            .iter()
            .any(|zone| namespace.name.is_within(&zone.zone));
        if here && !covered {
            zones.push(zone(namespace.name.clone(), Vec::new()));
        }
    }
    zones
}

/// The addresses of the listed hosts, and our own SRV, which the proof of concept's clients ask
/// for.
fn host_records(config: &Config, zone: &config::EmbeddedZone) -> Vec<Record> {
    const TTL: u32 = 60;
    let port = config
        .listen
        .first()
        .map_or(0, |listener| listener.advertised_port);
    let mut records = Vec::new();
    for (label, addresses) in &zone.hosts {
        let Ok(host) = zone.name.prefixed(label.as_str()) else {
            continue;
        };
        let is_agent = host == config.fqdn;
        let agent = Target { host, port };
        let host = HostRecords {
            agent,
            addresses: addresses.clone(),
            ttl: TTL,
        };
        let wanted = |record: &Record| is_agent || !matches!(record.data, RecordData::Srv { .. });
        records.extend(host.records().into_iter().filter(wanted));
    }
    records
}
