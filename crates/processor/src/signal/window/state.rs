//! What windows hold, and when they end. No I/O and no clock.

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

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::*;

    fn spec(tumbling: bool) -> WindowSpec {
        WindowSpec {
            length: 1_000,
            tumbling,
            key: Key::parse("").expect("the record's key"),
            state: "s".to_owned(),
            legs: ["a".to_owned(), "b".to_owned()].into(),
        }
    }

    fn state(tumbling: bool) -> State {
        let marks = Marks {
            next: 0,
            closed: i64::MIN,
            newest: i64::MIN,
        };
        State::new(&spec(tumbling), MAX_BYTES, [], marks, 0)
    }

    fn event(offset: u64) -> Event {
        Event {
            offset,
            ..Event::default()
        }
    }

    fn offsets(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.offset).collect()
    }

    fn clock(time: i64, caught_up: bool) -> BTreeMap<u32, Clock> {
        [(0, Clock { time, caught_up })].into()
    }

    #[test]
    fn a_window_slides_with_its_event() {
        let mut state = state(false);
        for (offset, time) in [(1, 0), (2, 900), (3, 1_500), (4, 2_600)] {
            state
                .take("k".to_owned(), time, event(offset))
                .expect("taken");
        }
        state
            .take("other".to_owned(), 1_500, event(9))
            .expect("taken");
        assert_eq!(offsets(&state.around("k", 900)), [1, 2, 3]);
        assert_eq!(offsets(&state.around("k", 2_600)), [4]);
        assert_eq!(offsets(&state.around("nobody", 900)), [0; 0]);
    }

    #[test]
    fn events_stay_as_long_as_a_source_may_need_them() {
        let mut state = state(false);
        state.take("k".to_owned(), 1_000, event(1)).expect("taken");
        state.tick("a", 0, 9_000, false, 9_000);
        state.forget(9_000);
        assert_eq!(state.kept.len(), 1, "b was not opened yet");
        state.open_leg("b", clock(1_500, false));
        state.forget(9_000);
        assert_eq!(state.kept.len(), 1, "b is behind");
        state.tick("b", 0, 1_600, true, 9_000);
        state.forget(9_000);
        assert_eq!(state.kept.len(), 0, "b has no more");
    }

    #[test]
    fn windows_that_follow_each_other_end_with_the_time_of_all_sources() {
        let mut state = state(true);
        for (key, offset, time) in [("x", 1, 100), ("y", 2, 200), ("x", 3, 999), ("x", 4, 5_000)] {
            state
                .take(key.to_owned(), time, event(offset))
                .expect("taken");
        }
        state.tick("a", 0, 5_000, false, 70_000);
        state.open_leg("b", clock(999, false));
        assert_eq!(state.end(90_000, |_| true).len(), 0);
        state.tick("b", 0, 1_000, false, 90_000);
        let ended = state.end(90_000, |_| true);
        let told: Vec<_> = ended
            .iter()
            .map(|window| (window.key.as_str(), window.from, offsets(&window.events)))
            .collect();
        assert_eq!(told, [("x", 0, vec![1, 3]), ("y", 0, vec![2])]);
        assert!(state.is_waiting());
        state.take("x".to_owned(), 500, event(5)).expect_err("late");
        state.tick("a", 0, 5_000, true, 90_000);
        state.tick("b", 0, 1_000, true, 90_000);
        assert_eq!(
            state.end(71_999, |_| true).len(),
            0,
            "events may be on their way"
        );
        assert_eq!(state.end(72_000, |_| true).len(), 1);
        assert!(!state.is_waiting());
    }

    #[test]
    fn as_many_windows_end_at_once_as_there_is_room_for() {
        let mut state = state(true);
        for (offset, key) in [(1, "x"), (2, "y"), (3, "z")] {
            state
                .take(key.to_owned(), 100, event(offset))
                .expect("taken");
        }
        state.open_leg("a", clock(5_000, false));
        state.open_leg("b", clock(5_000, false));
        let mut room = 2;
        let ended = state.end(9_000, |_| {
            room -= 1;
            room >= 0
        });
        assert_eq!(ended.len(), 2);
        let late = state.take("z".to_owned(), 100, event(4));
        late.expect_err("its window has ended, though not yet taken out");
        let ended = state.end(9_000, |_| true);
        assert_eq!(offsets(&ended[0].events), [3]);
        assert!(!state.is_waiting());
    }

    #[test]
    fn a_source_that_is_not_read_has_the_time_up_to_which_it_was() {
        let mut state = state(true);
        for (offset, time) in [(1, 100), (2, 1_100), (3, 9_000)] {
            state
                .take("x".to_owned(), time, event(offset))
                .expect("taken");
        }
        state.open_leg("b", clock(i64::MIN, true));
        state.tick("b", 0, 1_000, true, 9_000);
        state.tick("a", 0, 9_000, false, 9_000);
        state.stand_still("b");
        let ended = state.end(9_000, |_| true);
        assert_eq!(ended.len(), 1, "b was read past the end of one");
        assert_eq!(state.end(90_000, |_| true).len(), 0, "b may have more");
        state.tick("b", 0, i64::MIN, true, 9_000);
        assert_eq!(state.end(9_000, |_| true).len(), 1, "b has no more");
    }

    #[test]
    fn an_event_of_the_future_moves_time_no_further_than_the_clock() {
        let mut state = state(true);
        for (offset, time) in [(1, 9_999_999), (2, 70_200)] {
            state
                .take("x".to_owned(), time, event(offset))
                .expect("taken");
        }
        state.open_leg("b", clock(i64::MIN, true));
        state.tick("a", 0, 9_999_999, true, 70_300);
        assert_eq!(
            state.end(71_999, |_| true).len(),
            0,
            "time is that of the clock"
        );
        state.take("x".to_owned(), 70_900, event(3)).expect("taken");
        let ended = state.end(72_000, |_| true);
        assert_eq!(ended.len(), 1, "the other one lies in the future");
        assert_eq!(offsets(&ended[0].events), [2, 3]);

        let mut slid = self::state(false);
        slid.take("x".to_owned(), 69_900, event(1)).expect("taken");
        slid.open_leg("b", clock(i64::MIN, true));
        slid.tick("a", 0, 9_999_999, false, 70_300);
        slid.forget(70_300);
        assert_eq!(offsets(&slid.around("x", 70_300)), [1]);
    }

    #[test]
    fn marks_of_the_future_are_set_right_when_they_are_read() {
        let marks = Marks {
            next: 7,
            closed: i64::MAX,
            newest: i64::MAX,
        };
        let mut state = State::new(&spec(true), MAX_BYTES, [], marks, 70_300);
        state.open_leg("a", clock(i64::MIN, true));
        state.open_leg("b", clock(i64::MIN, true));
        state.take("x".to_owned(), 70_200, event(1)).expect("taken");
        assert_eq!(state.end(71_999, |_| true).len(), 0);
        assert_eq!(state.end(72_000, |_| true).len(), 1);
    }

    #[test]
    fn time_goes_on_after_a_restart_also_without_events() {
        let mut first = state(true);
        first.take("x".to_owned(), 100, event(1)).expect("taken");
        first.tick("a", 0, 100, true, 5_000);
        let (_, _, marks) = first.changes();
        let kept = std::mem::take(&mut first.kept);
        let mut again = State::new(&spec(true), MAX_BYTES, kept, marks, 90_000);
        again.open_leg("a", clock(i64::MIN, true));
        again.open_leg("b", clock(i64::MIN, true));
        assert_eq!(again.end(90_000, |_| true).len(), 0);
        assert_eq!(again.end(91_899, |_| true).len(), 0);
        assert_eq!(again.end(91_900, |_| true).len(), 1);
    }

    #[test]
    fn what_changes_is_told_once() {
        let mut state = state(true);
        state.take("x".to_owned(), 1, event(1)).expect("taken");
        let (added, removed, marks) = state.changes();
        assert_eq!((added.len(), removed.len(), marks.next), (1, 0, 1));
        state.tick("a", 0, 1_000, false, 1_000);
        state.tick("b", 0, 1_000, false, 1_000);
        assert_eq!(state.end(1_000, |_| true).len(), 1);
        let (added, removed, marks) = state.changes();
        assert_eq!((added.len(), removed, marks.closed), (0, vec![0], 1_000));
    }

    #[test]
    fn there_is_a_bound() {
        let mut state = state(false);
        let large = |offset| Event {
            flow: "x".repeat(MAX_BYTES / 3),
            ..event(offset)
        };
        for offset in 0..4 {
            state
                .take("k".to_owned(), offset as i64, large(offset))
                .expect("taken");
        }
        assert_eq!(offsets(&state.around("k", 0)), [2, 3]);
        assert_eq!((state.crowded_out(), state.crowded_out()), (2, 0));
        let kept = std::mem::take(&mut state.kept);
        let mut less = State::new(&spec(false), MAX_BYTES / 2, kept, state.marks, 0);
        assert_eq!(offsets(&less.around("k", 0)), [3], "as it is said now");
        assert_eq!((less.crowded_out(), less.changes().1), (1, vec![2]));
    }
}
