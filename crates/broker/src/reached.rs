//! How far a source has been copied.

use std::collections::BTreeMap;

use eson_protocol::Positions;

/// Under which leader what lies just before a position was written, by partition: with that a
/// source tells whether its log is still the one that was read.
pub type Epochs = BTreeMap<u32, i32>;

/// How far a source has been copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// By partition, the offset behind the last record that was.
    pub positions: Positions,
    /// Under which leaders those were written, as far as that is known.
    pub epochs: Epochs,
}
