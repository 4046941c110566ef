//! The draft's transcripts, byte for byte, with the names that it uses.

use std::sync::OnceLock;

use eson_tests::{Ground, Participant, RawFnap, World};

use crate::stage::on_all_grounds;

on_all_grounds!(
    authenticating_a_user,
    creating_a_flow,
    describing_a_flow,
    subscribing_to_a_remote_flow,
    an_agent_subscribes,
    a_bare_line_feed_ends_a_line_too,
);

/// `fnaa.unix.ar` and `fnaa.emiliano.ar`, the draft's two participants.
fn world(ground: Ground) -> &'static World {
    static EMBEDDED: OnceLock<World> = OnceLock::new();
    static SERVERS: OnceLock<World> = OnceLock::new();
    let world = match ground {
        Ground::Embedded => &EMBEDDED,
        Ground::Servers => &SERVERS,
    };
    world.get_or_init(|| {
        World::beside_others(ground, &["unix.ar", "emiliano.ar"], &|configuration| {
            configuration
        })
    })
}

/// Plays one side of a conversation and checks the other.
fn play(participant: &Participant, conversation: &str) -> RawFnap {
    let mut session = participant.connect();
    for line in conversation.lines() {
        match line.trim_start().split_at(3) {
            ("C: ", sent) => session.send(sent),
            ("S: ", expected) => session.expect(expected),
            _ => panic!("nobody says {line}"),
        }
    }
    session
}

fn authenticating_a_user(ground: Ground) {
    let mut session = play(
        world(ground).orange(),
        "S: 220 fnaa.unix.ar FNAA
         C: AUTHENTICATE PLAIN
         S: 220 OK
         C: AHRlc3QAdGVzdA==
         S: 220 Authenticated
         C: QUIT
         S: 220 Bye",
    );
    assert!(session.closes());
}

fn creating_a_flow(ground: Ground) {
    play(
        world(ground).orange(),
        "S: 220 fnaa.unix.ar FNAA
         C: AUTHENTICATE PLAIN
         S: 220 OK
         C: AHRlc3QAdGVzdA==
         S: 220 Authenticated
         C: CREATE FLOW created.flows.unix.ar
         S: 220 OK created.flows.unix.ar
         C: QUIT
         S: 220 Bye",
    );
}

/// The draft's four lines come first, whatever attributes have been added since.
fn describing_a_flow(ground: Ground) {
    let world = world(ground);
    let mut session = play(
        world.orange(),
        "S: 220 fnaa.unix.ar FNAA
         C: AUTHENTICATE PLAIN
         S: 220 OK
         C: AHRlc3QAdGVzdA==
         S: 220 Authenticated
         C: CREATE FLOW described.flows.unix.ar
         S: 220 OK described.flows.unix.ar",
    );
    let server = match ground {
        Ground::Embedded => format!("fnaa.unix.ar:{}", world.orange().identity.fnap.port()),
        Ground::Servers => world.kafkas[0].sasl().replace("127.0.0.1", "kafka.unix.ar"),
    };
    let kind = if ground == Ground::Embedded {
        "local"
    } else {
        "kafka"
    };
    for verb in ["DESCRIBE", "DESC"] {
        session.send(&format!("{verb} FLOW described.flows.unix.ar"));
        session.expect("220 DATA");
        session.expect("flow=described.flows.unix.ar");
        session.expect(&format!("type={kind}"));
        session.expect("topic=described.flows.unix.ar");
        session.expect(&format!("server={server}"));
        let rest = std::iter::repeat_with(|| session.line());
        let end = rest.take(20).find(|line| !line.contains('='));
        assert_eq!(Some("220 OK".to_owned()), end);
    }
}

fn subscribing_to_a_remote_flow(ground: Ground) {
    let world = world(ground);
    world
        .orange()
        .login()
        .ok("CREATE FLOW time.flows.unix.ar access=public");
    let mut session = play(
        world.blue(),
        "S: 220 fnaa.emiliano.ar FNAA
         C: AUTHENTICATE PLAIN
         S: 220 OK
         C: AHRlc3QAdGVzdA==
         S: 220 Authenticated
         C: SUBSCRIBE time.flows.unix.ar LOCAL emiliano.ar-time.flows.unix.ar
         S: 220 DATA",
    );
    let line = session.line();
    session.expect("220 OK");
    let copy = line.strip_prefix("emiliano.ar-time.flows.unix.ar SUBSCRIBED TO ");
    assert!(
        is_copy_of("time.flows.unix.ar", copy.unwrap_or_default()),
        "{line}"
    );
    session.send("QUIT");
    session.expect("220 Bye");
}

fn an_agent_subscribes(ground: Ground) {
    let world = world(ground);
    world
        .orange()
        .login()
        .ok("CREATE FLOW shared.flows.unix.ar access=public");
    let mut session = world.orange().anonymous();
    session.send("SUBSCRIBE shared.flows.unix.ar");
    session.expect("220 DATA");
    let copy = session.line();
    session.expect("220 OK");
    assert!(is_copy_of("shared.flows.unix.ar", &copy), "{copy}");
    session.send("QUIT");
    session.expect("220 Bye");
}

/// `ksdj898.time.flows.unix.ar`: one label more.
fn is_copy_of(flow: &str, copy: &str) -> bool {
    let label = copy.strip_suffix(&format!(".{flow}"));
    label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
}

fn a_bare_line_feed_ends_a_line_too(ground: Ground) {
    let mut session = world(ground).orange().connect();
    session.expect("220 fnaa.unix.ar FNAA");
    session.send_bytes(b"AUTHENTICATE PLAIN\n");
    session.expect("220 OK");
    session.send_bytes(b"AHRlc3QAdGVzdA==\n");
    session.expect("220 Authenticated");
    session.send_bytes(b"QUIT\n");
    session.expect("220 Bye");
}
