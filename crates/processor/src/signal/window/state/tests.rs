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
