//! Rights that are taken away, and flows that go, under processors that need them.

use std::fs;
use std::thread;
use std::time::Duration;

use eson_tests::fnap::Answer;
use eson_tests::participant::{OTHER_USER, Participant};
use eson_tests::wait::check;
use eson_tests::{Ground, RawFnap, World, until};

use crate::events::{await_numbered, write_numbered};
use crate::stage::{new_flow, on_all_grounds, world};

const PATIENCE: Duration = Duration::from_secs(60);
const ROUNDS: usize = 12;

on_all_grounds!(
    a_processor_stops_when_its_owner_loses_a_right,
    a_signal_goes_on_when_a_right_is_given_back,
    a_subscription_stops_when_its_owner_loses_a_right,
    deleting_a_flow_races_updating_a_processor,
    who_follows_a_flow_is_told_that_his_right_is_gone,
    a_signal_makes_no_flow_where_its_owner_may_make_none,
    rights_on_a_namespace_go_with_it,
    revoking_a_right_races_subscribing,
);

fn a_processor_stops_when_its_owner_loses_a_right(ground: Ground) {
    let orange = world(ground).orange();
    let mut owner = orange.login();
    let grantee = format!("{}@{}", OTHER_USER.0, orange.identity.domain);
    let [one, two, three] = lent(orange, &mut owner);
    let rights = [("read", &one), ("write", &two), ("write", &three)];
    for (right, flow) in rights {
        owner.ok(&format!("GRANT {right} ON {flow} TO {grantee}"));
    }
    let mut user = RawFnap::login(orange.identity.fnap, OTHER_USER.0, OTHER_USER.1);
    let name = new_flow(orange, "borrowing");
    user.ok(&format!(
        "CREATE PROCESSOR {name} type=distributor from={one} to={two},{three}"
    ));
    write_numbered(&mut owner, &one, 0..20);
    await_numbered(&mut owner, &two, 0..20);
    await_numbered(&mut owner, &three, 0..20);

    owner.ok(&format!("REVOKE write ON {two} FROM {grantee}"));
    await_failed(&mut user, &name, &format!("no write right on {two}"));
    write_numbered(&mut owner, &one, 20..40);
    await_numbered(&mut owner, &three, 0..40);
    await_numbered(&mut owner, &two, 0..20);
    user.refused(&format!("RESUME PROCESSOR {name}"), "552 [DENIED]");
    owner.ok(&format!("REVOKE read ON {one} FROM {grantee}"));
    await_failed(&mut user, &name, "right on");
    write_numbered(&mut owner, &one, 40..60);
    for (right, flow) in rights {
        owner.ok(&format!("GRANT {right} ON {flow} TO {grantee}"));
    }
    await_numbered(&mut owner, &two, 0..60);
    await_numbered(&mut owner, &three, 0..60);
    let described = user.ok(&format!("DESCRIBE PROCESSOR {name}"));
    assert_eq!(None, described.attribute("failure"), "{described:?}");
    user.ok(&format!("DELETE PROCESSOR {name}"));
}

fn a_signal_goes_on_when_a_right_is_given_back(ground: Ground) {
    let orange = world(ground).orange();
    let mut owner = orange.login();
    let grantee = format!("{}@{}", OTHER_USER.0, orange.identity.domain);
    let [from, to] = lent(orange, &mut owner);
    let rights = [("read", &from), ("write", &to)];
    for (right, flow) in rights {
        owner.ok(&format!("GRANT {right} ON {flow} TO {grantee}"));
    }
    let mut user = RawFnap::login(orange.identity.fnap, OTHER_USER.0, OTHER_USER.1);
    let name = new_flow(orange, "borrowing");
    let letters = format!("dlq.{name}");
    owner.ok(&format!("CREATE FLOW {letters}"));
    owner.ok(&format!("GRANT write ON {letters} TO {grantee}"));
    user.ok(&format!(
        "CREATE PROCESSOR {name} type=signal from={from} to={to} program=."
    ));
    let rights = [rights[0], rights[1], ("write", &letters)];
    let mut written = 0;
    for (right, flow) in rights {
        write_numbered(&mut owner, &from, written..written + 20);
        written += 20;
        await_numbered(&mut owner, &to, 0..written);
        owner.ok(&format!("REVOKE {right} ON {flow} FROM {grantee}"));
        await_failed(&mut user, &name, &format!("no {right} right on {flow}"));
        write_numbered(&mut owner, &from, written..written + 20);
        await_numbered(&mut owner, &to, 0..written);
        written += 20;
        owner.ok(&format!("GRANT {right} ON {flow} TO {grantee}"));
        await_numbered(&mut owner, &to, 0..written);
    }
    let described = user.ok(&format!("DESCRIBE PROCESSOR {name}"));
    assert_eq!(None, described.attribute("failure"), "{described:?}");
    user.ok(&format!("DELETE PROCESSOR {name}"));
}

fn a_signal_makes_no_flow_where_its_owner_may_make_none(ground: Ground) {
    let orange = world(ground).orange();
    let mut owner = orange.login();
    let grantee = format!("{}@{}", OTHER_USER.0, orange.identity.domain);
    let [from, to] = lent(orange, &mut owner);
    let child = new_flow(orange, "team");
    owner.ok(&format!("CREATE NAMESPACE {child}"));
    owner.ok(&format!("GRANT read ON {from} TO {grantee}"));
    owner.ok(&format!("GRANT write ON {to} TO {grantee}"));
    let mut user = RawFnap::login(orange.identity.fnap, OTHER_USER.0, OTHER_USER.1);
    let label = child.split('.').next().unwrap();
    for name in [format!("forbidden.{label}"), new_flow(orange, "forbidden")] {
        let command = format!("CREATE PROCESSOR {name} type=signal from={from} to={to} program=.");
        let refused = user.refused(&command, "552 [DENIED]");
        assert!(
            refused.status.contains("GRANT write ON dlq."),
            "{refused:?}"
        );
        let flows = owner.ok("GET FLOWS").data;
        let letters = format!("dlq.{name}");
        assert!(
            !flows.iter().any(|flow| flow.starts_with(&letters)),
            "{flows:?}"
        );
        user.refused(&format!("DESCRIBE PROCESSOR {name}"), "550 [NOTFOUND]");
    }
    owner.ok(&format!("DELETE NAMESPACE {child}"));
}

/// What was granted on a namespace says nothing of the next one of its name.
fn rights_on_a_namespace_go_with_it(ground: Ground) {
    let orange = world(ground).orange();
    let mut owner = orange.login();
    let grantee = format!("{}@{}", OTHER_USER.0, orange.identity.domain);
    let namespace = new_flow(orange, "team");
    owner.ok(&format!("CREATE NAMESPACE {namespace}"));
    owner.ok(&format!("GRANT admin ON {namespace} TO {grantee}"));
    owner.ok(&format!("DELETE NAMESPACE {namespace}"));
    owner.ok(&format!("CREATE NAMESPACE {namespace}"));
    let flow = format!("secret.{namespace}");
    owner.ok(&format!("CREATE FLOW {flow}"));
    let mut user = RawFnap::login(orange.identity.fnap, OTHER_USER.0, OTHER_USER.1);
    user.refused(&format!("READ FLOW {flow}"), "550 [NOTFOUND]");
    user.refused(&format!("DELETE FLOW {flow}"), "550 [NOTFOUND]");
    let grants = owner.ok(&format!("GET GRANTS {namespace}")).data;
    assert_eq!(grants, [""; 0]);
    owner.ok(&format!("DELETE FLOW {flow}"));
    owner.ok(&format!("DELETE NAMESPACE {namespace}"));
}

fn a_subscription_stops_when_its_owner_loses_a_right(ground: Ground) {
    let world = world(ground);
    let flow = new_flow(world.orange(), "lent");
    let mut orange = world.orange().login();
    orange.ok(&format!("CREATE FLOW {flow} access=public"));
    let blue = world.blue();
    let local = new_flow(blue, "borrowed");
    let mut owner = blue.login();
    let grantee = format!("{}@{}", OTHER_USER.0, blue.identity.domain);
    owner.ok(&format!("CREATE FLOW {local}"));
    owner.ok(&format!("GRANT write ON {local} TO {grantee}"));
    let mut user = RawFnap::login(blue.identity.fnap, OTHER_USER.0, OTHER_USER.1);
    user.ok(&format!("SUBSCRIBE {flow} LOCAL {local}"));
    write_numbered(&mut orange, &flow, 0..20);
    await_numbered(&mut owner, &local, 0..20);
    owner.ok(&format!("REVOKE write ON {local} FROM {grantee}"));
    let describe = format!("DESCRIBE SUBSCRIPTION {local}");
    until("the subscription to be stopped", PATIENCE, || {
        let described = user.ok(&describe);
        let error = described.attribute("error").unwrap_or_default();
        let stopped = described.attribute("processor-state") == Some("paused");
        let named = error.contains("no write right");
        check(stopped && named, || format!("{described:?}"))
    });
    write_numbered(&mut orange, &flow, 20..40);
    await_numbered(&mut owner, &local, 0..20);
    owner.ok(&format!("GRANT write ON {local} TO {grantee}"));
    await_numbered(&mut owner, &local, 0..40);
}

/// New flows for somebody else to use.
fn lent<const FLOWS: usize>(orange: &Participant, owner: &mut RawFnap) -> [String; FLOWS] {
    [(); FLOWS].map(|()| {
        let flow = new_flow(orange, "lent");
        owner.ok(&format!("CREATE FLOW {flow}"));
        flow
    })
}

fn await_failed(user: &mut RawFnap, processor: &str, why: &str) {
    until(&format!("{processor} to be stopped"), PATIENCE, || {
        let described = user.ok(&format!("DESCRIBE PROCESSOR {processor}"));
        let failure = described.attribute("failure").unwrap_or_default();
        let failed = described.attribute("processor-state") == Some("failed");
        check(failed && failure.contains(why), || format!("{described:?}"))
    });
}

/// Whoever comes first: a flow that is gone is in no processor.
fn deleting_a_flow_races_updating_a_processor(ground: Ground) {
    let orange = world(ground).orange();
    let mut session = orange.login();
    let new = |session: &mut RawFnap| {
        let flow = new_flow(orange, "raced");
        session.ok(&format!("CREATE FLOW {flow}"));
        flow
    };
    let (stays, all) = (new(&mut session), new(&mut session));
    let name = new_flow(orange, "racing");
    session.ok(&format!(
        "CREATE PROCESSOR {name} type=collector from={stays} to={all}"
    ));
    for _ in 0..ROUNDS {
        let goes = new(&mut session);
        let update = format!("UPDATE PROCESSOR {name} from={stays},{goes}");
        let delete = format!("DELETE FLOW {goes}");
        let (updated, deleted) = both(&mut orange.login(), &update, &mut orange.login(), &delete);
        assert!(deleted.is_ok(), "{deleted:?}");
        let code = updated.code();
        let known = ["220", "450 [BUSY]", "550 [NOTFOUND]"].contains(&code);
        assert!(known, "{updated:?}");
        let described = session.ok(&format!("DESCRIBE PROCESSOR {name}"));
        let sources: Vec<_> = described.attributes("from").collect();
        assert_eq!(sources, [&stays], "{updated:?}, then {described:?}");
    }
    write_numbered(&mut session, &stays, 0..10);
    until("the collector to go on", PATIENCE, || {
        let described = session.ok(&format!("DESCRIBE PROCESSOR {name}"));
        let done = described.attribute("records") == Some("10");
        check(done, || format!("{described:?}"))
    });
    session.ok(&format!("DELETE PROCESSOR {name}"));
}

/// Two commands at the same moment.
fn both(one: &mut RawFnap, first: &str, other: &mut RawFnap, second: &str) -> (Answer, Answer) {
    thread::scope(|scope| {
        let first = scope.spawn(|| one.ask(first));
        let second = other.ask(second);
        (first.join().expect("no panic"), second)
    })
}

/// Whoever comes first: who may not read has nothing to read with.
fn revoking_a_right_races_subscribing(ground: Ground) {
    let world = world(ground);
    let orange = world.orange();
    let mut owner = orange.login();
    let grantee = format!("{}@{}", OTHER_USER.0, orange.identity.domain);
    let mut user = RawFnap::login(orange.identity.fnap, OTHER_USER.0, OTHER_USER.1);
    user.ok("ENABLE ATTRIBUTES");
    let mut subscribers = Vec::new();
    for round in 0..ROUNDS {
        let [flow] = lent(orange, &mut owner);
        owner.ok(&format!("GRANT read ON {flow} TO {grantee}"));
        let answer = thread::scope(|scope| {
            let answer = scope.spawn(|| user.ask(&format!("SUBSCRIBE {flow} id=hers")));
            // Each round comes later than the one before.
            for _ in 0..round * round {
                owner.ok(&format!("DESCRIBE FLOW {flow}"));
            }
            owner.ok(&format!("REVOKE read ON {flow} FROM {grantee}"));
            answer.join().expect("no panic")
        });
        let code = answer.code();
        let known = ["220", "550 [NOTFOUND]", "557 [REVOKED]"].contains(&code);
        assert!(known, "{answer:?}");
        let left = owner.ok(&format!("GET SUBSCRIBERS {flow}")).data;
        for line in &left {
            assert!(line.contains("state=revoked"), "{line}, of {answer:?}");
            subscribers.push(line.split(' ').next().unwrap().to_owned());
        }
        if answer.is_ok() {
            let (user, password) = (answer.attribute("username"), answer.attribute("password"));
            assert_no_reader(orange, user.unwrap(), password.unwrap());
        }
    }
    if ground == Ground::Servers {
        until("Kafka to know none of them", PATIENCE, || {
            let known = [world.kafkas[0].users(), world.kafkas[0].access_rules()].concat();
            let of_them = |line: &&String| subscribers.iter().any(|it| line.contains(it.as_str()));
            let left = known.iter().find(of_them);
            check(left.is_none(), || format!("{left:?}"))
        });
    }
}

/// Waits until nobody gets in as a subscriber by this password.
fn assert_no_reader(orange: &Participant, user: &str, password: &str) {
    until(&format!("{user} to be nobody"), PATIENCE, || {
        let session = RawFnap::try_login(orange.identity.fnap, user, password);
        check(session.is_err(), || "may log in".to_owned())
    });
}

fn who_follows_a_flow_is_told_that_his_right_is_gone(ground: Ground) {
    let orange = world(ground).orange();
    let mut owner = orange.login();
    let grantee = format!("{}@{}", OTHER_USER.0, orange.identity.domain);
    let flow = new_flow(orange, "followed");
    owner.ok(&format!("CREATE FLOW {flow}"));
    let grant = format!("read ON {flow} TO {grantee}");
    let revoke = format!("REVOKE read ON {flow} FROM {grantee}");
    for closing in [&revoke, &format!("DELETE FLOW {flow}")] {
        owner.ok(&format!("GRANT {grant}"));
        let mut reader = RawFnap::login(orange.identity.fnap, OTHER_USER.0, OTHER_USER.1);
        reader.send(&format!("READ FLOW {flow} from=latest follow=true"));
        reader.expect("220 DATA");
        // What concerns others ends nothing.
        owner.ok(&format!("GRANT write ON {flow} TO {grantee}"));
        owner.ok(&format!("REVOKE write ON {flow} FROM {grantee}"));
        write_numbered(&mut owner, &flow, 0..1);
        assert!(reader.line().starts_with('{'), "an event");
        owner.ok(closing);
        let end = reader.line();
        assert!(end.starts_with("550 ") || end.starts_with("450 "), "{end}");
        reader.refused(&format!("READ FLOW {flow}"), "550 [NOTFOUND]");
    }
}

/// Rights may go in other ways than by REVOKE, also while the FNAA is away.
#[test]
fn a_subscriber_without_a_right_is_ended_when_it_is_looked_at() {
    let both = |text: String| text.replace("owners: [test]", "owners: [test, alice]");
    let domains = ["forgetful-owner.example"];
    let mut world = World::beside_others(Ground::Embedded, &domains, &both);
    let identity = world.orange().identity.clone();
    let flow = identity.flow("private");
    let mut owner = world.orange().login();
    owner.ok(&format!("CREATE FLOW {flow}"));
    let mut alice = RawFnap::login(identity.fnap, OTHER_USER.0, OTHER_USER.1);
    alice.ok(&format!("SUBSCRIBE {flow} id=hers"));
    world.participants[0].terminate();
    let file = world.orange().configuration_file();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        text.replace("owners: [test, alice]", "owners: [test]"),
    )
    .unwrap();
    world.participants[0].restart();
    let mut owner = world.orange().login();
    until("her subscription to be ended", PATIENCE, || {
        let known = owner.ok(&format!("GET SUBSCRIBERS {flow}")).data;
        let ended = known[0].contains("state=revoked");
        check(ended, || format!("{known:?}"))
    });
    let mut alice = RawFnap::login(identity.fnap, OTHER_USER.0, OTHER_USER.1);
    alice.refused(&format!("SUBSCRIBE {flow} id=hers"), "557 [REVOKED]");
}

/// Who is no user any more has no session, whatever it waits for.
#[test]
fn sessions_end_with_their_user() {
    let domains = ["dismissing.example"];
    let world = World::beside_others(Ground::Embedded, &domains, &|text| text);
    let orange = world.orange();
    let identity = &orange.identity;
    let flow = identity.flow("open");
    let mut owner = orange.login();
    owner.ok(&format!("CREATE FLOW {flow} access=public"));
    let login = || RawFnap::login(identity.fnap, OTHER_USER.0, OTHER_USER.1);
    let (mut idle, mut following) = (login(), login());
    following.send(&format!("READ FLOW {flow} follow=true"));
    following.expect("220 DATA");
    let mut stranger = orange.anonymous();

    let file = orange.configuration_file();
    let text = fs::read_to_string(&file).unwrap();
    let others =
        |line: &&str| !line.contains("alice") && !line.contains("c2FsdC1vZi11c2VyLXR3bw==");
    let left: Vec<&str> = text.lines().filter(others).collect();
    fs::write(&file, left.join("\n") + "\n").unwrap();
    orange.signal("HUP");
    for session in [&mut idle, &mut following] {
        let end = session.line();
        assert!(end.starts_with("421 ") && end.contains("account"), "{end}");
    }
    assert!(idle.closes());
    // Nobody else is concerned.
    owner.ok("WHOAMI");
    stranger.ok("WHOAMI");
}

/// A queue that may be adopted still is whose flow it belongs to.
#[test]
fn nobody_adopts_the_queue_of_anothers_flow() {
    let adopting = |text: String| text.replace("type: local }", "type: local, adopt: ['*'] }");
    let domains = ["adopting.example"];
    let world = World::beside_others(Ground::Embedded, &domains, &adopting);
    let orange = world.orange();
    let mut owner = orange.login();
    let grantee = format!("{}@{}", OTHER_USER.0, orange.identity.domain);
    let (secret, child) = (orange.identity.flow("secret"), orange.identity.flow("team"));
    owner.ok(&format!("CREATE FLOW {secret} access=public"));
    let answer = owner.ok(&format!("SUBSCRIBE {secret} id=own"));
    let copy = &answer.data[0];
    owner.ok(&format!("UPDATE FLOW {secret} access=private"));
    owner.ok(&format!("CREATE NAMESPACE {child}"));
    owner.ok(&format!("GRANT admin ON {child} TO {grantee}"));
    let mut user = RawFnap::login(orange.identity.fnap, OTHER_USER.0, OTHER_USER.1);
    for queue in [&secret, copy] {
        let command = format!("CREATE FLOW leak.{child} queue={queue} access=public");
        user.refused(&command, "552 [DENIED]");
    }
    // Its owner may.
    owner.ok(&format!("CREATE FLOW shown.{child} queue={secret}"));
}

/// What the resolver of this participant sees is not for strangers.
#[test]
fn strangers_are_told_nothing_that_is_resolved_here() {
    let world = World::beside_others(
        Ground::Embedded,
        &["seeing.example", "seen.example"],
        &|text| text,
    );
    let (orange, blue) = (world.orange(), world.blue());
    let flow = blue.identity.flow("payroll");
    blue.login().ok(&format!("CREATE FLOW {flow}"));
    orange.login().ok(&format!("RESOLVE {flow}"));
    let mut stranger = orange.anonymous();
    stranger.refused(&format!("RESOLVE {flow}"), "552 [DENIED]");
    let elsewhere = stranger.refused(&format!("DESCRIBE FLOW {flow}"), "551 [NOTLOCAL]");
    assert!(!elsewhere.status.contains("fnaa.seen"), "{elsewhere:?}");
}
