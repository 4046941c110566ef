//! Who is told when a report changes.
//!
//! Every watcher has an inbox that holds each changed instance once, whatever the number of its
//! changes: a slow watcher sees fewer steps and never makes anybody wait or memory grow. State
//! changes go to the inboxes at once, counters once a second, and only if they moved.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::InstanceReport;
use crate::proto;

const COUNTERS: Duration = Duration::from_secs(1);

type Pending = BTreeMap<String, Arc<InstanceReport>>;

/// Who is told when a report changes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    watchers: Mutex<Vec<Weak<Inbox>>>,
    counted: Mutex<Pending>,
    anything_counted: Notify,
}

/// What one watcher has still to be told.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pending: Mutex<Pending>,
    arrived: Notify,
}

impl Changes {
    /// Adds a watcher, who is told about all that are `known` first. It leaves by dropping the
    /// inbox.
    pub(crate) fn watch(&self, known: impl FnOnce() -> Vec<Arc<InstanceReport>>) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::default());
        lock(&self.watchers).push(Arc::downgrade(&inbox));
        // Asked only now, so that nothing that comes up meanwhile is missed.
        for report in known() {
            report.unless_destroyed(|report| inbox.put(report));
        }
        inbox
    }

    pub(super) fn tell_now(&self, report: &Arc<InstanceReport>) {
        for inbox in self.inboxes() {
            inbox.put(report.clone());
        }
    }

    pub(super) fn tell_soon(&self, report: Arc<InstanceReport>) {
        lock(&self.counted).insert(report.id().to_owned(), report);
        self.anything_counted.notify_one();
    }

    /// Tells counters once a second as long as any move. Runs for ever; sleeps when nothing
    /// moves.
    pub(crate) async fn tell_counters(self: Arc<Self>) {
        loop {
            self.anything_counted.notified().await;
            let counted = std::mem::take(&mut *lock(&self.counted));
            for report in counted.values() {
                report.begin_telling();
                report.changed();
            }
            // A rate falls for ten seconds after the last event, and that is news too.
            let falling = counted.into_values().filter(|report| report.is_flowing());
            let falling: Vec<_> = falling.collect();
            sleep(COUNTERS).await;
            if !self.inboxes().is_empty() {
                falling.iter().for_each(|report| report.counted());
            }
        }
    }

    fn inboxes(&self) -> Vec<Arc<Inbox>> {
        let mut watchers = lock(&self.watchers);
        watchers.retain(|inbox| inbox.strong_count() > 0);
        watchers.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Inbox {
    /// The instances that changed since the last call, as they are now; waits until there are
    /// some. Cancel-safe.
    pub(crate) async fn changed(&self) -> Vec<proto::Status> {
        loop {
            let arrived = self.arrived.notified();
            let pending = std::mem::take(&mut *lock(&self.pending));
            if !pending.is_empty() {
                return pending.values().map(|report| report.to_proto()).collect();
            }
            arrived.await;
        }
    }

    fn put(&self, report: Arc<InstanceReport>) {
        lock(&self.pending).insert(report.id().to_owned(), report);
        self.arrived.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt;
    use tokio::time::timeout;

    use super::super::State;
    use super::*;
    use crate::measure::Measure;

    const RECORD: Measure = Measure {
        records: 1,
        bytes: 100,
    };

    fn told(inbox: &Inbox) -> Option<Vec<proto::Status>> {
        pin!(inbox.changed()).now_or_never()
    }

    #[tokio::test]
    async fn a_watcher_is_told_what_is_and_then_what_changes() {
        let changes = Arc::new(Changes::default());
        let instance = InstanceReport::new("one".into(), changes.clone());
        let inbox = changes.watch(|| vec![instance.clone()]);
        assert_eq!(told(&inbox).expect("what is").len(), 1);
        assert_eq!(told(&inbox), None);

        let leg = instance.add_leg("leg", State::Starting);
        leg.enter(State::Paused);
        let statuses = told(&inbox).expect("what changed");
        assert_eq!(
            statuses.len(),
            1,
            "two changes of one instance are one message"
        );
        assert_eq!(statuses[0].legs[0].state(), proto::State::Paused);
        assert_eq!(told(&inbox), None);

        instance.destroyed();
        assert!(told(&inbox).expect("the end")[0].destroyed);
    }

    #[tokio::test(start_paused = true)]
    async fn counters_are_told_once_a_second_until_they_rest() {
        let changes = Arc::new(Changes::default());
        let ticker = tokio::spawn(changes.clone().tell_counters());
        let instance = InstanceReport::new("one".into(), changes.clone());
        let leg = instance.add_leg("leg", State::Running);
        let inbox = changes.watch(Vec::new);

        let begin = tokio::time::Instant::now();
        for _ in 0..1_000 {
            leg.copied(0, 1, RECORD, None);
        }
        let mut messages = 0;
        let mut rate = f64::MAX;
        while rate > 0.0 {
            let statuses = inbox.changed().await;
            messages += 1;
            assert_eq!(statuses[0].legs[0].records, 1_000);
            rate = statuses[0].legs[0].rate;
        }
        let seconds = begin.elapsed().as_secs();
        assert!((1..=11).contains(&seconds), "{seconds}");
        assert!(messages <= seconds + 1, "{messages} in {seconds} s");
        assert_eq!(told(&inbox), None);
        ticker.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn one_made_again_is_not_hidden_behind_the_one_before() {
        let changes = Arc::new(Changes::default());
        let ticker = tokio::spawn(changes.clone().tell_counters());
        let inbox = changes.watch(Vec::new);
        let before = InstanceReport::new("one".into(), changes.clone());
        before
            .add_leg("leg", State::Running)
            .copied(0, 1, RECORD, None);
        inbox.changed().await;
        let counted = inbox.changed().await;
        let rate = counted[0].legs[0].rate;
        assert!(rate > 0.0, "it is told again when that falls");

        before.destroyed();
        let again = InstanceReport::new("one".into(), changes.clone());
        again
            .add_leg("leg", State::Running)
            .copied(0, 1, RECORD, None);
        let mut last = None;
        while let Ok(statuses) = timeout(COUNTERS * 20, inbox.changed()).await {
            last = statuses.into_iter().next_back();
        }
        let last = last.expect("what there is");
        assert!(!last.destroyed);
        assert_eq!((last.legs[0].records, last.legs[0].rate), (1, 0.0));
        ticker.abort();
    }

    #[tokio::test]
    async fn a_watcher_that_left_is_forgotten() {
        let changes = Arc::new(Changes::default());
        drop(changes.watch(Vec::new));
        assert!(changes.inboxes().is_empty());
    }
}
