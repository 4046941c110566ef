//! What happens to queues outside of the product, and how it is told and handled.

use std::time::{Duration, Instant};

use eson_tests::process::kill9;
use eson_tests::records::{
    admin_client, configure_topic, create_topic, delete_before, delete_topic, grow_topic, noise,
};
use eson_tests::wait::check;
use eson_tests::{Ground, Participant, RawFnap, World, until};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::events::{Event, await_events, await_numbered, read, write, write_numbered};
use crate::stage::new_flow;

const PATIENCE: Duration = Duration::from_secs(90);

/// Participants whose processors nobody else minds being killed.
fn own_world(domains: &[&str]) -> World {
    World::beside_others(Ground::Servers, domains, &|configuration| configuration)
}

/// A topic of somebody else's, and a flow that adopts it.
fn adopt(world: &World, topic: &str, options: &str) -> (RawFnap, String) {
    create_topic(&admin_client(&world.kafkas[0]), topic, 1);
    let flow = new_flow(world.orange(), "adopted");
    let mut session = world.orange().login();
    session.ok(&format!(
        "CREATE FLOW {flow} queue={topic} access=public {options}"
    ));
    (session, flow)
}

fn create_again(world: &World, topic: &str) {
    let client = admin_client(&world.kafkas[0]);
    delete_topic(&client, topic);
    create_topic(&client, topic, 1);
}

fn kill_processors(participant: &Participant) {
    for id in participant.processors() {
        kill9(id);
    }
}

/// Waits until a description has lines that begin so.
fn await_lines(session: &mut RawFnap, command: &str, wanted: &[&str]) {
    until(&format!("{command}: {wanted:?}"), PATIENCE, || {
        let described = session.ok(command);
        let has = |begin: &&str| described.data.iter().any(|line| line.starts_with(begin));
        check(wanted.iter().all(has), || format!("{described:?}"))
    });
}

fn numbered(ranges: &[std::ops::Range<u32>]) -> Vec<Event> {
    let numbers = ranges.iter().cloned().flatten();
    numbers.map(Event::numbered).collect()
}

/// A bridge that began at the newest event reads the new queue from its oldest, and once.
#[test]
fn an_adopted_queue_that_was_created_again_is_followed() {
    let world = own_world(&["again.example"]);
    let (mut orange, flow) = adopt(&world, "again_v1", "");
    let copied = new_flow(world.orange(), "copied");
    orange.ok(&format!("CREATE FLOW {copied} partitions=1"));
    write_numbered(&mut orange, &flow, 900..910);
    orange.ok(&format!(
        "CREATE PROCESSOR again type=bridge from={flow} to={copied} start=latest"
    ));
    write_numbered(&mut orange, &flow, 0..20);
    await_numbered(&mut orange, &copied, 0..20);

    create_again(&world, "again_v1");
    write_numbered(&mut orange, &flow, 100..105);
    kill_processors(world.orange());
    write_numbered(&mut orange, &flow, 105..110);
    let so_far = numbered(&[0..20, 100..110]);
    await_events(&mut orange, &copied, &so_far);
    let describe = format!("DESCRIBE FLOW {flow}");
    let notice = "notice=the queue again_v1 was deleted and created again";
    await_lines(&mut orange, &describe, &[notice, "state=ready"]);

    kill_processors(world.orange());
    write_numbered(&mut orange, &flow, 110..150);
    let all = numbered(&[0..20, 100..150]);
    await_events(&mut orange, &copied, &all);
    await_lines(
        &mut orange,
        "DESCRIBE PROCESSOR again",
        &["processor-state=running", "lag=0", "position=0-50"],
    );
}

/// What a signal has read of its other source counts on.
#[test]
fn a_signal_goes_on_with_the_one_source_that_was_created_again() {
    let world = own_world(&["signalled.example"]);
    let (mut orange, flow) = adopt(&world, "signalled_v1", "");
    let [other, all] = ["other", "all"].map(|name| {
        let made = new_flow(world.orange(), name);
        orange.ok(&format!("CREATE FLOW {made} partitions=1"));
        made
    });
    orange.ok(&format!(
        "CREATE PROCESSOR joined type=signal from={flow},{other} to={all} program=."
    ));
    write_numbered(&mut orange, &flow, 0..20);
    await_numbered(&mut orange, &all, 0..20);
    write_numbered(&mut orange, &other, 20..30);
    await_numbered(&mut orange, &all, 0..30);

    create_again(&world, "signalled_v1");
    write_numbered(&mut orange, &flow, 100..105);
    kill_processors(world.orange());
    await_events(&mut orange, &all, &numbered(&[0..30, 100..105]));
    write_numbered(&mut orange, &other, 105..110);
    await_events(&mut orange, &all, &numbered(&[0..30, 100..110]));

    kill_processors(world.orange());
    write_numbered(&mut orange, &flow, 110..120);
    await_events(&mut orange, &all, &numbered(&[0..30, 100..120]));
    let settled = ["processor-state=running", "lag=0"];
    await_lines(&mut orange, "DESCRIBE PROCESSOR joined", &settled);
}

#[test]
fn a_processor_that_stops_at_gaps_waits_for_its_owner() {
    let world = own_world(&["stopped.example"]);
    let (mut orange, flow) = adopt(&world, "stopped_v1", "");
    let copied = new_flow(world.orange(), "copied");
    orange.ok(&format!("CREATE FLOW {copied} partitions=1"));
    orange.ok(&format!(
        "CREATE PROCESSOR stopped type=bridge from={flow} to={copied} on-gap=stop"
    ));
    write_numbered(&mut orange, &flow, 0..20);
    await_numbered(&mut orange, &copied, 0..20);
    create_again(&world, "stopped_v1");
    write_numbered(&mut orange, &flow, 100..110);
    let describe = "DESCRIBE PROCESSOR stopped";
    let stopped = [
        "processor-state=failed",
        "processor-error=queue `stopped_v1` was deleted and created again",
        "advice=these events are lost here; with on-gap=earliest (UPDATE PROCESSOR)",
    ];
    await_lines(&mut orange, describe, &stopped);
    kill_processors(world.orange());
    orange.ok("RESUME PROCESSOR stopped");
    await_lines(&mut orange, &format!("DESCRIBE FLOW {flow}"), &["notice="]);
    await_lines(&mut orange, describe, &stopped);
    await_numbered(&mut orange, &copied, 0..20);
    orange.ok("UPDATE PROCESSOR stopped on-gap=earliest");
    await_events(&mut orange, &copied, &numbered(&[0..20, 100..110]));
    let lost = "lost=0";
    await_lines(&mut orange, describe, &["processor-state=running", lost]);
}

/// What is known to be missing is counted: the events that wait behind one that the copy does not
/// take.
#[test]
fn a_copy_goes_on_with_the_queue_that_was_created_again() {
    let world = own_world(&["publisher.example", "subscriber.example"]);
    let (mut orange, flow) = adopt(&world, "copied_v1", "");
    let mut blue = world.blue().login();
    let local = new_flow(world.blue(), "received");
    let answer = blue.ok(&format!("SUBSCRIBE {flow} LOCAL {local}"));
    let copy = answer.data[0].rsplit(' ').next().unwrap().to_owned();
    let label = copy.split('.').next().unwrap();
    write_numbered(&mut orange, &flow, 0..20);
    await_numbered(&mut blue, &local, 0..20);

    let client = admin_client(&world.kafkas[0]);
    configure_topic(&client, &copy, "max.message.bytes", "1000");
    let large = Event::numbered(50).with_value(noise(5_000));
    write(&mut orange, &flow, &[large]);
    let describe = format!("DESCRIBE SUBSCRIBER {flow} {label}");
    await_lines(&mut orange, &describe, &["processor-state=failed", "lag=1"]);
    create_again(&world, "copied_v1");
    write_numbered(&mut orange, &flow, 100..110);
    orange.ok(&format!("RESUME SUBSCRIBER {flow} {label}"));
    await_events(&mut blue, &local, &numbered(&[0..20, 100..110]));
    let told = [
        "processor-state=running",
        "lost=1",
        "position=0-10",
        "processor-error=queue `copied_v1` was deleted and created again",
    ];
    await_lines(&mut orange, &describe, &told);
    blue.ok(&format!("STOP SUBSCRIPTION {local}"));
    blue.ok(&format!("RESUME SUBSCRIPTION {local}"));
    let notice = "notice=the queue of ";
    let described = format!("DESCRIBE SUBSCRIPTION {local}");
    await_lines(&mut blue, &described, &[notice]);

    kill_processors(world.orange());
    kill_processors(world.blue());
    write_numbered(&mut orange, &flow, 110..120);
    await_events(&mut blue, &local, &numbered(&[0..20, 100..120]));
}

#[test]
fn who_reads_a_queue_itself_goes_on_as_on_gap_says() {
    let world = own_world(&["open.example", "reader.example"]);
    let (mut orange, flow) = adopt(&world, "direct_v1", "modes=copy,direct");
    let mut blue = world.blue().login();
    write_numbered(&mut orange, &flow, 900..910);
    let [follows, stops] = ["from=latest", "on-gap=stop from=latest"].map(|options| {
        let local = new_flow(world.blue(), "received");
        blue.ok(&format!(
            "SUBSCRIBE {flow} LOCAL {local} mode=direct {options}"
        ));
        local
    });
    write_numbered(&mut orange, &flow, 0..20);
    for local in [&follows, &stops] {
        await_numbered(&mut blue, local, 0..20);
        let describe = format!("DESCRIBE SUBSCRIPTION {local}");
        await_lines(&mut blue, &describe, &["position=0-30"]);
    }

    create_again(&world, "direct_v1");
    kill_processors(world.blue());
    write_numbered(&mut orange, &flow, 100..110);
    let new = numbered(&[0..20, 100..110]);
    await_events(&mut blue, &follows, &new);
    let describe = format!("DESCRIBE SUBSCRIPTION {stops}");
    let stopped = [
        "processor-state=failed",
        "processor-error=queue `direct_v1` was deleted and created again",
        "advice=these events are lost here; with on-gap=earliest (SUBSCRIBE again)",
    ];
    await_lines(&mut blue, &describe, &stopped);
    await_numbered(&mut blue, &stops, 0..20);
    blue.ok(&format!(
        "SUBSCRIBE {flow} LOCAL {stops} mode=direct on-gap=earliest from=latest"
    ));
    await_events(&mut blue, &stops, &new);
}

/// A queue of our own that a stranger has made is not taken for ours before its owner says so.
#[test]
fn a_queue_of_our_own_is_taken_again_when_its_owner_says_so() {
    let world = own_world(&["owner.example"]);
    let mut orange = world.orange().login();
    let [flow, copied] = [(); 2].map(|()| {
        let flow = new_flow(world.orange(), "own");
        orange.ok(&format!("CREATE FLOW {flow} partitions=1"));
        flow
    });
    orange.ok(&format!(
        "CREATE PROCESSOR own type=bridge from={flow} to={copied}"
    ));
    write_numbered(&mut orange, &flow, 0..20);
    await_numbered(&mut orange, &copied, 0..20);
    create_again(&world, &flow);
    write_numbered(&mut orange, &flow, 100..110);
    let describe = format!("DESCRIBE FLOW {flow}");
    let told = [
        "state=failed",
        "error=queue",
        "advice=another queue has the name by now; RESUME FLOW",
    ];
    await_lines(&mut orange, &describe, &told);
    let failed = [
        "processor-state=failed",
        "advice=another queue has the name by now; RESUME FLOW",
    ];
    await_lines(&mut orange, "DESCRIBE PROCESSOR own", &failed);
    await_numbered(&mut orange, &copied, 0..20);
    orange.ok(&format!("RESUME FLOW {flow}"));
    await_events(&mut orange, &copied, &numbered(&[0..20, 100..110]));
    await_lines(&mut orange, &describe, &["state=ready", "notice="]);

    delete_topic(&admin_client(&world.kafkas[0]), &flow);
    await_lines(
        &mut orange,
        &describe,
        &["state=failed", "advice=the queue is gone from the broker"],
    );
    orange.ok(&format!("RESUME FLOW {flow}"));
    write_numbered(&mut orange, &flow, 200..210);
    let all = numbered(&[0..20, 100..110, 200..210]);
    await_events(&mut orange, &copied, &all);
    orange.ok("DELETE PROCESSOR own");
    orange.ok(&format!("DELETE FLOW {flow}"));
}

/// Up to the flow that the subscription has made, so that record batches still pass whole.
#[test]
fn partitions_that_an_adopted_queue_gets_are_followed() {
    let world = own_world(&["growing.example", "following.example"]);
    let (mut orange, flow) = adopt(&world, "growing_v1", "");
    let mut blue = world.blue().login();
    let local = new_flow(world.blue(), "received");
    let answer = blue.ok(&format!("SUBSCRIBE {flow} LOCAL {local}"));
    let copy = answer.data[0].rsplit(' ').next().unwrap().to_owned();
    let label = copy.split('.').next().unwrap();
    let narrow = new_flow(world.orange(), "narrow");
    orange.ok(&format!("CREATE FLOW {narrow} partitions=2"));
    orange.ok(&format!(
        "CREATE PROCESSOR narrow type=bridge from={flow} to={narrow}"
    ));
    write_numbered(&mut orange, &flow, 0..50);
    await_numbered(&mut blue, &local, 0..50);

    grow_topic(&admin_client(&world.kafkas[0]), "growing_v1", 3);
    write_numbered(&mut orange, &flow, 50..100);
    let three = ["partitions=3"];
    await_lines(&mut orange, &format!("DESCRIBE FLOW {flow}"), &three);
    await_lines(&mut orange, &format!("DESCRIBE FLOW {copy}"), &three);
    write_numbered(&mut orange, &flow, 100..150);
    await_lines(&mut blue, &format!("DESCRIBE FLOW {local}"), &three);
    write_numbered(&mut orange, &flow, 150..200);
    for (session, flow) in [(&mut blue, &local), (&mut orange, &narrow)] {
        until("all events", PATIENCE, || {
            let mut found = read(session, flow);
            found.sort_by_key(|event| event.timestamp);
            check(found == numbered(&[0..100, 100..200]), || {
                format!("{} are there", found.len())
            })
        });
    }
    for (session, describe) in [
        (&mut orange, format!("DESCRIBE SUBSCRIBER {flow} {label}")),
        (&mut blue, format!("DESCRIBE SUBSCRIPTION {local}")),
    ] {
        until(&describe, PATIENCE, || {
            let described = session.ok(&describe);
            let whole = described.attribute("path").is_none();
            let reads_all = described
                .data
                .iter()
                .any(|it| it.starts_with("position=2-"));
            check(whole && reads_all, || format!("{described:?}"))
        });
    }
    let path = "path=records: the source has 3 partitions and the destination 2";
    await_lines(&mut orange, "DESCRIBE PROCESSOR narrow", &[path]);
    let refused = orange.refused(
        &format!("UPDATE FLOW {flow} partitions=5"),
        "501 [ARGUMENT]",
    );
    assert!(refused.status.contains("its owner's"), "{refused:?}");
}

/// What lies before the reader is deleted while it is away.
#[test]
fn events_that_are_deleted_ahead_of_a_processor_are_counted() {
    let world = own_world(&["truncated.example"]);
    let (mut orange, flow) = adopt(&world, "truncated_v1", "");
    let copied = new_flow(world.orange(), "copied");
    orange.ok(&format!("CREATE FLOW {copied} partitions=1"));
    orange.ok(&format!(
        "CREATE PROCESSOR truncated type=bridge from={flow} to={copied} on-gap=stop"
    ));
    write_numbered(&mut orange, &flow, 0..20);
    await_numbered(&mut orange, &copied, 0..20);
    orange.ok("STOP PROCESSOR truncated");
    write_numbered(&mut orange, &flow, 20..50);
    delete_before(&admin_client(&world.kafkas[0]), "truncated_v1", 30);
    orange.ok("RESUME PROCESSOR truncated");
    let describe = "DESCRIBE PROCESSOR truncated";
    let stopped = [
        "processor-state=failed",
        "lost=0",
        "position=0-20",
        "processor-error=queue `truncated_v1` partition 0: offset 20 is outside 30..50",
        "advice=these events are lost here; with on-gap=earliest (UPDATE PROCESSOR)",
    ];
    await_lines(&mut orange, describe, &stopped);
    orange.ok("UPDATE PROCESSOR truncated on-gap=earliest");
    await_events(&mut orange, &copied, &numbered(&[0..20, 30..50]));
    let gone_on = [
        "processor-state=running",
        "lost=10",
        "lag=0",
        "position=0-50",
    ];
    await_lines(&mut orange, describe, &gone_on);
    let metrics = world.orange().web("/metrics").unwrap().1;
    let of_it =
        |line: &&str| line.starts_with("fnaad_leg_lost_total{") && line.contains("truncated");
    let lost = metrics.lines().find(of_it);
    assert!(lost.is_some_and(|line| line.ends_with(" 10")), "{lost:?}");
}

#[test]
fn a_transaction_that_hides_events_is_told_with_its_producer_and_its_age() {
    let world = own_world(&["hanging.example"]);
    let (mut orange, flow) = adopt(&world, "hanging_v1", "");
    let copied = new_flow(world.orange(), "copied");
    orange.ok(&format!("CREATE FLOW {copied} partitions=1"));
    orange.ok(&format!(
        "CREATE PROCESSOR hanging type=bridge from={flow} to={copied}"
    ));
    write_numbered(&mut orange, &flow, 0..20);
    await_numbered(&mut orange, &copied, 0..20);
    let before = Instant::now();
    let producer: BaseProducer = admin_client(&world.kafkas[0])
        .set("transactional.id", "forgetful")
        .set("transaction.timeout.ms", "600000")
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    let record = BaseRecord::<[u8], [u8]>::to("hanging_v1").partition(0);
    producer.send(record.payload(b"open")).unwrap();
    producer.flush(PATIENCE).unwrap();
    write_numbered(&mut orange, &flow, 100..110);
    let open = world.kafkas[0].open_transactions("hanging_v1");
    let [id] = &open[..] else {
        panic!("one open transaction, and not {open:?}");
    };
    let describe = "DESCRIBE PROCESSOR hanging";
    let told = until("the transaction's producer", PATIENCE, || {
        let described = orange.ok(describe);
        let error = described.attribute("processor-error");
        let told = error.map(str::to_owned);
        told.ok_or_else(|| format!("{described:?}"))
    });
    let begin =
        format!("queue `hanging_v1` partition 0: a transaction of producer {id} open since ");
    let rest = told
        .strip_prefix(&begin)
        .unwrap_or_else(|| panic!("{told}"));
    assert!(
        rest.contains(" s hides what is behind offset 20;"),
        "{told}"
    );
    let age: u64 = rest.split(' ').next().unwrap().parse().unwrap();
    let bounds = 10..=before.elapsed().as_secs() + 1;
    assert!(bounds.contains(&age), "{age} of {bounds:?}");
    let advice = "advice=end that transaction at the source";
    await_lines(&mut orange, describe, &["processor-state=running", advice]);
    await_numbered(&mut orange, &copied, 0..20);
    producer.abort_transaction(PATIENCE).unwrap();
    await_events(&mut orange, &copied, &numbered(&[0..20, 100..110]));
    until("no error", PATIENCE, || {
        let described = orange.ok(describe);
        check(described.attribute("processor-error").is_none(), || {
            format!("{described:?}")
        })
    });
}
