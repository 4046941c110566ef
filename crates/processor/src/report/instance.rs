//! What is known about one instance.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{Changes, LegReport, State};
use crate::proto;

/// What is known about one instance.
#[derive(Debug)]
pub(crate) struct InstanceReport {
    id: String,
    changes: Arc<Changes>,
    legs: Mutex<BTreeMap<String, Arc<LegReport>>>,
    /// Counters have moved since they were last told.
    counted: AtomicBool,
    /// Held while it is told, so that behind the end nothing more is: by then another instance may
    /// have the id.
    destroyed: Mutex<bool>,
    this: Weak<Self>,
}

impl InstanceReport {
    pub(crate) fn new(id: String, changes: Arc<Changes>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            id,
            changes,
            legs: Mutex::default(),
            counted: AtomicBool::new(false),
            destroyed: Mutex::default(),
            this: this.clone(),
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Begins the report of a leg, in place of one of the same id.
    pub(crate) fn add_leg(&self, id: &str, state: State) -> Arc<LegReport> {
        let report = Arc::new(LegReport::new(id.to_owned(), self.this.clone(), state));
        if let Some(before) = self.legs().insert(id.to_owned(), report.clone()) {
            report.come_after(&before);
        }
        self.changed();
        report
    }

    pub(crate) fn remove_leg(&self, id: &str) {
        self.legs().remove(id);
        self.changed();
    }

    /// The instance is gone: that is the last that is told of it.
    pub(crate) fn destroyed(&self) {
        let mut destroyed = self.end();
        *destroyed = true;
        if let Some(this) = self.this.upgrade() {
            self.changes.tell_now(&this);
        }
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        *self.end()
    }

    /// Something has changed that is told at once.
    pub(super) fn changed(&self) {
        self.unless_destroyed(|this| self.changes.tell_now(&this));
    }

    /// A counter has moved.
    pub(super) fn counted(&self) {
        if !self.counted.swap(true, Ordering::Relaxed) {
            self.unless_destroyed(|this| self.changes.tell_soon(this));
        }
    }

    /// Does what tells somebody of this.
    pub(super) fn unless_destroyed(&self, tell: impl FnOnce(Arc<Self>)) {
        let destroyed = self.end();
        if !*destroyed && let Some(this) = self.this.upgrade() {
            tell(this);
        }
    }

    /// What is told now; counters that move afterwards are told again.
    pub(super) fn begin_telling(&self) {
        self.counted.store(false, Ordering::Relaxed);
    }

    /// Whether any leg's rate still has to fall to nothing.
    pub(super) fn is_flowing(&self) -> bool {
        self.legs().values().any(|leg| leg.rates().events > 0.0)
    }

    pub(crate) fn to_proto(&self) -> proto::Status {
        let legs: Vec<_> = self.legs().values().cloned().collect();
        proto::Status {
            id: self.id.clone(),
            legs: legs.iter().map(|leg| leg.to_proto()).collect(),
            destroyed: self.is_destroyed(),
        }
    }

    fn end(&self) -> MutexGuard<'_, bool> {
        self.destroyed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn legs(&self) -> MutexGuard<'_, BTreeMap<String, Arc<LegReport>>> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
