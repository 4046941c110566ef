//! What an owner lets a subscriber have: rates, and how much is kept for it.

use serde::{Deserialize, Serialize};

/// One limit as a command sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// What holds where nobody has said anything: for a subscriber what its flow says, for a flow
    /// what the configuration says.
    Default,
    /// This much; [`Limit::NONE`] is without limit.
    To(u64),
}

impl Limit {
    /// Without limit.
    pub const NONE: u64 = u64::MAX;
}

/// What becomes of a copy whose subscriber lags behind by more than it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlag {
    /// It gets no more events until its subscriber has caught up with half of what it may lag.
    #[default]
    Pause,
    /// It is deleted, and the subscription ends.
    Drop,
}

/// Changes of the quality of service for subscribers, in CREATE and UPDATE FLOW for all that have
/// nothing else, in UPDATE SUBSCRIBER for one. What is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QualityOptions {
    /// Events a second.
    pub events_rate: Option<Limit>,
    /// Octets a second.
    pub bytes_rate: Option<Limit>,
    /// How long a copy keeps events, in milliseconds.
    pub copy_retention: Option<Limit>,
    /// How many octets a copy keeps.
    pub copy_bytes: Option<Limit>,
    /// How many events of its copy a subscriber may not have fetched yet.
    pub max_lag: Option<Limit>,
    /// What becomes of the copy of one who lags more.
    pub overlag: Option<Overlag>,
}
