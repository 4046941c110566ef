//! Whether processors judge what they write.

use serde::{Deserialize, Serialize};

/// Whether a processor judges each event by what its destination says of its events, as WRITE FLOW
/// does, and what becomes of one that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validate {
    /// It does not look: what it reads was judged when it was written, if anywhere.
    #[default]
    Off,
    /// The processor stops there.
    Stop,
    /// The event goes to the flow of dead letters.
    DeadLetter,
}
