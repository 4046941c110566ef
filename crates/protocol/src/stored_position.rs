//! What GET POSITIONS answers.

use std::fmt;
use std::str::FromStr;

use crate::text::parse_digits;

/// Up to where a processor has copied a partition of its source: `120`, or `120@7` where it is known
/// under which leader of the source what lies just before was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredPosition {
    /// The offset behind the last record.
    pub next: u64,
    /// The leader's epoch, not negative.
    pub epoch: Option<i32>,
}

impl fmt::Display for StoredPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.next)?;
        match self.epoch {
            Some(epoch) => write!(f, "@{epoch}"),
            None => Ok(()),
        }
    }
}

/// The text is no such position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no position: it must be an offset, as in `120`, or one with an epoch, as in `120@7`")]
pub struct InvalidStoredPosition;

impl FromStr for StoredPosition {
    type Err = InvalidStoredPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (next, epoch) = match text.split_once('@') {
            Some((next, epoch)) => {
                let epoch = parse_digits(epoch).ok_or(InvalidStoredPosition)?;
                (next, Some(epoch))
            }
            None => (text, None),
        };
        let next = parse_digits(next).ok_or(InvalidStoredPosition)?;
        Ok(Self { next, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_writes_and_nothing_else() {
        for (text, next, epoch) in [
            ("120", 120, None),
            ("0@0", 0, Some(0)),
            ("7@12", 7, Some(12)),
        ] {
            let position = StoredPosition { next, epoch };
            assert_eq!(text.parse(), Ok(position));
            assert_eq!(position.to_string(), text);
        }
        for text in [
            "",
            "@",
            "1@",
            "@1",
            "1@-1",
            "+1",
            "1@+1",
            "1@2147483648",
            "1@2@3",
            "1 @2",
        ] {
            assert_eq!(
                text.parse::<StoredPosition>(),
                Err(InvalidStoredPosition),
                "{text}"
            );
        }
    }
}
