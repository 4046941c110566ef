//! Everything that a participant has, read once for a page of metrics.

use crate::participant::Participant;
use crate::resource::{Flow, Namespace, Processor, Subscriber, Subscription};
use crate::store::{StoreError, Stored};

/// Everything that a participant has.
#[derive(Default)]
pub(super) struct Inventory {
    pub(super) namespaces: Vec<Stored<Namespace>>,
    pub(super) flows: Vec<Stored<Flow>>,
    pub(super) subscribers: Vec<Stored<Subscriber>>,
    pub(super) subscriptions: Vec<Stored<Subscription>>,
    pub(super) processors: Vec<Stored<Processor>>,
}

impl Inventory {
    pub(super) async fn read(participant: &Participant) -> Result<Self, StoreError> {
        Ok(Self {
            namespaces: participant.namespaces.list().await?,
            flows: participant.flows.list().await?,
            subscribers: participant.subscribers.list().await?,
            subscriptions: participant.subscriptions.list().await?,
            processors: participant.processors.list().await?,
        })
    }
}
