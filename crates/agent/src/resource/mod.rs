//! What a participant has: resources with an owner, a spec (what is wanted) and a status (what
//! is).
//!
//! Commands only write specs and read statuses; the reconcilers in [`crate::reconcile`] make the
//! world match. Each resource is stored under its [`crate::store::Kind`] and a name.

mod condition;
mod flow;
mod grant;
mod mark;
mod namespace;
mod processor;
mod quality;
mod queue;
mod registry;
mod schema;
mod subscriber;
mod subscription;

pub(crate) use condition::{Condition, Failure, Reconciled};
pub(crate) use flow::{DEAD_LETTERS, Flow, FlowSpec, FlowStatus, RegisteredView, copies_only};
pub(crate) use grant::{Grant, GrantKey};
pub(crate) use mark::{Mark, Marks};
pub(crate) use namespace::{Namespace, NamespaceSpec, NamespaceStatus};
pub(crate) use processor::{
    Leg as ProcessorLeg, Processor, ProcessorSpec, ProcessorStatus, SignalSpec, WindowSpec,
};
pub(crate) use quality::{Quality, limited};
pub(crate) use queue::QueueState;
pub(crate) use registry::RegistryTerms;
pub(crate) use schema::SchemaDocument;
pub(crate) use subscriber::{
    COPY_PREFIX, Label, Lease, Subscriber, SubscriberSpec, SubscriberStatus,
};
pub(crate) use subscription::{
    NOTICE, Subscription, SubscriptionSpec, SubscriptionState, SubscriptionStatus, Terms,
};

use serde::{Deserialize, Serialize};

/// Whether events are to move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Activity {
    /// Events move.
    #[default]
    Running,
    /// Nothing moves, everything is kept.
    Paused,
    /// The processor is released, the position is kept.
    Stopped,
}
