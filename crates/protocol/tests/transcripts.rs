//! The draft's telnet sessions, byte for byte, against both halves of a session.

use eson_protocol::session::{
    ClientEvent, ClientSession, Limits, ServerEvent, ServerSession, Turn,
};
use eson_protocol::text::parse_command;
use eson_protocol::{
    BrokerKind, Command, Connection, DataLine, FlowAttributes, Name, Reply, Status,
    TransportSecurity,
};

/// The draft's transcripts in one session. `C` lines are typed, `S` lines are answers.
const TRANSCRIPT: &[&str] = &[
    "S: 220 fnaa.unix.ar FNAA",
    "C: AUTHENTICATE PLAIN",
    "S: 220 OK",
    "C: AHRlc3QAdGVzdA==",
    "S: 220 Authenticated",
    "C: CREATE FLOW time.flows.unix.ar",
    "S: 220 OK time.flows.unix.ar",
    "C: DESCRIBE FLOW time.flows.unix.ar",
    "S: 220 DATA",
    "S: flow=time.flows.unix.ar",
    "S: type=kafka",
    "S: topic=time.flows.unix.ar",
    "S: server=kf1.unix.ar:9092",
    "S: 220 OK",
    "C: SUBSCRIBE time.flows.unix.ar LOCAL emiliano.ar-time.flows.unix.ar",
    "S: 220 DATA",
    "S: emiliano.ar-time.flows.unix.ar SUBSCRIBED TO ksdj898.time.flows.unix.ar",
    "S: 220 OK",
    "C: SUBSCRIBE time.flows.unix.ar",
    "S: 220 DATA",
    "S: ksdj898.time.flows.unix.ar",
    "S: 220 OK",
    "C: QUIT",
    "S: 220 Bye",
];

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

/// An FNAA that knows what the draft's knew.
fn answer(session: &mut ServerSession, event: ServerEvent) {
    match event {
        ServerEvent::Command(command, turn) => answer_command(session, command, turn),
        ServerEvent::Authenticate { mechanism, start } => {
            assert_eq!(mechanism, "PLAIN");
            session.start_exchange(start);
        }
        ServerEvent::SaslResponse { data, exchange } => {
            assert_eq!(data.as_bytes(), b"\0test\0test");
            session.succeed(exchange, None);
        }
        ServerEvent::Authenticated | ServerEvent::Closed => {}
        other => panic!("not in the transcript: {other:?}"),
    }
}

fn answer_command(session: &mut ServerSession, command: Command, turn: Turn) {
    let data = |line: String| Reply::data(vec![DataLine::text(line)]);
    match command {
        Command::CreateFlow(flow, _) => session.reply(turn, Status::done_with(flow)),
        Command::DescribeFlow(flow) => session.reply(turn, Reply::data(described(flow))),
        Command::SubscribeLocal { remote, local, .. } => {
            session.reply(
                turn,
                data(format!("{local} SUBSCRIBED TO ksdj898.{remote}")),
            );
        }
        Command::SubscribeRemote(flow, _) => session.reply(turn, data(format!("ksdj898.{flow}"))),
        Command::Quit => session.bye(turn),
        other => panic!("not in the transcript: {other}"),
    }
}

fn described(flow: Name) -> Vec<DataLine> {
    let connection = Connection {
        kind: BrokerKind::Kafka,
        queue: flow.to_string(),
        servers: vec!["kf1.unix.ar:9092".parse().expect("a server")],
        security: TransportSecurity::Plaintext,
    };
    FlowAttributes::new(flow, connection).to_lines()
}

/// What the server sends for each line of the client, the greeting first.
fn served(line_end: &str) -> Vec<String> {
    let mut session = ServerSession::new(Limits::default());
    session.greet("fnaa.unix.ar");
    let mut sent = vec![taken(&mut session)];
    for line in TRANSCRIPT
        .iter()
        .filter_map(|line| line.strip_prefix("C: "))
    {
        session.receive(format!("{line}{line_end}").as_bytes());
        while let Some(event) = session.next_event() {
            answer(&mut session, event);
        }
        sent.push(taken(&mut session));
    }
    assert!(session.is_closed());
    sent
}

fn taken(session: &mut ServerSession) -> String {
    String::from_utf8(session.take_output().to_vec()).expect("UTF-8")
}

/// The answers of the transcript, one text between any two lines of the client.
fn expected() -> Vec<String> {
    let mut answers = vec![String::new()];
    for line in TRANSCRIPT {
        match (line.strip_prefix("S: "), answers.last_mut()) {
            (Some(answer), Some(answers)) => *answers += &format!("{answer}\r\n"),
            _ => answers.push(String::new()),
        }
    }
    answers
}

#[test]
fn the_server_says_what_the_draft_says() {
    assert_eq!(served("\r\n"), expected());
}

#[test]
fn a_bare_line_feed_serves_as_well() {
    assert_eq!(served("\n"), expected());
}

#[test]
fn the_clients_lines_are_those_of_the_draft() {
    let mut session = ClientSession::new(Limits::default());
    let mut events = Vec::new();
    for line in TRANSCRIPT {
        if let Some(answer) = line.strip_prefix("S: ") {
            session.receive(format!("{answer}\r\n").as_bytes());
            while let Some(event) = session.next_event().expect("FNAP") {
                events.push(event);
            }
        } else if let Some(line) = line.strip_prefix("C: ") {
            send(&mut session, line, events.pop());
            assert_eq!(session.take_output(), format!("{line}\r\n"));
        }
    }
    assert_eq!(events.pop(), Some(ClientEvent::Status(Status::bye())));
    assert_eq!(session.outstanding(), 0);
}

fn send(session: &mut ClientSession, line: &str, last: Option<ClientEvent>) {
    match last {
        Some(ClientEvent::Challenge { data, exchange }) => {
            assert!(data.as_bytes().is_empty());
            session.respond(exchange, b"\0test\0test");
        }
        _ => session
            .send(&parse_command(line).expect("a command"))
            .expect("nothing is outstanding"),
    }
}

#[test]
fn the_attributes_are_read_from_the_transcript() {
    let flow = name("time.flows.unix.ar");
    let attributes = FlowAttributes::from_lines(&described(flow.clone())).expect("attributes");
    assert_eq!(attributes.flow, flow);
    assert_eq!(attributes.connection.queue, "time.flows.unix.ar");
    assert_eq!(attributes.connection.servers[0].port, 9092);
}
