//! Updates that wait for their turn: one message at a time, and what has gathered meanwhile goes
//! together, for one message of many changes costs the server a fraction of many messages.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use hickory_proto::ProtoError;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::Name;
use hickory_proto::serialize::binary::BinEncodable;
use tokio::sync::oneshot::{self, Receiver, Sender};

use super::signed::SignedServer;
use crate::registrar::RegisterError;

/// How many updates go together at most.
const MAX_JOBS: usize = 250;

/// How long a message of several updates may become, in octets; TCP takes 65,535.
const MAX_LENGTH: usize = 60_000;

/// What became of an update: the server's code, or why there is none.
type Outcome = Result<ResponseCode, RegisterError>;

/// The updates of one server. They go out one message at a time also because BIND's inline
/// signing (seen with 9.18) forgets to publish updates that come at once.
#[derive(Debug)]
pub(super) struct Queue {
    server: Arc<SignedServer>,
    waiting: Mutex<Vec<Job>>,
    turn: tokio::sync::Mutex<()>,
}

/// One atomic update.
#[derive(Debug)]
struct Job {
    zone: Name,
    /// What it changes: two updates of the same never go together, for the prerequisites of both
    /// are looked at before either is made.
    subject: String,
    update: Message,
    length: usize,
    done: Sender<Outcome>,
}

impl Queue {
    pub(super) fn new(server: Arc<SignedServer>) -> Self {
        Self {
            server,
            waiting: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Makes an update, alone or together with others; its outcome is its own.
    pub(super) async fn submit(&self, zone: &Name, subject: &str, update: Message) -> Outcome {
        let length = length(&update).map_err(|error| self.server.nonsense(error))?;
        let (done, mut outcome) = oneshot::channel();
        self.waiting().push(Job {
            zone: zone.clone(),
            subject: subject.to_owned(),
            update,
            length,
            done,
        });
        let _turn = self.turn.lock().await;
        loop {
            if let Some(outcome) = self.finished(&mut outcome) {
                return outcome;
            }
            let batch = next_batch(&mut self.waiting());
            self.make(batch).await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Job>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outcome, when somebody whose turn it was has made the update. Who was cancelled in the
    /// midst of that leaves it open whether it is made: it has to be tried again.
    fn finished(&self, outcome: &mut Receiver<Outcome>) -> Option<Outcome> {
        match outcome.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => {
                let interrupted = io::Error::from(io::ErrorKind::Interrupted);
                Some(Err(self.server.unreachable(interrupted)))
            }
        }
    }

    /// Sends a batch as one message. A refused one is halved until the culprits stand alone.
    fn make(&self, mut batch: Vec<Job>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Some(message) = merged(&batch) else {
                return;
            };
            let answer = self.server.ask(message).await;
            match answer.map(|answer| answer.metadata.response_code) {
                Ok(code) if code != ResponseCode::NoError && batch.len() > 1 => {
                    let rest = batch.split_off(batch.len() / 2);
                    self.make(batch).await;
                    self.make(rest).await;
                }
                outcome => batch
                    .into_iter()
                    .for_each(|job| job.finish(outcome.clone())),
            }
        })
    }
}

impl Job {
    fn finish(self, outcome: Outcome) {
        // Who is no longer interested has gone away.
        drop(self.done.send(outcome));
    }
}

/// The oldest update and those behind it that can go with it.
fn next_batch(waiting: &mut Vec<Job>) -> Vec<Job> {
    let Some(zone) = waiting.first().map(|job| job.zone.clone()) else {
        return Vec::new();
    };
    let mut subjects = HashSet::new();
    let mut length = 0;
    let mut jobs = 0;
    let goes_along = |job: &mut Job| {
        let fits = jobs == 0 || (jobs < MAX_JOBS && length + job.length <= MAX_LENGTH);
        let goes = job.zone == zone && fits && subjects.insert(job.subject.clone());
        if goes {
            length += job.length;
            jobs += 1;
        }
        goes
    };
    waiting.extract_if(.., goes_along).collect()
}

/// How long an update is with every name written out: names are only compressed to what stands in
/// a message's first 16 KiB (RFC 1035, section 4.1.4).
fn length(update: &Message) -> Result<usize, ProtoError> {
    let records = update.answers.iter().chain(&update.authorities);
    records
        .map(|record| record.to_bytes().map(|octets| octets.len()))
        .sum()
}

/// One message with the prerequisites and the changes of all.
fn merged(batch: &[Job]) -> Option<Message> {
    let (first, rest) = batch.split_first()?;
    let mut message = first.update.clone();
    for job in rest {
        message.answers.extend_from_slice(&job.update.answers);
        message
            .authorities
            .extend_from_slice(&job.update.authorities);
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(zone: &str, subject: &str, length: usize) -> Job {
        Job {
            zone: Name::from_ascii(zone).expect("a name"),
            subject: subject.to_owned(),
            update: Message::query(),
            length,
            done: oneshot::channel().0,
        }
    }

    fn subjects(batch: &[Job]) -> Vec<&str> {
        batch.iter().map(|job| job.subject.as_str()).collect()
    }

    #[test]
    fn a_batch_is_of_one_zone_and_has_each_subject_once() {
        let mut waiting = vec![
            job("a.", "1", 9),
            job("b.", "2", 9),
            job("a.", "1", 9),
            job("a.", "3", 9),
        ];
        assert_eq!(subjects(&next_batch(&mut waiting)), ["1", "3"]);
        assert_eq!(subjects(&next_batch(&mut waiting)), ["2"]);
        assert_eq!(subjects(&next_batch(&mut waiting)), ["1"]);
        assert!(next_batch(&mut waiting).is_empty());
    }

    #[test]
    fn a_batch_has_its_bounds_but_takes_one_at_least() {
        let mut waiting = vec![
            job("a.", "large", MAX_LENGTH * 2),
            job("a.", "half", MAX_LENGTH / 2 + 1),
            job("a.", "other half", MAX_LENGTH / 2 + 1),
        ];
        assert_eq!(subjects(&next_batch(&mut waiting)), ["large"]);
        assert_eq!(subjects(&next_batch(&mut waiting)), ["half"]);
        assert_eq!(subjects(&next_batch(&mut waiting)), ["other half"]);
        let many = (0..MAX_JOBS + 1).map(|number| job("a.", &number.to_string(), 1));
        let mut waiting: Vec<Job> = many.collect();
        assert_eq!(next_batch(&mut waiting).len(), MAX_JOBS);
        assert_eq!(waiting.len(), 1);
    }
}
