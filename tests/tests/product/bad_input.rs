//! Each wrong input gets a clear error, and loses nothing.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use eson_tests::fnap::{Answer, plain};
use eson_tests::wait::check;
use eson_tests::{Ground, Participant, RawFnap, Seed, World, until};

use crate::events::{Event, read, write};
use crate::stage::{new_flow, on_all_grounds, world};

on_all_grounds!(
    a_flow_hosted_elsewhere,
    an_unknown_flow,
    a_taken_name,
    a_local_flow_that_something_else_feeds,
    no_grant,
    an_event_of_two_megabytes,
    one_bad_event_in_a_batch,
    positions_of_partitions_that_are_not_there,
);

/// What the reply says has to help a person: it names the thing.
fn names(answer: &Answer, thing: &str) {
    assert!(
        answer.status.contains(thing),
        "{thing} is not in {answer:?}"
    );
}

fn created(participant: &Participant, name: &str, options: &str) -> (RawFnap, String) {
    let flow = new_flow(participant, name);
    let mut session = participant.login();
    session.ok(&format!("CREATE FLOW {flow} {options}"));
    (session, flow)
}

fn a_flow_hosted_elsewhere(ground: Ground) {
    let world = world(ground);
    let flow = new_flow(world.blue(), "elsewhere");
    let mut session = world.orange().login();
    let answer = session.refused(&format!("CREATE FLOW {flow}"), "551 [NOTLOCAL]");
    names(&answer, "fnaa.blue.example");
    session.refused(&format!("DESCRIBE FLOW {flow}"), "551 [NOTLOCAL]");
}

fn an_unknown_flow(ground: Ground) {
    let world = world(ground);
    let unknown = new_flow(world.orange(), "unknown");
    let mut orange = world.orange().login();
    for verb in [
        "DESCRIBE FLOW",
        "DELETE FLOW",
        "READ FLOW",
        "WRITE FLOW",
        "GET SUBSCRIBERS",
    ] {
        let answer = orange.refused(&format!("{verb} {unknown}"), "550 [NOTFOUND]");
        names(&answer, &unknown);
    }
    let local = new_flow(world.blue(), "of-unknown");
    let mut blue = world.blue().login();
    let answer = blue.ask(&format!("SUBSCRIBE {unknown} LOCAL {local}"));
    assert_eq!("550 [NOTFOUND]", answer.code(), "{answer:?}");
    until("nothing to be left of it", Duration::from_secs(60), || {
        let left = blue.ok("GET SUBSCRIPTIONS").data;
        let left = left.iter().find(|line| line.contains(&local));
        check(left.is_none(), || format!("{left:?}"))
    });
    blue.refused(&format!("DESCRIBE FLOW {local}"), "550 [NOTFOUND]");
}

fn a_taken_name(ground: Ground) {
    let (mut session, flow) = created(world(ground).orange(), "taken", "partitions=2");
    session.ok(&format!("CREATE FLOW {flow} partitions=2"));
    let answer = session.refused(&format!("CREATE FLOW {flow} partitions=3"), "554 [EXISTS]");
    names(&answer, &flow);
    let described = session.ok(&format!("DESCRIBE FLOW {flow}"));
    assert_eq!(Some("2"), described.attribute("partitions"));
}

fn a_local_flow_that_something_else_feeds(ground: Ground) {
    let world = world(ground);
    let (_, one) = created(world.orange(), "one", "access=public");
    let (_, other) = created(world.orange(), "other", "access=public");
    let local = new_flow(world.blue(), "fed");
    let mut blue = world.blue().login();
    let subscribed = blue.ok(&format!("SUBSCRIBE {one} LOCAL {local}"));
    assert_eq!(
        subscribed,
        blue.ok(&format!("SUBSCRIBE {one} LOCAL {local}"))
    );
    let answer = blue.refused(&format!("SUBSCRIBE {other} LOCAL {local}"), "554 [EXISTS]");
    names(&answer, &one);
}

fn no_grant(ground: Ground) {
    let world = world(ground);
    let (_, flow) = created(world.orange(), "private", "");
    let mut anonymous = world.orange().anonymous();
    for verb in [
        "SUBSCRIBE",
        "READ FLOW",
        "WRITE FLOW",
        "DESCRIBE FLOW",
        "DELETE FLOW",
    ] {
        anonymous.refused(&format!("{verb} {flow}"), "550 [NOTFOUND]");
    }
    let local = new_flow(world.blue(), "of-private");
    let mut blue = world.blue().login();
    blue.refused(&format!("SUBSCRIBE {flow} LOCAL {local}"), "550 [NOTFOUND]");
    let mut orange = world.orange().login();
    orange.ok(&format!("GRANT read ON {flow} TO anonymous"));
    for verb in ["WRITE FLOW", "DELETE FLOW"] {
        anonymous.refused(&format!("{verb} {flow}"), "552 [DENIED]");
    }
    anonymous.ok(&format!("READ FLOW {flow}"));
}

fn an_event_of_two_megabytes(ground: Ground) {
    let (mut session, flow) = created(world(ground).orange(), "large", "");
    let event = Event::numbered(1).with_value(vec![7; 2 << 20]);
    let answer = write(&mut session, &flow, [&Event::numbered(0), &event]);
    assert!(
        matches!(answer.code(), "501 [ARGUMENT]" | "452 [QUOTA]"),
        "{answer:?}"
    );
    assert_eq!(Vec::<Event>::new(), read(&mut session, &flow));
    assert!(write(&mut session, &flow, [&Event::numbered(2)]).is_ok());
    assert_eq!([Event::numbered(2)], *read(&mut session, &flow));
}

fn one_bad_event_in_a_batch(ground: Ground) {
    let (mut session, flow) = created(world(ground).orange(), "batch", "");
    let good = Event::numbered(0).line();
    let command = format!("WRITE FLOW {flow} format=record");
    let answer = session.write_flow(&command, [good.as_str(), "{\"value\":", good.as_str()]);
    assert_eq!("501 [ARGUMENT]", answer.code(), "{answer:?}");
    names(&answer, "line 2");
    assert_eq!(Vec::<Event>::new(), read(&mut session, &flow));
}

#[test]
fn a_name_that_is_too_long() {
    let orange = world(Ground::Embedded).orange();
    let mut session = orange.login();
    let label = "a".repeat(63);
    let long = [label.as_str(); 4].join(".");
    for name in [
        format!("{long}.{}", orange.identity.namespace()),
        "b".repeat(64),
        "a_b".into(),
    ] {
        let answer = session.ask(&format!("CREATE FLOW {name}"));
        assert!(
            matches!(answer.code(), "553 [NAME]" | "501 [ARGUMENT]"),
            "{answer:?}"
        );
    }
    session.ok("NOOP");
}

#[test]
fn a_wrong_password() {
    let orange = world(Ground::Embedded).orange();
    let wrong = RawFnap::try_login(orange.identity.fnap, "alice", "guess").unwrap_err();
    assert!(wrong.starts_with("535 [CREDENTIALS] "), "{wrong}");
    let unknown = RawFnap::try_login(orange.identity.fnap, "nobody", "guess").unwrap_err();
    assert_eq!(
        wrong, unknown,
        "an unknown user must look like a wrong password"
    );
    let mut session = orange.connect();
    session.line();
    for response in ["*", "!!!", "AHRlc3Q=", &plain("", ""), &plain("test", "")] {
        session.send("AUTHENTICATE PLAIN");
        session.expect("220 OK");
        session.send(response);
        let refused = session.line();
        assert!(
            refused.starts_with('5') || refused.starts_with('4'),
            "{refused}"
        );
    }
    session.refused("WHOAMI", "530 [AUTH]");
    let log = orange.log();
    assert!(
        !log.contains("guess") && !log.contains(&plain("alice", "guess")),
        "a secret is logged"
    );
}

#[test]
fn a_line_of_ten_megabytes() {
    let mut session = world(Ground::Embedded).orange().login();
    session.send_bytes(&vec![b'A'; 10 << 20]);
    session.send("");
    assert!(session.line().starts_with("500 [SYNTAX] "));
    session.ok("NOOP");
}

#[test]
fn binary_junk() {
    let mut seed = Seed::from_env("binary junk");
    let orange = world(Ground::Embedded).orange();
    let mut user = orange.login();
    for _ in 0..50 {
        let mut junk = orange.connect();
        let length = seed.below(20_000) as usize;
        junk.send_bytes(&seed.bytes(length));
        drop(junk);
    }
    let mut session = orange.login();
    for _ in 0..19 {
        session.send_bytes(b"\xff\x00\xfe\r\n");
        assert!(session.line().starts_with("500 [SYNTAX] "));
    }
    session.ok("NOOP");
    for _ in 0..20 {
        session.send_bytes(b"\x00\xff\r\n");
    }
    let mut last = String::new();
    while let Ok(line) = session.try_line() {
        last = line;
    }
    assert!(last.starts_with("421 "), "{last}");
    user.ok("NOOP");
}

#[test]
fn half_a_command_and_a_closed_socket() {
    let orange = world(Ground::Embedded).orange();
    let flow = new_flow(orange, "half");
    let mut session = orange.login();
    session.send_bytes(format!("CREATE FLOW {flow}").as_bytes());
    drop(session);
    let (mut other, written) = created(orange, "half-written", "");
    other.send(&format!("WRITE FLOW {written} format=record"));
    other.line();
    other.send(&Event::numbered(1).line());
    drop(other);
    let mut session = orange.login();
    session.refused(&format!("DESCRIBE FLOW {flow}"), "550 [NOTFOUND]");
    assert_eq!(Vec::<Event>::new(), read(&mut session, &written));
}

#[test]
fn commands_smuggled_behind_a_login_close_the_session() {
    let orange = world(Ground::Embedded).orange();
    let mut session = orange.connect();
    session.line();
    session.send_bytes(b"AUTHENTICATE PLAIN\r\nAHRlc3QAdGVzdA==\r\nWHOAMI\r\n");
    let first = session.line();
    assert!(first.starts_with("421 ") || first == "220 OK", "{first}");
    until(
        "the end of the session",
        Duration::from_secs(30),
        || match session.try_line() {
            Err(_) => Ok(()),
            Ok(line) if line.starts_with("421 ") => Ok(()),
            Ok(line) => panic!("answered {line}"),
        },
    );
}

/// A stranger can have nothing stored by naming what there is not.
fn positions_of_partitions_that_are_not_there(ground: Ground) {
    let orange = world(ground).orange();
    let (mut owner, flow) = created(orange, "short", "access=public partitions=2");
    let mut stranger = orange.anonymous();
    let id = "0123456789abcdef";
    let subscribe = format!("SUBSCRIBE {flow} id={id}");
    let answer = stranger.ok(&format!("{subscribe} position=2-1,7-1"));
    let label = answer.data[0].split('.').next().unwrap().to_owned();
    stranger.ok(&format!("{subscribe} position=0-0,2-1,3-1,4294967295-1"));
    let described = owner.ok(&format!("DESCRIBE SUBSCRIBER {flow} {label}"));
    let acknowledged = described.attribute("acknowledged");
    assert_eq!(acknowledged, Some("0-0"), "{described:?}");
    stranger.ok(&format!("UNSUBSCRIBE {flow} id={id}"));
}

/// Who never pauses is no better off than who says nothing.
#[test]
fn who_talks_without_end_has_to_authenticate_too() {
    let short = |text: String| text + "limits:\n  unauthenticated-time: 1s\n";
    let world = World::beside_others(Ground::Embedded, &["busy.example"], &short);
    let stream = TcpStream::connect(world.orange().identity.fnap).unwrap();
    let mut talking = stream.try_clone().unwrap();
    let talker = thread::spawn(move || {
        let many = "NOOP\r\n".repeat(1000);
        while talking.write_all(many.as_bytes()).is_ok() {}
    });
    let mut answers = BufReader::new(stream).lines().skip(1);
    until("the session to be closed", Duration::from_secs(30), || {
        let next = answers.by_ref().take(10_000);
        // Its last words may be lost with the connection.
        let is_answer = |line: io::Result<String>| line.is_ok_and(|line| line == "220 OK");
        let answered = next.map_while(|line| is_answer(line).then_some(())).count();
        check(answered < 10_000, || "it goes on".to_owned())
    });
    drop(answers);
    talker.join().unwrap();
}

/// However many ask at the same moment.
#[test]
fn nobody_has_more_subscriptions_than_he_may() {
    const MOST: usize = 3;
    let few = |text: String| text.replace("per-peer: 1000", &format!("per-peer: {MOST}"));
    let world = World::beside_others(Ground::Embedded, &["sparing.example"], &few);
    let orange = world.orange();
    let flow = orange.identity.flow("wanted");
    orange
        .login()
        .ok(&format!("CREATE FLOW {flow} access=public"));
    let sessions: Vec<RawFnap> = (0..16).map(|_| orange.login()).collect();
    let answers: Vec<Answer> = thread::scope(|scope| {
        let ask = |(number, mut session): (usize, RawFnap)| {
            let command = format!("SUBSCRIBE {flow} id={number}");
            scope.spawn(move || session.ask(&command))
        };
        let asking: Vec<_> = sessions.into_iter().enumerate().map(ask).collect();
        let joined = asking.into_iter().map(|it| it.join().expect("no panic"));
        joined.collect()
    });
    let (granted, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.is_ok());
    assert_eq!(MOST, granted.len(), "{granted:?}");
    assert!(
        refused.iter().all(|it| it.code() == "452 [QUOTA]"),
        "{refused:?}"
    );
}
