//! What a destination does not take, as its owner finds it.

use std::time::Duration;

use eson_tests::fnap::Answer;
use eson_tests::records::{admin_client, create_topic_with, noise};
use eson_tests::wait::check;
use eson_tests::{Ground, Participant, RawFnap, until};

use crate::events::{Event, await_events, read, write, write_numbered};
use crate::stage::{new_flow, world};

const PATIENCE: Duration = Duration::from_secs(60);

/// The number of the event that is too large.
const LARGE: u32 = 7;

fn large() -> Event {
    Event::numbered(LARGE).with_value(noise(20_000))
}

/// A flow whose topic takes little: a platform team's, since the topics of flows take as much as
/// each other.
fn narrow(participant: &Participant, at: usize, topic: &str) -> String {
    let client = admin_client(&world(Ground::Servers).kafkas[at]);
    create_topic_with(&client, topic, 1, &[("max.message.bytes", "5000")]);
    let flow = new_flow(participant, "narrow");
    let mut session = participant.login();
    session.ok(&format!("CREATE FLOW {flow} queue={topic}"));
    flow
}

fn published(participant: &Participant) -> (RawFnap, String) {
    let flow = new_flow(participant, "wide");
    let mut session = participant.login();
    session.ok(&format!("CREATE FLOW {flow} partitions=1 access=public"));
    let events = (0..20).map(|number| match number {
        LARGE => large(),
        number => Event::numbered(number),
    });
    let events: Vec<_> = events.collect();
    write(&mut session, &flow, &events);
    (session, flow)
}

fn all_but_the_large_one(until: u32) -> Vec<Event> {
    let numbers = (0..until).filter(|number| *number != LARGE);
    numbers.map(Event::numbered).collect()
}

/// Waits until a description says that there is one dead letter; gives where.
fn await_dead_letter(session: &mut RawFnap, describe: &str) -> String {
    until("a dead letter", PATIENCE, || {
        let described: Answer = session.ok(describe);
        let count = described.attribute("dead-letters");
        let is_running = described.attribute("processor-state") == Some("running");
        check(count == Some("1") && is_running, || {
            format!("{described:?}")
        })?;
        let flow = described.attribute("dead-letters-to");
        Ok(flow.expect("where they are").to_owned())
    })
}

fn check_letter(session: &mut RawFnap, flow: &str) {
    let letters = read(session, flow);
    let [letter] = &letters[..] else {
        panic!("one letter, and not {letters:?}");
    };
    assert_eq!(letter.value, large().value);
    let header = |name: &str| {
        let found = letter.headers.iter().find(|(known, _)| known == name);
        let value = found.and_then(|(_, value)| value.clone());
        String::from_utf8(value.expect(name)).expect("text")
    };
    assert!(header("ce_deadletterreason").contains("larger than the broker takes"));
    assert_eq!(header("ce_sourceposition"), format!("0-{LARGE}"));
}

#[test]
fn an_event_too_large_goes_to_the_processors_dead_letters_and_the_rest_goes_on() {
    let orange = world(Ground::Servers).orange();
    let (mut session, wide) = published(orange);
    let narrow = narrow(orange, 0, "narrow_v1");
    let name = new_flow(orange, "narrowing");
    session.ok(&format!(
        "CREATE PROCESSOR {name} type=bridge from={wide} to={narrow}"
    ));
    await_events(&mut session, &narrow, &all_but_the_large_one(20));
    let dead_letters = await_dead_letter(&mut session, &format!("DESCRIBE PROCESSOR {name}"));
    assert_eq!(dead_letters, format!("dlq.{name}"));
    check_letter(&mut session, &dead_letters);
    write_numbered(&mut session, &wide, 20..40);
    await_events(&mut session, &narrow, &all_but_the_large_one(40));
    // They may not come back by the way that they went.
    let back = format!("CREATE PROCESSOR back type=bridge from={dead_letters} to={wide}");
    session.refused(&back, "555 [LOOP]");
    session.ok(&format!("DELETE PROCESSOR {name}"));
}

#[test]
fn what_a_subscriber_can_not_store_is_in_his_own_dead_letters() {
    let (orange, blue) = (
        world(Ground::Servers).orange(),
        world(Ground::Servers).blue(),
    );
    let (mut publisher, wide) = published(orange);
    let local = narrow(blue, 1, "narrow_v1");
    let mut session = blue.login();
    session.ok(&format!("SUBSCRIBE {wide} LOCAL {local}"));
    await_events(&mut session, &local, &all_but_the_large_one(20));
    let dead_letters = await_dead_letter(&mut session, &format!("DESCRIBE SUBSCRIPTION {local}"));
    assert_eq!(dead_letters, format!("dlq.{local}"));
    check_letter(&mut session, &dead_letters);
    write_numbered(&mut publisher, &wide, 20..40);
    await_events(&mut session, &local, &all_but_the_large_one(40));
    session.ok(&format!("UNSUBSCRIBE {local}"));
}
