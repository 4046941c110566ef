//! How far a destination is: an event of the source, and one of the event's outputs.
//!
//! Positions of the trait `QueueWriter` are one number for each partition of the source. So that a
//! destination can have some outputs of an event and not yet others, whatever crashes between
//! them, an output's number is in the lowest bits of it.

/// How many bits of a place say which output of the event it is.
const BITS: u32 = 16;

/// How many outputs of one event may go to one destination.
pub(crate) const MAX_OUTPUTS: usize = 1 << BITS;

/// The place of an event's output, counted from 0.
pub(crate) fn of(offset: u64, output: usize) -> u64 {
    (offset << BITS) | (output as u64 & (MAX_OUTPUTS as u64 - 1))
}

/// The place before any output of the event at `offset`.
pub(crate) fn before(offset: u64) -> u64 {
    of(offset, 0)
}

/// The event that is at a place, or comes next there.
pub(crate) fn offset(place: u64) -> u64 {
    place >> BITS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_are_in_the_order_of_events_and_their_outputs(
            one in (0_u64..1 << 47, 0..MAX_OUTPUTS),
            other in (0_u64..1 << 47, 0..MAX_OUTPUTS),
        ) {
            prop_assert_eq!(of(one.0, one.1).cmp(&of(other.0, other.1)), one.cmp(&other));
            prop_assert_eq!(offset(of(one.0, one.1)), one.0);
            prop_assert!(of(one.0, one.1) < before(one.0 + 1));
        }
    }
}
