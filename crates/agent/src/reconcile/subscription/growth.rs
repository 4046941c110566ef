//! How many partitions the local flow of a subscription has: as many as what is read.

use super::SubscriptionReconciler;
use crate::remote::{Copy, MAX_PARTITIONS};
use crate::resource::{Failure, Flow, Subscription};
use crate::store::Stored;

impl SubscriptionReconciler {
    /// Lets the local flow grow with what is read, where this subscription has made it and nobody has
    /// given it another number since: only with as many do record batches pass whole. The bridge sees
    /// new partitions before the publisher is asked again. Beyond [`MAX_PARTITIONS`] it stays as it is.
    pub(super) async fn follow_growth(
        &self,
        stored: &Stored<Subscription>,
        copy: &Copy,
    ) -> Result<(), Failure> {
        let spec = &stored.resource.spec;
        if spec.creates.is_none() {
            return Ok(());
        }
        let seen = self.bridge(spec).map_or(0, |leg| leg.partitions);
        let now = copy.partitions().max(seen);
        if now > MAX_PARTITIONS {
            return Ok(());
        }
        let before = stored.resource.status.partitions;
        let before = before.unwrap_or(copy.partitions());
        let flows = &self.participant.flows;
        let Some(flow) = flows.get(spec.local.as_str()).await? else {
            return Ok(());
        };
        let mut has = flow.resource.spec.partitions;
        if has == Some(before) && now > before {
            let grow = |flow: &mut Flow| {
                if flow.spec.partitions == Some(before) {
                    flow.spec.partitions = Some(now);
                    flow.spec.generation += 1;
                    flow.status.condition.failure = None;
                }
            };
            let grown = flows.update(spec.local.as_str(), grow).await?;
            has = grown.resource.spec.partitions;
        }
        // A crash before this is stored finds the flow grown, and goes on from there.
        if has == Some(now) && stored.resource.status.partitions != Some(now) {
            let note = |it: &mut Subscription| it.status.partitions = Some(now);
            let subscriptions = &self.participant.subscriptions;
            subscriptions.update(&stored.name, note).await?;
        }
        Ok(())
    }
}
