//! Subscriptions: ours, to others' flows.

use eson_protocol::{Delivery, Name, OnGap, Principal, Start};
use serde::{Deserialize, Serialize};

use super::{Activity, Condition, FlowSpec};
use crate::store::{Kind, Resource};

/// A subscription of a flow of ours to a flow elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subscription {
    /// What is wanted.
    pub spec: SubscriptionSpec,
    /// What is.
    #[serde(default)]
    pub status: SubscriptionStatus,
}

/// What a subscription is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubscriptionSpec {
    /// The flow to receive.
    pub remote: Name,
    /// The flow to write to. A flow is fed by at most one subscription.
    pub local: Name,
    /// The flow to create at `local` if there is none.
    pub creates: Option<Box<FlowSpec>>,
    /// Who subscribed.
    pub owner: Principal,
    /// The idempotency token that the publisher knows this subscription by: random, and a
    /// secret, since an anonymous subscriber has nothing else to show.
    pub id: String,
    /// Where to begin.
    pub start: Start,
    /// How events are delivered.
    pub mode: Delivery,
    /// What becomes of a gap in what is received.
    #[serde(default)]
    pub on_gap: OnGap,
    /// Whether events are to move.
    #[serde(default)]
    pub activity: Activity,
    /// Counts changes of this spec.
    pub generation: u64,
}

/// What a subscription does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubscriptionStatus {
    /// How far it matches.
    pub condition: Condition,
    /// In one word.
    pub state: SubscriptionState,
    /// The copy's name, once the publisher has answered.
    pub copy: Option<Name>,
    /// When its deletion began, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub deleting_since: Option<u64>,
    /// The flows that feed the remote one, as the salted hashes that its FNAA tells.
    #[serde(default)]
    pub origins: Vec<String>,
}

/// A subscription in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SubscriptionState {
    /// Not yet set up; being tried.
    #[default]
    Pending,
    /// Events move.
    Active,
    /// Paused here.
    Paused,
    /// Stopped here.
    Stopped,
    /// The publisher has ended it.
    Revoked,
    /// The publisher refuses it.
    Failed,
}

impl SubscriptionState {
    /// The word.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Revoked => "revoked",
            Self::Failed => "failed",
        }
    }
}

impl Resource for Subscription {
    const KIND: Kind = Kind::Subscription;
}
