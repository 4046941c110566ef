//! Subscribers: theirs, to our flows.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use eson_broker::{QueueId, Rates};
use eson_protocol::{DeliveryOptions, Mode, Name, OnGap, Positions, Principal, Start};
use serde::{Deserialize, Serialize};

use super::{Activity, Condition, Marks, Quality, QueueState, Reconciled};
use crate::store::{Kind, Resource};

/// Somebody's subscription to a flow of ours, with its copy of the flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subscriber {
    /// What is wanted.
    pub spec: SubscriberSpec,
    /// What is.
    #[serde(default)]
    pub status: SubscriberStatus,
}

/// What a subscriber is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubscriberSpec {
    /// The flow.
    pub flow: Name,
    /// The label in front of the flow's name that makes the copy's, and the broker user's name.
    pub label: Label,
    /// Who asked.
    pub principal: Principal,
    /// On whose behalf, if an FNAA asked for one of its users.
    pub on_behalf_of: Option<Principal>,
    /// Where it was last asked from: an address, of IPv6 the /64. Anonymous ones have nothing else
    /// that tells them apart.
    #[serde(default)]
    pub network: Option<IpAddr>,
    /// Where the copy begins.
    pub start: Start,
    /// Offsets of the flow that go before `start`.
    #[serde(default)]
    pub cursor: Positions,
    /// By which queue events are delivered.
    pub mode: Mode,
    /// What becomes of events that are gone before they were copied.
    #[serde(default)]
    pub on_gap: OnGap,
    /// How often events shall arrive in the copy, and how soon.
    #[serde(default)]
    pub delivery: DeliveryOptions,
    /// What the owner lets it have, apart from what the flow says for all.
    #[serde(default)]
    pub quality: Quality,
    /// Counts passwords: another number makes another password.
    pub credential: u64,
    /// Counts changes of this spec that the reconciler has to make true.
    pub generation: u64,
    /// Whether the copy is to be filled.
    #[serde(default)]
    pub activity: Activity,
    /// Whether the lease holds.
    pub lease: Lease,
    /// When the lease lapses, in milliseconds since the Unix epoch.
    pub expires: u64,
    /// Up to where the subscriber has the copy's events; the copy is trimmed behind it.
    #[serde(default)]
    pub acknowledged: Positions,
}

/// How a subscriber's right stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Lease {
    /// It is renewed in time.
    Held,
    /// It was not renewed: the credential is off, the data is kept.
    Lapsed,
    /// It was not renewed for so long that the copy is gone; where it was in the source is kept.
    Expired,
    /// The owner has ended it. Only this tombstone is left until the owner clears it.
    Revoked,
}

/// What a subscriber has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubscriberStatus {
    /// How far it matches.
    pub condition: Condition,
    /// The copy's queue.
    pub queue: QueueState,
    /// The number of partitions of the copy.
    pub partitions: u32,
    /// Which password the credential at the broker has, and which lease it follows; none while
    /// there is no credential.
    pub credential: Option<(u64, Lease)>,
    /// Up to where the copy was trimmed.
    #[serde(default)]
    pub trimmed: Positions,
    /// The copy's records in the private view.
    #[serde(default)]
    pub registered: Vec<super::RegisteredView>,
    /// The broker that holds the copy, by its name in the configuration.
    #[serde(default)]
    pub broker: String,
    /// The flow's own queue at that broker, where that is what is read.
    #[serde(default)]
    pub source: Option<String>,
    /// The flow's queue that `start` and `cursor` of the spec speak of.
    #[serde(default)]
    pub begun: Option<QueueId>,
    /// What the broker was told to hold the subscriber's user to.
    #[serde(default)]
    pub rates: Rates,
    /// Whether the copy gets no events because the subscriber lags too much.
    #[serde(default)]
    pub overlagging: bool,
    /// How far the copy goes into its source.
    #[serde(default)]
    pub marks: Marks,
    /// Whether the copy is to be made anew behind one that is gone.
    #[serde(default)]
    pub resuming: bool,
    /// What has happened that owner and subscriber have to know.
    #[serde(default)]
    pub notice: Option<String>,
}

/// Labels that begin with this are the network's own; CREATE FLOW refuses them.
pub(crate) const COPY_PREFIX: &str = "sub-";

/// The label of a copy: 80 bits that nobody can guess, behind [`COPY_PREFIX`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Label(String);

impl Label {
    /// The label for 80 random or pseudo-random bits.
    #[must_use]
    pub(crate) fn from_bits(bits: [u8; 10]) -> Self {
        Self(format!("{COPY_PREFIX}{}", base32(&bits)))
    }

    /// The label as text.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// RFC 4648, section 6, in lower case; `bits` is a multiple of five octets, so without padding.
fn base32(bits: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = String::with_capacity(bits.len() * 8 / 5);
    let (mut held, mut count) = (0u32, 0);
    for octet in bits {
        held = (held << 8) | u32::from(*octet);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(ALPHABET[(held >> count) as usize & 31]));
        }
    }
    text
}

impl SubscriberSpec {
    /// Whose right to read counts: the user's on whose behalf an FNAA asked, or the asker's own.
    #[must_use]
    pub(crate) fn reader(&self) -> &Principal {
        self.on_behalf_of.as_ref().unwrap_or(&self.principal)
    }
}

impl Subscriber {
    /// The name of what is read: the copy, or, in direct mode, the flow itself.
    ///
    /// # Errors
    /// As [`Subscriber::copy`].
    pub(crate) fn read_name(&self) -> Result<Name, eson_protocol::NameError> {
        match self.spec.mode {
            Mode::Copy => self.copy(),
            Mode::Direct => Ok(self.spec.flow.clone()),
        }
    }

    /// The name of the copy.
    ///
    /// # Errors
    /// When label and flow are too long together.
    pub(crate) fn copy(&self) -> Result<Name, eson_protocol::NameError> {
        self.spec.flow.prefixed(self.spec.label.as_str())
    }
}

impl Subscriber {
    /// Whether the flow's queue, which is this one now, was deleted and created again since the
    /// subscription began.
    #[must_use]
    pub(crate) fn began_with_another(&self, now: Option<&QueueId>) -> bool {
        let begun = self.status.begun.as_ref();
        begun.is_some_and(|begun| now.is_some_and(|now| begun != now))
    }

    /// The name that the subscriber with this copy is stored under. The subscribers of one flow
    /// share a prefix. None where the name is no copy's.
    #[must_use]
    pub(crate) fn stored_name(copy: &Name) -> Option<String> {
        let label = copy.first_label();
        let flow = copy.parent().filter(|_| label.starts_with(COPY_PREFIX))?;
        Some(format!("{flow} {label}"))
    }

    /// How many events of a queue, which has these ranges, the subscriber has not said to have.
    #[must_use]
    pub(crate) fn unread(&self, ranges: &BTreeMap<u32, (u64, u64)>) -> u64 {
        let unread = ranges.iter().map(|(partition, (earliest, latest))| {
            let next = self.spec.acknowledged.get(partition).unwrap_or(earliest);
            latest.saturating_sub(*next.max(earliest))
        });
        unread.sum()
    }

    /// The copy's records in each view.
    pub(crate) fn views(&mut self) -> &mut Vec<super::RegisteredView> {
        &mut self.status.registered
    }

    /// The leg of the flow's fan-out that fills the copy.
    #[must_use]
    pub(crate) fn leg_id(&self) -> String {
        format!("{}.{}", self.spec.label, self.spec.flow)
    }
}

impl Resource for Subscriber {
    const KIND: Kind = Kind::Subscriber;
}

impl Reconciled for Subscriber {
    fn generation(&self) -> u64 {
        self.spec.generation
    }

    fn condition(&mut self) -> &mut Condition {
        &mut self.status.condition
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_dns_label_of_eighty_bits() {
        assert_eq!(Label::from_bits([0; 10]).as_str(), "sub-aaaaaaaaaaaaaaaa");
        assert_eq!(Label::from_bits([255; 10]).as_str(), "sub-7777777777777777");
        assert_eq!(
            Label::from_bits(*b"foobarbazz").as_str(),
            "sub-mzxw6ytbojrgc6t2"
        );
    }
}
