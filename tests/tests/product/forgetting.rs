//! Positions of what has ended are taken out of the topic that keeps them.

use std::collections::BTreeMap;
use std::time::Duration;

use eson_tests::records::{admin_client, read_topic};
use eson_tests::wait::check;
use eson_tests::{Ground, Kafka, until};

use crate::events::{await_numbered, write_numbered};
use crate::quality::{publish, subscribe};
use crate::stage::{new_flow, world};

const PATIENCE: Duration = Duration::from_secs(90);

/// The keys that have a value and are of legs which are named after this flow.
fn known(kafka: &Kafka, flow: &str) -> Vec<String> {
    let mut last = BTreeMap::new();
    for record in read_topic(&admin_client(kafka), "eson-positions").unwrap() {
        let key = String::from_utf8(record.key.unwrap()).unwrap();
        last.insert(key, record.value.is_some());
    }
    let named = |key: &String| key.contains(&format!(".{flow}\""));
    let known = last
        .into_iter()
        .filter(|(key, is_known)| *is_known && named(key));
    known.map(|(key, _)| key).collect()
}

#[test]
fn a_processor_that_is_deleted_leaves_no_positions() {
    let world = world(Ground::Servers);
    let (orange, kafka) = (world.orange(), &world.kafkas[0]);
    let (mut session, one) = publish(orange, "forgotten", "partitions=1");
    let (_, two) = publish(orange, "forgotten", "partitions=1");
    let (_, all) = publish(orange, "forgotten", "partitions=1");
    let name = new_flow(orange, "forgetting");
    session.ok(&format!(
        "CREATE PROCESSOR {name} type=collector from={one},{two} to={all} annotate=false"
    ));
    write_numbered(&mut session, &one, 0..10);
    await_numbered(&mut session, &all, 0..10);
    write_numbered(&mut session, &two, 10..20);
    await_numbered(&mut session, &all, 0..20);
    session.ok(&format!("UPDATE PROCESSOR {name} from={one}"));
    assert!(!known(kafka, &one).is_empty());
    assert!(!known(kafka, &two).is_empty(), "it may be put in again");

    session.ok(&format!("DELETE PROCESSOR {name}"));
    for flow in [&one, &two] {
        assert_eq!(known(kafka, flow), [""; 0]);
    }
}

#[test]
fn a_subscription_that_is_ended_leaves_no_positions_on_either_side() {
    let world = world(Ground::Servers);
    let (mut orange, flow) = publish(world.orange(), "forgotten", "partitions=2");
    let (mut blue, local, _) = subscribe(world.blue(), &flow, "");
    write_numbered(&mut orange, &flow, 0..7);
    let described = format!("DESCRIBE SUBSCRIPTION {local}");
    until("all events", PATIENCE, || {
        let found = blue.ok(&described);
        check(found.attribute("records") == Some("7"), || {
            format!("{found:?}")
        })
    });
    for kafka in &world.kafkas {
        assert!(!known(kafka, &flow).is_empty());
    }
    blue.ok(&format!("UNSUBSCRIBE {local}"));
    for kafka in &world.kafkas {
        until("nothing to be known", PATIENCE, || {
            let left = known(kafka, &flow);
            check(left.is_empty(), || format!("{left:?}"))
        });
    }
}
