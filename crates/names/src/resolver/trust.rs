//! Which names are validated, and from which keys on.

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_proto::dnssec::TrustAnchors;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{LowerName, Name, RData, RecordType};
use tokio::sync::OnceCell;

use super::anchor::{AnchorKey, TrustAnchor};
use super::config::ResolverConfig;
use super::error::ResolveErrorKind;
use super::upstream::Upstream;
use crate::wire;

/// The configured trust.
pub(super) struct Trust {
    anchors: Vec<TrustAnchor>,
    stubs: Vec<(Name, Vec<SocketAddr>)>,
    /// The keys of each anchor; digests need their zone's keys first.
    keys: Vec<OnceCell<Vec<DNSKEY>>>,
}

impl Trust {
    pub(super) fn new(config: &ResolverConfig) -> Self {
        let stubs = config.stub_zones.iter();
        Self {
            anchors: config.trust_anchors.clone(),
            stubs: stubs
                .filter_map(|stub| {
                    let zone = wire::name(&format!("{}.", stub.zone)).ok()?;
                    Some((zone, stub.servers.clone()))
                })
                .collect(),
            keys: config
                .trust_anchors
                .iter()
                .map(|_| OnceCell::new())
                .collect(),
        }
    }

    pub(super) fn stub_zones(&self) -> impl Iterator<Item = (&Name, &[SocketAddr])> {
        self.stubs
            .iter()
            .map(|(zone, servers)| (zone, servers.as_slice()))
    }

    /// Whether answers about `name` are validated: an anchor lies at or above it, within the same
    /// stub zone if it is in one.
    pub(super) fn covers(&self, name: &Name) -> bool {
        self.why_not(name).is_none()
    }

    /// Why answers about `name` are not validated; none when they are.
    pub(super) fn why_not(&self, name: &Name) -> Option<String> {
        let stubs = self.stubs.iter().map(|(zone, _)| zone);
        let stub = stubs
            .filter(|zone| zone.zone_of(name))
            .max_by_key(|zone| zone.num_labels());
        let mut above = self.anchors.iter().map(|anchor| &anchor.zone);
        match stub {
            None if above.any(|zone| zone.zone_of(name)) => None,
            None => Some("no trust anchor is configured for it".to_owned()),
            Some(stub) if above.any(|zone| zone.zone_of(name) && stub.zone_of(zone)) => None,
            Some(stub) => Some(format!(
                "its servers are configured for the zone {} without a trust anchor",
                wire::without_dot(stub)
            )),
        }
    }

    /// The keys to begin at, for an answer about `name`. The digests above it are turned into keys at
    /// the first use; those of other zones are left out until then, for their servers may be away.
    ///
    /// # Errors
    /// When a digest's zone above `name` does not answer or has no such key.
    pub(super) async fn keys(
        &self,
        name: &Name,
        upstream: &Upstream,
    ) -> Result<Arc<TrustAnchors>, ResolveErrorKind> {
        let mut keys = TrustAnchors::empty();
        for (anchor, found) in self.anchors.iter().zip(&self.keys) {
            let at_hand = matches!(anchor.key, AnchorKey::Key(_));
            let found = match at_hand || anchor.zone.zone_of(name) {
                true => Some(found.get_or_try_init(|| gather(anchor, upstream)).await?),
                false => found.get(),
            };
            for key in found.into_iter().flatten() {
                keys.insert_with_name(key.public_key(), LowerName::new(&anchor.zone));
            }
        }
        Ok(Arc::new(keys))
    }
}

async fn gather(
    anchor: &TrustAnchor,
    upstream: &Upstream,
) -> Result<Vec<DNSKEY>, ResolveErrorKind> {
    match &anchor.key {
        AnchorKey::Key(key) => Ok(vec![key.clone()]),
        AnchorKey::Digest(ds) => keys_for(&anchor.zone, ds, upstream).await,
    }
}

async fn keys_for(
    zone: &Name,
    ds: &DS,
    upstream: &Upstream,
) -> Result<Vec<DNSKEY>, ResolveErrorKind> {
    let query = Query::query(zone.clone(), RecordType::DNSKEY);
    let answer = upstream.fetch(&query).await?;
    let fitting: Vec<DNSKEY> = dnskeys(&answer)
        .filter(|key| ds.covers(zone, key).unwrap_or(false))
        .collect();
    if fitting.is_empty() {
        let zone = wire::without_dot(zone);
        return Err(ResolveErrorKind::Bogus {
            why: format!("no key of {zone} has the digest of the configured trust anchor"),
            name: zone,
        });
    }
    Ok(fitting)
}

fn dnskeys(answer: &Message) -> impl Iterator<Item = DNSKEY> {
    answer
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::DNSSEC(DNSSECRData::DNSKEY(key)) => Some(key.clone()),
            _ => None,
        })
}
