//! Reading: where it begins, gaps, waiting and waking.

use std::collections::BTreeSet;
use std::time::Duration;

use eson_broker::{BrokerError, QueueUpdate, ReaderOptions};
use eson_protocol::{Positions, Start};
use tokio::time::timeout;

use super::{
    Fixture, at, created, end_of, expected, from, numbered, read, reader, soon, spec, values, write,
};

/// Earliest, latest, and named positions with a start for the others.
pub(crate) async fn reading_begins_where_it_is_told(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 2).await;
    write(fixture, &name, 0, 0..5).await;
    write(fixture, &name, 1, 10..15).await;

    let mut all = reader(fixture, &name, from(Start::Earliest)).await;
    assert_eq!(read(&mut all, 10).await.len(), 10);

    let mut latest = reader(fixture, &name, from(Start::Latest)).await;
    let named = ReaderOptions {
        positions: Positions::from([(0, 3)]),
        ..from(Start::Latest)
    };
    let mut some = reader(fixture, &name, named).await;
    // What was newest when a reader was opened is where it begins, however late it asks.
    assert_eq!(values(&read(&mut some, 2).await), expected(3..5));
    write(fixture, &name, 1, 15..16).await;
    assert_eq!(values(&read(&mut latest, 1).await), expected(15..16));
    assert_eq!(values(&read(&mut some, 1).await), expected(15..16));
}

/// The first record at or after a time; a time after all of them is the end.
pub(crate) async fn reading_begins_at_a_time(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 2).await;
    write(fixture, &name, 0, 0..100).await;
    write(fixture, &name, 1, 0..3).await;
    let time = Start::Timestamp(numbered(97).timestamp);
    let mut timed = reader(fixture, &name, from(time)).await;
    assert_eq!(values(&read(&mut timed, 3).await), expected(97..100));
    write(fixture, &name, 1, 200..201).await;
    assert_eq!(values(&read(&mut timed, 1).await), expected(200..201));
}

/// A trimmed position is told once, with the range; then reading goes on at the beginning.
pub(crate) async fn a_gap_is_told_once(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    write(fixture, &name, 0, 0..10).await;
    let trimmed = fixture.admin().trim_queue(&name, &[(0, 6)].into()).await;
    trimmed.expect("trimmed");
    let mut reader = reader(fixture, &name, at([(0, 2)])).await;
    let gap = soon(reader.next()).await.expect_err("a gap");
    let told = matches!(&gap, BrokerError::OutOfRange { queue, partition: 0, wanted: 2, earliest: 6, latest: 10 }
        if *queue == name);
    assert!(told, "{gap:?}");
    assert_eq!(values(&read(&mut reader, 4).await), expected(6..10));
}

/// A position behind the newest record is told, too, as after a truncation.
pub(crate) async fn a_position_beyond_the_end_is_told_once(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    write(fixture, &name, 0, 0..3).await;
    let mut reader = reader(fixture, &name, at([(0, 1_000)])).await;
    let gap = soon(reader.next()).await.expect_err("a gap");
    let told = matches!(
        gap,
        BrokerError::OutOfRange {
            wanted: 1_000,
            earliest: 0,
            latest: 3,
            ..
        }
    );
    assert!(told, "{gap:?}");
    assert_eq!(values(&read(&mut reader, 3).await), expected(0..3));
}

/// A reader at the end waits, and has what is written then.
pub(crate) async fn a_reader_waits_and_wakes(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 2).await;
    let mut reader = reader(fixture, &name, from(Start::Earliest)).await;
    for round in 0..5 {
        let early = timeout(Duration::from_millis(20), reader.next()).await;
        assert!(
            early.is_err(),
            "something came that nobody wrote: {early:?}"
        );
        let numbers = round * 2..round * 2 + 2;
        let partition = u32::try_from(round % 2).expect("small");
        let writing = write(fixture, &name, partition, numbers.clone());
        let (records, ()) = tokio::join!(read(&mut reader, 2), writing);
        assert_eq!(values(&records), expected(numbers));
    }
}

/// Partitions that appear while reading are read from their beginning.
pub(crate) async fn a_reader_finds_new_partitions(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    let mut reader = reader(fixture, &name, from(Start::Latest)).await;
    assert_eq!(reader.partitions(), 1);
    let more = QueueUpdate {
        partitions: Some(2),
        ..QueueUpdate::default()
    };
    let updated = fixture.admin().update_queue(&name, &more).await;
    updated.expect("updated");
    write(fixture, &name, 1, 0..3).await;
    let records = read(&mut reader, 3).await;
    assert!(records.iter().all(|(partition, _)| *partition == 1));
    assert_eq!(values(&records), expected(0..3));
    assert_eq!(reader.partitions(), 2);
}

/// However often `next` is dropped, everything comes once and in order.
pub(crate) async fn a_cancelled_next_loses_nothing(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    let options = ReaderOptions {
        buffer: 1_000,
        ..from(Start::Earliest)
    };
    let mut reader = reader(fixture, &name, options).await;
    let writing = async {
        for part in 0..40 {
            write(fixture, &name, 0, part * 25..(part + 1) * 25).await;
        }
    };
    let reading = async {
        let mut records = Vec::new();
        for patience in (0..40).cycle() {
            let patience = Duration::from_micros(patience * patience * 20);
            if let Ok(chunk) = timeout(patience, reader.next()).await {
                let chunk = chunk.expect("a chunk");
                let eson_broker::Payload::Records(part) = chunk.payload else {
                    panic!("encoded batches that nobody asked for");
                };
                records.extend(part.into_iter().map(|record| (chunk.partition, record)));
            }
            if records.len() >= 1_000 {
                break;
            }
        }
        records
    };
    let (records, ()) = soon(async { tokio::join!(reading, writing) }).await;
    assert_eq!(values(&records), expected(0..1_000));
}

/// A reader of a queue that is deleted, or deleted and created again, ends, and stays ended.
pub(crate) async fn a_reader_of_a_deleted_queue_ends(fixture: &dyn Fixture) {
    for again in [false, true] {
        let (name, id) = created(fixture, 1).await;
        write(fixture, &name, 0, 0..1).await;
        let mut reader = reader(fixture, &name, from(Start::Earliest)).await;
        read(&mut reader, 1).await;
        let admin = fixture.admin();
        admin.delete_queue(&name, &id).await.expect("deleted");
        if again {
            admin.create_queue(&spec(&name, 1)).await.expect("created");
        }
        for _ in 0..2 {
            let end = end_of(&mut reader).await;
            let gone = matches!(&end, BrokerError::NotFound(_) if !again);
            let replaced =
                matches!(&end, BrokerError::Replaced { expected, .. } if *expected == id.0);
            assert!(gone || replaced, "created again: {again}, {end:?}");
        }
    }
}

/// A partition with much to read does not keep the others waiting.
pub(crate) async fn a_reader_takes_turns(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 3).await;
    for part in 0..20 {
        write(fixture, &name, 0, part * 100..(part + 1) * 100).await;
    }
    write(fixture, &name, 1, 0..1).await;
    write(fixture, &name, 2, 0..1).await;
    let options = ReaderOptions {
        buffer: 4_000,
        ..from(Start::Earliest)
    };
    let mut reader = reader(fixture, &name, options).await;
    let mut seen = BTreeSet::new();
    // Far fewer chunks than partition 0 has.
    for _ in 0..30 {
        if seen.len() < 3 {
            seen.insert(soon(reader.next()).await.expect("a chunk").partition);
        }
    }
    assert_eq!(seen, BTreeSet::from([0, 1, 2]));
}
