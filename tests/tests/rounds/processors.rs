//! One processor of each type of Blue's user, behind the subscription all the while:
//!
//! ```text
//!              ┌─▶ LEFT ── bridge ──▶ MIRRORED ─┐
//!  distributor ┤                                ├─ collector ─▶ GATHERED
//!              └─▶ RIGHT ─ signal ──▶ ECHOED ───┘
//! ```

use std::time::Duration;

use eson_tests::records::{Sample, admin_client, await_copy, compare, read_topic};
use eson_tests::wait::check;
use eson_tests::{World, until};

const LEFT: &str = "left.flows.blue.example";
const RIGHT: &str = "right.flows.blue.example";
const MIRRORED: &str = "mirrored.flows.blue.example";
const ECHOED: &str = "echoed.flows.blue.example";
const GATHERED: &str = "gathered.flows.blue.example";

/// The processors.
const SPREAD: &str = "spread.flows.blue.example";
const MIRROR: &str = "mirror.flows.blue.example";
const ECHO: &str = "echo.flows.blue.example";
const GATHER: &str = "gather.flows.blue.example";

/// The header in which a collector says where an event came from.
const ORIGIN: &str = "ce_sourceflow";

/// Lets them begin with what comes to `local`.
pub(crate) fn create(world: &World, local: &str, partitions: i32) {
    let mut user = world.blue().login();
    for flow in [LEFT, RIGHT, MIRRORED, ECHOED, GATHERED] {
        user.ok(&format!("CREATE FLOW {flow} partitions={partitions}"));
    }
    for processor in [
        format!("{SPREAD} type=distributor from={local} to={LEFT},{RIGHT}"),
        format!("{MIRROR} type=bridge from={LEFT} to={MIRRORED}"),
        format!("{ECHO} type=signal from={RIGHT} to={ECHOED} program=."),
        format!("{GATHER} type=collector from={MIRRORED},{ECHOED} to={GATHERED}"),
    ] {
        user.ok(&format!("CREATE PROCESSOR {processor}"));
    }
}

/// Waits until each flow has every event once.
///
/// A signal puts events where their keys belong: what comes of it is compared key by key.
pub(crate) fn all_are_complete(world: &World, source: &[Sample], patience: Duration) {
    let client = admin_client(&world.kafkas[1]);
    for copy in [LEFT, RIGHT, MIRRORED] {
        let repeats = await_copy(&client, copy, source, patience);
        assert_eq!(0, repeats, "events came more than once to {copy}");
    }
    let wanted = by_keys(source.to_vec());
    until("each event in what is made of copies", patience, || {
        let echoed = by_keys(read_topic(&client, ECHOED)?);
        check(echoed.len() >= wanted.len(), || {
            format!("{} of {}", echoed.len(), wanted.len())
        })?;
        assert_eq!(
            0,
            compare(&wanted, &echoed)?,
            "events came twice to {ECHOED}"
        );
        let gathered = read_topic(&client, GATHERED)?;
        let mut told = 0;
        for origin in [MIRRORED, ECHOED] {
            let from = by_keys(from(&gathered, origin));
            told += from.len();
            assert_eq!(0, compare(&wanted, &from)?, "of {origin} events came twice");
        }
        assert_eq!(told, gathered.len(), "some events are of other flows");
        Ok(())
    });
}

/// Takes them away, and their flows.
pub(crate) fn delete(world: &World) {
    let mut user = world.blue().login();
    for processor in [SPREAD, MIRROR, ECHO, GATHER] {
        user.ok(&format!("DELETE PROCESSOR {processor}"));
    }
    for flow in [LEFT, RIGHT, MIRRORED, ECHOED, GATHERED] {
        user.ok(&format!("DELETE FLOW {flow}"));
    }
}

/// The events that a collector read from that flow, as they were there.
fn from(gathered: &[Sample], origin: &str) -> Vec<Sample> {
    let header = (ORIGIN.to_owned(), Some(origin.as_bytes().to_vec()));
    let of_it = gathered
        .iter()
        .filter(|event| event.headers.contains(&header));
    let without = of_it.map(|event| {
        let mut event = event.clone();
        event.headers.retain(|it| *it != header);
        event
    });
    without.collect()
}

/// As if each key had a partition to itself: a key's events keep their order wherever it belongs.
fn by_keys(events: Vec<Sample>) -> Vec<Sample> {
    let by_key = |event: Sample| {
        let key = event.key.as_deref().expect("each event has a key");
        let key = std::str::from_utf8(key).expect("text");
        let number = key.rsplit('-').next().expect("the key's number");
        Sample {
            partition: number.parse().expect("a number"),
            ..event
        }
    };
    events.into_iter().map(by_key).collect()
}
