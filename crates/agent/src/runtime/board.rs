//! The last status of every instance, and who is told when one changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eson_processor::proto::{self, LegStatus, Spec, State, Status};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long a processor may take to tell the end of an instance.
const TO_TELL: Duration = Duration::from_secs(1);

/// The last status of every instance.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<BoardState>,
}

#[derive(Debug, Default)]
struct BoardState {
    statuses: BTreeMap<String, Status>,
    watchers: Vec<Weak<Inbox>>,
    closed: bool,
}

/// What one watcher has still to be told: each changed instance once, however often it changed,
/// so that a slow watcher neither makes anybody wait nor lets memory grow.
#[derive(Debug, Default)]
struct Inbox {
    pending: Mutex<Pending>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    changed: BTreeMap<String, Status>,
    closed: bool,
}

/// A stream of statuses.
#[derive(Debug)]
pub(crate) struct Statuses(Arc<Inbox>);

impl Statuses {
    /// The next status; none when the runtime has been shut down. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Status> {
        loop {
            {
                let mut pending = lock(&self.0.pending);
                if let Some((_, status)) = pending.changed.pop_first() {
                    return Some(status);
                }
                if pending.closed {
                    return None;
                }
            }
            self.0.arrived.notified().await;
        }
    }
}

impl Board {
    pub(super) fn status(&self, id: &str) -> Option<Status> {
        lock(&self.state).statuses.get(id).cloned()
    }

    pub(super) fn statuses(&self) -> Vec<Status> {
        lock(&self.state).statuses.values().cloned().collect()
    }

    pub(super) fn watch(&self) -> Statuses {
        let mut state = lock(&self.state);
        let inbox = Arc::new(Inbox {
            pending: Mutex::new(Pending {
                changed: state.statuses.clone(),
                closed: state.closed,
            }),
            arrived: Notify::new(),
        });
        state.watchers.push(Arc::downgrade(&inbox));
        Statuses(inbox)
    }

    /// Takes over what a processor tells.
    pub(super) fn put(&self, status: Status) {
        let mut state = lock(&self.state);
        if status.destroyed {
            state.statuses.remove(&status.id);
        } else {
            state.statuses.insert(status.id.clone(), status.clone());
        }
        state.tell(|pending| {
            pending.changed.insert(status.id.clone(), status.clone());
        });
    }

    /// Waits until a processor has told the end of an instance, as one that is told to does at once;
    /// what it told before can't come behind that. Not for long: one that has ended tells nothing.
    pub(super) async fn wait_until_gone(&self, id: &str) {
        let mut statuses = self.watch();
        let gone = async { while self.status(id).is_some() && statuses.next().await.is_some() {} };
        // Who waits in vain goes by that he has told it to go.
        let _ = timeout(TO_TELL, gone).await;
    }

    /// An instance is gone for good, whether or not its processor could say so.
    pub(super) fn forget(&self, id: &str) {
        if self.status(id).is_some() {
            self.put(Status {
                id: id.to_owned(),
                legs: Vec::new(),
                destroyed: true,
            });
        }
    }

    /// An instance does not run: its process has ended, or does not take it. Counters and
    /// positions stay as they were last told.
    pub(super) fn interrupt(&self, spec: &Spec, leg_state: State, cause: &str) {
        let before = self.status(&spec.id).unwrap_or_default();
        let wanted: BTreeSet<_> = spec.legs.iter().map(|leg| &leg.id).collect();
        let leg = |id: &String| {
            let known = before.legs.iter().find(|leg| leg.id == *id);
            LegStatus {
                id: id.clone(),
                state: leg_state.into(),
                rate: 0.0,
                error: Some(error(cause)),
                ..known.cloned().unwrap_or_default()
            }
        };
        self.put(Status {
            id: spec.id.clone(),
            legs: wanted.into_iter().map(leg).collect(),
            destroyed: false,
        });
    }

    /// Ends every stream.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.tell(|pending| pending.closed = true);
    }
}

impl BoardState {
    fn tell(&mut self, change: impl Fn(&mut Pending)) {
        self.watchers.retain(|watcher| {
            let Some(inbox) = watcher.upgrade() else {
                return false;
            };
            change(&mut lock(&inbox.pending));
            inbox.arrived.notify_one();
            true
        });
    }
}

fn error(text: &str) -> proto::Error {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let at = since.unwrap_or_default().as_millis();
    proto::Error {
        side: proto::error::Side::Unspecified.into(),
        kind: proto::error::Kind::Other.into(),
        text: text.to_owned(),
        at: i64::try_from(at).unwrap_or(i64::MAX),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use eson_processor::proto::Leg;

    use super::*;

    fn status(id: &str, records: u64) -> Status {
        Status {
            id: id.to_owned(),
            legs: vec![LegStatus {
                id: "leg".to_owned(),
                state: State::Running.into(),
                records,
                ..LegStatus::default()
            }],
            destroyed: false,
        }
    }

    #[tokio::test]
    async fn a_watcher_sees_what_is_and_then_the_last_of_each() {
        let board = Board::default();
        board.put(status("a", 1));
        let mut statuses = board.watch();
        assert_eq!(statuses.next().await, Some(status("a", 1)));
        for records in 2..100 {
            board.put(status("a", records));
            board.put(status("b", records));
        }
        assert_eq!(statuses.next().await, Some(status("a", 99)));
        assert_eq!(statuses.next().await, Some(status("b", 99)));
        board.forget("a");
        board.close();
        let gone = statuses.next().await.unwrap();
        assert!(gone.destroyed && gone.id == "a");
        assert_eq!(statuses.next().await, None);
        assert_eq!(board.statuses(), [status("b", 99)]);
        assert_eq!(board.watch().next().await, Some(status("b", 99)));
    }

    #[test]
    fn an_interrupted_instance_keeps_its_counters() {
        let board = Board::default();
        board.put(status("a", 7));
        let leg = |id: &str| Leg {
            id: id.to_owned(),
            ..Leg::default()
        };
        let spec = Spec {
            id: "a".to_owned(),
            legs: vec![leg("leg"), leg("new")],
            ..Spec::default()
        };
        board.interrupt(&spec, State::Retrying, "it has ended");
        let now = board.status("a").unwrap();
        let seen: Vec<_> = now
            .legs
            .iter()
            .map(|leg| (leg.state(), leg.records))
            .collect();
        assert_eq!(seen, [(State::Retrying, 7), (State::Retrying, 0)]);
        assert_eq!(now.legs[0].error.as_ref().unwrap().text, "it has ended");
    }
}
