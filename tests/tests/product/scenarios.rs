//! What participants do with each other, on embedded defaults and on Kafka and BIND.

use std::time::Duration;

use eson_tests::records::{admin_client, create_topic, topics};
use eson_tests::wait::check;
use eson_tests::{Ground, Participant, RawFnap, until};

use crate::events::{Event, await_events, await_numbered, read, write, write_numbered};
use crate::stage::{new_flow, on_all_grounds, world};

const PATIENCE: Duration = Duration::from_secs(60);

on_all_grounds!(
    figure_9_one_way,
    figure_10_both_directions_at_once,
    a_chain_of_three,
    a_publisher_on_kafka_and_a_subscriber_on_local,
    two_subscribers,
    twenty_subscribers,
    records_with_everything_and_with_nothing,
    unsubscribing_keeps_what_has_arrived,
    removing_a_subscriber_revokes,
    revoking_the_grant_revokes,
    deleting_a_flow_that_has_subscribers,
    pausing_keeps_and_resuming_delivers,
    stopping_keeps_the_position,
    a_flow_that_its_owner_grows,
    a_loop_is_refused,
);

/// A new public flow and a session of its owner.
fn publish(participant: &Participant, name: &str) -> (RawFnap, String) {
    let flow = new_flow(participant, name);
    let mut session = participant.login();
    session.ok(&format!("CREATE FLOW {flow} access=public"));
    (session, flow)
}

/// Subscribes a new flow at the participant to `remote`. Returns the session, the new flow's name
/// and the label of the copy.
fn subscribe(participant: &Participant, remote: &str) -> (RawFnap, String, String) {
    let local = new_flow(participant, "received");
    let mut session = participant.login();
    let answer = session.ok(&format!("SUBSCRIBE {remote} LOCAL {local}"));
    let copy = answer.data[0]
        .strip_prefix(&format!("{local} SUBSCRIBED TO "))
        .unwrap_or_else(|| panic!("{answer:?}"));
    let label = copy.split('.').next().unwrap().to_owned();
    (session, local, label)
}

fn await_state(session: &mut RawFnap, local: &str, state: &str) {
    until(&format!("{local} to be {state}"), PATIENCE, || {
        let described = session.ok(&format!("DESCRIBE SUBSCRIPTION {local}"));
        let found = described.attribute("state").unwrap_or_default().to_owned();
        check(found == state, || format!("{described:?}"))
    });
}

fn await_gone(session: &mut RawFnap, command: &str, thing: &str) {
    until(&format!("no {thing} in {command}"), PATIENCE, || {
        let answer = session.ok(command);
        check(!answer.data.iter().any(|line| line.contains(thing)), || {
            format!("{answer:?}")
        })
    });
}

fn figure_9_one_way(ground: Ground) {
    let world = world(ground);
    let (mut orange, flow) = publish(world.orange(), "one-way");
    write_numbered(&mut orange, &flow, 0..50);
    let (mut blue, local, label) = subscribe(world.blue(), &flow);
    write_numbered(&mut orange, &flow, 50..100);
    await_numbered(&mut blue, &local, 0..100);
    let subscribers = orange.ok(&format!("GET SUBSCRIBERS {flow}"));
    assert_eq!(1, subscribers.data.len(), "{subscribers:?}");
    assert!(subscribers.data[0].starts_with(&label), "{subscribers:?}");
    let copy = format!("{label}.{flow} flow={flow} ");
    for (session, sees_it) in [(&mut orange, true), (&mut blue, false)] {
        let of_all = session.ok("GET SUBSCRIBERS");
        let found = of_all.data.iter().any(|line| line.starts_with(&copy));
        assert_eq!(found, sees_it, "{of_all:?}");
    }
    await_state(&mut blue, &local, "active");
    if ground == Ground::Servers {
        let topics = topics(&admin_client(&world.kafkas[0]));
        assert!(topics.contains(&format!("{label}.{flow}")), "{topics:?}");
    }
}

fn figure_10_both_directions_at_once(ground: Ground) {
    let world = world(ground);
    let (mut orange, there) = publish(world.orange(), "there");
    let (mut blue, back) = publish(world.blue(), "back");
    let (_, at_blue, _) = subscribe(world.blue(), &there);
    let (_, at_orange, _) = subscribe(world.orange(), &back);
    for start in [0, 50] {
        write_numbered(&mut orange, &there, start..start + 50);
        write_numbered(&mut blue, &back, start..start + 50);
    }
    await_numbered(&mut blue, &at_blue, 0..100);
    await_numbered(&mut orange, &at_orange, 0..100);
}

fn a_chain_of_three(ground: Ground) {
    let world = world(ground);
    let green = &world.participants[2];
    let (mut orange, flow) = publish(world.orange(), "source");
    let (mut at_green, between, _) = subscribe(green, &flow);
    at_green.ok(&format!("UPDATE FLOW {between} access=public"));
    let (mut blue, end, _) = subscribe(world.blue(), &between);
    write_numbered(&mut orange, &flow, 0..100);
    await_numbered(&mut blue, &end, 0..100);
}

/// On embedded ground both are local; on servers Green has no Kafka.
fn a_publisher_on_kafka_and_a_subscriber_on_local(ground: Ground) {
    let world = world(ground);
    let (mut orange, flow) = publish(world.orange(), "to-local");
    let (mut green, local, _) = subscribe(&world.participants[2], &flow);
    write_numbered(&mut orange, &flow, 0..100);
    await_numbered(&mut green, &local, 0..100);
    let described = green.ok(&format!("DESCRIBE FLOW {local}"));
    assert_eq!(Some("local"), described.attribute("type"));
}

fn two_subscribers(ground: Ground) {
    several_subscribers(ground, 2);
}

fn twenty_subscribers(ground: Ground) {
    several_subscribers(ground, 20);
}

/// One has come early and one is revoked: nobody else notices.
fn several_subscribers(ground: Ground, count: usize) {
    let world = world(ground);
    let (mut orange, flow) = publish(world.orange(), "popular");
    let mut subscribers: Vec<_> = (0..count).map(|_| subscribe(world.blue(), &flow)).collect();
    write_numbered(&mut orange, &flow, 0..50);
    for (session, local, _) in &mut subscribers {
        await_numbered(session, local, 0..50);
    }
    let (mut left, gone, label) = subscribers.pop().expect("one");
    orange.ok(&format!("REMOVE SUBSCRIBER {flow} {label}"));
    write_numbered(&mut orange, &flow, 50..100);
    for (session, local, _) in &mut subscribers {
        await_numbered(session, local, 0..100);
    }
    await_numbered(&mut left, &gone, 0..50);
    let listed = orange.ok(&format!("GET SUBSCRIBERS {flow}")).data;
    let active = listed.iter().filter(|line| line.contains("state=active"));
    assert_eq!(count - 1, active.count(), "{listed:?}");
}

fn records_with_everything_and_with_nothing(ground: Ground) {
    let world = world(ground);
    let (mut orange, flow) = publish(world.orange(), "odd");
    let (mut blue, local, _) = subscribe(world.blue(), &flow);
    let plain = Event::numbered(0);
    let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    let events = [
        Event {
            key: None,
            ..plain.clone()
        },
        Event {
            key: Some(Vec::new()),
            ..plain.clone()
        },
        Event {
            value: None,
            ..plain.clone()
        },
        Event {
            value: Some(Vec::new()),
            ..plain.clone()
        },
        Event {
            headers: Vec::new(),
            ..plain.clone()
        },
        plain.clone().with_value((0..=255).collect()),
        Event {
            key: Some(vec![0, 255, 10, 13]),
            headers: vec![
                header("twice", Some(b"one")),
                header("twice", Some(b"other")),
                header("null", None),
                header("empty", Some(b"")),
                header("binary", Some(&[0, 255])),
            ],
            ..plain.clone()
        },
        plain,
    ];
    assert!(write(&mut orange, &flow, &events).is_ok());
    await_events(&mut orange, &flow, &events);
    await_events(&mut blue, &local, &events);
}

fn unsubscribing_keeps_what_has_arrived(ground: Ground) {
    let world = world(ground);
    let (mut orange, flow) = publish(world.orange(), "left");
    let (mut blue, local, label) = subscribe(world.blue(), &flow);
    write_numbered(&mut orange, &flow, 0..20);
    await_numbered(&mut blue, &local, 0..20);
    blue.ok(&format!("UNSUBSCRIBE {local}"));
    blue.refused(&format!("DESCRIBE SUBSCRIPTION {local}"), "550 [NOTFOUND]");
    blue.refused(&format!("UNSUBSCRIBE {local}"), "550 [NOTFOUND]");
    await_gone(&mut orange, &format!("GET SUBSCRIBERS {flow}"), &label);
    write_numbered(&mut orange, &flow, 20..40);
    await_numbered(&mut blue, &local, 0..20);
    let again = blue.ok(&format!("SUBSCRIBE {flow} LOCAL {local}"));
    assert!(
        !again.data[0].contains(&label),
        "a new subscription has a new copy: {again:?}"
    );
}

fn removing_a_subscriber_revokes(ground: Ground) {
    let world = world(ground);
    let (mut orange, flow) = publish(world.orange(), "removed");
    let (mut blue, local, label) = subscribe(world.blue(), &flow);
    write_numbered(&mut orange, &flow, 0..20);
    await_numbered(&mut blue, &local, 0..20);
    orange.ok(&format!("REMOVE SUBSCRIBER {flow} {label}"));
    write_numbered(&mut orange, &flow, 20..40);
    await_state(&mut blue, &local, "revoked");
    assert_eq!(
        20,
        read(&mut blue, &local).len(),
        "events after the revocation"
    );
    if ground == Ground::Servers {
        let topics = topics(&admin_client(&world.kafkas[0]));
        assert!(!topics.contains(&format!("{label}.{flow}")), "{topics:?}");
    }
    blue.refused(&format!("SUBSCRIBE {flow} LOCAL {local}"), "557 [REVOKED]");
    orange.ok(&format!("RESUME SUBSCRIBER {flow} {label}"));
    blue.ok(&format!("RESUME SUBSCRIPTION {local}"));
    await_state(&mut blue, &local, "active");
}

fn revoking_the_grant_revokes(ground: Ground) {
    let world = world(ground);
    let flow = new_flow(world.orange(), "granted");
    let mut orange = world.orange().login();
    orange.ok(&format!("CREATE FLOW {flow}"));
    orange.ok(&format!("GRANT read ON {flow} TO anonymous"));
    let (mut blue, local, _) = subscribe(world.blue(), &flow);
    write_numbered(&mut orange, &flow, 0..20);
    await_numbered(&mut blue, &local, 0..20);
    orange.ok(&format!("REVOKE read ON {flow} FROM anonymous"));
    await_state(&mut blue, &local, "revoked");
    write_numbered(&mut orange, &flow, 20..40);
    assert_eq!(20, read(&mut blue, &local).len());
}

fn deleting_a_flow_that_has_subscribers(ground: Ground) {
    let world = world(ground);
    let (mut orange, flow) = publish(world.orange(), "deleted");
    let (mut blue, local, label) = subscribe(world.blue(), &flow);
    write_numbered(&mut orange, &flow, 0..20);
    await_numbered(&mut blue, &local, 0..20);
    orange.ok(&format!("DELETE FLOW {flow}"));
    orange.refused(&format!("DESCRIBE FLOW {flow}"), "550 [NOTFOUND]");
    until("the subscription to have ended", PATIENCE, || {
        let described = blue.ok(&format!("DESCRIBE SUBSCRIPTION {local}"));
        let ended = described.attribute("state") != Some("active");
        check(ended && described.attribute("error").is_some(), || {
            format!("{described:?}")
        })
    });
    await_numbered(&mut blue, &local, 0..20);
    if ground == Ground::Servers {
        let topics = topics(&admin_client(&world.kafkas[0]));
        assert!(
            !topics.iter().any(|topic| topic.ends_with(&flow)),
            "{topics:?}"
        );
        let records = world.bind().zone("flows.orange.example");
        let left = records
            .iter()
            .find(|line| line.contains(&flow) || line.contains(&label));
        assert_eq!(None, left);
    }
    orange.ok(&format!("CREATE FLOW {flow} access=public"));
    assert_eq!(Vec::<Event>::new(), read(&mut orange, &flow));
}

fn pausing_keeps_and_resuming_delivers(ground: Ground) {
    let world = world(ground);
    let (mut orange, flow) = publish(world.orange(), "paused");
    let (mut blue, local, _) = subscribe(world.blue(), &flow);
    write_numbered(&mut orange, &flow, 0..20);
    await_numbered(&mut blue, &local, 0..20);
    blue.ok(&format!("PAUSE SUBSCRIPTION {local}"));
    await_state(&mut blue, &local, "paused");
    write_numbered(&mut orange, &flow, 20..40);
    await_numbered(&mut blue, &local, 0..20);
    blue.ok(&format!("RESUME SUBSCRIPTION {local}"));
    await_numbered(&mut blue, &local, 0..40);
}

fn stopping_keeps_the_position(ground: Ground) {
    let world = world(ground);
    let (mut orange, flow) = publish(world.orange(), "stopped");
    let (mut blue, local, _) = subscribe(world.blue(), &flow);
    write_numbered(&mut orange, &flow, 0..20);
    await_numbered(&mut blue, &local, 0..20);
    blue.ok(&format!("STOP SUBSCRIPTION {local}"));
    await_state(&mut blue, &local, "stopped");
    write_numbered(&mut orange, &flow, 20..40);
    blue.ok(&format!("RESUME SUBSCRIPTION {local}"));
    await_numbered(&mut blue, &local, 0..40);
}

fn a_loop_is_refused(ground: Ground) {
    let world = world(ground);
    let (_, flow) = publish(world.orange(), "round");
    let (mut blue, local, _) = subscribe(world.blue(), &flow);
    blue.ok(&format!("UPDATE FLOW {local} access=public"));
    let mut orange = world.orange().login();
    orange.refused(&format!("SUBSCRIBE {local} LOCAL {flow}"), "555 [LOOP]");
}

/// A platform team's topics keep their names, on both sides.
#[test]
fn existing_topics_are_adopted_as_source_and_as_local() {
    let world = world(Ground::Servers);
    let [at_orange, at_blue] = [0, 1].map(|at| admin_client(&world.kafkas[at]));
    create_topic(&at_orange, "orders_v1", 1);
    create_topic(&at_blue, "received_v1", 1);
    let source = new_flow(world.orange(), "adopted");
    let local = new_flow(world.blue(), "adopted");
    let mut orange = world.orange().login();
    let mut blue = world.blue().login();
    orange.ok(&format!(
        "CREATE FLOW {source} queue=orders_v1 access=public"
    ));
    blue.ok(&format!("CREATE FLOW {local} queue=received_v1"));
    blue.ok(&format!("SUBSCRIBE {source} LOCAL {local}"));
    write_numbered(&mut orange, &source, 0..50);
    await_numbered(&mut blue, &local, 0..50);
    blue.ok(&format!("UNSUBSCRIBE {local}"));
    orange.ok(&format!("DELETE FLOW {source}"));
    blue.ok(&format!("DELETE FLOW {local}"));
    assert!(
        topics(&at_orange).contains(&"orders_v1".to_owned()),
        "not ours to delete"
    );
    assert!(
        topics(&at_blue).contains(&"received_v1".to_owned()),
        "not ours to delete"
    );
}

/// Subscriptions and processors go on, and read what is in the new partitions as well.
fn a_flow_that_its_owner_grows(ground: Ground) {
    let world = world(ground);
    let (mut orange, flow) = publish(world.orange(), "growing");
    let (mut blue, local, label) = subscribe(world.blue(), &flow);
    let bridged = new_flow(world.orange(), "bridged");
    orange.ok(&format!("CREATE FLOW {bridged}"));
    let name = new_flow(world.orange(), "bridging");
    orange.ok(&format!(
        "CREATE PROCESSOR {name} type=bridge from={flow} to={bridged}"
    ));
    let copy = format!("{label}.{flow}");
    let before = number(&mut orange, &format!("DESCRIBE FLOW {flow}"), "partitions");
    let mut written = 0;
    for partitions in [before, before + 1, before + 4] {
        orange.ok(&format!("UPDATE FLOW {flow} partitions={partitions}"));
        write_numbered(&mut orange, &flow, written..written + 50);
        written += 50;
        await_all(&mut blue, &local, written);
        await_all(&mut orange, &bridged, written);
        await_partitions(&mut orange, &copy, partitions);
        await_partitions(&mut blue, &local, partitions);
    }
    // A partition that there was not at first.
    let position = format!("position={before}-");
    await_read(&mut blue, &format!("SUBSCRIPTION {local}"), &position);
    for what in [
        format!("PROCESSOR {name}"),
        format!("SUBSCRIBER {flow} {label}"),
    ] {
        await_read(&mut orange, &what, &position);
    }
    let fewer = format!("UPDATE FLOW {flow} partitions={before}");
    let refused = orange.refused(&fewer, "501 [ARGUMENT]");
    assert!(refused.status.contains("may only grow"), "{refused:?}");
    orange.ok(&format!("DELETE PROCESSOR {name}"));
}

/// Waits until all that there is has been read, also in the partition whose position begins so.
fn await_read(session: &mut RawFnap, what: &str, position: &str) {
    until(&format!("{what}: {position}"), PATIENCE, || {
        let described = session.ok(&format!("DESCRIBE {what}"));
        let is_read = described.data.iter().any(|it| it.starts_with(position));
        let behind = described.attribute("lag") != Some("0");
        check(is_read && !behind, || format!("{described:?}"))
    });
}

fn await_partitions(session: &mut RawFnap, flow: &str, wanted: u32) {
    let describe = format!("DESCRIBE FLOW {flow}");
    until(&format!("{wanted} partitions in {flow}"), PATIENCE, || {
        let found = number(session, &describe, "partitions");
        check(found == wanted, || format!("{found}"))
    });
}

/// Waits until a flow has each of the first events once, in any order.
fn await_all(session: &mut RawFnap, flow: &str, count: u32) {
    let wanted: Vec<Event> = (0..count).map(Event::numbered).collect();
    until(&format!("{count} events in {flow}"), PATIENCE, || {
        let mut found = read(session, flow);
        found.sort_by_key(|event| event.timestamp);
        check(found == wanted, || format!("{} are there", found.len()))
    });
}

/// A number in a description.
fn number(session: &mut RawFnap, command: &str, key: &str) -> u32 {
    let described = session.ok(command);
    let value = described.attribute(key).expect(key);
    value.parse().expect(key)
}
