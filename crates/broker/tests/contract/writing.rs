//! Writing: what is kept, and how far a processor has come.

use bytes::Bytes;
use eson_broker::{BrokerError, Chunk, Payload, ProcessorSource, WriterOptions};
use eson_protocol::{Header, Positions, Record, Start};

use super::{
    Fixture, at, chunk, created, expected, from, numbered, read, reader, soon, values, writer,
};

/// Null and empty keys, tombstones, binary values, headers that repeat, are null or empty, and
/// timestamps pass unchanged.
pub(crate) async fn records_are_kept_as_they_are(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    let records = odd_records();
    let mut writer = writer(fixture, &name, None).await;
    let chunk = Chunk {
        payload: Payload::Records(records.clone()),
        ..chunk(0..records.len() as u64)
    };
    writer.write(0, chunk).await.expect("written");
    writer.flush().await.expect("flushed");
    let mut reader = reader(fixture, &name, from(Start::Earliest)).await;
    let found: Vec<Record> = read(&mut reader, records.len())
        .await
        .into_iter()
        .map(|(_, record)| record)
        .collect();
    assert_eq!(found, records);
}

fn odd_records() -> Vec<Record> {
    let binary: Vec<u8> = (0..=255).collect();
    let parts = [
        (None, None),
        (None, Some(Bytes::from_static(b"no key"))),
        (Some(Bytes::from_static(b"tombstone")), None),
        (Some(Bytes::new()), Some(Bytes::new())),
        (Some(Bytes::from(binary.clone())), Some(Bytes::from(binary))),
        (
            Some(Bytes::from_static(b"large")),
            Some(vec![7; 300_000].into()),
        ),
    ];
    let header = |name: &str, value: Option<&'static [u8]>| Header {
        name: name.to_owned(),
        value: value.map(Bytes::from_static),
    };
    let headers = [
        header("twice", Some(b"1")),
        header("twice", Some(b"2")),
        header("null", None),
        header("empty", Some(b"")),
        header("binary", Some(b"\0\xff")),
        header("größe", Some(b"x")),
        header("", Some(b"nameless")),
    ];
    (0..)
        .zip(parts)
        .map(|(offset, (key, value))| Record {
            offset,
            timestamp: 1_600_000_000_000 + 1_000 * i64::try_from(offset).expect("small"),
            key,
            value,
            headers: headers[..usize::try_from(offset).expect("small")].to_vec(),
        })
        .collect()
}

/// Within each partition the order of writing is the order of reading, offsets without gap.
pub(crate) async fn partitions_keep_their_order(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 3).await;
    let mut writer = writer(fixture, &name, None).await;
    assert_eq!(writer.partitions(), 3);
    for round in 0..50 {
        for partition in 0..3 {
            let numbers = round * 10..(round + 1) * 10;
            soon(writer.write(partition, chunk(numbers)))
                .await
                .expect("written");
        }
    }
    soon(writer.flush()).await.expect("flushed");
    let mut reader = reader(fixture, &name, from(Start::Earliest)).await;
    assert_eq!(reader.partitions(), 3);
    let records = read(&mut reader, 1500).await;
    for partition in 0..3 {
        let of_partition: Vec<_> = records
            .iter()
            .filter(|(found, _)| *found == partition)
            .cloned()
            .collect();
        assert_eq!(values(&of_partition), expected(0..500));
        let offsets = of_partition.iter().map(|(_, record)| record.offset);
        assert!(offsets.eq(0..500));
    }
}

/// What is acknowledged is told by source partition, and nothing is stored before.
pub(crate) async fn chunks_move_source_positions(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 2).await;
    let mut writer = writer(fixture, &name, Some("mover")).await;
    assert_eq!(writer.stored(), Positions::new());
    let third = Chunk {
        partition: 3,
        ..chunk(20..25)
    };
    soon(writer.write(0, chunk(0..10))).await.expect("written");
    soon(writer.write(1, third)).await.expect("written");
    soon(writer.write(0, chunk(10..12))).await.expect("written");
    soon(writer.flush()).await.expect("flushed");
    assert_eq!(writer.acknowledged(), [(0, 12), (3, 25)].into());
}

/// A chunk without records moves the position over what isn't there.
pub(crate) async fn an_empty_chunk_moves_the_source_position(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    let mut first = writer(fixture, &name, Some("skipper")).await;
    let empty = Chunk {
        payload: Payload::Records(Vec::new()),
        ..chunk(5..9)
    };
    soon(first.write(0, empty)).await.expect("written");
    soon(first.flush()).await.expect("flushed");
    assert_eq!(first.acknowledged(), [(0, 9)].into());
    drop(first);
    let second = writer(fixture, &name, Some("skipper")).await;
    assert_eq!(second.stored(), [(0, 9)].into());
    let found = fixture.admin().describe_queue(&name).await.expect("there");
    assert_eq!(found.partitions[&0], (0, 0));
}

/// Another writer of the same processor finds what was stored, and nothing is there twice.
pub(crate) async fn a_second_writer_goes_on_where_the_first_stored(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    for part in 0..3 {
        let mut writer = writer(fixture, &name, Some("resumer")).await;
        let begin = writer.stored().get(&0).copied().unwrap_or_default();
        assert_eq!(begin, part * 5);
        soon(writer.write(0, chunk(begin..begin + 5)))
            .await
            .expect("written");
        soon(writer.flush()).await.expect("flushed");
    }
    let mut reader = reader(fixture, &name, from(Start::Earliest)).await;
    assert_eq!(values(&read(&mut reader, 15).await), expected(0..15));
}

/// Neither another processor nor another source of the same one sees the positions.
pub(crate) async fn positions_belong_to_processor_and_source(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    let mut one = writer(fixture, &name, Some("one")).await;
    soon(one.write(0, chunk(0..3))).await.expect("written");
    soon(one.flush()).await.expect("flushed");
    assert_eq!(
        writer(fixture, &name, Some("two")).await.stored(),
        [].into()
    );
    let another_source = WriterOptions::new(
        Some(ProcessorSource {
            processor: "one".to_owned(),
            source: "source-2".to_owned(),
        }),
        1 << 20,
    );
    let another = soon(fixture.broker().open_writer(&name, another_source)).await;
    assert_eq!(another.expect("a writer").stored(), [].into());
    let (other_queue, _) = created(fixture, 1).await;
    assert_eq!(
        writer(fixture, &other_queue, Some("one")).await.stored(),
        [].into()
    );
    soon(one.write(0, chunk(3..4)))
        .await
        .expect("still in force");
    soon(one.flush()).await.expect("flushed");
    assert_eq!(one.acknowledged(), [(0, 4)].into());
}

/// Under which leader of the source the last record was written is stored with its position, also
/// where nothing but the position comes from that leader.
pub(crate) async fn epochs_are_stored_with_positions(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    let position_only = Chunk {
        next: 7,
        ..chunk(6..6)
    };
    let parts = [
        (chunk(0..3), Some(0)),
        (chunk(3..5), Some(0)),
        (chunk(5..6), Some(4)),
        (position_only, Some(5)),
        (chunk(7..8), None),
        (chunk(8..9), Some(6)),
    ];
    let mut open = writer(fixture, &name, Some("epochs")).await;
    assert_eq!(open.epochs(), [].into());
    for (part, epoch) in parts {
        let next = part.next;
        let part = Chunk { epoch, ..part };
        soon(open.write(0, part)).await.expect("written");
        soon(open.flush()).await.expect("flushed");
        soon(open.close()).await;
        open = writer(fixture, &name, Some("epochs")).await;
        assert_eq!(open.stored(), [(0, next)].into());
        let known = epoch.map(|epoch| (0, epoch));
        assert_eq!(open.epochs(), known.into_iter().collect(), "at {next}");
    }
}

/// What comes behind the place where the source's log was cut off is written, though it lies before
/// what was stored; going back to where nothing is stored yet changes nothing.
pub(crate) async fn a_writer_goes_back_where_the_source_was_cut_off(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    let mut open = writer(fixture, &name, Some("back")).await;
    let epoch = Some(3);
    let part = Chunk {
        epoch,
        ..chunk(0..8)
    };
    soon(open.write(0, part)).await.expect("written");
    soon(open.rewind(0, 20)).await.expect("nothing to do");
    soon(open.rewind(7, 0)).await.expect("nothing to do");
    assert_eq!(open.acknowledged(), [(0, 8)].into());
    soon(open.rewind(0, 5)).await.expect("gone back");
    assert_eq!(open.acknowledged(), [(0, 5)].into());
    soon(open.close()).await;
    let mut open = writer(fixture, &name, Some("back")).await;
    assert_eq!(open.stored(), [(0, 5)].into());
    assert_eq!(
        open.epochs(),
        [].into(),
        "that of what was before is not known"
    );
    soon(open.write(0, chunk(5..6))).await.expect("written");
    soon(open.write(0, chunk(6..7))).await.expect("written");
    soon(open.rewind(0, 6)).await.expect("gone back");
    soon(open.write(0, chunk(6..8))).await.expect("written");
    soon(open.flush()).await.expect("flushed");
    assert_eq!(open.acknowledged(), [(0, 8)].into());
    let mut reader = reader(fixture, &name, from(Start::Earliest)).await;
    let mut all = expected(0..8);
    all.extend(
        [5, 6, 6, 7]
            .into_iter()
            .flat_map(|number| expected(number..number + 1)),
    );
    assert_eq!(values(&read(&mut reader, 12).await), all);
}

/// The newest writer of a processor is the only one that writes.
pub(crate) async fn a_second_writer_takes_over(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    let mut old = writer(fixture, &name, Some("rival")).await;
    soon(old.write(0, chunk(0..4))).await.expect("written");
    soon(old.flush()).await.expect("flushed");
    let mut new = writer(fixture, &name, Some("rival")).await;
    assert_eq!(new.stored(), [(0, 4)].into());

    let refused = match soon(old.write(0, chunk(4..6))).await {
        Ok(()) => soon(old.flush()).await,
        refused => refused,
    };
    assert!(matches!(refused, Err(BrokerError::Fenced(queue)) if queue == name));

    soon(new.write(0, chunk(4..8))).await.expect("written");
    soon(new.flush()).await.expect("flushed");
    let mut reader = reader(fixture, &name, from(Start::Earliest)).await;
    assert_eq!(values(&read(&mut reader, 8).await), expected(0..8));
}

/// A chunk for a partition that isn't there is refused, and nothing is written.
pub(crate) async fn a_partition_that_is_not_there_is_refused(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 2).await;
    let mut writer = writer(fixture, &name, None).await;
    let refused = match soon(writer.write(2, chunk(0..1))).await {
        Ok(()) => soon(writer.flush()).await,
        refused => refused,
    };
    assert!(
        matches!(refused, Err(BrokerError::Invalid { .. })),
        "{refused:?}"
    );
    let found = fixture.admin().describe_queue(&name).await.expect("there");
    assert!(found.partitions.values().all(|range| *range == (0, 0)));
}

/// An event that is too large is named with its size; the writer is still good.
pub(crate) async fn an_event_too_large_is_refused_and_the_writer_goes_on(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    let mut writer = writer(fixture, &name, None).await;
    let large = Record {
        value: Some(vec![b'x'; 8 << 20].into()),
        ..numbered(0)
    };
    let large = Chunk {
        payload: Payload::Records(vec![large]),
        ..chunk(0..1)
    };
    let refused = match soon(writer.write(0, large)).await {
        Ok(()) => soon(writer.flush()).await,
        refused => refused,
    };
    let named = matches!(&refused, Err(BrokerError::TooLarge { queue, size })
        if *queue == name && *size >= 8 << 20);
    assert!(named, "{refused:?}");
    soon(writer.write(0, chunk(1..3))).await.expect("written");
    soon(writer.flush()).await.expect("flushed");
    let mut reader = reader(fixture, &name, at([(0, 0)])).await;
    assert_eq!(values(&read(&mut reader, 2).await), expected(1..3));
}

/// What a family of processors has stored is forgotten in all queues, and nobody else's is.
pub(crate) async fn positions_are_forgotten(fixture: &dyn Fixture) {
    let family = fixture.queue();
    let names = ["", ".one", ".two", "-other"].map(|end| format!("{family}{end}"));
    let queues = [created(fixture, 1).await.0, created(fixture, 2).await.0];
    for queue in &queues {
        for name in &names {
            let mut writer = writer(fixture, queue, Some(name)).await;
            soon(writer.write(0, chunk(0..3))).await.expect("written");
            soon(writer.flush()).await.expect("flushed");
            writer.close().await;
        }
    }
    // Again, as after a crash.
    for _ in 0..2 {
        let forgotten = soon(fixture.admin().forget_positions(&family)).await;
        forgotten.expect("forgotten");
    }
    for queue in &queues {
        for name in &names {
            let mut writer = writer(fixture, queue, Some(name)).await;
            let kept = name.ends_with("-other");
            let stored = Positions::from_iter(kept.then_some((0, 3)));
            assert_eq!(writer.stored(), stored, "{name}");
            writer.close().await;
        }
    }
    let mut writer = writer(fixture, &queues[0], Some(&names[1])).await;
    soon(writer.write(0, chunk(0..2))).await.expect("written");
    soon(writer.flush()).await.expect("flushed");
    let anew = Positions::from([(0, 2)]);
    assert_eq!(writer.acknowledged(), anew, "it begins anew");
}
