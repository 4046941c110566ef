//! What is known about one leg.

mod figures;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use eson_broker::{Delivery, QueueId};
use eson_protocol::Positions;
use tokio::sync::watch;
use tokio::time::Instant;

use self::figures::Figures;
pub(crate) use self::figures::Progress;
use super::meter::Rates;
use super::{InstanceReport, Trouble};
use crate::measure::Measure;
use crate::proto;

/// How a leg is.
///
/// ```text
///            +------------- Run ---------------+
///            v                                 |
///        Starting --opened--> Running --Pause--+-> Paused
///         ^    |                 |
///         |    +----trouble------+
///    wait over         |
///         |            +-- passing --> Retrying
///         +--------------------------------+
///                      +-- lasting --> Failed (until Update or Resume)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Starting,
    Running,
    Paused,
    Retrying,
    Failed,
}

/// What is known about one leg: written by the leg, read by whoever asks.
#[derive(Debug)]
pub(crate) struct LegReport {
    id: String,
    instance: Weak<InstanceReport>,
    state: watch::Sender<State>,
    cut_short: AtomicBool,
    held_back: AtomicBool,
    figures: Mutex<Figures>,
}

impl LegReport {
    pub(crate) fn new(id: String, instance: Weak<InstanceReport>, state: State) -> Self {
        Self {
            id,
            instance,
            state: watch::Sender::new(state),
            cut_short: AtomicBool::new(false),
            held_back: AtomicBool::new(false),
            figures: Mutex::new(Figures::new()),
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn state(&self) -> State {
        *self.state.borrow()
    }

    /// For waiting until the leg is in some state.
    pub(crate) fn watch_state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// The identity of the source queue that was opened first.
    pub(crate) fn begun(&self) -> Option<QueueId> {
        self.figures().begun.clone()
    }

    /// How much of a source that is gone was seen and not written; none where that is not known.
    pub(crate) fn left_behind(&self, source: &QueueId) -> Option<u64> {
        let known = self.figures().left_behind();
        known.filter(|(id, _)| id == source).map(|(_, lag)| lag)
    }

    /// The same leg was driven before, and that was its report.
    pub(super) fn come_after(&self, before: &Self) {
        let known = before.figures().left_behind();
        self.figures().left_behind = known;
    }

    /// Goes to a state in which nothing is wrong.
    pub(crate) fn enter(&self, state: State) {
        self.state.send_replace(state);
        self.tell_now();
    }

    /// Goes to a state because of a trouble.
    pub(crate) fn enter_with(&self, state: State, trouble: Trouble) {
        self.figures().trouble = Some(trouble);
        self.enter(state);
    }

    /// Something is wrong, and what state that leads to is not yet clear.
    pub(crate) fn met(&self, trouble: Trouble) {
        self.figures().trouble = Some(trouble);
        self.tell_now();
    }

    /// Draining took too long: what was read will be read again.
    pub(crate) fn cut_short(&self) {
        self.cut_short.store(true, Ordering::Relaxed);
    }

    /// Whether draining took too long since this was last asked.
    pub(crate) fn was_cut_short(&self) -> bool {
        self.cut_short.swap(false, Ordering::Relaxed)
    }

    /// The destination is open, and has so many partitions; 0 where there are several.
    pub(crate) fn has_partitions(&self, destination: u32) {
        self.figures().destination_partitions = destination;
    }

    /// Both ends are open: records flow from here on, unless the leg waits for a program, which only
    /// answering shows to be there again.
    pub(crate) fn opened(
        &self,
        source: QueueId,
        delivery: Delivery,
        stored: Positions,
        progress: BTreeMap<u32, Progress>,
    ) {
        let mut figures = self.figures();
        if figures.source.as_ref() != Some(&source) {
            figures.unknown_until.clear();
        }
        figures.begun.get_or_insert_with(|| source.clone());
        figures.source = Some(source);
        figures.delivery = Some(delivery);
        figures.stored = stored;
        figures.progress = progress;
        let waits = figures.trouble.as_ref().is_some_and(Trouble::is_of_program);
        if waits && self.state() == State::Retrying {
            return;
        }
        figures.trouble = None;
        drop(figures);
        self.enter(State::Running);
    }

    /// A program that was waited for has answered, or there is nothing to ask it.
    pub(crate) fn answered(&self) {
        let waited = self.figures().trouble.take_if(|it| it.is_of_program());
        match self.state() {
            State::Retrying => self.enter(State::Running),
            _ if waited.is_some() => self.tell_now(),
            _ => {}
        }
    }

    /// Records were read that may not be handed over yet, because of the leg's rates.
    pub(crate) fn held_back(&self, partition: u32, high_watermark: u64, written_at: Option<i64>) {
        self.held_back.store(true, Ordering::Relaxed);
        self.figures().saw(partition, high_watermark, written_at);
        self.tell_soon();
    }

    /// Records were handed to the destination, the first of which was written at some time.
    pub(crate) fn copied(
        &self,
        partition: u32,
        high_watermark: u64,
        measure: Measure,
        written_at: Option<i64>,
    ) {
        let mut figures = self.figures();
        figures.records += measure.records;
        figures.bytes += measure.bytes as u64;
        figures
            .meter
            .count(Instant::now(), measure.records, measure.bytes as u64);
        figures
            .trouble
            .take_if(|trouble| trouble.ends_with(partition));
        figures.saw(partition, high_watermark, written_at);
        drop(figures);
        self.held_back.store(false, Ordering::Relaxed);
        self.tell_soon();
    }

    /// The destination has stored the positions `stored`, and has acknowledged what is before
    /// the positions `acknowledged`.
    pub(crate) fn stored(&self, stored: Positions, acknowledged: Positions) {
        let mut figures = self.figures();
        for (partition, next) in acknowledged {
            let progress = figures.progress.entry(partition).or_insert(Progress {
                written: next,
                high_watermark: next,
            });
            progress.written = next;
        }
        figures.stored = stored;
        drop(figures);
        self.tell_soon();
    }

    /// Records were gone before they were read.
    pub(crate) fn lost(&self, records: u64, trouble: Trouble) {
        let mut figures = self.figures();
        figures.lost += records;
        figures.trouble = Some(trouble);
        drop(figures);
        self.tell_now();
    }

    /// The source is read from there on, also where more of it was read before.
    pub(crate) fn rewound(&self, partition: u32, to: u64) {
        if let Some(until) = self.figures().unknown_until.get_mut(&partition) {
            *until = to.min(*until);
        }
    }

    /// Every destination has stored these positions, and all before them.
    pub(crate) fn reached(&self, read: Positions) {
        if self.state() == State::Retrying {
            self.answered();
        }
        let mut stored = self.figures().stored.clone();
        stored.extend(read.clone());
        self.stored(stored, read);
    }

    /// Events went to the dead-letter flow.
    pub(crate) fn buried(&self, events: u64, reason: &str) {
        tracing::warn!(leg = self.id, events, reason, "dead letters");
        let mut figures = self.figures();
        figures.dead_letters += events;
        figures.trouble = Some(Trouble::buried(reason));
        drop(figures);
        self.tell_now();
    }

    /// Events fell out of windows early. The log is told once, until there is another trouble.
    pub(crate) fn crowded_out(&self, events: u64, trouble: Trouble) {
        let mut figures = self.figures();
        if !figures.trouble.as_ref().is_some_and(Trouble::is_crowding) {
            tracing::warn!(leg = self.id, events, error = trouble.text(), "crowded out");
        }
        figures.crowded_out += events;
        figures.trouble = Some(trouble);
        drop(figures);
        self.tell_soon();
    }

    /// Events passed with the ids of schemas that they had, since those are unknown.
    pub(crate) fn passed_unknown(&self, partition: u32, unknown: &[(u64, String)]) {
        if unknown.is_empty() {
            return;
        }
        let mut figures = self.figures();
        let until = figures.unknown_until.entry(partition).or_default();
        let new = &unknown[unknown.partition_point(|(offset, _)| *offset < *until)..];
        let (Some((offset, why)), Some((last, _))) = (new.first(), new.last()) else {
            return;
        };
        *until = last + 1;
        let events = new.len();
        tracing::warn!(leg = self.id, partition, events, why, "unknown schemas");
        figures.unknown_schemas += events as u64;
        figures.trouble = Some(Trouble::passed_unknown(partition, *offset, why));
        drop(figures);
        self.tell_soon();
    }

    /// Records are hidden for the time being.
    pub(crate) fn hidden(&self, trouble: Trouble) {
        self.figures().trouble = Some(trouble);
        self.tell_now();
    }

    /// What has passed in a second over the last ten.
    pub(crate) fn rates(&self) -> Rates {
        self.figures().meter.rates(Instant::now())
    }

    pub(crate) fn to_proto(&self) -> proto::LegStatus {
        let figures = self.figures();
        let rates = figures.meter.rates(Instant::now());
        proto::LegStatus {
            id: self.id.clone(),
            state: self.state().to_proto().into(),
            stored: figures.stored.clone(),
            lag: figures.lag(),
            records: figures.records,
            bytes: figures.bytes,
            lost: figures.lost,
            dead_letters: figures.dead_letters,
            crowded_out: figures.crowded_out,
            unknown_schemas: figures.unknown_schemas,
            rate: rates.events,
            throughput: rates.bytes,
            error: figures.trouble.as_ref().map(Trouble::to_proto),
            source_id: figures
                .source
                .as_ref()
                .map(|id| id.0.clone())
                .unwrap_or_default(),
            delivery: delivery(figures.delivery).into(),
            behind_since: figures.behind_since(),
            held_back: self.held_back.load(Ordering::Relaxed),
            partitions: u32::try_from(figures.progress.len()).unwrap_or(u32::MAX),
            destination_partitions: figures.destination_partitions,
        }
    }

    fn tell_now(&self) {
        if let Some(instance) = self.instance.upgrade() {
            instance.changed();
        }
    }

    fn tell_soon(&self) {
        if let Some(instance) = self.instance.upgrade() {
            instance.counted();
        }
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn delivery(in_force: Option<Delivery>) -> proto::Delivery {
    match in_force {
        None => proto::Delivery::Unspecified,
        Some(Delivery::ExactlyOnce) => proto::Delivery::ExactlyOnce,
        Some(Delivery::AtLeastOnce) => proto::Delivery::AtLeastOnce,
    }
}

impl State {
    fn to_proto(self) -> proto::State {
        match self {
            Self::Starting => proto::State::Starting,
            Self::Running => proto::State::Running,
            Self::Paused => proto::State::Paused,
            Self::Retrying => proto::State::Retrying,
            Self::Failed => proto::State::Failed,
        }
    }
}
