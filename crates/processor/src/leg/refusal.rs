//! Records that the destination does not take: setting apart those that are known beforehand, and
//! looking for those of which it tells too late.

use std::collections::BTreeMap;

use eson_broker::{Chunk, Payload};
use eson_protocol::{Positions, Record};

use crate::dead_letters::DeadLetter;

/// How many records are written at once, at most, while one is looked for.
const LONGEST: usize = 1024;

/// A part of a chunk.
#[derive(Debug)]
pub(super) enum Piece {
    /// To be written. It moves the position past the dead letter before it.
    Taken(Chunk),
    /// To be stored before the position moves past it.
    Refused(DeadLetter),
}

/// Sets the records apart that there is a reason not to write.
pub(super) fn set_apart(chunk: Chunk, reason: impl Fn(&Record) -> Option<String>) -> Vec<Piece> {
    let Payload::Records(records) = chunk.payload else {
        return vec![Piece::Taken(chunk)];
    };
    let run = |first, next, records| {
        Piece::Taken(Chunk {
            first,
            next,
            payload: Payload::Records(records),
            ..chunk
        })
    };
    let mut pieces = Vec::new();
    let mut first = chunk.first;
    let mut taken = Vec::new();
    for record in records {
        let Some(reason) = reason(&record) else {
            taken.push(record);
            continue;
        };
        if !taken.is_empty() {
            pieces.push(run(first, record.offset, std::mem::take(&mut taken)));
            first = record.offset;
        }
        pieces.push(Piece::Refused(DeadLetter {
            partition: chunk.partition,
            record,
            reason,
        }));
    }
    pieces.push(run(first, chunk.next, taken));
    pieces
}

/// Takes so many records off the front of a chunk; none when nothing is left.
pub(super) fn take_run(rest: &mut Option<Chunk>, count: usize) -> Option<Chunk> {
    let mut run = rest.take()?;
    if let Payload::Records(records) = &mut run.payload
        && records.len() > count
    {
        let later = records.split_off(count);
        let next = later.first().map_or(run.next, |record| record.offset);
        *rest = Some(Chunk {
            first: next,
            payload: Payload::Records(later),
            ..run
        });
        run.next = next;
    }
    Some(run)
}

/// Looking for a record that a destination has refused.
///
/// A broker that refuses a record may tell it of all that it was sent with, when more is on its way
/// behind that; then the writer is of no more use. So what it has not stored is read again and
/// written in runs, each waited for, which get shorter where one is refused and longer where
/// one is taken. What is refused alone is found, and the next time set apart. That ends when all that
/// had been handed over is through.
#[derive(Clone, Debug, Default)]
pub(super) struct Search {
    /// Up to where records had been handed over; empty when nothing is looked for.
    until: Positions,
    run: usize,
    /// Why the last run was refused.
    reason: String,
    /// What was refused alone, by partition and offset, with the reason.
    found: BTreeMap<(u32, u64), String>,
}

impl Search {
    pub(super) fn is_on(&self) -> bool {
        !self.until.is_empty()
    }

    /// How many records to write at once.
    pub(super) fn run(&self) -> usize {
        self.run
    }

    /// Something was refused of what was handed over up to there.
    pub(super) fn refused(&mut self, handed_over: &Positions, reason: String) {
        self.reason = reason;
        if !self.is_on() {
            self.until.clone_from(handed_over);
            self.run = LONGEST;
        }
    }

    /// Some records of a partition were refused together, with this one as their first.
    pub(super) fn narrow(&mut self, partition: u32, first: u64, count: usize) {
        if count > 1 {
            self.run = count / 2;
        } else {
            self.found.insert((partition, first), self.reason.clone());
        }
    }

    /// Everything of a partition before a place is taken.
    pub(super) fn taken(&mut self, partition: u32, next: u64) {
        self.run = (self.run * 2).min(LONGEST);
        self.until
            .retain(|of, until| *of != partition || *until > next);
        self.forget_when_over();
    }

    /// The source was cut off there: what was found behind it is gone.
    pub(super) fn rewound(&mut self, partition: u32, to: u64) {
        self.found
            .retain(|(of, offset), _| *of != partition || *offset < to);
        if let Some(until) = self.until.get_mut(&partition) {
            *until = to.min(*until);
        }
    }

    /// Leaves out what the destination has stored.
    pub(super) fn settle(&mut self, stored: &Positions) {
        self.until
            .retain(|partition, until| stored.get(partition).is_none_or(|at| at < until));
        self.forget_when_over();
    }

    fn forget_when_over(&mut self) {
        if !self.is_on() {
            self.found.clear();
        }
    }

    /// Why a record is a dead letter, if it is one that was found.
    pub(super) fn reason_for(&self, partition: u32, record: &Record) -> Option<&str> {
        let reason = self.found.get(&(partition, record.offset));
        reason.map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    fn chunk(count: u64) -> Chunk {
        let record = |offset| Record {
            offset,
            timestamp: -1,
            key: None,
            value: Some(Bytes::from(offset.to_string())),
            headers: Vec::new(),
        };
        Chunk {
            partition: 3,
            first: 38,
            next: 42 + count,
            high_watermark: 1_000,
            epoch: None,
            payload: Payload::Records((40..40 + count).map(record).collect()),
        }
    }

    fn records(chunk: &Chunk) -> &[Record] {
        match &chunk.payload {
            Payload::Records(records) => records,
            Payload::Encoded(_) => panic!("these are records"),
        }
    }

    proptest! {
        #[test]
        fn a_position_passes_a_letter_only_with_what_is_behind_it(
            bad in vec(any::<bool>(), 0..40),
        ) {
            let whole = chunk(bad.len() as u64);
            let is_bad = |record: &Record| bad[(record.offset - 40) as usize];
            let reason = |record: &Record| is_bad(record).then(|| "no".to_owned());
            let (mut next, mut all) = (whole.first, Vec::new());
            for piece in set_apart(whole.clone(), reason) {
                match piece {
                    Piece::Taken(run) => {
                        prop_assert_eq!(run.first, next, "no gap between them");
                        prop_assert!(!records(&run).iter().any(is_bad));
                        next = run.next;
                        all.extend(records(&run).to_vec());
                    }
                    Piece::Refused(letter) => {
                        prop_assert!(letter.record.offset >= next, "not yet passed");
                        prop_assert!(is_bad(&letter.record));
                        all.push(letter.record);
                    }
                }
            }
            prop_assert_eq!(next, whole.next);
            prop_assert_eq!(all.as_slice(), records(&whole));
        }

        #[test]
        fn the_search_finds_every_record_that_is_refused_and_no_other(
            count in 1_u64..3_000,
            bad in btree_set(40_u64..3_040, 0..6),
        ) {
            let mut search = Search::default();
            search.refused(&[(3, 42 + count)].into(), "no".to_owned());
            let mut found = Vec::new();
            let mut stored = 0;
            let mut attempts = 0;
            while search.is_on() {
                attempts += 1;
                prop_assert!(attempts < 40 * (bad.len() + 1), "it comes to an end");
                let mut whole = chunk(count);
                let Payload::Records(all) = &mut whole.payload else {
                    panic!("these are records");
                };
                all.retain(|record| record.offset >= stored);
                let mut rest = Some(whole);
                while let Some(run) = take_run(&mut rest, search.run()) {
                    let is_found = |it: &&Record| search.reason_for(3, it).is_some();
                    found.extend(records(&run).iter().filter(is_found).map(|it| it.offset));
                    let left = records(&run).iter().filter(|it| !is_found(it));
                    let left: Vec<_> = left.map(|it| it.offset).collect();
                    if left.iter().any(|offset| bad.contains(offset)) {
                        search.narrow(3, left[0], left.len());
                        break;
                    }
                    search.taken(3, run.next);
                    stored = run.next;
                }
            }
            found.dedup();
            let expected: Vec<_> = bad.into_iter().filter(|it| *it < 40 + count).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_was_found_of_one_partition_is_known_while_another_one_is_looked_through() {
        let mut search = Search::default();
        search.refused(&[(0, 10), (1, 20)].into(), "of 0".to_owned());
        search.narrow(0, 5, 1);
        search.refused(&Positions::new(), "of 1".to_owned());
        search.narrow(1, 7, 1);
        let Payload::Records(mut records) = chunk(1).payload else {
            panic!("these are records");
        };
        let mut reason = |partition, offset| {
            records[0].offset = offset;
            search.reason_for(partition, &records[0]).map(str::to_owned)
        };
        assert_eq!(reason(0, 5).as_deref(), Some("of 0"));
        assert_eq!(reason(1, 7).as_deref(), Some("of 1"));
        assert_eq!(reason(1, 5), None);
    }

    #[test]
    fn what_is_stored_is_not_looked_through_again() {
        let mut search = Search::default();
        search.refused(&[(0, 10), (1, 20)].into(), "no".to_owned());
        search.settle(&[(0, 10), (1, 19)].into());
        assert!(search.is_on());
        search.settle(&[(0, 10), (1, 20)].into());
        assert!(!search.is_on());
    }
}
