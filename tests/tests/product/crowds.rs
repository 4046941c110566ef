//! Many clients, and clients that don't behave.

use std::net::TcpStream;
use std::time::Duration;

use eson_tests::process::resident_kib;
use eson_tests::wait::check;
use eson_tests::{Ground, RawFnap, World, until};

use crate::events::{Event, write, write_numbered};
use crate::stage::{new_flow, world};

/// Who is there already is served on; who comes too much is told so; when the silent ones are
/// gone, everybody may come again.
#[test]
fn a_thousand_connections_that_say_nothing() {
    let world = World::beside_others(Ground::Embedded, &["crowd.example"], &|text| text);
    let server = world.orange();
    let mut before = server.login();
    let silent: Vec<TcpStream> = (0..1_000)
        .map(|_| TcpStream::connect(server.identity.fnap).expect("a connection"))
        .collect();
    for _ in 0..10 {
        before.ok("NOOP");
    }
    let health = server.web("/healthz").unwrap();
    assert_eq!(200, health.0, "{health:?}");
    drop(silent);
    until("a new login", Duration::from_secs(60), || {
        server.try_login().map(drop)
    });
}

/// The server holds back instead of collecting what nobody takes.
#[test]
fn a_client_that_never_reads() {
    const MEGABYTES: u32 = 64;
    let orange = world(Ground::Embedded).orange();
    let flow = new_flow(orange, "unread");
    let mut owner = orange.login();
    owner.ok(&format!("CREATE FLOW {flow}"));
    for number in 0..MEGABYTES {
        let events: Vec<Event> = (0..16)
            .map(|part| Event::numbered(number * 16 + part).with_value(vec![b'x'; 64 << 10]))
            .collect();
        assert!(write(&mut owner, &flow, &events).is_ok());
    }
    let before = resident_kib(orange.id());
    let greedy: Vec<RawFnap> = (0..8)
        .map(|_| {
            let mut session = orange.login();
            session.send(&format!("READ FLOW {flow} format=record"));
            assert_eq!("220 DATA", session.line());
            session
        })
        .collect();
    write_numbered(&mut owner, &flow, 0..100);
    let grown = resident_kib(orange.id()).saturating_sub(before);
    assert!(
        grown < 64 << 10,
        "8 readers that don't read cost {grown} KiB"
    );
    drop(greedy);
    owner.ok("NOOP");
}

#[test]
fn an_endless_greeting_exchange_is_bounded() {
    let orange = world(Ground::Embedded).orange();
    let mut session = orange.connect();
    session.line();
    for _ in 0..100 {
        session.ok("NOOP");
    }
    session.send_bytes("NOOP\r\n".repeat(10_000).as_bytes());
    for _ in 0..10_000 {
        session.expect("220 OK");
    }
    until("the server to be ready", Duration::from_secs(30), || {
        let (code, body) = orange.web("/readyz")?;
        check(code == 200, || body)
    });
}
