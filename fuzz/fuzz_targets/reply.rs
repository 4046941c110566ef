//! Status and data lines that are read can be written, and then mean the same; a client survives
//! any server.
#![no_main]

use eson_protocol::Command;
use eson_protocol::session::{ClientEvent, ClientSession, Limits};
use eson_protocol::text::{format_data_line, format_status, parse_data_line, parse_status};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Ok(text) = std::str::from_utf8(octets)
        && !text.contains(char::is_control)
    {
        lines(text);
    }
    client(octets);
});

fn lines(text: &str) {
    if let Ok(status) = parse_status(text)
        && text.len() < 8190
    {
        assert_eq!(parse_status(&format_status(&status)), Ok(status));
    }
    if let Ok(line) = parse_data_line(text) {
        assert_eq!(parse_data_line(&format_data_line(&line)), Ok(line));
    }
}

fn client(octets: &[u8]) {
    let mut session = ClientSession::new(Limits::default());
    let commands = [Command::Noop, Command::GetFlows(None), Command::Help];
    for command in &commands {
        session.send(command).expect("nothing is outstanding");
    }
    session.receive(octets);
    while let Ok(Some(event)) = session.next_event() {
        match event {
            ClientEvent::Challenge { exchange, .. } => session.respond(exchange, b"x"),
            ClientEvent::SendEvents(body) => session.end_events(body),
            _ => {}
        }
    }
    assert!(session.outstanding() <= commands.len());
}
