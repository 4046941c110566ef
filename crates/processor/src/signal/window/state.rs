//! What windows hold, and when they end. No I/O and no clock.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prost::Message;

use super::WindowSpec;
use crate::signal::proto::Event;

/// The most events of one key that a window shows.
const MAX_OF_KEY: usize = 1_000;

/// The most bytes that all windows of a signal hold where nothing else is said.
pub(crate) const MAX_BYTES: usize = 64 << 20;

/// How long events of a source that has no more may be on their way, in milliseconds of the clock.
const GRACE: i64 = 1_000;

/// An event that a window holds.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Kept {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(int64, tag = "2")]
    pub(crate) time: i64,
    #[prost(message, required, tag = "3")]
    pub(crate) event: Event,
}

/// What is told of all windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    /// The number of the next event.
    pub(crate) next: u64,
    /// Windows up to here have ended.
    pub(crate) closed: i64,
    /// The newest time of any event, no later than the clock when that came.
    pub(crate) newest: i64,
}

/// How far the time of a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// The newest time that was seen, in milliseconds since the Unix epoch, no later than the clock.
    pub(crate) time: i64,
    /// Whether there was nothing more to read, and would be read if there were.
    pub(crate) caught_up: bool,
}

/// How far the time of each leg's partitions is; none for a leg that has not been opened yet.
pub(crate) type Clocks = BTreeMap<String, Option<BTreeMap<u32, Clock>>>;

/// A window that has ended.
pub(crate) struct Ended {
    pub(crate) key: String,
    pub(crate) from: i64,
    pub(crate) until: i64,
    pub(crate) events: Vec<Event>,
    numbers: Vec<u64>,
}

/// What all windows of a signal hold.
pub(crate) struct State {
    length: i64,
    tumbling: bool,
    /// By number, in the order in which they came.
    kept: BTreeMap<u64, Kept>,
    by_time: BTreeSet<(i64, u64)>,
    by_key: HashMap<String, BTreeSet<(i64, u64)>>,
    bytes: usize,
    max_bytes: usize,
    marks: Marks,
    /// When, by the clock, the newest event came, or the file was read.
    newest_at: i64,
    clocks: Clocks,
    added: Vec<u64>,
    removed: Vec<u64>,
    /// How many events had to go early.
    crowded_out: u64,
}

impl State {
    /// What was kept, read at `now` by the clock; of more than `max_bytes`, the newest. Marks lie in
    /// the future where a clock was wrong, and hold up no window.
    pub(super) fn new(
        spec: &WindowSpec,
        max_bytes: usize,
        kept: impl IntoIterator<Item = (u64, Kept)>,
        marks: Marks,
        now: i64,
    ) -> Self {
        let mut state = Self {
            length: spec.length,
            tumbling: spec.tumbling,
            kept: BTreeMap::new(),
            by_time: BTreeSet::new(),
            by_key: HashMap::new(),
            bytes: 0,
            max_bytes,
            marks: Marks {
                next: marks.next,
                closed: marks.closed.min(now),
                newest: marks.newest.min(now),
            },
            newest_at: now,
            clocks: spec.legs.iter().map(|leg| (leg.clone(), None)).collect(),
            added: Vec::new(),
            removed: Vec::new(),
            crowded_out: 0,
        };
        for (number, event) in kept {
            state.insert(number, event);
        }
        state.crowd_out();
        state
    }

    pub(crate) fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    /// Takes over what is known of some legs.
    pub(super) fn set_clocks(&mut self, clocks: Clocks) {
        self.clocks.extend(clocks);
    }

    /// A leg knows what there is to read.
    pub(crate) fn open_leg(&mut self, leg: &str, clocks: BTreeMap<u32, Clock>) {
        self.clocks.insert(leg.to_owned(), Some(clocks));
    }

    /// A leg does not read: there may be more than it knows.
    pub(super) fn stand_still(&mut self, leg: &str) {
        let clocks = self.clocks.get_mut(leg).and_then(Option::as_mut);
        for clock in clocks.into_iter().flat_map(BTreeMap::values_mut) {
            clock.caught_up = false;
        }
    }

    /// A partition was read up to `time`, at `now` by the clock. Producers may be ahead of the clock;
    /// the time of all is not.
    pub(crate) fn tick(&mut self, leg: &str, partition: u32, time: i64, caught_up: bool, now: i64) {
        let time = time.min(now);
        let clocks = self.clocks.entry(leg.to_owned()).or_default();
        let clocks = clocks.get_or_insert_default();
        let clock = clocks.entry(partition).or_insert(Clock { time, caught_up });
        clock.time = clock.time.max(time);
        clock.caught_up = caught_up;
        if time > self.marks.newest {
            self.marks.newest = time;
            self.newest_at = now;
        }
    }

    /// Takes an event into its window.
    ///
    /// # Errors
    /// When that has ended.
    pub(crate) fn take(&mut self, key: String, time: i64, event: Event) -> Result<(), String> {
        if self.tumbling && self.end_of(time) <= self.marks.closed {
            return Err("the event came when its window had ended".to_owned());
        }
        let number = self.marks.next;
        self.marks.next += 1;
        self.added.push(number);
        self.insert(number, Kept { key, time, event });
        self.crowd_out();
        Ok(())
    }

    fn crowd_out(&mut self) {
        while self.bytes > self.max_bytes
            && let Some((_, oldest)) = self.by_time.first().copied()
        {
            self.remove(oldest);
            self.crowded_out += 1;
        }
    }

    /// The events with a key that are at most a window's length from `time`; the newest in number
    /// are last.
    pub(crate) fn around(&self, key: &str, time: i64) -> Vec<Event> {
        let from = (time.saturating_sub(self.length), 0);
        let until = (time.saturating_add(self.length), u64::MAX);
        let of_key = self.by_key.get(key).into_iter();
        let mut numbers: Vec<u64> = of_key
            .flat_map(|events| events.range(from..=until))
            .map(|(_, number)| *number)
            .collect();
        numbers.sort_unstable();
        let first = numbers.len().saturating_sub(MAX_OF_KEY);
        let kept = numbers[first..]
            .iter()
            .filter_map(|number| self.kept.get(number));
        kept.map(|kept| kept.event.clone()).collect()
    }

    /// Up to which time every source was read. A source without more events has the time of the
    /// newest event of all, which goes on with the clock, less a grace; one that is not read has that
    /// up to which it was, and one that was not opened yet none.
    fn watermark(&self, now: i64) -> Option<i64> {
        let since = now - self.newest_at;
        let going_on = self.marks.newest.saturating_add(since - GRACE);
        let clocks: Option<Vec<_>> = self.clocks.values().map(Option::as_ref).collect();
        let times = clocks?.into_iter().flat_map(BTreeMap::values);
        let time = |clock: &Clock| match clock.caught_up {
            true => clock.time.max(going_on),
            false => clock.time,
        };
        Some(times.map(time).min().unwrap_or(going_on))
    }

    /// Forgets events that no window will show again.
    pub(crate) fn forget(&mut self, now: i64) {
        let Some(watermark) = self.watermark(now).filter(|_| !self.tumbling) else {
            return;
        };
        while let Some((time, number)) = self.by_time.first().copied()
            && time.saturating_add(self.length) < watermark
        {
            self.remove(number);
        }
    }

    /// Takes out tumbling windows that have ended, the earliest first, as long as there is room for so
    /// many bytes more.
    pub(crate) fn end(&mut self, now: i64, mut has_room: impl FnMut(usize) -> bool) -> Vec<Ended> {
        let Some(watermark) = self.watermark(now).filter(|_| self.tumbling) else {
            return Vec::new();
        };
        let mut over: BTreeMap<(i64, &str), Vec<u64>> = BTreeMap::new();
        for (time, number) in &self.by_time {
            let until = self.end_of(*time);
            if until > watermark {
                break;
            }
            if let Some(kept) = self.kept.get(number) {
                let numbers = over.entry((until, &kept.key)).or_default();
                numbers.push(*number);
            }
        }
        let ended = over.into_iter();
        let ended = ended.map(|((until, key), numbers)| self.ended(key, until, numbers));
        let ended: Vec<_> = ended
            .take_while(|window| has_room(window.events.iter().map(Message::encoded_len).sum()))
            .collect();
        for window in &ended {
            self.marks.closed = self.marks.closed.max(window.until);
            window
                .numbers
                .iter()
                .for_each(|number| self.remove(*number));
        }
        ended
    }

    fn ended(&self, key: &str, until: i64, numbers: Vec<u64>) -> Ended {
        let kept = numbers.iter().filter_map(|number| self.kept.get(number));
        Ended {
            key: key.to_owned(),
            from: until - self.length,
            until,
            events: kept.map(|kept| kept.event.clone()).collect(),
            numbers,
        }
    }

    /// Whether there are windows that end some time.
    pub(crate) fn is_waiting(&self) -> bool {
        self.tumbling && !self.kept.is_empty()
    }

    /// How many events had to go early since this was last asked.
    pub(crate) fn crowded_out(&mut self) -> u64 {
        std::mem::take(&mut self.crowded_out)
    }

    /// What has changed since this was last asked: new events and numbers that are gone; and the
    /// marks.
    pub(super) fn changes(&mut self) -> (Vec<(u64, Vec<u8>)>, Vec<u64>, Marks) {
        let added = std::mem::take(&mut self.added).into_iter();
        let added = added.filter_map(|number| {
            let kept = self.kept.get(&number)?;
            Some((number, kept.encode_to_vec()))
        });
        let added = added.collect();
        (added, std::mem::take(&mut self.removed), self.marks)
    }

    fn end_of(&self, time: i64) -> i64 {
        (time.div_euclid(self.length) + 1).saturating_mul(self.length)
    }

    fn insert(&mut self, number: u64, kept: Kept) {
        self.bytes += kept.encoded_len();
        self.by_time.insert((kept.time, number));
        let of_key = self.by_key.entry(kept.key.clone()).or_default();
        of_key.insert((kept.time, number));
        self.kept.insert(number, kept);
    }

    fn remove(&mut self, number: u64) {
        let Some(kept) = self.kept.remove(&number) else {
            return;
        };
        self.bytes -= kept.encoded_len();
        self.by_time.remove(&(kept.time, number));
        if let Some(of_key) = self.by_key.get_mut(&kept.key) {
            of_key.remove(&(kept.time, number));
            if of_key.is_empty() {
                self.by_key.remove(&kept.key);
            }
        }
        self.removed.push(number);
    }
}
