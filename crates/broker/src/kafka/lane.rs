//! What is on its way to one partition: in order, each batch under the sequence number by which
//! the broker recognises it when it comes again (KIP-98).

#[cfg(test)]
mod tests;
mod waiting;

use std::collections::VecDeque;
use std::io;

use eson_protocol::Record;
use tokio::time::Instant;

use super::batch::Batch;
use super::records::{self, BatchBuilder};
use waiting::Waiting;
pub(crate) use waiting::{Claim, Content, Part, TARGET, size};

/// How many batches the broker remembers of each producer, and so the most that may be on their
/// way.
const IN_FLIGHT: usize = 5;

/// The way to one partition.
#[derive(Debug)]
pub(crate) struct Lane {
    waiting: Waiting,
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

impl Lane {
    /// A lane to a partition that takes batches of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            waiting: Waiting::new(limit),
            sent: VecDeque::new(),
            next_sequence: 0,
            recovering: false,
            known: false,
            stalled_since: None,
        }
    }

    pub(crate) fn push(&mut self, part: Part) {
        self.waiting.push(part);
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
        let worth = idle || self.waiting.is_ripe();
        if !worth || self.waiting.is_empty() || self.sent.len() >= IN_FLIGHT {
            return Ok(None);
        }
        let (batch, claims) = self.waiting.form()?;
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
