//! Which source positions are acknowledged, when chunks may be acknowledged in any order.

use std::collections::{BTreeMap, VecDeque};

use eson_protocol::Positions;

/// Stands for one chunk that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    source: u32,
    number: u64,
}

/// The chunks on their way, in the order in which they were handed over.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    sources: BTreeMap<u32, Source>,
    open: usize,
}

#[derive(Debug, Default)]
struct Source {
    /// The number of the first chunk in `chunks`.
    first: u64,
    chunks: VecDeque<Chunk>,
}

#[derive(Debug)]
struct Chunk {
    /// The source position behind it.
    next: u64,
    /// How many parts of it are not acknowledged yet.
    parts: usize,
}

impl Tickets {
    /// A chunk of the source's partition that ends before `next`, in so many parts.
    pub(crate) fn issue(&mut self, source: u32, next: u64, parts: usize) -> Ticket {
        let of_source = self.sources.entry(source).or_default();
        let number = of_source.first + of_source.chunks.len() as u64;
        of_source.chunks.push_back(Chunk { next, parts });
        self.open += 1;
        Ticket { source, number }
    }

    /// One part is acknowledged.
    pub(crate) fn part_done(&mut self, ticket: Ticket) {
        let Some(source) = self.sources.get_mut(&ticket.source) else {
            return;
        };
        let index = usize::try_from(ticket.number - source.first).ok();
        if let Some(chunk) = index.and_then(|index| source.chunks.get_mut(index)) {
            chunk.parts = chunk.parts.saturating_sub(1);
        }
    }

    /// Moves `positions` up to the first chunk of each source that is not acknowledged. Says
    /// whether any moved.
    pub(crate) fn collect(&mut self, positions: &mut Positions) -> bool {
        let mut moved = false;
        for (partition, source) in &mut self.sources {
            while let Some(chunk) = source.chunks.front().filter(|chunk| chunk.parts == 0) {
                let position = positions.entry(*partition).or_insert(0);
                moved |= *position < chunk.next;
                *position = chunk.next.max(*position);
                source.chunks.pop_front();
                source.first += 1;
                self.open -= 1;
            }
        }
        moved
    }

    /// Whether everything is acknowledged and collected.
    pub(crate) fn is_empty(&self) -> bool {
        self.open == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_never_passes_what_is_not_acknowledged() {
        let mut tickets = Tickets::default();
        let mut positions = Positions::new();
        let first = tickets.issue(0, 10, 2);
        let second = tickets.issue(0, 20, 1);
        let empty = tickets.issue(1, 7, 0);
        assert_ne!(first, empty);
        assert!(tickets.collect(&mut positions));
        assert_eq!(positions, Positions::from([(1, 7)]));
        tickets.part_done(second);
        tickets.part_done(first);
        assert!(!tickets.collect(&mut positions));
        tickets.part_done(first);
        assert!(tickets.collect(&mut positions));
        assert_eq!(positions, Positions::from([(0, 20), (1, 7)]));
        assert!(tickets.is_empty());
    }

    #[test]
    fn a_position_never_goes_back() {
        let mut tickets = Tickets::default();
        let mut positions = Positions::from([(0, 50)]);
        tickets.issue(0, 40, 0);
        assert!(!tickets.collect(&mut positions));
        assert_eq!(positions, Positions::from([(0, 50)]));
    }
}
