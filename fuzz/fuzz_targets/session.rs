//! A server survives any client, in bounded memory, and gives no right to one that has not
//! authenticated.
#![no_main]

use eson_protocol::session::{Limits, ServerEvent, ServerSession};
use eson_protocol::{Command, Reply, Status};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    command: 512,
    sasl: 1024,
    event: 256,
    data: 1024,
    errors: 20,
    pipeline: 16,
};

fuzz_target!(|octets: &[u8]| {
    let Some((piece, octets)) = octets.split_first() else {
        return;
    };
    let mut session = ServerSession::new(LIMITS);
    session.greet("fnaa.orange.example");
    for piece in octets.chunks(usize::from(*piece) + 1) {
        session.receive(piece);
        while let Some(event) = session.next_event() {
            answer(&mut session, event);
            assert!(session.output_len() < 20_000);
            let output = session.take_output();
            assert!(output.is_empty() || output.ends_with(b"\r\n"));
        }
    }
});

fn answer(session: &mut ServerSession, event: ServerEvent) {
    match event {
        ServerEvent::Command(command, turn) => match command {
            Command::Quit => session.bye(turn),
            Command::StartTls | Command::Capabilities | Command::Noop | Command::Help => {
                session.reply(turn, Status::done());
            }
            command => {
                assert!(session.is_authenticated());
                if let Command::ReadFlow(..) = command {
                    let data = session.begin_data(turn);
                    session.event_line(&data, "{}");
                    session.end_data(data, &Status::done());
                } else {
                    session.reply(turn, Reply::data(Vec::new()));
                }
            }
        },
        ServerEvent::Authenticate { mechanism, start } if mechanism.starts_with('X') => {
            session.reply(start.refuse(), Status::unsupported("no such mechanism"));
        }
        ServerEvent::Authenticate { start, .. } => session.start_exchange(start),
        ServerEvent::SaslResponse { data, exchange } => match data.as_bytes() {
            [] => session.challenge(exchange, b"more"),
            [0, ..] => session.succeed(exchange, None),
            [1, ..] => session.succeed(exchange, Some(b"final")),
            _ => session.fail(exchange, Status::credentials("wrong")),
        },
        ServerEvent::WriteFlow { write, .. } => {
            assert!(session.is_authenticated());
            session.accept_events(write);
        }
        ServerEvent::EventLine(line) => assert!(line.len() < LIMITS.event),
        ServerEvent::EndOfEvents(turn) => session.reply(turn, Status::done_with(0)),
        _ => {}
    }
}
