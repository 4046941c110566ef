//! Two organisations, one command, events flow: 50,000 records through Kafka, DNS and FNAP, while
//! every process is killed once on the way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eson_tests::fnap::plain;
use eson_tests::kafka::ADMIN;
use eson_tests::process::kill9;
use eson_tests::producing::Producing;
use eson_tests::records::{
    self, Sample, admin_client, await_copy, read_topic, scram_client, topics,
};
use eson_tests::wait::check;
use eson_tests::{Ground, Kafka, Participant, RawFnap, Seed, World, discovery, until};
use rdkafka::ClientConfig;

const RECORDS: usize = 50_000;
const PARTITIONS: i32 = 4;
const BATCH: usize = 500;
const PATIENCE: Duration = Duration::from_secs(120);

const FLOW: &str = "orders.flows.orange.example";
const LOCAL: &str = "orders.flows.blue.example";

#[test]
fn every_record_arrives_through_a_kill_of_every_process() {
    let mut seed = Seed::from_env("two participants");
    let mut world = World::start(Ground::Servers, &["orange.example", "blue.example"]);
    create_and_grant(world.orange());
    let producer = found_by_dns_alone(&world);
    let copy = subscribe(world.blue());
    let before = topics(&admin_client(&world.kafkas[0]));
    assert!(before.contains(&copy), "no copy {copy} among {before:?}");

    let source = Arc::new(samples(&mut seed));
    let (client, topic) = producer;
    let producing = Producing::start(client, &topic, source.clone(), BATCH, PATIENCE * 2);
    kill_each_once(&mut world, &copy, &producing);
    producing.finish();

    let blue = admin_client(&world.kafkas[1]);
    let repeats = await_copy(&blue, LOCAL, &source, Duration::from_secs(300));
    assert_eq!(0, repeats, "records came again after a kill");
    unsubscribe_and_look_for_leftovers(&world, &copy);
    let kept = read_topic(&blue, LOCAL).expect("Blue keeps what it has");
    assert_eq!(Ok(repeats), records::compare(&source, &kept));
}

/// The first half, by raw TCP at Orange.
fn create_and_grant(orange: &Participant) {
    let mut session = orange.connect();
    session.expect("220 fnaa.orange.example FNAA");
    authenticate(&mut session);
    session.send(&format!("CREATE FLOW {FLOW} partitions={PARTITIONS}"));
    session.expect(&format!("220 OK {FLOW}"));
    assert!(
        session
            .ok(&format!("GRANT read ON {FLOW} TO anonymous"))
            .data
            .is_empty()
    );
    session.send("QUIT");
    session.expect("220 Bye");
}

/// The second half, by raw TCP at Blue. Returns the copy's name.
fn subscribe(blue: &Participant) -> String {
    let mut session = blue.connect();
    session.expect("220 fnaa.blue.example FNAA");
    authenticate(&mut session);
    session.send(&format!("SUBSCRIBE {FLOW} LOCAL {LOCAL}"));
    session.expect("220 DATA");
    let line = session.line();
    session.expect("220 OK");
    let copy = line
        .strip_prefix(&format!("{LOCAL} SUBSCRIBED TO "))
        .unwrap_or_else(|| panic!("{line}"));
    assert!(copy.ends_with(&format!(".{FLOW}")), "{copy}");
    copy.to_owned()
}

fn authenticate(session: &mut RawFnap) {
    session.send("AUTHENTICATE PLAIN");
    session.expect("220 OK");
    session.send(&plain("test", "test"));
    session.expect("220 Authenticated");
}

/// A client of the broker and the topic to which DNS leads, and nothing else.
fn found_by_dns_alone(world: &World) -> (ClientConfig, String) {
    let found = discovery::find_queue(world.bind(), FLOW).unwrap();
    assert_eq!(Some("kafka"), found.attribute("broker-type"), "{found:?}");
    let topic = found.attribute("queue").expect("TXT has no queue=");
    let client = scram_client(&found.servers.join(","), ADMIN.0, ADMIN.1);
    (client, topic.to_owned())
}

/// Keyed records with headers, no two alike: values up to 600 bytes of anything, a header that
/// comes twice and one without a value.
fn samples(seed: &mut Seed) -> Vec<Sample> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    let start = now - RECORDS as i64;
    (0..RECORDS)
        .map(|number| {
            let customer = seed.below(997);
            let length = seed.below(600) as usize;
            Sample {
                partition: (customer % PARTITIONS as u64) as i32,
                timestamp: start + number as i64,
                key: Some(format!("customer-{customer}").into_bytes()),
                value: Some(seed.bytes(length)),
                headers: vec![
                    ("number".into(), Some(number.to_string().into_bytes())),
                    ("hop".into(), Some(seed.bytes(3))),
                    ("hop".into(), Some(Vec::new())),
                    ("none".into(), None),
                ],
            }
        })
        .collect()
}

/// Each process is killed while records are being written, and comes back. When Blue's processor
/// logs in again, Orange's Kafka has forgotten its user, as Kafkas do that lose their metadata:
/// the participants mend that between themselves.
fn kill_each_once(world: &mut World, copy: &str, producing: &Producing) {
    let step = RECORDS / 10;
    producing.go_on(step);
    kill_processors(world.orange());
    producing.go_on(step);
    let user = copy.split('.').next().unwrap();
    world.kafkas[0].forget_user(user);
    kill_processors(world.blue());
    until("Blue's user to be back", PATIENCE, || {
        let users = world.kafkas[0].users();
        check(users.iter().any(|line| line.contains(user)), || {
            format!("{users:?}")
        })
    });
    producing.go_on(step);
    restart_agent(&mut world.participants[0]);
    producing.go_on(step);
    restart_agent(&mut world.participants[1]);
    producing.go_on(step);
    restart_bind(world);
    producing.go_on(step);
    restart_kafka(world.own_kafka(0));
    producing.go_on(step);
    restart_kafka(world.own_kafka(1));
    producing.go_on(RECORDS - 7 * step);
}

fn kill_processors(participant: &Participant) {
    let before = participant.processors();
    assert!(
        !before.is_empty(),
        "{} runs no processor",
        participant.identity.domain
    );
    for id in &before {
        kill9(*id);
    }
    until("a new processor", PATIENCE, || {
        let now = participant.processors();
        let renewed = !now.is_empty() && now.iter().all(|id| !before.contains(id));
        check(renewed, || format!("{before:?} were killed, {now:?} run"))
    });
}

fn restart_agent(participant: &mut Participant) {
    participant.kill9();
    participant.restart();
}

fn restart_bind(world: &mut World) {
    let bind = world.bind.as_mut().expect("BIND");
    bind.kill9();
    bind.restart();
}

fn restart_kafka(kafka: &mut Kafka) {
    kafka.kill9();
    kafka.restart();
}

/// UNSUBSCRIBE takes back at Orange all that SUBSCRIBE made there.
fn unsubscribe_and_look_for_leftovers(world: &World, copy: &str) {
    let orange = &world.kafkas[0];
    assert_eq!(1, orange.users().len(), "{:?}", orange.users());
    let mut session = world.blue().login();
    session.ok(&format!("UNSUBSCRIBE {LOCAL}"));
    assert!(session.ok("GET SUBSCRIPTIONS").data.is_empty());
    let client = admin_client(orange);
    until("Orange to have nothing left", PATIENCE, || {
        let topics = topics(&client);
        check(!topics.iter().any(|topic| topic == copy), || {
            format!("{topics:?}")
        })?;
        let users = orange.users();
        check(users.is_empty(), || format!("{users:?}"))?;
        let rules = orange.access_rules();
        check(rules.is_empty(), || format!("{rules:?}"))?;
        let names = world.bind().zone("flows.orange.example");
        let left = names.iter().find(|name| name.contains(copy));
        check(left.is_none(), || format!("{left:?}"))?;
        let subscribers = world
            .orange()
            .login()
            .ok(&format!("GET SUBSCRIBERS {FLOW}"));
        check(subscribers.data.is_empty(), || format!("{subscribers:?}"))
    });
    let running = [world.orange().processors(), world.blue().processors()];
    println!("processes after the last subscription ended: {running:?}");
}
