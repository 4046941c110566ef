//! What is on its way to one partition: in order, each batch under the sequence number by which
//! the broker recognises it when it comes again (KIP-98).

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use eson_protocol::Record;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::batch::{Batch, HEADER};
use super::records::{self, BatchBuilder};
use super::tickets::Ticket;

/// How many batches the broker remembers of each producer, and so the most that may be on their
/// way.
const IN_FLIGHT: usize = 5;

/// A batch with no more records than this, and no more bytes than that, is worth joining with
/// its neighbours: for the broker the work lies in the batch, not in the record.
const SMALL_COUNT: i32 = 8;
const SMALL_SIZE: usize = 4 << 10;

/// Waiting bytes that are worth a request of their own while others are on their way.
const RIPE: usize = 32 << 10;

/// How large batches of ours become, unpacked.
pub(crate) const TARGET: usize = 256 << 10;

/// A part of a chunk, small enough for one batch.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) content: Content,
    pub(crate) claim: Claim,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// As the source had it.
    Batch(Batch),
    Records(Vec<Record>),
}

/// Whom an acknowledgement concerns, and the memory that it frees.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) ticket: Ticket,
    pub(crate) _room: Option<Arc<OwnedSemaphorePermit>>,
}

/// The way to one partition.
#[derive(Debug)]
pub(crate) struct Lane {
    waiting: VecDeque<Part>,
    waiting_size: usize,
    sent: VecDeque<Sent>,
    next_sequence: i32,
    /// After a failure nothing is sent until the answers to everything sent are there: what
    /// comes later would arrive out of order.
    recovering: bool,
    /// Whether the broker has acknowledged something of this producer. One that knows nothing of a
    /// producer takes any number for its first: also a batch's before which others got lost.
    known: bool,
    /// Since when trouble has held up what is in it.
    stalled_since: Option<Instant>,
    limit: usize,
}

#[derive(Debug)]
struct Sent {
    batch: Batch,
    sequence: i32,
    state: State,
    claims: Vec<Claim>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    InFlight,
    Done,
}

impl Part {
    pub(crate) fn size(&self) -> usize {
        match &self.content {
            Content::Batch(batch) => batch.size(),
            Content::Records(records) => size(records),
        }
    }

    /// Whether it is better joined with others than sent alone.
    fn is_small(&self) -> bool {
        match &self.content {
            Content::Batch(batch) => batch.count <= SMALL_COUNT && batch.size() <= SMALL_SIZE,
            Content::Records(_) => true,
        }
    }

    fn into_records(self) -> io::Result<Vec<Record>> {
        match self.content {
            Content::Batch(batch) => records::decode(&batch, i64::MIN),
            Content::Records(records) => Ok(records),
        }
    }
}

/// At most how many bytes these records make in a batch.
pub(crate) fn size(records: &[Record]) -> usize {
    let each = records
        .iter()
        .map(|record| records::size_alone(record) - HEADER);
    HEADER + each.sum::<usize>()
}

impl Lane {
    /// A lane to a partition that takes batches of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            waiting_size: 0,
            sent: VecDeque::new(),
            next_sequence: 0,
            recovering: false,
            known: false,
            stalled_since: None,
            limit,
        }
    }

    pub(crate) fn push(&mut self, part: Part) {
        self.waiting_size += part.size();
        self.waiting.push_back(part);
    }

    pub(crate) fn has_in_flight(&self) -> bool {
        self.sent.iter().any(|sent| sent.state == State::InFlight)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }

    /// The next batch to send, by its sequence number; it counts as sent from here on.
    /// Unless the connection is `idle`, what is small waits for company. Until the broker knows the
    /// producer, a batch goes alone.
    pub(crate) fn next(&mut self, idle: bool) -> io::Result<Option<i32>> {
        if (self.recovering || !self.known) && self.has_in_flight() {
            return Ok(None);
        }
        self.recovering = false;
        let again = self.sent.iter_mut().find(|sent| sent.state == State::Ready);
        if let Some(sent) = again {
            sent.state = State::InFlight;
            return Ok(Some(sent.sequence));
        }
        let worth = idle || self.waiting_size >= RIPE;
        if !worth || self.waiting.is_empty() || self.sent.len() >= IN_FLIGHT {
            return Ok(None);
        }
        let (batch, claims) = self.form()?;
        let sequence = self.next_sequence;
        self.next_sequence = advance(sequence, batch.count);
        self.sent.push_back(Sent {
            batch,
            sequence,
            state: State::InFlight,
            claims,
        });
        Ok(Some(sequence))
    }

    /// A batch on its way.
    pub(crate) fn batch(&self, sequence: i32) -> Option<&Batch> {
        self.find(sequence).map(|index| &self.sent[index].batch)
    }

    /// Whether what is on its way was damaged before it was sent.
    pub(crate) fn is_damaged(&self, sequence: i32) -> bool {
        let batch = self.batch(sequence);
        batch.is_some_and(|batch| batch.check().is_err())
    }

    /// The broker has it. Returns whose turn has come: claims are given back in order.
    pub(crate) fn acknowledge(&mut self, sequence: i32) -> Vec<Claim> {
        if let Some(index) = self.find(sequence) {
            self.sent[index].state = State::Done;
            self.known = true;
            self.stalled_since = None;
        }
        self.collect()
    }

    /// Trouble has come that may hold it up. Returns since when some has, without an acknowledgement
    /// between; never where nothing is in it.
    pub(crate) fn stall(&mut self, now: Instant) -> Option<Instant> {
        if self.is_empty() {
            return None;
        }
        Some(*self.stalled_since.get_or_insert(now))
    }

    fn collect(&mut self) -> Vec<Claim> {
        let mut claims = vec![];
        while self
            .sent
            .front()
            .is_some_and(|sent| sent.state == State::Done)
        {
            claims.extend(
                self.sent
                    .pop_front()
                    .into_iter()
                    .flat_map(|sent| sent.claims),
            );
        }
        claims
    }

    /// The broker may not have it: it is sent again, under the same number.
    pub(crate) fn fail(&mut self, sequence: i32) {
        if let Some(index) = self.find(sequence) {
            self.sent[index].state = State::Ready;
            self.recovering = true;
        }
    }

    /// Another broker leads the partition: it gets nothing before it is known what the one before
    /// has taken.
    pub(crate) fn change_leader(&mut self) {
        self.recovering = true;
    }

    /// The producer has to be made known: it is new, or the broker may have forgotten it.
    pub(crate) fn introduce(&mut self) {
        self.known = false;
    }

    /// Whether everything before it is acknowledged.
    pub(crate) fn is_first(&self, sequence: i32) -> bool {
        self.find(sequence) == Some(0)
    }

    /// Makes two batches of one that was too large, under the same numbers. Says whether that
    /// was possible.
    pub(crate) fn split(&mut self, sequence: i32) -> io::Result<bool> {
        self.fail(sequence);
        let Some(index) = self
            .find(sequence)
            .filter(|i| self.sent[*i].batch.count > 1)
        else {
            return Ok(false);
        };
        let records = records::decode(&self.sent[index].batch, i64::MIN)?;
        let (front, back) = records.split_at(records.len() / 2);
        let front = build(front)?;
        let back = build(back)?;
        let sent = &mut self.sent[index];
        let claims = std::mem::take(&mut sent.claims);
        sent.batch = front;
        let second = Sent {
            sequence: advance(sequence, sent.batch.count),
            batch: back,
            state: State::Ready,
            claims,
        };
        self.sent.insert(index + 1, second);
        Ok(true)
    }

    /// Whether there are batches of which nobody knows whether the broker has them.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.sent.iter().any(|sent| sent.state != State::Done)
    }

    /// Settles what the broker has, given the last number that it remembers. Says whether its
    /// memory fits what was sent. It has everything before that number, too: the first batch went
    /// alone, and behind that one it takes none but the next.
    ///
    /// A broker that was killed remembers only a producer's last batch, and takes those before
    /// it for out of order when they come again. They are acknowledged with that last one: it is
    /// sent again, because what a leader has in its log it may lose as long as its followers don't
    /// have it; the answer to a batch that it knows waits for them as that to a new one does.
    pub(crate) fn settle(&mut self, last_sequence: i32) -> bool {
        let last = |sent: &Sent| advance(sent.sequence, sent.batch.count - 1);
        let settled = match self
            .sent
            .iter()
            .rposition(|sent| last(sent) == last_sequence)
        {
            Some(index) => index,
            None => {
                let next = self.sent.front().map(|sent| sent.sequence);
                return next == Some(advance(last_sequence, 1));
            }
        };
        let before = self.sent.drain(..settled);
        let claims: Vec<_> = before.flat_map(|sent| sent.claims).collect();
        if let Some(last) = self.sent.front_mut() {
            last.claims.splice(0..0, claims);
            last.state = State::Ready;
        }
        true
    }

    /// Numbers what is not acknowledged anew, for a producer whose first number is 0.
    pub(crate) fn renumber(&mut self) {
        self.next_sequence = 0;
        self.recovering = false;
        for sent in self
            .sent
            .iter_mut()
            .filter(|sent| sent.state != State::Done)
        {
            sent.sequence = self.next_sequence;
            self.next_sequence = advance(sent.sequence, sent.batch.count);
        }
    }

    fn find(&self, sequence: i32) -> Option<usize> {
        self.sent
            .iter()
            .position(|sent| sent.sequence == sequence && sent.state != State::Done)
    }

    /// A batch of what waits: the first as it is, or several small ones joined.
    fn form(&mut self) -> io::Result<(Batch, Vec<Claim>)> {
        let joinable = self
            .waiting
            .iter()
            .take(2)
            .filter(|part| part.is_small())
            .count();
        let Some(first) = self.take() else {
            return Err(io::Error::other("no records wait"));
        };
        let mut claims = vec![first.claim.clone()];
        let first = match first.content {
            Content::Batch(batch) if joinable < 2 => return Ok((batch, claims)),
            _ => first.into_records()?,
        };
        let mut builder = BatchBuilder::default();
        first.iter().for_each(|record| builder.push(record));
        while let Some(next) = self.waiting.front()
            && next.is_small()
            && builder.size() < TARGET
        {
            // Packed records may be many times as large when unpacked.
            let Some(next) = self.take() else {
                break;
            };
            let claim = next.claim.clone();
            let records = next.into_records()?;
            if builder.size() + size(&records) > self.limit.min(2 * TARGET) {
                let content = Content::Records(records);
                self.put_back(Part { content, claim });
                break;
            }
            records.iter().for_each(|record| builder.push(record));
            claims.push(claim);
        }
        Ok((builder.finish()?, claims))
    }

    fn take(&mut self) -> Option<Part> {
        let part = self.waiting.pop_front()?;
        self.waiting_size -= part.size();
        Some(part)
    }

    fn put_back(&mut self, part: Part) {
        self.waiting_size += part.size();
        self.waiting.push_front(part);
    }
}

fn build(records: &[Record]) -> io::Result<Batch> {
    let mut builder = BatchBuilder::default();
    records.iter().for_each(|record| builder.push(record));
    builder.finish()
}

/// The number behind a batch; after the largest comes 0.
fn advance(sequence: i32, count: i32) -> i32 {
    let next = (i64::from(sequence) + i64::from(count)) % (i64::from(i32::MAX) + 1);
    // The remainder of a division by 2^31.
    next as i32
}

#[cfg(test)]
mod tests {
    use super::super::tickets::Tickets;
    use super::*;

    const LIMIT: usize = 1 << 20;

    struct Scene {
        lane: Lane,
        tickets: Tickets,
        offset: u64,
    }

    impl Scene {
        /// The broker knows the producer.
        fn new() -> Self {
            let mut scene = Self::unknown();
            scene.lane.known = true;
            scene
        }

        fn unknown() -> Self {
            Self {
                lane: Lane::new(LIMIT),
                tickets: Tickets::default(),
                offset: 0,
            }
        }

        fn push(&mut self, count: u64, value: usize) {
            let record = |offset| Record {
                offset,
                timestamp: 0,
                key: None,
                value: Some(vec![b'x'; value].into()),
                headers: vec![],
            };
            let records: Vec<_> = (self.offset..self.offset + count).map(record).collect();
            self.offset += count;
            let ticket = self.tickets.issue(0, self.offset, 1);
            self.lane.push(Part {
                content: Content::Records(records),
                claim: Claim {
                    ticket,
                    _room: None,
                },
            });
        }

        fn next(&mut self, idle: bool) -> Option<i32> {
            self.lane.next(idle).expect("no error")
        }
    }

    #[test]
    fn small_parts_gather_while_something_is_on_its_way() {
        let mut scene = Scene::new();
        scene.push(1, 10);
        assert_eq!(scene.next(true), Some(0));
        (0..5).for_each(|_| scene.push(1, 10));
        assert_eq!(scene.next(false), None);
        assert_eq!(scene.lane.acknowledge(0).len(), 1);
        assert_eq!(scene.next(true), Some(1));
        assert_eq!(scene.lane.batch(1).map(|batch| batch.count), Some(5));
        assert_eq!(scene.lane.acknowledge(1).len(), 5);
        assert!(scene.lane.is_empty());
    }

    #[test]
    fn what_failed_is_sent_again_in_order_under_its_number() {
        let mut scene = Scene::new();
        (0..3).for_each(|_| scene.push(1, RIPE + TARGET));
        let sent: Vec<_> = (0..3).map(|_| scene.next(false)).collect();
        assert_eq!(sent, [Some(0), Some(1), Some(2)]);
        scene.lane.fail(0);
        assert_eq!(scene.next(true), None, "two answers are missing");
        assert!(scene.lane.acknowledge(2).is_empty(), "the first is missing");
        scene.lane.fail(1);
        assert_eq!([scene.next(true), scene.next(true)], [Some(0), Some(1)]);
        assert_eq!(scene.lane.acknowledge(0).len(), 1);
        assert_eq!(scene.lane.acknowledge(1).len(), 2);
    }

    #[test]
    fn no_more_are_on_their_way_than_the_broker_remembers() {
        let mut scene = Scene::new();
        (0..9).for_each(|_| scene.push(1, RIPE + TARGET));
        let sent = std::iter::from_fn(|| scene.next(false)).count();
        assert_eq!(sent, IN_FLIGHT);
    }

    #[test]
    fn a_broker_that_does_not_know_the_producer_gets_one_batch_at_a_time() {
        let mut scene = Scene::unknown();
        (0..3).for_each(|_| scene.push(1, RIPE + TARGET));
        assert_eq!([scene.next(true), scene.next(true)], [Some(0), None]);
        scene.lane.fail(0);
        assert_eq!([scene.next(true), scene.next(true)], [Some(0), None]);
        scene.lane.acknowledge(0);
        assert_eq!([scene.next(true), scene.next(true)], [Some(1), Some(2)]);
        [1, 2].into_iter().for_each(|it| scene.lane.fail(it));
        scene.lane.introduce();
        scene.lane.renumber();
        assert_eq!([scene.next(true), scene.next(true)], [Some(0), None]);
    }

    #[test]
    fn what_was_split_goes_to_a_broker_that_does_not_know_the_producer_in_turn() {
        let mut scene = Scene::unknown();
        scene.push(10, 100);
        assert_eq!(scene.next(true), Some(0));
        assert!(scene.lane.split(0).expect("decodes"));
        assert_eq!([scene.next(true), scene.next(true)], [Some(0), None]);
        assert!(scene.lane.acknowledge(0).is_empty(), "half a part");
        assert_eq!(scene.next(true), Some(5));
    }

    #[test]
    fn a_new_leader_waits_for_what_is_on_its_way_to_the_one_before() {
        let mut scene = Scene::new();
        (0..3).for_each(|_| scene.push(1, RIPE + TARGET));
        assert_eq!([scene.next(true), scene.next(true)], [Some(0), Some(1)]);
        scene.lane.change_leader();
        assert_eq!(scene.next(true), None);
        scene.lane.acknowledge(0);
        assert_eq!(scene.next(true), None);
        scene.lane.fail(1);
        assert_eq!([scene.next(true), scene.next(true)], [Some(1), Some(2)]);
    }

    #[test]
    fn a_batch_that_is_too_large_becomes_two() {
        let mut scene = Scene::new();
        scene.push(10, 100);
        assert_eq!(scene.next(true), Some(0));
        scene.push(1, RIPE + TARGET);
        assert_eq!(scene.next(true), Some(10));
        assert!(scene.lane.split(0).expect("decodes"));
        scene.lane.fail(10);
        let again: Vec<_> = std::iter::from_fn(|| scene.next(true)).collect();
        assert_eq!(again, [0, 5, 10]);
        assert!(scene.lane.acknowledge(0).is_empty(), "half a part");
        assert_eq!(scene.lane.acknowledge(5).len(), 1);
        assert!(
            !scene.lane.split(10).expect("nothing to decode"),
            "one record"
        );
    }

    #[test]
    fn a_new_producer_begins_at_nought() {
        let mut scene = Scene::new();
        (0..3).for_each(|_| scene.push(2, RIPE + TARGET));
        assert_eq!((0..3).filter_map(|_| scene.next(false)).count(), 3);
        scene.lane.acknowledge(0);
        [2, 4]
            .into_iter()
            .for_each(|sequence| scene.lane.fail(sequence));
        scene.lane.renumber();
        assert_eq!([scene.next(true), scene.next(true)], [Some(0), Some(2)]);
        assert_eq!(scene.lane.next_sequence, 4);
    }

    #[test]
    fn what_the_broker_remembers_is_settled() {
        let mut scene = Scene::new();
        (0..3).for_each(|_| scene.push(2, RIPE + TARGET));
        assert_eq!((0..3).filter_map(|_| scene.next(false)).count(), 3);
        [0, 2, 4]
            .into_iter()
            .for_each(|sequence| scene.lane.fail(sequence));
        assert!(!scene.lane.settle(7), "never sent");
        assert!(!scene.lane.settle(2), "no batch ends there");
        assert!(scene.lane.settle(-1));
        assert!(scene.lane.settle(3));
        assert!(scene.lane.is_unsettled());
        assert_eq!(scene.next(true), Some(2), "the replicas may not have it");
        assert_eq!(scene.lane.acknowledge(2).len(), 2, "with what was before");
        assert_eq!(scene.next(true), Some(4));
    }

    #[test]
    fn numbers_begin_again_after_the_largest() {
        assert_eq!(advance(i32::MAX, 1), 0);
        assert_eq!(advance(i32::MAX - 1, 3), 1);
    }
}
