//! What a leg of a signal with windows has kept and is still to write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use eson_broker::{QueueDescription, Reached};
use eson_protocol::event::encode;
use eson_protocol::{EventFormat, Name, Positions, Record, Start};

use super::outlet::Outlet;
use super::proto::{Event, Input, Window};
use super::record::{from_stored, to_stored};
use super::window::{Changes, Clock, Ended, Parked, Pending, StoreError, StoredLeg, Windows};
use crate::leg::given;
use crate::spec::LegSpec;

/// The partition under which destinations store the numbers of outputs.
pub(super) const OUTPUTS: u32 = 0;

/// Up to which number a destination has everything.
pub(super) struct Delivered {
    flow: String,
    reached: u64,
}

impl Delivered {
    pub(super) fn by(outlet: &Outlet) -> Self {
        Self {
            flow: outlet.flow().to_owned(),
            reached: outlet.places().get(&OUTPUTS).copied().unwrap_or(0),
        }
    }
}

/// What a leg has kept and is still to write.
pub(super) struct Windowed {
    pub(super) windows: Arc<Windows>,
    leg: String,
    /// The leg, and the identity of its source.
    pub(super) name: String,
    /// The next number for each outlet.
    pub(super) next: Vec<u64>,
    /// What the leg before has kept for each outlet and not written.
    pub(super) backlog: Vec<Vec<(u64, Pending)>>,
    /// What it has parked.
    pub(super) parked: Parked,
    /// Whether there are windows that end some time.
    pub(super) is_waiting: bool,
    /// Whether it has stood still, and there may be more to read than it knows.
    pub(super) is_unsure: bool,
    start: Start,
    /// How far the source is read.
    pub(super) positions: Positions,
}

impl Windowed {
    /// Finds what was kept, and from where the source is to be read.
    pub(super) async fn open(
        windows: Arc<Windows>,
        leg: &str,
        spec: &LegSpec,
        source: &QueueDescription,
        outlets: Vec<Delivered>,
    ) -> Result<(Self, Reached), StoreError> {
        let name = format!("{leg}@{}", source.id);
        let mut stored = windows.store.load_leg(&name).await?;
        begin(&windows, &name, spec, source, &mut stored.read.positions).await?;
        let mut turn = windows.turn().await?;
        windows.go_on(leg);
        turn.state
            .open_leg(leg, clocks(spec.start, source, &stored.read.positions));
        let is_waiting = turn.state.is_waiting();
        turn.leave();
        let read = std::mem::take(&mut stored.read);
        let parked = std::mem::take(&mut stored.parked);
        let outputs = outlets.iter().map(|outlet| outputs(&mut stored, outlet));
        let (next, backlog) = outputs.unzip();
        let windowed = Self {
            windows,
            leg: leg.to_owned(),
            name,
            next,
            backlog,
            parked,
            is_waiting,
            is_unsure: false,
            start: spec.start,
            positions: read.positions.clone(),
        };
        Ok((windowed, read))
    }

    /// Nothing is read until the next chunk, or until it looks again.
    pub(super) fn stand_still(&mut self) {
        self.is_unsure = true;
        self.windows.stand_still(&self.leg);
    }

    /// The leg reads again, and finds nothing: sees whether there is nothing in each partition.
    pub(super) async fn look_again(&mut self, source: &QueueDescription) -> Result<(), StoreError> {
        let clocks = clocks(self.start, source, &self.positions);
        let mut turn = self.windows.turn().await?;
        self.windows.go_on(&self.leg);
        for (partition, Clock { time, caught_up }) in clocks {
            turn.state
                .tick(&self.leg, partition, time, caught_up, now());
        }
        self.is_waiting = turn.state.is_waiting();
        self.is_unsure = false;
        turn.leave();
        Ok(())
    }

    /// Outputs in the form in which they are kept, with the numbers that they get.
    pub(super) fn numbered(
        &self,
        outlets: &[Outlet],
        written: Vec<Vec<(u32, Record)>>,
    ) -> Vec<(String, u64, Vec<Pending>)> {
        let all = outlets.iter().zip(written).zip(&self.next);
        let some = all.filter(|((_, records), _)| !records.is_empty());
        some.map(|((outlet, records), next)| {
            let pending = records.into_iter().map(|(to, record)| Pending {
                to,
                record: from_stored(record),
            });
            (outlet.flow().to_owned(), *next, pending.collect())
        })
        .collect()
    }
}

/// However a leg ends, it does not read then.
impl Drop for Windowed {
    fn drop(&mut self) {
        self.windows.stand_still(&self.leg);
    }
}

/// The next number for an outlet, and what is still to be written there. The destination knows
/// better than a file that was lost.
fn outputs(stored: &mut StoredLeg, outlet: &Delivered) -> (u64, Vec<(u64, Pending)>) {
    let Delivered { flow, reached } = outlet;
    let reached = *reached;
    let next = stored.next.get(flow).copied().unwrap_or(0);
    let pending = stored.outputs.remove(flow).unwrap_or_default();
    let pending = pending.into_iter().filter(|(number, _)| *number >= reached);
    (next.max(reached), pending.collect())
}

/// Begins where the cursor is, or the newest record where that is asked for, which is kept then.
async fn begin(
    windows: &Windows,
    name: &str,
    spec: &LegSpec,
    source: &QueueDescription,
    positions: &mut Positions,
) -> Result<(), StoreError> {
    let at_latest = spec.start == Start::Latest && positions.is_empty();
    for (partition, (_, latest)) in &source.partitions {
        let given = given(&spec.cursor, *partition, *latest);
        if let Some(offset) = given.or(at_latest.then_some(*latest)) {
            positions.entry(*partition).or_insert(offset);
        }
    }
    if !at_latest {
        return Ok(());
    }
    let changes = Changes {
        read: Reached {
            positions: positions.clone(),
            ..Reached::default()
        },
        ..Changes::of(name)
    };
    windows.store.commit(changes).await
}

fn clocks(start: Start, source: &QueueDescription, positions: &Positions) -> BTreeMap<u32, Clock> {
    let partitions = source.partitions.iter();
    let clock = |(partition, (earliest, latest)): (&u32, &(u64, u64))| {
        let position = match (positions.get(partition), start) {
            (Some(position), _) => *position,
            (None, Start::Earliest) => *earliest,
            // What is before the time is not waited for.
            (None, _) => *latest,
        };
        let clock = Clock {
            time: i64::MIN,
            caught_up: position >= *latest,
        };
        (*partition, clock)
    };
    partitions.map(clock).collect()
}

/// Milliseconds since the Unix epoch.
pub(super) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

/// A window that shows the events around one.
pub(super) fn sliding(key: String, time: i64, length: i64, events: Vec<Event>) -> Window {
    Window {
        key,
        from: time.saturating_sub(length),
        until: time.saturating_add(1),
        events,
    }
}

/// A window that has ended as a program gets it.
pub(super) fn ended(window: Ended) -> Input {
    let window = Window {
        key: window.key,
        from: window.from,
        until: window.until,
        events: window.events,
    };
    Input {
        event: None,
        window: Some(window),
    }
}

/// The record that an input is about: the event's own, or of the window of a number that has ended
/// the one that would be its dead letter, with all of its events as content.
pub(super) fn record_of(number: u64, input: &Input) -> Record {
    if let Some(event) = &input.event {
        return to_stored(event.record.clone().unwrap_or_default(), event.offset);
    }
    let window = input.window.clone().unwrap_or_default();
    let events: Vec<String> = window.events.iter().filter_map(shown).collect();
    Record {
        offset: number,
        timestamp: window.until,
        key: (!window.key.is_empty()).then(|| Bytes::from(window.key)),
        value: Some(Bytes::from(format!("[{}]", events.join(",")))),
        headers: Vec::new(),
    }
}

fn shown(event: &Event) -> Option<String> {
    let flow = Name::parse(&event.flow).ok()?;
    let record = to_stored(event.record.clone()?, event.offset);
    Some(encode(
        EventFormat::CloudEvents,
        &flow,
        event.partition,
        &record,
    ))
}
