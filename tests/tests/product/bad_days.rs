//! Servers that are away, full or taken: each is told clearly, nothing that was promised is lost.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use eson_tests::process::signal;
use eson_tests::records::{admin_client, noise, topics};
use eson_tests::wait::check;
use eson_tests::{Ground, Participant, RawFnap, World, until};

use crate::events::{Event, await_numbered, read, write, write_numbered};
use crate::stage::on_all_grounds;

const PATIENCE: Duration = Duration::from_secs(120);

fn await_flow(session: &mut RawFnap, flow: &str) {
    until(&format!("{flow} to be ready"), PATIENCE, || {
        let answer = session.ask(&format!("CREATE FLOW {flow}"));
        check(answer.is_ok(), || format!("{answer:?}"))
    });
}

on_all_grounds!(
    a_network_cut_for_longer_than_a_lease,
    a_network_cut_for_longer_than_a_copy_is_kept,
);

/// For Orange, a subscriber that stands still is one that the network has cut off.
fn a_network_cut_for_longer_than_a_lease(ground: Ground) {
    let short = |text: String| text.replace("subscriptions:", "subscriptions:\n  lease: 2s");
    let world = World::beside_others(ground, &["steady.example", "cut-off.example"], &short);
    let (flow, local) = (
        world.orange().identity.flow("source"),
        world.blue().identity.flow("far"),
    );
    let mut owner = world.orange().login();
    owner.ok(&format!("CREATE FLOW {flow} access=public"));
    world
        .blue()
        .login()
        .ok(&format!("SUBSCRIBE {flow} LOCAL {local}"));
    write_numbered(&mut owner, &flow, 0..50);
    await_numbered(&mut world.blue().login(), &local, 0..50);
    freeze(world.blue(), "STOP");
    await_subscriber(&mut owner, &flow, "lapsed");
    write_numbered(&mut owner, &flow, 50..100);
    freeze(world.blue(), "CONT");
    await_subscriber(&mut owner, &flow, "active");
    await_numbered(&mut world.blue().login(), &local, 0..100);
    write_numbered(&mut owner, &flow, 100..150);
    await_numbered(&mut world.blue().login(), &local, 0..150);
}

/// The copy goes, and where its subscriber was is kept.
fn a_network_cut_for_longer_than_a_copy_is_kept(ground: Ground) {
    let short = |text: String| {
        let short = "subscriptions:\n  lease: 2s\n  lapse-keep: 1s";
        text.replace("subscriptions:", short)
    };
    let world = World::beside_others(ground, &["patient.example", "long-gone.example"], &short);
    let flow = world.orange().identity.flow("source");
    let local = world.blue().identity.flow("far");
    let mut owner = world.orange().login();
    owner.ok(&format!("CREATE FLOW {flow} access=public"));
    let mut blue = world.blue().login();
    let answer = blue.ok(&format!("SUBSCRIBE {flow} LOCAL {local} from=latest"));
    let copy = answer.data[0].rsplit(' ').next().unwrap().to_owned();
    write_numbered(&mut owner, &flow, 0..50);
    await_numbered(&mut blue, &local, 0..50);
    let describe = format!("DESCRIBE SUBSCRIBER {flow} {copy}");
    until("the subscriber to have told its position", PATIENCE, || {
        let described = owner.ok(&describe);
        check(described.attribute("acknowledged").is_some(), || {
            format!("{described:?}")
        })
    });
    freeze(world.blue(), "STOP");
    await_subscriber(&mut owner, &flow, "expired");
    write_numbered(&mut owner, &flow, 50..100);
    if ground == Ground::Servers {
        let client = admin_client(&world.kafkas[0]);
        until("the copy to be gone", PATIENCE, || {
            let topics = topics(&client);
            check(!topics.contains(&copy), || format!("{topics:?}"))
        });
    }
    freeze(world.blue(), "CONT");
    await_subscriber(&mut owner, &flow, "active");
    await_numbered(&mut world.blue().login(), &local, 0..100);
    until("the subscription to be told", PATIENCE, || {
        let described = world
            .blue()
            .login()
            .ok(&format!("DESCRIBE SUBSCRIPTION {local}"));
        let notice = described.attribute("notice").unwrap_or_default();
        check(notice.contains("a new one goes on from 0-50"), || {
            format!("{described:?}")
        })
    });
}

/// What the flow itself does not have any more is counted.
#[test]
fn a_network_cut_for_longer_than_anything_is_kept() {
    let short = |text: String| {
        let short = "subscriptions:\n  lease: 2s\n  lapse-keep: 1s";
        text.replace("subscriptions:", short)
    };
    let domains = ["forgetful.example", "lost.example"];
    let world = World::beside_others(Ground::Embedded, &domains, &short);
    let flow = world.orange().identity.flow("source");
    let local = world.blue().identity.flow("far");
    let mut owner = world.orange().login();
    owner.ok(&format!("CREATE FLOW {flow} access=public"));
    let mut blue = world.blue().login();
    let answer = blue.ok(&format!("SUBSCRIBE {flow} LOCAL {local}"));
    let copy = answer.data[0].rsplit(' ').next().unwrap().to_owned();
    write_numbered(&mut owner, &flow, 0..50);
    await_numbered(&mut blue, &local, 0..50);
    let describe = format!("DESCRIBE SUBSCRIBER {flow} {copy}");
    until("the subscriber to have told its position", PATIENCE, || {
        let described = owner.ok(&describe);
        let told = described.attribute("acknowledged") == Some("0-50");
        check(told, || format!("{described:?}"))
    });
    freeze(world.blue(), "STOP");
    await_subscriber(&mut owner, &flow, "expired");
    write_numbered(&mut owner, &flow, 50..80);
    owner.ok(&format!("UPDATE FLOW {flow} retention=1ms"));
    until("the flow to forget", PATIENCE, || {
        let left = read(&mut owner, &flow).len();
        check(left == 0, || format!("{left} are left"))
    });
    freeze(world.blue(), "CONT");
    await_subscriber(&mut owner, &flow, "active");
    for (session, command) in [
        (&mut owner, describe),
        (
            &mut world.blue().login(),
            format!("DESCRIBE SUBSCRIPTION {local}"),
        ),
    ] {
        until("the gap to be told", PATIENCE, || {
            let described = session.ok(&command);
            let notice = described.attribute("notice").unwrap_or_default();
            let told = notice.contains("30 events from there on are gone");
            check(told, || format!("{described:?}"))
        });
    }
}

/// Sends the signal to the agent and its processors.
fn freeze(participant: &Participant, name: &str) {
    participant.signal(name);
    for id in participant.processors() {
        signal(id, name);
    }
}

fn await_subscriber(owner: &mut RawFnap, flow: &str, state: &str) {
    until(&format!("the subscriber to be {state}"), PATIENCE, || {
        let listed = owner.ok(&format!("GET SUBSCRIBERS {flow}")).data;
        let one = listed.len() == 1 && listed[0].contains(&format!("state={state}"));
        check(one, || format!("{listed:?}"))
    });
}

#[test]
fn the_broker_is_down() {
    let mut world = World::start(Ground::Servers, &["orange.example"]);
    let flow = world.orange().identity.flow("later");
    let mut session = world.orange().login();
    let before = world.orange().identity.flow("before");
    session.ok(&format!("CREATE FLOW {before} access=public"));
    let mut stranger = world.orange().anonymous();
    world.own_kafka(0).kill9();
    stranger.send(&format!("SUBSCRIBE {before} id=one"));
    let answer = session.refused(&format!("CREATE FLOW {flow}"), "451 [BACKEND]");
    assert!(answer.status.contains(&flow), "{answer:?}");
    let told = stranger.answer().expect("an answer");
    assert_eq!(
        told.status,
        format!("451 [BACKEND] {before} can't be served now; whoever runs it is told why")
    );
    let (code, checks) = world.orange().web("/readyz").unwrap();
    assert_eq!(503, code, "{checks}");
    world.own_kafka(0).restart();
    await_flow(&mut session, &flow);
    assert!(topics(&admin_client(&world.kafkas[0])).contains(&flow));
    write_numbered(&mut session, &flow, 0..10);
    await_numbered(&mut session, &flow, 0..10);
}

/// Whoever forgets a line of the manual is told who lacks what, and has nothing else to mend.
#[test]
fn the_broker_allows_too_little() {
    let world = World::start(Ground::Servers, &["frugal.example"]);
    let [flow, later] = ["existing", "later"].map(|name| world.orange().identity.flow(name));
    let mut owner = world.orange().login();
    owner.ok(&format!("CREATE FLOW {flow}"));
    let users = "--allow-principal User:fnaad --cluster --operation Alter";
    let topics = "--allow-principal User:fnaad --topic * --operation All";

    world.kafkas[0].change_access(&format!("--remove --force {users}"));
    let subscribe = format!("SUBSCRIBE {flow} id=one");
    let refused = owner.refused(&subscribe, "451 [BACKEND]").status;
    assert!(is_refused(&refused, "cluster"), "{refused}");
    assert!(refused.contains("needs ALTER permission"), "{refused}");
    world.kafkas[0].change_access(&format!("--add {users}"));
    await_ok(&mut owner, &subscribe);

    world.kafkas[0].change_access(&format!("--remove --force {topics}"));
    let unread = owner.refused(&format!("READ FLOW {flow}"), "451 [BACKEND]");
    assert!(is_refused(&unread.status, &flow), "{unread:?}");
    let create = format!("CREATE FLOW {later}");
    let refused = owner.refused(&create, "451 [BACKEND]").status;
    assert!(is_refused(&refused, &later), "{refused}");
    let described = owner.ok(&format!("DESCRIBE FLOW {later}"));
    let told = |line: &String| is_refused(line, &later);
    assert!(described.data.iter().any(told), "{described:?}");
    world.kafkas[0].change_access(&format!("--add {topics}"));
    await_ok(&mut owner, &create);
}

/// The brokers of Kafka learn of a rule some time after the tool has written it.
fn await_ok(session: &mut RawFnap, command: &str) {
    until(&format!("{command} to be done"), PATIENCE, || {
        let answer = session.ask(command);
        check(answer.is_ok(), || format!("{answer:?}"))
    });
}

fn is_refused(text: &str, subject: &str) -> bool {
    text.contains(&format!("not allowed on `{subject}`: broker "))
        && text.contains("refuses user `fnaad`")
}

#[test]
fn the_name_server_is_down() {
    let mut world = World::beside_others(Ground::Servers, &["nameless.example"], &|text| text);
    let flow = world.orange().identity.flow("later");
    let mut session = world.orange().login();
    world.bind.as_mut().expect("BIND").kill9();
    let answer = session.refused(&format!("CREATE FLOW {flow}"), "451 [BACKEND]");
    assert!(answer.status.contains(&flow), "{answer:?}");
    world.bind.as_mut().expect("BIND").restart();
    await_flow(&mut session, &flow);
    let pointer = world.bind().query(&flow, "PTR");
    assert_eq!([format!("_flow._tcp.{flow}.")], *pointer);
}

#[test]
fn the_name_server_refuses_the_key() {
    let world = World::beside_others(Ground::Servers, &["keyless.example"], &|text| text);
    let key = world.bind().key_file();
    let right = std::fs::read_to_string(&key).unwrap();
    let wrong = right.replace("secret \"", "secret \"AAAA");
    assert_ne!(right, wrong);
    std::fs::write(&key, wrong).unwrap();
    let mut world = world;
    world.participants[0].kill9();
    world.participants[0].restart();
    let flow = world.orange().identity.flow("refused");
    let mut session = world.orange().login();
    let answer = session.ask(&format!("CREATE FLOW {flow}"));
    assert!(!answer.is_ok(), "{answer:?}");
    assert!(answer.status.to_lowercase().contains("key"), "{answer:?}");
}

/// SUBSCRIBE is kept as pending, and is made when the publisher is back.
#[test]
fn the_remote_agent_is_down_in_mid_subscribe() {
    let domains = ["away.example", "patient.example"];
    let mut world = World::beside_others(Ground::Embedded, &domains, &|text| text);
    let flow = world.orange().identity.flow("source");
    let local = world.blue().identity.flow("received");
    let mut owner = world.orange().login();
    owner.ok(&format!("CREATE FLOW {flow} access=public"));
    write_numbered(&mut owner, &flow, 0..10);
    world.orange().signal("STOP");
    let mut session = world.blue().login();
    let answer = session.refused(&format!("SUBSCRIBE {flow} LOCAL {local}"), "451 [BACKEND]");
    assert!(answer.status.contains("pending"), "{answer:?}");
    world.participants[0].kill9();
    world.participants[0].restart();
    until("the subscription to be active", PATIENCE, || {
        let described = session.ok(&format!("DESCRIBE SUBSCRIPTION {local}"));
        check(described.attribute("state") == Some("active"), || {
            format!("{described:?}")
        })
    });
    await_numbered(&mut session, &local, 0..10);
}

/// Files that may not grow are how a full disk looks to a program.
#[test]
fn the_disk_is_full() {
    let mut world = World::beside_others(Ground::Embedded, &["full.example"], &|text| text);
    let orange = &mut world.participants[0];
    let namespace = orange.identity.namespace();
    orange.terminate();
    let sizes = fs::read_dir(orange.state_dir())
        .unwrap()
        .map(|file| file.unwrap().metadata());
    let largest = sizes
        .map(|file| file.unwrap().len())
        .max()
        .expect("a state file");
    orange.restart_with_files_up_to((largest >> 10) + 32);
    let mut session = orange.login();
    let mut kept = Vec::new();
    let refused = (0..20_000).find_map(|number| {
        let flow = format!("{}-{number}.{namespace}", "long".repeat(12));
        let answer = session.ask(&format!("CREATE FLOW {flow}"));
        if answer.is_ok() {
            kept.push(flow);
            return None;
        }
        Some(answer)
    });
    let refused = refused.expect("the disk never got full");
    assert!(
        matches!(refused.code(), "451 [BACKEND]" | "452 [QUOTA]"),
        "{refused:?}"
    );
    session.ok("NOOP");
    orange.kill9();
    orange.restart();
    let listed = orange.login().ok("GET FLOWS").data;
    for flow in &kept {
        assert!(listed.contains(flow), "{flow} was acknowledged and is lost");
    }
    orange.login().ok(&format!("CREATE FLOW after.{namespace}"));
}

#[test]
fn a_second_server_on_the_same_state() {
    let world = World::beside_others(Ground::Embedded, &["twice.example"], &|text| text);
    let orange = world.orange();
    let done = orange.command().stdin(Stdio::null()).output().unwrap();
    assert!(!done.status.success());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let state = orange.state_dir().display().to_string();
    assert!(said.contains(&state), "{said}");
    orange.login().ok("NOOP");
}

#[test]
fn termination_is_clean_and_nothing_is_lost() {
    let mut world = World::beside_others(Ground::Embedded, &["calm.example"], &|text| text);
    let flow = world.orange().identity.flow("kept");
    let mut session = world.orange().login();
    session.ok(&format!("CREATE FLOW {flow}"));
    write_numbered(&mut session, &flow, 0..10);
    let orange = &mut world.participants[0];
    let status = orange.terminate();
    assert_eq!(Some(0), status.code());
    assert!(orange.processors().is_empty());
    orange.restart();
    await_numbered(&mut orange.login(), &flow, 0..10);
}

/// Neither what has to wait for a broker, nor a client that does not read.
#[test]
fn nobody_holds_up_an_end() {
    let mut world = World::start(Ground::Servers, &["brisk.example"]);
    let [large, later] = ["large", "later"].map(|name| world.orange().identity.flow(name));
    let mut session = world.orange().login();
    session.ok(&format!("CREATE FLOW {large}"));
    let event = Event::numbered(0).with_value(noise(900_000));
    for _ in 0..5 {
        assert!(write(&mut session, &large, &vec![event.clone(); 8]).is_ok());
    }
    let mut deaf = world.orange().login();
    deaf.send(&format!("READ FLOW {large} from=earliest format=record"));
    deaf.expect("220 DATA");
    world.kafkas[0].freeze();
    let mut waiting = world.orange().login();
    waiting.send(&format!("CREATE FLOW {later}"));
    until("it to be under way", PATIENCE, || {
        let flows = session.ok("GET FLOWS").data;
        check(flows.contains(&later), || format!("{flows:?}"))
    });
    let orange = &mut world.participants[0];
    assert_eq!(Some(0), orange.terminate().code());
    assert!(orange.processors().is_empty());
    let told = waiting.line();
    assert!(told.starts_with("421 "), "{told}");
    orange.restart();
    world.kafkas[0].thaw();
    await_flow(&mut world.orange().login(), &later);
}
