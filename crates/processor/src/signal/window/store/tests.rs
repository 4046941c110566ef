use super::super::{Key, MAX_BYTES, OpenWindows};
use super::*;
use crate::signal::proto::{Event, Input};

fn spec() -> WindowSpec {
    WindowSpec {
        length: 1_000,
        tumbling: false,
        key: Key::parse("").expect("the record's key"),
        state: "s".to_owned(),
        legs: ["a".to_owned()].into(),
    }
}

fn pending(to: u32) -> Pending {
    Pending {
        to,
        record: Record::default(),
    }
}

#[tokio::test]
async fn what_was_committed_is_there_again_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("signals/s.redb");
    let open = || {
        OpenWindows::default()
            .open(file.clone(), &spec(), MAX_BYTES)
            .expect("open")
    };
    let windows = open();
    let parked = Parked {
        partition: 3,
        inputs: vec![Input::default()],
        ..Parked::default()
    };
    let mut turn = windows.turn().await.expect("a turn");
    let event = Event::default();
    turn.state
        .take("k".to_owned(), 5, event.clone())
        .expect("taken");
    let changes = Changes {
        read: Reached {
            positions: [(3, 7), (4, 8)].into(),
            epochs: [(4, 2)].into(),
        },
        outputs: vec![("large".to_owned(), 10, vec![pending(1), pending(2)])],
        parked: Some(parked.clone()),
        ..Changes::of("a")
    };
    turn.commit(changes).await.expect("committed");
    let mut dropped = windows.turn().await.expect("a turn");
    dropped.state.take("k".to_owned(), 6, event).expect("taken");
    drop(dropped);
    drop(windows);

    let windows = open();
    let turn = windows.turn().await.expect("a turn");
    assert_eq!(turn.state.around("k", 5).len(), 1);
    turn.leave();
    let leg = windows.store.load_leg("a").await.expect("a leg");
    assert_eq!(leg.read.positions, [(3, 7), (4, 8)].into());
    assert_eq!(leg.read.epochs, [(4, 2)].into());
    assert_eq!(leg.next["large"], 12);
    assert_eq!(leg.parked, parked);
    assert_eq!(
        leg.outputs["large"],
        [(10, pending(1)), (11, pending(2))].into()
    );
    assert!(
        windows
            .store
            .load_leg("b")
            .await
            .expect("no leg")
            .next
            .is_empty()
    );

    let changes = Changes {
        delivered: vec![("large".to_owned(), 11)],
        parked: Some(Parked::default()),
        ..Changes::of("a")
    };
    windows.store.commit(changes).await.expect("committed");
    let leg = windows.store.load_leg("a").await.expect("a leg");
    assert_eq!(leg.outputs["large"], [(11, pending(2))].into());
    assert!(leg.parked.is_empty());
}

#[tokio::test]
async fn windows_that_nobody_would_ask_about_any_more_go_to_another_leg() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("s.redb");
    let windows = OpenWindows::default().open(file, &spec(), MAX_BYTES);
    let windows = windows.expect("open");
    let store = &windows.store;
    let of_windows = Parked {
        inputs: vec![Input::default()],
        ..Parked::default()
    };
    let of_events = Parked {
        partitions: 1,
        ..of_windows.clone()
    };
    for (leg, parked) in [
        ("a@now", Parked::default()),
        ("a@before", of_windows.clone()),
        ("b@x", of_events.clone()),
        ("c@x", of_windows.clone()),
    ] {
        let changes = Changes {
            parked: Some(parked),
            ..Changes::of(leg)
        };
        store.commit(changes).await.expect("committed");
    }
    for expected in [&of_windows, &of_windows, &Parked::default()] {
        let adopted = store.adopt("a@now", &spec().legs).await.expect("adopted");
        assert_eq!(&adopted, expected);
        let stored = store.load_leg("a@now").await.expect("a leg");
        assert_eq!(&stored.parked, expected, "it is the leg's own");
        let settled = Changes {
            parked: Some(Parked::default()),
            ..Changes::of("a@now")
        };
        store.commit(settled).await.expect("committed");
    }
    let left = store.load_leg("b@x").await.expect("a leg");
    assert_eq!(left.parked, of_events, "who comes again goes on with it");
}
