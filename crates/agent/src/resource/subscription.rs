//! Subscriptions: ours, to others' flows.

use eson_broker::QueueId;
use eson_protocol::{
    Code, DeliveryOptions, Mode, Name, OnGap, PayloadAttributes, Positions, Principal, Start,
    Validate,
};
use serde::{Deserialize, Serialize};

use super::{Activity, Condition, DEAD_LETTERS, Failure, FlowSpec, Reconciled, RegistryTerms};
use crate::birth::Birth;
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
    /// What becomes of a gap in what is received.
    #[serde(default)]
    pub on_gap: OnGap,
    /// Offsets of the remote flow that go before `start`.
    #[serde(default)]
    pub cursor: Positions,
    /// By which queue events are delivered; none is the publisher's choice.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// How often events shall arrive, and how soon.
    #[serde(default)]
    pub delivery: DeliveryOptions,
    /// Whether what is received is judged by what the local flow says of its events.
    #[serde(default)]
    pub validate: Validate,
    /// Between which Schema Registries ids are translated, where they are.
    #[serde(default)]
    pub registry: Option<RegistryTerms>,
    /// Whether events are to move.
    #[serde(default)]
    pub activity: Activity,
    /// When it was made.
    #[serde(default)]
    pub born: Birth,
    /// Counts changes of this spec.
    pub generation: u64,
}

impl SubscriptionSpec {
    /// The flow of the events that the local one does not take: made when the first needs it. None
    /// where the name would be too long.
    pub(crate) fn dead_letters(&self) -> Option<Name> {
        self.local.prefixed(DEAD_LETTERS).ok()
    }
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
    /// What the publisher has granted.
    #[serde(default)]
    pub terms: Terms,
    /// What the local flow may say of its events because the publisher has said it of the remote
    /// flow: more than one while it changes. Whatever else it says, somebody here has said.
    #[serde(default)]
    pub told: Vec<PayloadAttributes>,
    /// The flow's own queue that its bridge began to read, where it reads that.
    #[serde(default)]
    pub begun: Option<QueueId>,
    /// The partitions that the local flow has because what is read had so many; none before that is
    /// known.
    #[serde(default)]
    pub partitions: Option<u32>,
    /// Why no events move although they are to: it is the newest of a circle, or its owner may not
    /// write the flow any more.
    #[serde(default)]
    pub halted: Option<String>,
}

/// What a publisher has granted, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Terms {
    /// `mode`, `from`, rates and limits, as `key=value` of its answer.
    pub granted: Vec<(String, String)>,
    /// What has happened that the subscriber has to know.
    pub notice: Option<String>,
}

impl Terms {
    /// What the answer's lines say.
    pub(crate) fn read<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut terms = Self::default();
        for (key, value) in lines {
            if key == NOTICE {
                terms.notice = Some(value.to_owned());
            } else if GRANTED.contains(&key) {
                terms.granted.push((key.to_owned(), value.to_owned()));
            }
        }
        terms
    }

    /// The value of a key that it has granted.
    #[must_use]
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let found = self.granted.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    }
}

/// What of an answer is a term.
const GRANTED: [&str; 10] = [
    "mode",
    "from",
    "on-gap",
    "delivery",
    "events-rate",
    "bytes-rate",
    "copy-retention",
    "copy-bytes",
    "max-lag",
    "overlag",
];

/// The key of what has happened.
pub(crate) const NOTICE: &str = "notice";

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

impl Reconciled for Subscription {
    fn generation(&self) -> u64 {
        self.spec.generation
    }

    fn condition(&mut self) -> &mut Condition {
        &mut self.status.condition
    }

    /// A final refusal ends the subscription.
    fn fail(&mut self, failure: &Failure) {
        if !failure.is_transient() {
            self.status.state = match failure.code == Code::Revoked.number() {
                true => SubscriptionState::Revoked,
                false => SubscriptionState::Failed,
            };
        }
        self.condition().failure = Some(failure.clone());
    }
}
