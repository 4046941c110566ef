//! What a copy in Kafka keeps: its owner's limits hold, and what its subscriber has is dropped.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eson_tests::records::noise;
use eson_tests::wait::check;
use eson_tests::{Ground, RawFnap, until};

use crate::events::{Event, await_events, await_numbered, read, write, write_numbered};
use crate::quality::{await_lines, label, publish, subscribe};
use crate::stage::world;

const MIB: u64 = 1 << 20;

const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until a partition of a copy has no more than this on the disk of the publisher's Kafka.
fn await_size(copy: &str, most: u64) {
    let kafka = &world(Ground::Servers).kafkas[0];
    until(&format!("{copy} of {most} octets"), PATIENCE, || {
        let size = kafka.log_size(copy, 0);
        check(size <= most, || format!("it has {size}"))
    });
}

/// A number in a description.
fn number(session: &mut RawFnap, command: &str, key: &str) -> usize {
    let described = session.ok(command);
    let value = described.attribute(key);
    let value = value.unwrap_or_else(|| panic!("{key}=: {described:?}"));
    value.parse().unwrap_or_else(|e| panic!("{value}: {e}"))
}

/// The offset that a segment begins at.
fn base(segment: &Path) -> u64 {
    let name = segment.file_stem().unwrap().to_str().unwrap();
    name.parse().unwrap()
}

#[test]
fn a_copy_keeps_as_many_octets_as_it_may_and_nothing_that_was_received() {
    let world = world(Ground::Servers);
    let (mut orange, flow) = publish(world.orange(), "octets", "partitions=1 copy-bytes=4MiB");
    let (mut blue, local, copy) = subscribe(world.blue(), &flow, "");
    let label = label(&mut orange, &flow);
    write_numbered(&mut orange, &flow, 0..3);
    await_numbered(&mut blue, &local, 0..3);
    blue.ok(&format!("STOP SUBSCRIPTION {local}"));

    let large = |number| Event::numbered(number).with_value(noise(900_000));
    let written: Vec<Event> = (3..19).map(large).collect();
    for events in written.chunks(8) {
        assert!(write(&mut orange, &flow, events).is_ok());
    }
    let describe = format!("DESCRIBE SUBSCRIBER {flow} {label}");
    await_lines(&mut orange, &describe, &["lag=0"]);
    await_size(&copy, 5 * MIB + MIB / 2);

    blue.ok(&format!("RESUME SUBSCRIPTION {local}"));
    let mut received = Vec::new();
    until("the newest event", PATIENCE, || {
        received = read(&mut blue, &local).split_off(3);
        let arrived = received.last() == written.last();
        check(arrived, || format!("{} are there", received.len()))
    });
    assert!((3..8).contains(&received.len()), "{}", received.len());
    let missing = written.len() - received.len();
    assert!(received == written[missing..], "the newest are there");
    // A transaction's marker counts as an event does.
    let lost = number(&mut blue, &format!("DESCRIBE SUBSCRIPTION {local}"), "lost");
    assert!((missing..2 * missing + 3).contains(&lost), "{lost}");

    // The next renewal tells what was received.
    await_size(&copy, MIB + MIB / 2);
}

/// The first ones are of two days ago, and are in a segment of their own as soon as others come.
#[test]
fn a_copy_keeps_events_as_long_as_it_may() {
    let world = world(Ground::Servers);
    let limits = "partitions=1 copy-retention=7d";
    let (mut orange, flow) = publish(world.orange(), "days", limits);
    // A transaction's marker has the time at which it is written.
    let (mut blue, local, copy) = subscribe(world.blue(), &flow, "delivery=at-least-once");
    let label = label(&mut orange, &flow);
    let two_days = Duration::from_secs(2 * 24 * 3600);
    let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - two_days;
    let old = Event {
        timestamp: then.as_millis() as i64,
        ..Event::numbered(0)
    };
    assert!(write(&mut orange, &flow, [&old]).is_ok());
    await_events(&mut blue, &local, std::slice::from_ref(&old));
    blue.ok(&format!("STOP SUBSCRIPTION {local}"));
    assert!(write(&mut orange, &flow, &vec![old.clone(); 9]).is_ok());
    let describe = format!("DESCRIBE SUBSCRIBER {flow} {label}");
    await_lines(&mut orange, &describe, &["lag=0", "records=10"]);
    write_numbered(&mut orange, &flow, 10..20);
    await_lines(&mut orange, &describe, &["lag=0", "records=20"]);
    orange.ok(&format!("UPDATE FLOW {flow} copy-retention=1d"));
    until("the old events to go", PATIENCE, || {
        let segments = world.kafkas[0].log_segments(&copy, 0);
        check(segments.iter().all(|it| base(it) >= 10), || {
            format!("{segments:?}")
        })
    });
    blue.ok(&format!("RESUME SUBSCRIPTION {local}"));
    let left = (10..20).map(Event::numbered);
    let received: Vec<Event> = std::iter::once(old).chain(left).collect();
    await_events(&mut blue, &local, &received);
    let lost = number(&mut blue, &format!("DESCRIBE SUBSCRIPTION {local}"), "lost");
    assert_eq!(lost, 9);
}
