//! What feeds a flow, here and elsewhere, so that events don't go round.

use std::collections::BTreeSet;

use eson_protocol::Name;

use super::Participant;
use crate::origin::{self, MAX_ORIGINS};
use crate::store::StoreError;

/// What feeds a flow.
#[derive(Default)]
struct Upstream {
    /// The flows that are known by name.
    names: BTreeSet<Name>,
    /// Those that other participants have told of, as salted hashes.
    origins: BTreeSet<String>,
}

impl Participant {
    /// Whether events of `from` come, directly or over other flows, to `to`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn feeds(&self, from: &Name, to: &Name) -> Result<bool, StoreError> {
        if from == to {
            return Ok(true);
        }
        let upstream = self.upstream(to).await?;
        let told: Vec<String> = upstream.origins.into_iter().collect();
        Ok(upstream.names.contains(from) || origin::contains(&told, from))
    }

    /// The flows that feed this one, as SUBSCRIBE's answer tells them: nobody learns a name that
    /// he does not know.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn origins(&self, flow: &Name) -> Result<Vec<String>, StoreError> {
        let upstream = self.upstream(flow).await?;
        let own = upstream
            .names
            .iter()
            .map(|name| origin::of(self.keys.origin_salt(name), name));
        Ok(own.chain(upstream.origins).take(MAX_ORIGINS).collect())
    }

    async fn upstream(&self, flow: &Name) -> Result<Upstream, StoreError> {
        let mut upstream = Upstream::default();
        let mut open = vec![flow.clone()];
        while let Some(flow) = open.pop() {
            for source in self.direct_sources(&flow, &mut upstream.origins).await? {
                if upstream.names.insert(source.clone()) {
                    open.push(source);
                }
            }
        }
        Ok(upstream)
    }

    /// What feeds a flow directly; what a subscription's publisher has told goes to `origins`.
    async fn direct_sources(
        &self,
        flow: &Name,
        origins: &mut BTreeSet<String>,
    ) -> Result<Vec<Name>, StoreError> {
        let mut sources = Vec::new();
        if let Some(subscription) = self.subscriptions.get(flow.as_str()).await? {
            origins.extend(subscription.resource.status.origins);
            sources.push(subscription.resource.spec.remote);
        }
        for processor in self.processors.list().await? {
            let spec = processor.resource.spec;
            if spec.destinations.contains(flow) {
                sources.extend(spec.sources);
            }
        }
        Ok(sources)
    }
}
