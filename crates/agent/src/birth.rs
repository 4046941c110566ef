//! When a subscription was made, so that participants agree on which of a circle is the newest.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// When a subscription was made, by the clock of its FNAA, and a number by which two of the same
/// moment differ. Clocks may be wrong: what counts is that everybody sees the same order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub(crate) struct Birth {
    /// Milliseconds since the Unix epoch.
    at: u64,
    number: u32,
}

impl Birth {
    /// Before all others: of what is never the newest.
    pub(crate) const OLDEST: Self = Self { at: 0, number: 0 };

    /// At a moment, with a random number.
    #[must_use]
    pub(crate) fn new(at: u64, number: [u8; 4]) -> Self {
        Self {
            at,
            number: u32::from_be_bytes(number),
        }
    }
}

/// `<milliseconds>-<number>`.
impl fmt::Display for Birth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at, self.number)
    }
}

/// A text that is no birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoBirth;

impl FromStr for Birth {
    type Err = NoBirth;

    fn from_str(text: &str) -> Result<Self, NoBirth> {
        let (at, number) = text.split_once('-').ok_or(NoBirth)?;
        Ok(Self {
            at: at.parse().map_err(|_| NoBirth)?,
            number: number.parse().map_err(|_| NoBirth)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn births_are_in_one_order_and_survive_the_wire() {
        let births = [
            Birth::OLDEST,
            Birth::new(7, [0, 0, 0, 1]),
            Birth::new(7, [0, 0, 1, 0]),
            Birth::new(1_700_000_000_000, [0; 4]),
        ];
        assert!(births.is_sorted());
        for birth in births {
            assert_eq!(birth.to_string().parse(), Ok(birth));
        }
        for wrong in ["", "7", "7-", "-7", "7-x", "7-1-1"] {
            assert_eq!(wrong.parse::<Birth>(), Err(NoBirth), "{wrong}");
        }
    }
}
