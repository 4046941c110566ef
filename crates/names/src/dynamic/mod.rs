//! Registration in any name server that takes TSIG-signed dynamic updates (RFC 2136, RFC 8945).

mod key;
mod message;
mod queue;
mod signed;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use eson_protocol::Name;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name as WireName, RData, RecordType};
use tracing::warn;

pub use self::key::{TsigKey, TsigKeyError};
use self::message::Premise;
use self::queue::Queue;
use self::signed::SignedServer;
use crate::change::{Change, Group, Holder};
use crate::publish::{FlowRecords, NamespaceRecords};
use crate::registrar::{RegisterError, Registrar, ZoneCheck};
use crate::wire;

/// What a server says that has failed or is at a limit of its own.
const SERVFAIL: &str = "SERVFAIL";

/// A primary name server that is changed by dynamic updates, such as BIND.
///
/// A change is one message, all or nothing. Its prerequisites say that the names are free or that
/// the TXT record names us as owner, so that a stranger's records are never overwritten, and a
/// change whose answer was lost is simply made again. Changes that are asked for while one is
/// under way gather and go together.
#[derive(Debug)]
pub struct DynamicUpdate {
    server: Arc<SignedServer>,
    queue: Queue,
    /// The zone of each namespace, as the server said.
    zones: Mutex<HashMap<Name, Zone>>,
    /// Whether the last registration was one of many that were there already, as after a restart:
    /// then that is what is tried first.
    renewing: AtomicBool,
}

#[derive(Clone, Debug)]
struct Zone {
    name: WireName,
    negative_ttl: u32,
}

impl DynamicUpdate {
    /// A registrar at the primary name server `address`, which knows `key`. Each message waits
    /// for its answer for `timeout`, once in a datagram and once over TCP.
    #[must_use]
    pub fn new(address: SocketAddr, key: TsigKey, timeout: Duration) -> Self {
        let server = Arc::new(SignedServer {
            address,
            key,
            timeout,
        });
        Self {
            queue: Queue::new(Arc::clone(&server)),
            server,
            zones: Mutex::default(),
            renewing: AtomicBool::new(false),
        }
    }

    /// A catalogue is one record set, and servers bound its size (BIND since 9.18.28 by
    /// `max-records-per-type`, 100 unless configured) and say no more than SERVFAIL: what does not
    /// go with its listing may go without.
    async fn apply(&self, namespace: &Name, change: &Change) -> Result<(), RegisterError> {
        let applied = self.apply_whole(namespace, change).await;
        match (&applied, change.unlisted()) {
            (Err(RegisterError::Refused { rcode, .. }), Some(unlisted)) if rcode == SERVFAIL => {
                self.apply_whole(namespace, &unlisted).await?;
                let name = &change.groups[0].guard;
                warn!(
                    name,
                    %namespace,
                    "registered, but the name server takes no more entries in the catalogue; \
                     raise its limit of records per type"
                );
                Ok(())
            }
            _ => applied,
        }
    }

    async fn apply_whole(&self, namespace: &Name, change: &Change) -> Result<(), RegisterError> {
        let zone = self.zone(namespace).await?;
        let subject = &change.groups[0].guard;
        let wanted = change.groups[0].is_wanted();
        let mut all = message::premises(change)?;
        if wanted && self.renewing.load(Ordering::Relaxed) {
            all.rotate_left(1);
        }
        for premises in all {
            let update = message::update(&zone.name, change, &premises)?;
            if self.send(namespace, &zone.name, subject, update).await? {
                if wanted {
                    let renewed = premises[0] != Premise::Absent;
                    self.renewing.store(renewed, Ordering::Relaxed);
                }
                return Ok(());
            }
        }
        self.apply_as_found(namespace, &zone.name, change).await
    }

    /// When what is there is nothing that this version writes: a stranger's records, or ours as
    /// another version wrote them.
    async fn apply_as_found(
        &self,
        namespace: &Name,
        zone: &WireName,
        change: &Change,
    ) -> Result<(), RegisterError> {
        let mut premises = Vec::with_capacity(change.groups.len());
        for group in &change.groups {
            premises.push(self.premise(change, group).await?);
        }
        if !premises
            .iter()
            .any(|premise| matches!(premise, Premise::Ours(_)))
        {
            return match change.groups[0].is_wanted() {
                true => Err(self.claimed(change).await?),
                false => Ok(()),
            };
        }
        let update = message::update(zone, change, &premises)?;
        let subject = &change.groups[0].guard;
        if self.send(namespace, zone, subject, update).await? {
            return Ok(());
        }
        Err(self.claimed(change).await?)
    }

    async fn premise(&self, change: &Change, group: &Group) -> Result<Premise, RegisterError> {
        let guard = self.server.set(wire::name(&group.guard)?, RecordType::TXT);
        let guard = guard.await?;
        if message::guards(change)?.contains(&guard) {
            // That was tried: the server signs aside and shows what has been a moment ago.
            return Ok(Premise::Ignored);
        }
        Ok(match change.holder(guard) {
            Holder::Us(guard) => Premise::Ours(guard),
            Holder::Stranger if group.is_wanted() => return Err(group.taken()),
            Holder::Nobody if group.is_wanted() => Premise::Absent,
            _ => Premise::Ignored,
        })
    }

    /// Whether the update was made; not when its prerequisites don't hold.
    async fn send(
        &self,
        namespace: &Name,
        zone: &WireName,
        subject: &str,
        update: Message,
    ) -> Result<bool, RegisterError> {
        match self.queue.submit(zone, subject, update).await? {
            ResponseCode::NoError => Ok(true),
            ResponseCode::YXRRSet | ResponseCode::NXRRSet => Ok(false),
            code => {
                self.known_zones().remove(namespace);
                Err(self.server.refused(code, zone))
            }
        }
    }

    /// Which name is taken by records that name no owner. Where none is found after all, they
    /// have just changed.
    async fn claimed(&self, change: &Change) -> Result<RegisterError, RegisterError> {
        for group in change.groups.iter().filter(|group| group.is_wanted()) {
            for (name, kind) in &group.sets {
                let ours = *name == group.guard && *kind == RecordType::TXT;
                if !ours && !self.server.set(wire::name(name)?, *kind).await?.is_empty() {
                    return Ok(RegisterError::Taken { name: name.clone() });
                }
            }
        }
        Ok(RegisterError::Contended {
            name: change.groups[0].guard.clone(),
        })
    }

    async fn zone(&self, namespace: &Name) -> Result<Zone, RegisterError> {
        if let Some(known) = self.known_zones().get(namespace) {
            return Ok(known.clone());
        }
        let zone = self.find_zone(namespace).await?;
        self.known_zones().insert(namespace.clone(), zone.clone());
        Ok(zone)
    }

    /// The zone is the owner of the SOA that the server answers with authority, be it in the
    /// answer or, below the zone's top, in the authority section (RFC 2308).
    async fn find_zone(&self, namespace: &Name) -> Result<Zone, RegisterError> {
        let name = wire::name(&format!("{namespace}."))?;
        let answer = self.server.query(name.clone(), RecordType::SOA).await?;
        let code = answer.metadata.response_code;
        if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return Err(self.server.refused(code, &name));
        }
        if !answer.metadata.authoritative {
            return Err(self.server.refused(ResponseCode::NotAuth, &name));
        }
        let mut records = answer.answers.iter().chain(&answer.authorities);
        let zone = records.find_map(|record| match &record.data {
            RData::SOA(soa) if record.name.zone_of(&name) => Some(Zone {
                name: record.name.clone(),
                negative_ttl: soa.minimum.min(record.ttl),
            }),
            _ => None,
        });
        zone.ok_or_else(|| self.server.nonsense("authority without an SOA record"))
    }

    fn known_zones(&self) -> std::sync::MutexGuard<'_, HashMap<Name, Zone>> {
        self.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Registrar for DynamicUpdate {
    async fn register(&self, records: &FlowRecords) -> Result<(), RegisterError> {
        self.apply(&records.namespace, &Change::register(records)?)
            .await
    }

    async fn unregister(&self, records: &FlowRecords) -> Result<(), RegisterError> {
        self.apply(&records.namespace, &Change::unregister(records)?)
            .await
    }

    async fn register_namespace(&self, records: &NamespaceRecords) -> Result<(), RegisterError> {
        let change = Change::register_namespace(records)?;
        self.apply(&records.namespace, &change).await
    }

    async fn unregister_namespace(&self, records: &NamespaceRecords) -> Result<(), RegisterError> {
        let change = Change::unregister_namespace(records)?;
        self.apply(&records.namespace, &change).await
    }

    async fn check(&self, namespace: &Name) -> Result<ZoneCheck, RegisterError> {
        let zone = self.find_zone(namespace).await?;
        let probe = message::probe(&zone.name, namespace.as_str())?;
        let subject = namespace.as_str();
        self.send(namespace, &zone.name, subject, probe).await?;
        Ok(ZoneCheck {
            zone: wire::without_dot(&zone.name),
            negative_ttl: zone.negative_ttl,
        })
    }
}
