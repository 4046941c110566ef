//! How events are delivered: by which queue, how often, how soon.

use serde::{Deserialize, Serialize};

/// By which queue a remote flow is delivered.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A queue of its own for this subscriber.
    #[default]
    Copy,
    /// The source queue itself.
    Direct,
}

/// How often an event arrives that is written on behalf of a processor, whatever crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Once: the source position is stored in one transaction with the records.
    ExactlyOnce,
    /// Once or more: the position is stored after the records are acknowledged, so that those
    /// between two positions come again after a crash, unchanged and in their order.
    AtLeastOnce,
}

/// How often events shall arrive, and how soon. What is absent keeps its default or its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeliveryOptions {
    /// How often; exactly once by default.
    pub delivery: Option<Delivery>,
    /// How often what is delivered exactly once to Kafka is committed, in milliseconds; readers
    /// of committed records see it no sooner. 100 by default.
    pub commit_interval: Option<u64>,
}

impl DeliveryOptions {
    /// What is set here, and `earlier` for the rest.
    #[must_use]
    pub fn or(self, earlier: Self) -> Self {
        Self {
            delivery: self.delivery.or(earlier.delivery),
            commit_interval: self.commit_interval.or(earlier.commit_interval),
        }
    }
}
