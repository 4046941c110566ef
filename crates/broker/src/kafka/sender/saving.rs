//! Positions that are stored behind the records, at least once.

use std::time::Duration;

use eson_protocol::Positions;
use tokio::time::Instant;

use super::{Done, Renewal, Sender, lock};

/// How often positions are stored while records flow: what a crash makes come again at least once.
/// Each time costs the broker as much as a batch of records.
const SAVE_EVERY: Duration = Duration::from_millis(500);

impl Sender {
    pub(super) fn is_saved(&self) -> bool {
        !self.storing || *lock(&self.shared.acknowledged) == *lock(&self.shared.stored)
    }

    /// Whether there is something to store, and nothing else being stored.
    pub(super) fn must_save(&self) -> bool {
        self.store.is_some() && self.renewal == Renewal::None && !self.is_saved()
    }

    pub(super) fn save(&mut self) {
        self.save_at = Instant::now() + SAVE_EVERY;
        let mut changed = lock(&self.shared.acknowledged).clone();
        let stored = lock(&self.shared.stored).clone();
        changed.retain(|partition, offset| stored.get(partition) != Some(offset));
        self.save_positions(changed);
    }

    pub(super) fn save_positions(&mut self, changed: Positions) {
        let Some(mut store) = self.store.take() else {
            return;
        };
        let epochs = self.epochs.before(&changed);
        self.work.push(Box::pin(async move {
            let result = store.save(&changed, &epochs).await;
            Done::Saved(store, changed, result)
        }));
    }

    pub(super) fn saved(&mut self, changed: Positions) {
        match &mut self.commits {
            Some(commits) => commits.positions_written(),
            None => lock(&self.shared.stored).extend(changed),
        }
    }
}
