//! How far a copy goes into its source: what is left when the copy is gone.

use eson_broker::QueueId;
use eson_protocol::Positions;
use serde::{Deserialize, Serialize};

/// How many marks are kept of one copy.
const KEPT: usize = 16;

/// A moment of a copy: every event of the source before `source` is in the copy before `copy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Which queue the source was; none in what is stored from before that was noted.
    #[serde(default)]
    pub queue: Option<QueueId>,
    /// The next offset of each partition of the source.
    pub source: Positions,
    /// The next offset of each partition of the copy.
    pub copy: Positions,
}

/// The marks of a copy, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Marks(Vec<Mark>);

impl Marks {
    /// Adds a mark, and drops those that nobody needs any more who has the copy up to
    /// `acknowledged`. Where there are too many, every second one goes: what is lost is only that a
    /// few events more come twice.
    pub(crate) fn add(&mut self, mark: Mark, acknowledged: &Positions) {
        if self.0.last() == Some(&mark) {
            return;
        }
        // What was said of a queue that is gone helps nobody.
        let of_another = |it: &Mark| it.queue.is_some() && it.queue != mark.queue;
        self.0.retain(|it| !of_another(it));
        let reached = self.0.iter().rposition(|it| it.is_reached(acknowledged));
        self.0.drain(..reached.unwrap_or_default());
        self.0.push(mark);
        if self.0.len() > KEPT {
            let mut number = 0;
            self.0.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
    }

    /// Where in the source somebody goes on who has the copy up to `acknowledged`: nothing is left
    /// out from there, and little comes again. None where no mark is known to be reached.
    pub(crate) fn resume(&self, acknowledged: &Positions) -> Option<&Mark> {
        let mut reached = self.0.iter().rev();
        reached.find(|mark| mark.is_reached(acknowledged))
    }
}

impl Mark {
    fn is_reached(&self, acknowledged: &Positions) -> bool {
        let is_reached = |(partition, next): (&u32, &u64)| {
            *next == 0 || acknowledged.get(partition).is_some_and(|has| has >= next)
        };
        self.copy.iter().all(is_reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(source: u64, copy: u64) -> Mark {
        Mark {
            queue: Some(QueueId("one".into())),
            source: [(0, source), (1, 0)].into(),
            copy: [(0, copy), (1, 0)].into(),
        }
    }

    #[test]
    fn one_goes_on_behind_the_last_mark_that_was_reached() {
        let mut marks = Marks::default();
        let nobody = Positions::new();
        for number in 1..=3 {
            marks.add(mark(number * 100, number * 10), &nobody);
        }
        let resume = |acknowledged: u64| {
            let from = marks.resume(&[(0, acknowledged)].into());
            from.map(|from| from.source[&0])
        };
        assert_eq!(resume(9), None);
        assert_eq!(resume(10), Some(100));
        assert_eq!(resume(29), Some(200));
        assert_eq!(resume(1_000), Some(300));
    }

    #[test]
    fn few_marks_are_kept_and_what_is_needed_stays() {
        let mut marks = Marks::default();
        let acknowledged: Positions = [(0, 50)].into();
        for number in 1..=1_000 {
            marks.add(mark(number * 10, number), &acknowledged);
        }
        assert!(marks.0.len() <= KEPT);
        assert!(
            marks
                .resume(&acknowledged)
                .is_some_and(|from| from.source[&0] <= 500)
        );
        marks.add(mark(20_000, 2_000), &[(0, 1_500)].into());
        assert_eq!(
            marks.resume(&[(0, 2_000)].into()).map(|it| it.source[&0]),
            Some(20_000)
        );
    }

    #[test]
    fn positions_of_a_queue_that_is_gone_are_forgotten() {
        let mut marks = Marks::default();
        marks.add(mark(100, 10), &Positions::new());
        let another = Mark {
            queue: Some(QueueId("another".into())),
            ..mark(3, 13)
        };
        marks.add(another.clone(), &Positions::new());
        assert_eq!(marks.resume(&[(0, 12)].into()), None);
        assert_eq!(marks.resume(&[(0, 13)].into()), Some(&another));
    }
}
