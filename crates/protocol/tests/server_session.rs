//! What a server session does with good and bad clients.

mod generate;

use eson_protocol::session::{Limits, LineError, ServerEvent, ServerSession, Turn, WriteTurn};
use eson_protocol::text::format_command;
use eson_protocol::{Command, DataLine, Reply, Status};
use proptest::collection::vec;
use proptest::prelude::*;

fn session() -> ServerSession {
    ServerSession::new(Limits::default())
}

/// A session that has authenticated and said all it had to say.
fn authenticated(limits: Limits) -> ServerSession {
    let mut session = ServerSession::new(limits);
    session.receive(b"AUTHENTICATE ANONYMOUS =\r\n");
    while let Some(event) = session.next_event() {
        match event {
            ServerEvent::Authenticate { start, .. } => session.start_exchange(start),
            ServerEvent::SaslResponse { exchange, .. } => session.succeed(exchange, None),
            other => assert_eq!(other, ServerEvent::Authenticated),
        }
    }
    assert_eq!(output(&mut session), "220 Authenticated\r\n");
    session
}

fn output(session: &mut ServerSession) -> String {
    String::from_utf8(session.take_output().to_vec()).expect("UTF-8")
}

fn command(session: &mut ServerSession) -> (Command, Turn) {
    match session.next_event() {
        Some(ServerEvent::Command(command, turn)) => (command, turn),
        other => panic!("no command: {other:?}"),
    }
}

fn write_flow(session: &mut ServerSession) -> WriteTurn {
    match session.next_event() {
        Some(ServerEvent::WriteFlow { write, .. }) => write,
        other => panic!("no WRITE FLOW: {other:?}"),
    }
}

fn refused(session: &mut ServerSession) -> String {
    match session.next_event() {
        Some(ServerEvent::Refused(status)) => {
            assert_eq!(output(session), format!("{status}\r\n"));
            status.to_string()
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn replies_come_in_the_order_of_pipelined_commands() {
    let mut session = session();
    session.receive(b"NOOP\r\nHELP\r\n\r\n");
    let (first, turn) = command(&mut session);
    assert_eq!(first, Command::Noop);
    assert_eq!(session.next_event(), None, "the first is not answered yet");
    session.reply(turn, Status::done());
    let (second, turn) = command(&mut session);
    assert_eq!(second, Command::Help);
    session.reply(
        turn,
        Reply::data(vec![DataLine::text("220 x"), DataLine::text("=")]),
    );
    assert_eq!(session.next_event(), None);
    assert_eq!(
        output(&mut session),
        "220 OK\r\n220 DATA\r\n=220 x\r\n==\r\n220 OK\r\n"
    );
}

#[test]
fn broken_lines_are_answered_and_the_session_goes_on() {
    let mut session = session();
    for (line, start) in [
        (&b"NO\0OP\r\n"[..], "500 [SYNTAX] the line has a NUL"),
        (b"\xff\xfe\xfd\r\n", "500 [SYNTAX] the line is not UTF-8"),
        (b"FETCH mail\r\n", "500 [SYNTAX] unknown command FETCH;"),
        (b"AHRlc3QAdGVzdA==\r\n", "500 [SYNTAX] unknown command;"),
        (b" \r\n", "500 [SYNTAX] the line has no command"),
        (
            b"CREATE TABLE x\r\n",
            "500 [SYNTAX] CREATE needs one of NAMESPACE, FLOW, PROCESSOR",
        ),
        (b"NOOP x\r\n", "501 [ARGUMENT] NOOP does not take `x` there"),
        (b"HELP x=y\r\n", "501 [ARGUMENT] HELP has no option `x`"),
        (
            b"AUTHENTICATE PLAIN secret!\r\n",
            "501 [ARGUMENT] the initial response is not base64",
        ),
        (
            b"ENABLE TELEPATHY\r\n",
            "502 [UNSUPPORTED] this FNAA has no extension `TELEPATHY`",
        ),
        (
            b"CREATE FLOW a_b.example\r\n",
            "501 [ARGUMENT] the label `a_b`",
        ),
        (b"WHOAMI\r\n", "530 [AUTH] authenticate first"),
    ] {
        session.receive(line);
        let status = refused(&mut session);
        assert!(status.starts_with(start), "{status}");
    }
    session.receive(b"NOOP\r\n");
    assert_eq!(command(&mut session).0, Command::Noop);
}

#[test]
fn a_line_of_ten_megabytes_costs_a_line_of_memory() {
    let mut session = session();
    for _ in 0..10_000 {
        session.receive(&[b'x'; 1000]);
        assert_eq!(session.next_event(), None);
    }
    session.receive(b"\r\nNOOP\r\n");
    assert_eq!(
        refused(&mut session),
        "500 [SYNTAX] the line is longer than 8192 octets"
    );
    assert_eq!(command(&mut session).0, Command::Noop);
}

#[test]
fn twenty_errors_in_a_row_end_the_session() {
    let mut session = session();
    for _ in 0..19 {
        session.receive(b"x\n");
        refused(&mut session);
    }
    session.receive(b"NOOP\n");
    let (_, turn) = command(&mut session);
    session.reply(turn, Status::done());
    output(&mut session);
    for _ in 0..19 {
        session.receive(b"x\n");
        refused(&mut session);
    }
    session.receive(b"x\nNOOP\n");
    assert!(matches!(
        session.next_event(),
        Some(ServerEvent::Refused(_))
    ));
    assert_eq!(session.next_event(), Some(ServerEvent::Closed));
    assert_eq!(session.next_event(), None);
    assert!(session.is_closed());
    assert!(output(&mut session).ends_with("421 too many errors in a row\r\n"));
}

#[test]
fn only_a_few_commands_need_no_authentication() {
    for line in ["STARTTLS", "CAPABILITIES", "NOOP", "HELP", "QUIT"] {
        let mut session = session();
        session.receive(format!("{line}\r\n").as_bytes());
        assert_eq!(command(&mut session).0.to_string(), line);
    }
    for line in [
        "ENABLE ATTRIBUTES",
        "GET FLOWS",
        "WRITE FLOW a.example",
        "RESOLVE a.example",
    ] {
        let mut session = session();
        session.receive(format!("{line}\r\n").as_bytes());
        assert!(refused(&mut session).starts_with("530 "), "{line}");
    }
}

#[test]
fn a_second_authentication_is_refused() {
    let mut session = authenticated(Limits::default());
    session.receive(b"AUTHENTICATE PLAIN\r\n");
    assert!(refused(&mut session).starts_with("503 [SEQUENCE]"));
    assert!(session.is_authenticated());
}

/// Runs SCRAM's messages up to the server's final one.
fn scram(session: &mut ServerSession, last: &[u8]) -> Option<ServerEvent> {
    session.receive(b"AUTHENTICATE SCRAM-SHA-256\r\n");
    let Some(ServerEvent::Authenticate { mechanism, start }) = session.next_event() else {
        panic!("no AUTHENTICATE");
    };
    assert_eq!(mechanism, "SCRAM-SHA-256");
    session.start_exchange(start);
    assert_eq!(output(session), "220 OK\r\n");
    for (sent, challenge) in [(&b"biws\r\n"[..], &b"r=1"[..]), (b"Yz0x\r\n", b"v=1")] {
        session.receive(sent);
        let Some(ServerEvent::SaslResponse { exchange, .. }) = session.next_event() else {
            panic!("no response");
        };
        match challenge {
            b"r=1" => session.challenge(exchange, challenge),
            _ => session.succeed(exchange, Some(challenge)),
        }
    }
    assert_eq!(output(session), "334 cj0x\r\n334 dj0x\r\n");
    assert_eq!(session.next_event(), None);
    assert!(!session.is_authenticated());
    session.receive(last);
    session.next_event()
}

#[test]
fn final_data_is_answered_by_an_empty_line() {
    let mut session = session();
    let event = scram(&mut session, b"\r\n");
    assert_eq!(event, Some(ServerEvent::Authenticated));
    assert_eq!(output(&mut session), "220 Authenticated\r\n");
    assert!(session.is_authenticated());
}

#[test]
fn anything_else_than_an_empty_line_gives_no_authentication() {
    for last in [&b"*\r\n"[..], b"YQ==\r\n", b"?\r\n", b"\0\r\n"] {
        let mut session = session();
        let event = scram(&mut session, last);
        assert_eq!(event, Some(ServerEvent::SaslCancelled));
        assert!(output(&mut session).starts_with("50"));
        assert!(!session.is_authenticated());
        session.receive(b"GET FLOWS\r\n");
        assert!(refused(&mut session).starts_with("530 "));
    }
}

#[test]
fn an_exchange_can_be_cancelled_refused_and_failed() {
    let mut session = session();
    for (response, answer) in [
        (
            &b"*\r\n"[..],
            "501 [ARGUMENT] authentication is cancelled\r\n",
        ),
        (
            b"not base64\r\n",
            "501 [ARGUMENT] a SASL message is base64, or `*` to cancel\r\n",
        ),
    ] {
        session.receive(b"authenticate plain\r\n");
        let Some(ServerEvent::Authenticate { start, .. }) = session.next_event() else {
            panic!("no AUTHENTICATE");
        };
        session.start_exchange(start);
        session.receive(response);
        assert_eq!(session.next_event(), Some(ServerEvent::SaslCancelled));
        assert_eq!(output(&mut session), format!("220 OK\r\n{answer}"));
    }
    session.receive(b"AUTHENTICATE GSSAPI\r\n");
    let Some(ServerEvent::Authenticate { start, .. }) = session.next_event() else {
        panic!("no AUTHENTICATE");
    };
    session.reply(start.refuse(), Status::unsupported("no GSSAPI here"));
    session.receive(b"AUTHENTICATE PLAIN AHQAdA==\r\n");
    let Some(ServerEvent::Authenticate { start, .. }) = session.next_event() else {
        panic!("no AUTHENTICATE");
    };
    session.start_exchange(start);
    let Some(ServerEvent::SaslResponse { data, exchange }) = session.next_event() else {
        panic!("no response");
    };
    assert_eq!(data.as_bytes(), b"\0t\0t");
    assert_eq!(format!("{data:?}"), "SaslData(4 octets)");
    session.fail(exchange, Status::credentials("wrong user or password"));
    let expected =
        "502 [UNSUPPORTED] no GSSAPI here\r\n535 [CREDENTIALS] wrong user or password\r\n";
    assert_eq!(output(&mut session), expected);
}

#[test]
fn bytes_behind_a_synchronization_point_end_the_session() {
    for early in [
        "STARTTLS\r\nNOOP\r\n",
        "AUTHENTICATE PLAIN\r\nAHQAdA==\r\n",
        "AUTHENTICATE PLAIN AHQAdA==\r\nN",
    ] {
        let mut session = session();
        session.receive(early.as_bytes());
        assert_eq!(session.next_event(), Some(ServerEvent::Closed), "{early}");
        let output = output(&mut session);
        assert!(
            output.starts_with("421 bytes came before the answer"),
            "{output}"
        );
    }
    let mut session = authenticated(Limits::default());
    session.receive(b"WRITE FLOW a.example\r\n{}\r\n");
    assert_eq!(session.next_event(), Some(ServerEvent::Closed));
}

#[test]
fn bytes_that_come_before_the_answer_end_the_session_too() {
    for refuse in [false, true] {
        let mut session = authenticated(Limits::default());
        session.receive(b"WRITE FLOW a.example\r\n");
        let write = write_flow(&mut session);
        session.receive(b"DELETE FLOW a.example\r\n");
        if refuse {
            session.reply(write.refuse(), Status::not_found("no flow a.example"));
        } else {
            session.accept_events(write);
        }
        assert_eq!(session.next_event(), Some(ServerEvent::Closed));
        assert!(output(&mut session).starts_with("421 "));
    }
}

#[test]
fn bytes_behind_a_sasl_message_end_the_session() {
    let mut session = session();
    session.receive(b"AUTHENTICATE PLAIN\r\n");
    let Some(ServerEvent::Authenticate { start, .. }) = session.next_event() else {
        panic!("no AUTHENTICATE");
    };
    session.start_exchange(start);
    session.receive(b"AHQAdA==\r\nGET FLOWS\r\n");
    assert_eq!(session.next_event(), Some(ServerEvent::Closed));
    assert!(!session.is_authenticated());
}

#[test]
fn events_are_taken_until_the_dot() {
    let limits = Limits {
        event: 8,
        ..Limits::default()
    };
    let mut session = authenticated(limits);
    session.receive(b"WRITE FLOW a.example\r\n");
    let write = write_flow(&mut session);
    session.accept_events(write);
    assert!(output(&mut session).starts_with("354 "));
    session.receive(b"{}\r\n{ \"long\": 1 }\r\n\r\n\0\n.\r\nNOOP\r\n");
    assert_eq!(
        session.next_event(),
        Some(ServerEvent::EventLine("{}".into()))
    );
    let too_long = ServerEvent::EventLineRefused(LineError::TooLong(8));
    assert_eq!(session.next_event(), Some(too_long));
    assert_eq!(
        session.next_event(),
        Some(ServerEvent::EventLine("".into()))
    );
    let nul = ServerEvent::EventLineRefused(LineError::Nul);
    assert_eq!(session.next_event(), Some(nul));
    let Some(ServerEvent::EndOfEvents(turn)) = session.next_event() else {
        panic!("no end");
    };
    session.reply(turn, Status::done_with(1));
    assert_eq!(output(&mut session), "220 OK 1\r\n");
    assert_eq!(command(&mut session).0, Command::Noop);
}

#[test]
fn a_followed_read_ends_with_an_empty_line() {
    let mut session = authenticated(Limits::default());
    session.receive(b"READ FLOW a.example follow=true\r\n");
    let (_, turn) = command(&mut session);
    let data = session.begin_data(turn);
    session.event_line(&data, "{\n}");
    session.event_line(&data, "220 is no status here");
    assert_eq!(session.next_event(), None);
    session.receive(b"\r");
    assert_eq!(session.next_event(), None);
    session.receive(b"\n\r\nNOOP\r\n");
    assert_eq!(session.next_event(), Some(ServerEvent::EndOfRead));
    assert_eq!(session.next_event(), None, "only once");
    session.end_data(data, &Status::done());
    assert_eq!(
        output(&mut session),
        "220 DATA\r\n{ }\r\n=220 is no status here\r\n220 OK\r\n"
    );
    assert_eq!(command(&mut session).0, Command::Noop);
}

#[test]
fn a_read_that_is_not_followed_is_not_ended() {
    let mut session = authenticated(Limits::default());
    session.receive(b"READ FLOW a.example\r\n\r\n");
    let (_, turn) = command(&mut session);
    let data = session.begin_data(turn);
    assert_eq!(session.next_event(), None);
    session.end_data(data, &Status::done());
    assert_eq!(session.next_event(), None);
}

#[test]
fn reading_ahead_is_bounded() {
    let mut session = authenticated(Limits::default());
    session.receive(b"NOOP\r\n");
    let (_, turn) = command(&mut session);
    assert!(session.wants_input());
    session.receive(&b"NOOP\r\n".repeat(4000));
    assert!(!session.wants_input());
    session.reply(turn, Status::done());
    assert!(session.wants_input());
}

#[test]
fn nothing_is_said_after_the_end() {
    let mut session = authenticated(Limits::default());
    session.receive(b"GET FLOWS\r\nNOOP\r\n");
    let (_, turn) = command(&mut session);
    session.close(&Status::closing("this FNAA is going down"));
    session.reply(turn, Status::done());
    session.receive(b"NOOP\r\n");
    assert_eq!(session.next_event(), Some(ServerEvent::Closed));
    assert_eq!(session.next_event(), None);
    assert!(!session.wants_input());
    assert_eq!(output(&mut session), "421 this FNAA is going down\r\n");
}

#[test]
fn quit_ends_what_was_pipelined_before_it() {
    let mut session = session();
    session.receive(b"NOOP\r\nQUIT\r\nNOOP\r\n");
    let (_, turn) = command(&mut session);
    session.reply(turn, Status::done());
    let (_, turn) = command(&mut session);
    session.bye(turn);
    assert_eq!(session.next_event(), Some(ServerEvent::Closed));
    assert_eq!(output(&mut session), "220 OK\r\n220 Bye\r\n");
}

/// What a session says of bytes that come in pieces, every command answered at once.
fn trace(pieces: impl IntoIterator<Item = Vec<u8>>) -> (Vec<String>, String) {
    let limits = Limits {
        event: 64,
        ..Limits::default()
    };
    let mut session = authenticated(limits);
    let mut trace = Vec::new();
    for piece in pieces {
        session.receive(&piece);
        while let Some(event) = session.next_event() {
            trace.push(format!("{event:?}"));
            match event {
                ServerEvent::Command(Command::Quit, turn) => session.bye(turn),
                ServerEvent::Command(_, turn) => session.reply(turn, Status::done()),
                ServerEvent::WriteFlow { write, .. } => session.accept_events(write),
                ServerEvent::EndOfEvents(turn) => session.reply(turn, Status::done()),
                _ => {}
            }
        }
    }
    (trace, output(&mut session))
}

/// One line, or a WRITE FLOW, whose first line has to be answered before the others come.
#[derive(Clone, Debug)]
enum Sent {
    Line(Vec<u8>),
    Write(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let waits = |command: &Command| {
        matches!(
            command,
            Command::StartTls | Command::Authenticate { .. } | Command::WriteFlow { .. }
        )
    };
    let pipelined = generate::command()
        .prop_filter("others wait", move |command| !waits(command))
        .prop_map(|command| format_command(&command).expect("a line").into_bytes());
    let any_line = vec(
        any::<u8>().prop_filter("one line", |octet| *octet != b'\n'),
        0..40,
    );
    let long = (8180..8200usize).prop_map(|length| vec![b'x'; length]);
    let line = prop_oneof![8 => pipelined, 4 => any_line, 1 => long];
    let end = prop_oneof![Just("\n"), Just("\r\n")];
    let line = (line, end).prop_map(|(line, end)| [line, end.into()].concat());
    let body = vec("[ -~]{0,70}", 0..4).prop_map(|lines| {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        format!("{lines}.\r\n").into_bytes()
    });
    prop_oneof![6 => line.prop_map(Sent::Line), 1 => body.prop_map(Sent::Write)]
}

/// Cuts at places that the random numbers choose.
fn cut(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|ends| bytes[ends[0]..ends[1]].to_vec())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn however_the_bytes_are_split_the_events_are_the_same(
        sent in vec(sent(), 0..12),
        cuts in vec(any::<usize>(), 0..40),
    ) {
        let command = b"WRITE FLOW a.example\r\n";
        let mut segments = vec![Vec::new()];
        for part in sent {
            match part {
                Sent::Line(line) => segments.last_mut().expect("one").extend(line),
                Sent::Write(body) => {
                    segments.last_mut().expect("one").extend(command);
                    segments.push(body);
                }
            }
        }
        let whole = trace(segments.clone());
        let split = trace(segments.iter().flat_map(|segment| cut(segment, &cuts)));
        prop_assert_eq!(&split, &whole);
        let octets = segments.iter().flat_map(|segment| segment.chunks(1).map(<[u8]>::to_vec));
        prop_assert_eq!(&trace(octets), &whole);
    }
}
