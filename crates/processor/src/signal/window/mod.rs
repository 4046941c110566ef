//! Windows: what a signal remembers of events, across its sources and across crashes.
//!
//! The legs of a signal with a window share one state, and take turns at it. What comes of a batch
//! is kept in a file of the signal before anything of it is written: the events that windows hold, how
//! far each source was read, and the outputs, numbered for each leg and destination. The
//! destinations then store the number with the output, so that each output arrives once where they
//! can do that, also when the program would answer differently another time. The file forgets an
//! output when its destination has it.
//!
//! A turn does not wait for a program that takes its time, nor for dead letters: what the program is to
//! be asked about is kept as *parked* then, with its windows as they were, and its outputs when they
//! are known. Others go on with windows that have those events.

mod key;
mod parked;
mod spec;
mod state;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard as StdGuard, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

pub(super) use self::key::Key;
pub(super) use self::parked::{Letter, Parked};
pub use self::spec::WindowSpec;
pub(super) use self::state::{Clock, Clocks, Ended, MAX_BYTES, State};
use self::store::Store;
pub(super) use self::store::{Changes, Pending, StoreError, StoredLeg};
use super::windowed::now;

/// The windows of all signals of a process, each open once for all of its legs.
#[derive(Clone, Default)]
pub(super) struct OpenWindows(Arc<Mutex<BTreeMap<PathBuf, Weak<Windows>>>>);

impl OpenWindows {
    /// Those of one signal, opened if need be; they hold at most so many bytes.
    pub(super) fn open(
        &self,
        file: PathBuf,
        spec: &WindowSpec,
        max_bytes: usize,
    ) -> Result<Arc<Windows>, StoreError> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, windows| windows.strong_count() > 0);
        if let Some(known) = open.get(&file).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let windows = Arc::new(Windows {
            store: Store::open(&file)?,
            spec: spec.clone(),
            max_bytes,
            state: AsyncMutex::new(None),
            clocks: Mutex::default(),
            standing: Mutex::default(),
        });
        open.insert(file, Arc::downgrade(&windows));
        Ok(windows)
    }
}

/// The windows of one signal.
pub(super) struct Windows {
    pub(super) store: Store,
    pub(super) spec: WindowSpec,
    /// How much they hold.
    pub(super) max_bytes: usize,
    /// None where it has to be read from the file.
    state: AsyncMutex<Option<State>>,
    /// As the last turn has left them; the file has none.
    clocks: Mutex<Clocks>,
    /// The legs that don't read.
    standing: Mutex<BTreeSet<String>>,
}

/// A turn at the windows. What is changed and not committed is forgotten with it.
pub(super) struct Turn<'a> {
    windows: &'a Windows,
    guard: MutexGuard<'a, Option<State>>,
    pub(super) state: State,
}

impl Windows {
    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, StoreError> {
        let mut guard = self.state.lock().await;
        let mut state = match guard.take() {
            Some(state) => state,
            None => {
                let mut state = self.store.load(&self.spec, self.max_bytes, now()).await?;
                state.set_clocks(self.clocks().clone());
                state
            }
        };
        for leg in &*self.standing() {
            state.stand_still(leg);
        }
        Ok(Turn {
            windows: self,
            guard,
            state,
        })
    }

    /// A leg does not read, so that nobody knows whether there is more: its source has the time up to
    /// which it was read.
    pub(super) fn stand_still(&self, leg: &str) {
        self.standing().insert(leg.to_owned());
    }

    /// A leg reads, and tells in this turn what there is.
    pub(super) fn go_on(&self, leg: &str) {
        self.standing().remove(leg);
    }

    fn standing(&self) -> StdGuard<'_, BTreeSet<String>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clocks(&self) -> StdGuard<'_, Clocks> {
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Keeps what was changed, together with `changes`; says how many events had to go early since
    /// this was last done.
    pub(super) async fn commit(mut self, mut changes: Changes) -> Result<u64, StoreError> {
        let crowded_out = self.state.crowded_out();
        changes.of_state(&mut self.state);
        self.windows.store.commit(changes).await?;
        self.leave();
        Ok(crowded_out)
    }

    /// Ends the turn without a change.
    pub(super) fn leave(mut self) {
        self.windows.clocks().clone_from(self.state.clocks());
        *self.guard = Some(self.state);
    }
}
