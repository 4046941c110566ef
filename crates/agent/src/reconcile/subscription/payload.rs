//! What the local flow of a subscription says of its events: what the publisher says of the
//! remote flow.

use eson_protocol::PayloadAttributes;

use super::SubscriptionReconciler;
use crate::participant::understood;
use crate::remote::Copy;
use crate::resource::{Failure, Flow, Subscription, SubscriptionSpec};
use crate::store::{StoreError, Stored};

/// What the local flow is to say. Where ids are translated, they are of another registry here.
pub(super) fn wanted(spec: &SubscriptionSpec, copy: &Copy) -> PayloadAttributes {
    let mut payload = understood(&copy.payload);
    if let Some(registry) = &spec.registry {
        payload.schema_registry = Some(registry.to.clone());
    }
    payload
}

impl SubscriptionReconciler {
    /// Lets the local flow say what the publisher says by now, where this subscription has made
    /// it and nobody has said something else since.
    pub(super) async fn follow_payload(
        &self,
        stored: &Stored<Subscription>,
        copy: &Copy,
    ) -> Result<(), Failure> {
        let spec = &stored.resource.spec;
        let wanted = wanted(spec, copy);
        let told = &stored.resource.status.told;
        if spec.creates.is_none() || *told == [wanted.clone()] {
            return Ok(());
        }
        self.note_told(stored, &wanted).await?;
        let is_ours = |payload: &PayloadAttributes| told.contains(payload) || *payload == wanted;
        let follow = |flow: &mut Flow| {
            if flow.spec.payload != wanted && is_ours(&flow.spec.payload) {
                flow.spec.payload.clone_from(&wanted);
                flow.spec.generation += 1;
                flow.status.condition.failure = None;
            }
        };
        let flows = &self.participant.flows;
        match flows.update(spec.local.as_str(), follow).await {
            Ok(flow) if flow.resource.spec.payload == wanted => {
                let only = |it: &mut Subscription| it.status.told = vec![wanted.clone()];
                let subscriptions = &self.participant.subscriptions;
                subscriptions.update(&stored.name, only).await?;
                Ok(())
            }
            // Somebody knows better, or the flow is not there yet.
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores that the local flow may say this because of us, before it does.
    pub(super) async fn note_told(
        &self,
        stored: &Stored<Subscription>,
        payload: &PayloadAttributes,
    ) -> Result<(), Failure> {
        if stored.resource.status.told.contains(payload) {
            return Ok(());
        }
        let note = |it: &mut Subscription| {
            if !it.status.told.contains(payload) {
                it.status.told.push(payload.clone());
            }
        };
        let subscriptions = &self.participant.subscriptions;
        subscriptions.update(&stored.name, note).await?;
        Ok(())
    }
}
