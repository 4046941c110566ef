//! What a client session makes of good and bad servers.

use bytes::Bytes;
use eson_protocol::session::{
    ClientError, ClientEvent, ClientSession, Greeting, Limits, LineError, SendError,
};
use eson_protocol::{Command, DataLine, EventFormat, Name, ReadOptions, Status};

fn session() -> ClientSession {
    let mut session = ClientSession::new(Limits::default());
    session.receive(b"220 fnaa.orange.example FNAA\r\n");
    let fqdn = Some("fnaa.orange.example".to_owned());
    let greeting = ClientEvent::Greeting(Greeting { fqdn });
    assert_eq!(session.next_event(), Ok(Some(greeting)));
    session
}

fn flow() -> Name {
    Name::parse("a.example").expect("a name")
}

fn next(session: &mut ClientSession) -> ClientEvent {
    session.next_event().expect("FNAP").expect("an event")
}

fn write() -> Command {
    Command::WriteFlow {
        flow: flow(),
        format: EventFormat::CloudEvents,
        position: None,
    }
}

fn read(follow: bool) -> Command {
    let options = ReadOptions {
        follow,
        ..ReadOptions::default()
    };
    Command::ReadFlow(flow(), options)
}

#[test]
fn commands_are_pipelined() {
    let mut session = session();
    session.send(&Command::Noop).expect("sent");
    session.send(&Command::GetFlows(None)).expect("sent");
    session.send(&Command::WhoAmI).expect("sent");
    assert_eq!(session.take_output(), "NOOP\r\nGET FLOWS\r\nWHOAMI\r\n");
    assert_eq!(session.outstanding(), 3);
    session.receive(b"220 OK\r\n220 DATA\r\n=220 flow\r\na=b\r\n220 OK\r\n530 [AUTH] log in\r\n");
    assert_eq!(next(&mut session), ClientEvent::Status(Status::done()));
    assert_eq!(next(&mut session), ClientEvent::DataBegin);
    assert_eq!(
        next(&mut session),
        ClientEvent::DataLine(DataLine::text("220 flow"))
    );
    assert_eq!(
        next(&mut session),
        ClientEvent::DataLine(DataLine::attribute("a", "b"))
    );
    assert_eq!(next(&mut session), ClientEvent::DataEnd(Status::done()));
    assert_eq!(
        next(&mut session),
        ClientEvent::Status(Status::auth("log in"))
    );
    assert_eq!(session.next_event(), Ok(None));
    assert_eq!(session.outstanding(), 0);
}

#[test]
fn the_pipeline_is_bounded() {
    let mut session = session();
    for _ in 0..Limits::default().pipeline {
        session.send(&Command::Noop).expect("sent");
    }
    assert_eq!(session.send(&Command::Noop), Err(SendError::TooMany(1024)));
    session.receive(b"220 OK\r\n");
    next(&mut session);
    assert_eq!(session.send(&Command::Noop), Ok(()));
}

#[test]
fn scram_with_final_data() {
    let mut session = session();
    let mechanism = "SCRAM-SHA-256".to_owned();
    let command = Command::Authenticate {
        mechanism,
        initial: None,
    };
    session.send(&command).expect("sent");
    assert_eq!(
        session.send(&Command::Noop),
        Err(SendError::MustWait("AUTHENTICATE"))
    );
    for (line, challenge, answer) in [
        ("220 OK", &b""[..], &b"n,,n=t"[..]),
        ("334 cj0x", b"r=1", b"c=1"),
        ("334 dj0x", b"v=1", b""),
    ] {
        session.receive(format!("{line}\r\n").as_bytes());
        let ClientEvent::Challenge { data, exchange } = next(&mut session) else {
            panic!("no challenge");
        };
        assert_eq!(data.as_bytes(), challenge);
        session.respond(exchange, answer);
    }
    let sent = "AUTHENTICATE SCRAM-SHA-256\r\nbiwsbj10\r\nYz0x\r\n\r\n";
    assert_eq!(session.take_output(), sent);
    session.receive(b"220 Authenticated\r\n");
    assert_eq!(
        next(&mut session),
        ClientEvent::Status(Status::authenticated())
    );
    assert_eq!(session.send(&Command::Noop), Ok(()));
}

#[test]
fn an_initial_response_may_be_all() {
    let mut session = session();
    let command = Command::Authenticate {
        mechanism: "ANONYMOUS".to_owned(),
        initial: Some(Vec::new()),
    };
    session.send(&command).expect("sent");
    assert_eq!(session.take_output(), "AUTHENTICATE ANONYMOUS =\r\n");
    session.receive(b"220 Authenticated\r\n");
    assert_eq!(
        next(&mut session),
        ClientEvent::Status(Status::authenticated())
    );
}

#[test]
fn an_exchange_can_be_given_up() {
    let mut session = session();
    let command = Command::Authenticate {
        mechanism: "PLAIN".to_owned(),
        initial: None,
    };
    session.send(&command).expect("sent");
    session.receive(b"220 OK\r\n");
    let ClientEvent::Challenge { exchange, .. } = next(&mut session) else {
        panic!("no challenge");
    };
    session.cancel(exchange);
    assert_eq!(session.take_output(), "AUTHENTICATE PLAIN\r\n*\r\n");
    session.receive(b"501 [ARGUMENT] cancelled\r\n");
    assert_eq!(
        next(&mut session),
        ClientEvent::Status(Status::argument("cancelled"))
    );
    assert_eq!(session.outstanding(), 0);
}

#[test]
fn events_are_written_when_the_server_asks() {
    let mut session = session();
    session.send(&write()).expect("sent");
    assert_eq!(
        session.send(&Command::Noop),
        Err(SendError::MustWait("WRITE FLOW"))
    );
    session.take_output();
    session.receive(b"354 go on\r\n");
    let ClientEvent::SendEvents(body) = next(&mut session) else {
        panic!("no 354");
    };
    session.event_line(&body, "{\"a\":\n1}");
    assert_eq!(
        session.send(&Command::Noop),
        Err(SendError::MustWait("WRITE FLOW"))
    );
    session.end_events(body);
    session.send(&Command::Noop).expect("may follow the dot");
    assert_eq!(session.take_output(), "{\"a\": 1}\r\n.\r\nNOOP\r\n");
    session.receive(b"220 OK 1\r\n220 OK\r\n");
    assert_eq!(
        next(&mut session),
        ClientEvent::Status(Status::done_with(1))
    );
}

#[test]
fn a_refused_write_has_no_body() {
    let mut session = session();
    session.send(&write()).expect("sent");
    session.receive(b"550 [NOTFOUND] no flow\r\n");
    assert_eq!(
        next(&mut session),
        ClientEvent::Status(Status::not_found("no flow"))
    );
    assert_eq!(session.send(&Command::Noop), Ok(()));
}

#[test]
fn a_followed_read_is_ended_once() {
    let mut session = session();
    session.end_read();
    session.send(&read(true)).expect("sent");
    assert_eq!(
        session.send(&Command::Noop),
        Err(SendError::MustWait("READ FLOW"))
    );
    session.receive(b"220 DATA\r\n{\"a\":\"b=c\"}\r\n==\r\n");
    assert_eq!(next(&mut session), ClientEvent::DataBegin);
    let event = Bytes::from_static(b"{\"a\":\"b=c\"}");
    assert_eq!(next(&mut session), ClientEvent::EventLine(event));
    assert_eq!(
        next(&mut session),
        ClientEvent::EventLine(Bytes::from_static(b"="))
    );
    session.end_read();
    session.end_read();
    assert_eq!(
        session.take_output(),
        "READ FLOW a.example follow=true\r\n\r\n"
    );
    session.receive(b"{}\r\n220 OK\r\n");
    assert_eq!(
        next(&mut session),
        ClientEvent::EventLine(Bytes::from_static(b"{}"))
    );
    assert_eq!(next(&mut session), ClientEvent::DataEnd(Status::done()));
}

#[test]
fn an_event_may_be_longer_than_a_status() {
    let mut session = session();
    session.send(&read(false)).expect("sent");
    let event = format!("{{\"data\":\"{}\"}}", "x".repeat(100_000));
    session.receive(format!("220 DATA\r\n{event}\r\n220 OK\r\n").as_bytes());
    assert_eq!(next(&mut session), ClientEvent::DataBegin);
    assert_eq!(
        next(&mut session),
        ClientEvent::EventLine(Bytes::from(event))
    );
}

#[test]
fn the_server_may_close_at_any_time() {
    for before in ["", "220 fnaa.orange.example FNAA\r\n"] {
        let mut session = ClientSession::new(Limits::default());
        session.send(&Command::Noop).expect("sent");
        session.receive(format!("{before}421 going down\r\n220 OK\r\n").as_bytes());
        if !before.is_empty() {
            assert!(matches!(next(&mut session), ClientEvent::Greeting(_)));
        }
        assert_eq!(
            next(&mut session),
            ClientEvent::Closing(Status::closing("going down"))
        );
        assert_eq!(session.next_event(), Ok(None));
        assert_eq!(session.send(&Command::Noop), Err(SendError::Closed));
    }
}

#[test]
fn what_is_no_fnap_ends_the_session() {
    let unexpected = |text: &str| ClientError::Unexpected(text.to_owned());
    for (line, error) in [
        (&b"220 OK\r\n"[..], Some(unexpected("220 OK"))),
        (b"\xff\r\n", Some(ClientError::Line(LineError::NotUtf8))),
        (b"HTTP/1.1 400 Bad Request\r\n", None),
    ] {
        let mut session = session();
        session.receive(line);
        let found = session.next_event().expect_err("no FNAP");
        match error {
            Some(error) => assert_eq!(found, error),
            None => assert!(matches!(found, ClientError::Status(_))),
        }
        assert!(session.is_closed());
        assert_eq!(session.next_event(), Ok(None));
    }
}

#[test]
fn an_endless_line_is_given_up_in_bounded_memory() {
    let mut session = session();
    session.send(&Command::Noop).expect("sent");
    for _ in 0..1000 {
        session.receive(&[b'2'; 1000]);
        assert_eq!(session.next_event(), Ok(None));
    }
    session.receive(b"\n");
    let error = ClientError::Line(LineError::TooLong(8192));
    assert_eq!(session.next_event(), Err(error));
}

#[test]
fn a_challenge_must_be_base64() {
    let mut session = session();
    let command = Command::Authenticate {
        mechanism: "PLAIN".to_owned(),
        initial: Some(b"\0t\0t".to_vec()),
    };
    assert_eq!(command.to_string(), "AUTHENTICATE PLAIN …");
    session.send(&command).expect("sent");
    session.receive(b"334 ???\r\n");
    assert_eq!(session.next_event(), Err(ClientError::Challenge));
}
