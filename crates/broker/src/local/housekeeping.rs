//! Retention, and removing what was trimmed or deleted: bounded steps of the committer, none of
//! them while there is nothing to remove.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::group::{Effect, Group};
use super::registry::Queue;
use super::store::Failure;
use super::tables::{PartitionRow, RunEntry};

/// How often a queue is looked at: each twentieth part of its retention, within these bounds, in
/// milliseconds. Records are kept that much longer at most.
const INTERVAL: std::ops::RangeInclusive<i64> = 50..=60_000;

/// What is to be removed, and when.
#[derive(Default)]
pub(super) struct Housekeeping {
    /// The queues by the time of their next look, in milliseconds since the Unix epoch.
    due: BTreeMap<(i64, u64), Arc<Queue>>,
    /// For each queue in `due`, its time there.
    times: HashMap<u64, i64>,
    /// Partitions with runs before their earliest offset, or beyond their bytes.
    trimmed: BTreeMap<(u64, u32), Arc<Queue>>,
    /// Which of them was swept last.
    swept: (u64, u32),
    /// Deleted queues.
    deleted: BTreeSet<u64>,
    /// What the group in the making finishes.
    finished: Finished,
    rest_until: i64,
    /// Whether the last group failed.
    goes_first: bool,
}

#[derive(Default)]
struct Finished {
    trimmed: Vec<(u64, u32)>,
    deleted: Vec<u64>,
    /// Queues that were looked at, with the time when that was due.
    looked_at: Vec<(i64, Arc<Queue>)>,
}

impl Housekeeping {
    /// Everything that an earlier process left to do.
    pub(super) fn resume(deleted: BTreeSet<u64>, queues: Vec<Arc<Queue>>) -> Self {
        let mut housekeeping = Self {
            deleted,
            ..Self::default()
        };
        housekeeping.look_at(&queues);
        housekeeping
    }

    /// The file was opened anew, and what it had committed before was not known: takes note of what is to be
    /// removed of deleted queues, and of those that are new or have changed.
    pub(super) fn follow(&mut self, deleted: BTreeSet<u64>, changed: &[Arc<Queue>]) {
        self.deleted = deleted;
        self.look_at(changed);
    }

    fn look_at(&mut self, queues: &[Arc<Queue>]) {
        for queue in queues {
            if retention_of(queue).is_some() {
                self.schedule(queue, 0);
            }
            self.sweep_all(queue);
        }
    }

    /// In how many milliseconds there is something to do; none while there is nothing.
    pub(super) fn due_in(&self, now: i64) -> Option<u64> {
        let at_once = !(self.deleted.is_empty() && self.trimmed.is_empty());
        let next = match self.due.first_key_value() {
            _ if at_once => now,
            Some((&(time, _), _)) => time,
            None => return None,
        };
        Some(u64::try_from(next.max(self.rest_until) - now).unwrap_or_default())
    }

    /// Takes note of a change that was committed.
    pub(super) fn note(&mut self, effect: &Effect, now: i64) {
        match effect {
            Effect::Moved(queue, ..) if !self.times.contains_key(&queue.number) => {
                if let Some(retention) = retention_of(queue) {
                    self.schedule(queue, now.saturating_add(retention));
                }
            }
            Effect::Updated(queue, update) => {
                if update.retention.is_some() {
                    self.schedule(queue, now);
                }
                if update.retention_bytes.is_some() {
                    self.sweep_all(queue);
                }
            }
            Effect::Trimmed(queue, partition) => {
                let place = (queue.number, *partition);
                self.trimmed.insert(place, queue.clone());
            }
            Effect::Deleted(queue) => {
                self.deleted.insert(queue.number);
            }
            _ => {}
        }
    }

    /// Whether what there is to remove goes before the next group, in a transaction of its own. With writers
    /// who fail for want of room it would fail, too, and never make any.
    pub(super) fn goes_first(&self) -> bool {
        self.goes_first
    }

    /// The last group is committed: what it finished is done.
    pub(super) fn committed(&mut self) {
        self.goes_first = false;
        self.finished.looked_at.clear();
        for place in self.finished.trimmed.drain(..) {
            self.trimmed.remove(&place);
        }
        for queue in self.finished.deleted.drain(..) {
            self.deleted.remove(&queue);
        }
    }

    /// The last group is not committed: what it finished is done again.
    pub(super) fn failed(&mut self) {
        self.goes_first = true;
        for (time, queue) in std::mem::take(&mut self.finished).looked_at {
            self.schedule(&queue, time);
        }
    }

    /// Housekeeping failed by itself: does it again after so many milliseconds, before anybody else.
    pub(super) fn failed_alone(&mut self, now: i64, rest: i64) {
        self.failed();
        self.rest_until = now.saturating_add(rest);
    }

    /// Removes some of what is due. None of the three kinds takes so much that nothing is left for the others.
    pub(super) fn step(&mut self, group: &mut Group<'_>) -> Result<(), Failure> {
        if self.due_in(group.now) != Some(0) {
            return Ok(());
        }
        group.flush()?;
        let budget = group.budget();
        let share = budget / 3;
        let left = self.sweep_deleted(group, budget - 2 * share)?;
        let left = self.sweep_trimmed(group, left + share)?;
        self.expire(group, left + share)
    }

    fn sweep_deleted(
        &mut self,
        group: &mut Group<'_>,
        mut budget: usize,
    ) -> Result<usize, Failure> {
        for &queue in &self.deleted {
            group.touch();
            budget = group.tables.sweep_deleted(queue, budget)?;
            if budget == 0 {
                break;
            }
            self.finished.deleted.push(queue);
        }
        Ok(budget)
    }

    fn sweep_trimmed(
        &mut self,
        group: &mut Group<'_>,
        mut budget: usize,
    ) -> Result<usize, Failure> {
        // Each in its turn: what is written meanwhile must not keep it to the first ones.
        let (before, behind) = (
            ..=self.swept,
            (Bound::Excluded(self.swept), Bound::Unbounded),
        );
        let turns = self.trimmed.range(behind).chain(self.trimmed.range(before));
        for (&place, queue) in turns {
            if budget == 0 {
                break;
            }
            let limit = queue.state.borrow().retention_bytes;
            let is_over = |row: &PartitionRow, run: &RunEntry| {
                run.end <= row.range.earliest || limit.is_some_and(|it| row.is_surplus(run, it))
            };
            budget = remove(group, queue, place.1, budget, is_over)?;
            self.swept = place;
            if budget > 0 {
                self.finished.trimmed.push(place);
            }
        }
        Ok(budget)
    }

    fn expire(&mut self, group: &mut Group<'_>, mut budget: usize) -> Result<(), Failure> {
        while let (1.., Some(entry)) = (budget, self.due.first_entry()) {
            let &(time, number) = entry.key();
            if time > group.now {
                break;
            }
            let queue = entry.remove();
            self.times.remove(&number);
            self.finished.looked_at.push((time, queue.clone()));
            let next;
            (budget, next) = expire_queue(group, &queue, budget)?;
            if let Some(next) = next {
                self.schedule(&queue, next);
            }
        }
        Ok(())
    }

    /// Takes note that all partitions of a queue are to be swept.
    fn sweep_all(&mut self, queue: &Arc<Queue>) {
        let places = (0..queue.partitions()).map(|partition| (queue.number, partition));
        let places = places.map(|place| (place, queue.clone()));
        self.trimmed.extend(places);
    }

    fn schedule(&mut self, queue: &Arc<Queue>, time: i64) {
        if let Some(before) = self.times.insert(queue.number, time) {
            self.due.remove(&(before, queue.number));
        }
        self.due.insert((time, queue.number), queue.clone());
    }
}

/// How long a queue keeps records, in milliseconds; none for ever.
fn retention_of(queue: &Queue) -> Option<i64> {
    let state = queue.state.borrow();
    let retention = state.retention.filter(|_| !state.deleted)?;
    i64::try_from(retention).ok()
}

/// Removes the runs of a queue that are too old. Returns what is left of the budget, and when to
/// look again.
fn expire_queue(
    group: &mut Group<'_>,
    queue: &Arc<Queue>,
    mut budget: usize,
) -> Result<(usize, Option<i64>), Failure> {
    let Some(retention) = retention_of(queue) else {
        return Ok((budget, None));
    };
    let now = group.now;
    let expired = |_: &PartitionRow, run: &RunEntry| run.written.saturating_add(retention) <= now;
    let mut oldest = None;
    for partition in 0..queue.partitions() {
        budget = remove(group, queue, partition, budget, expired)?;
        let left = group.tables.oldest_run((queue.number, partition))?;
        let written = left.map(|run| run.written);
        oldest = [oldest, written].into_iter().flatten().min();
    }
    let interval = (retention / 20).clamp(*INTERVAL.start(), *INTERVAL.end());
    let next = match budget {
        0 => Some(now),
        _ => oldest.map(|oldest: i64| oldest.saturating_add(retention).max(now + interval)),
    };
    Ok((budget, next))
}

fn remove(
    group: &mut Group<'_>,
    queue: &Arc<Queue>,
    partition: u32,
    budget: usize,
    expired: impl Fn(&PartitionRow, &RunEntry) -> bool,
) -> Result<usize, Failure> {
    let key = (queue.number, partition);
    let Some(before) = group.tables.partition(key)? else {
        return Ok(budget);
    };
    let mut row = before;
    let left = group
        .tables
        .remove_oldest_runs(key, &mut row, budget, expired)?;
    if row != before {
        group.touch();
        group.tables.put_partition(key, row)?;
        let moved = Effect::Moved(queue.clone(), partition, row.range);
        group.effects.push(moved);
    }
    Ok(left)
}

#[cfg(test)]
mod tests;
