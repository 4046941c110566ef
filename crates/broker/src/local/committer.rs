//! The one thread that writes: it gathers what all writers hand over while the last group is
//! being synced, and makes one durable transaction of it (group commit).

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::group::Group;
use super::housekeeping::Housekeeping;
use super::opening::{self, Found};
use super::registry::{Registry, WriterEnd, WriterSession};
use super::store::{Failure, Store, storage_error};
use crate::BrokerError;

/// How many bytes may wait for the committer, all writers together.
const QUEUED_BYTES: u32 = 64 << 20;

/// What a step counts for at least, so that small ones are bounded in number too.
const LEAST_BYTES: u32 = 4 << 10;

/// How long housekeeping rests after it has met a damaged value.
const DAMAGE_REST: Duration = Duration::from_secs(60);

/// How long a file that could not be read is left alone before memory follows it.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How many bytes one group takes, roughly.
const GROUP_BYTES: u64 = 8 << 20;

/// Hands work to the committer's thread, which ends when the last of these is dropped.
pub(super) struct Committer {
    sender: SyncSender<Message>,
    room: Arc<Semaphore>,
}

enum Message {
    Work(Box<dyn Work>),
    /// Commit what came before, close the file, and end.
    Close(oneshot::Sender<()>),
}

/// A step on a group, and its answer.
trait Work: Send {
    fn bytes(&self) -> u64;
    /// Does the step. An error takes the whole group with it.
    fn apply(&mut self, group: &mut Group<'_>) -> Result<(), Failure>;
    /// Answers, once it is known whether the group is committed.
    fn settle(self: Box<Self>, committed: Result<(), &Failure>);
}

/// Whom a step is about.
pub(super) struct Subject {
    /// The queue's name, for errors.
    pub(super) queue: Arc<str>,
    /// The writer that must end when the step fails.
    pub(super) session: Option<Arc<WriterSession>>,
    /// How many bytes the step holds.
    pub(super) bytes: usize,
}

impl Subject {
    /// A step without records.
    pub(super) fn queue(name: &str) -> Self {
        Self {
            queue: name.into(),
            session: None,
            bytes: 0,
        }
    }
}

impl Committer {
    /// Starts the thread.
    pub(super) fn start(
        store: Arc<Store>,
        registry: Arc<Registry>,
        housekeeping: Housekeeping,
    ) -> std::io::Result<Self> {
        // There is a place for every step that finds room: handing over never blocks.
        let (sender, receiver) = sync_channel((QUEUED_BYTES / LEAST_BYTES) as usize + 1);
        let thread = CommitterThread {
            receiver,
            store,
            registry,
            housekeeping,
            opening: 0,
            failed: None,
        };
        thread::Builder::new()
            .name("queue-committer".to_owned())
            .spawn(move || thread.run())?;
        Ok(Self {
            sender,
            room: Arc::new(Semaphore::new(QUEUED_BYTES as usize)),
        })
    }

    /// Hands a step over, when there is room; the receiver has its outcome once it is durable.
    /// Steps are done in the order in which they are handed over. A caller that is dropped while
    /// waiting for room has handed nothing over.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        subject: Subject,
        step: impl FnOnce(&mut Group<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<Outcome<T>, BrokerError> {
        let permits = u32::try_from(subject.bytes)
            .unwrap_or(QUEUED_BYTES)
            .clamp(LEAST_BYTES, QUEUED_BYTES);
        let room = self.room.clone().acquire_many_owned(permits).await;
        let room = room.map_err(|error| storage_error(&subject.queue, &error))?;
        let (reply, receiver) = oneshot::channel();
        let queue = subject.queue.clone();
        let job = Job {
            subject,
            step: Some(step),
            refused: None,
            outcome: None,
            reply,
            _room: room,
        };
        let sent = self.sender.send(Message::Work(Box::new(job)));
        sent.map_err(|_| closed(&queue))?;
        Ok(Outcome { queue, receiver })
    }

    /// Hands a step over and waits for its outcome.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        subject: Subject,
        step: impl FnOnce(&mut Group<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, BrokerError> {
        self.submit(subject, step).await?.wait().await
    }

    /// Commits what was handed over and closes the file.
    pub(super) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.sender.send(Message::Close(reply)).is_ok() {
            // An error only means that another caller has closed it first.
            let _ = closed.await;
        }
    }
}

/// The outcome of a step, to be waited for.
pub(super) struct Outcome<T> {
    queue: Arc<str>,
    receiver: oneshot::Receiver<Result<T, BrokerError>>,
}

impl<T> Outcome<T> {
    /// Waits for the outcome. Cancel-safe.
    pub(super) async fn wait(&mut self) -> Result<T, BrokerError> {
        match (&mut self.receiver).await {
            Ok(outcome) => outcome,
            Err(_) => Err(closed(&self.queue)),
        }
    }

    /// The outcome, if it is there.
    pub(super) fn poll(&mut self) -> Option<Result<T, BrokerError>> {
        match self.receiver.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(closed(&self.queue))),
        }
    }
}

fn closed(queue: &str) -> BrokerError {
    storage_error(queue, &"the broker is closed")
}

struct Job<F, T> {
    subject: Subject,
    step: Option<F>,
    refused: Option<BrokerError>,
    outcome: Option<T>,
    reply: oneshot::Sender<Result<T, BrokerError>>,
    _room: OwnedSemaphorePermit,
}

impl<F, T> Work for Job<F, T>
where
    F: FnOnce(&mut Group<'_>) -> Result<T, Failure> + Send,
    T: Send,
{
    fn bytes(&self) -> u64 {
        self.subject.bytes as u64
    }

    fn apply(&mut self, group: &mut Group<'_>) -> Result<(), Failure> {
        let Some(step) = self.step.take() else {
            return Ok(());
        };
        match step(group) {
            Ok(outcome) => self.outcome = Some(outcome),
            Err(Failure::Refused(error)) => {
                // At once: the writer's next step may be in this very group.
                self.end_session();
                self.refused = Some(error);
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn settle(self: Box<Self>, committed: Result<(), &Failure>) {
        if committed.is_err() {
            self.end_session();
        }
        let answer = match (committed, self.refused, self.outcome) {
            (_, Some(error), _) => Err(error),
            (Ok(()), None, Some(outcome)) => Ok(outcome),
            (Ok(()), None, None) => Err(closed(&self.subject.queue)),
            (Err(failure), None, _) => Err(failure.about(&self.subject.queue)),
        };
        // Nobody waits any more: the step is done all the same.
        let _ = self.reply.send(answer);
    }
}

impl<F, T> Job<F, T> {
    fn end_session(&self) {
        if let Some(session) = &self.subject.session {
            session.end(WriterEnd::Failed);
        }
    }
}

struct CommitterThread {
    receiver: Receiver<Message>,
    store: Arc<Store>,
    registry: Arc<Registry>,
    housekeeping: Housekeeping,
    /// Which opening of the file what is in memory follows.
    opening: u64,
    /// When to look what is in the file, since a group has failed.
    failed: Option<Instant>,
}

/// Why the thread wakes up.
enum Wake {
    Work(Vec<Box<dyn Work>>, Option<oneshot::Sender<()>>),
    Housekeeping,
    Closed,
}

impl CommitterThread {
    fn run(mut self) {
        loop {
            let (works, close) = match self.wait() {
                Wake::Work(works, close) => (works, close),
                Wake::Housekeeping => (Vec::new(), None),
                Wake::Closed => return,
            };
            self.commit(works);
            if let Some(closed) = close {
                self.store.close();
                // Whoever asked may have gone.
                let _ = closed.send(());
                return;
            }
        }
    }

    fn wait(&self) -> Wake {
        let due = self.housekeeping.due_in(now()).map(Duration::from_millis);
        let failed = self
            .failed
            .map(|at| at.saturating_duration_since(Instant::now()));
        let first = match due.into_iter().chain(failed).min() {
            None => self
                .receiver
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
            Some(wait) => self.receiver.recv_timeout(wait),
        };
        match first {
            Ok(first) => self.gather(first),
            Err(RecvTimeoutError::Timeout) => Wake::Housekeeping,
            Err(RecvTimeoutError::Disconnected) => Wake::Closed,
        }
    }

    fn gather(&self, first: Message) -> Wake {
        let mut works = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Close(closed) => return Wake::Work(works, Some(closed)),
                Message::Work(work) => {
                    bytes += work.bytes();
                    works.push(work);
                }
            }
            next = (bytes < GROUP_BYTES)
                .then(|| self.receiver.try_recv().ok())
                .flatten();
        }
        Wake::Work(works, None)
    }

    fn commit(&mut self, mut works: Vec<Box<dyn Work>>) {
        let now = now();
        if let Err(failure) = self.follow() {
            self.failed = Some(Instant::now() + LOOK_AGAIN);
            works
                .into_iter()
                .for_each(|work| work.settle(Err(&failure)));
            return;
        }
        if works.is_empty() || self.housekeeping.goes_first() {
            self.keep_house(now);
        }
        if works.is_empty() {
            return;
        }
        match self.write(&mut works, now) {
            Ok(()) => works.into_iter().for_each(|work| work.settle(Ok(()))),
            Err(failure) => {
                self.housekeeping.failed();
                for work in works {
                    work.settle(Err(&failure));
                }
            }
        }
    }

    /// Follows the file where it was opened anew: a commit that has failed may be there all the same.
    fn follow(&mut self) -> Result<(), Failure> {
        let opening = self.store.recover()?;
        if opening != self.opening {
            let Found { queues, deleted } = opening::found(&self.store)?;
            let changed = self.registry.follow(queues);
            self.housekeeping.follow(deleted, &changed);
            self.opening = opening;
        }
        self.failed = None;
        Ok(())
    }

    /// Removes some of what is due, in a transaction of its own.
    fn keep_house(&mut self, now: i64) {
        if self.housekeeping.due_in(now) == Some(0)
            && let Err(failure) = self.write(&mut [], now)
        {
            tracing::debug!(error = %failure.about("(all)"), "nothing could be removed");
            let rest = match failure {
                // Not longer than the storage does: whoever comes first then has the disk.
                Failure::Storage(_) | Failure::Resting(_) => self.store.rest(),
                Failure::Refused(_) | Failure::Damaged(_) => DAMAGE_REST,
            };
            let rest = i64::try_from(rest.as_millis()).unwrap_or(i64::MAX);
            self.housekeeping.failed_alone(now, rest);
        }
    }

    /// Commits a group, and some of what is to be removed with it.
    fn write(&mut self, works: &mut [Box<dyn Work>], now: i64) -> Result<(), Failure> {
        let housekeeping = &mut self.housekeeping;
        let effects = self.store.write(|transaction| {
            let mut group = Group::open(transaction, now)?;
            for work in works {
                work.apply(&mut group)?;
            }
            housekeeping.step(&mut group)?;
            group.finish()
        });
        if let Err(Failure::Storage(_)) = &effects {
            self.failed = Some(Instant::now());
        }
        let effects = effects?;
        self.housekeeping.committed();
        for effect in effects {
            self.housekeeping.note(&effect, now);
            effect.apply(&self.registry);
        }
        Ok(())
    }
}

/// The time, in milliseconds since the Unix epoch.
fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| {
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    })
}
