//! Sessions of FNAP as state machines without I/O: bytes in, events out (draft figure 13).
//!
//! Transitions are labelled stimulus/effect; `u` is the user, `s` the protocol.
//!
//! ```text
//! client                                        server
//!
//!   ┌──────┐ uCon/sCon  ┌─────────┐               ┌─────────┐ sCon/sConOk ┌───────────┐
//!   │ idle ├───────────▶│ conPend ├─┐             │ waiting ├────────────▶│ accepting ├─┐
//!   └──────┘            └─┬─────▲─┘ │             └─▲─────▲─┘             └─┬───┬───▲─┘ │
//!     ▲  ▲  sConOk/sHello │     └───┘               │     │ sAuthError/     │   │   └───┘
//!     │  │                ▼     uRetry/sCon         │     │ sFailAuth       │   │ sHello/sAuthOk,
//!     │  │            ┌───────────┐                 │     └─────────────────┘   │ sHello/sAuthError
//!     │  └────────────┤ connected │                 │                   sAuthOk │
//!     │     sFailAuth └───┬───────┘                 │  sDone                ┌───▼───┐
//!     │           sAuthOk │                         └───────────────────────┤ ready │
//!     │           ┌───────▼───────┐                                         └─┬───▲─┘
//!     └───────────┤ authenticated │                         sCmd/sCmdVerify   │   │ sCmdOk,
//!     uQuit/sDone └─┬───────────▲─┘                                           │   │ sCmdError
//!        uCmd/sCmd  │           │ sCmdOk,                                 ┌───▼───┴───┐
//!                 ┌─▼───────────┴─┐ sCmdError                             │  cmdRecvd ├─┐
//!                 │    cmdPend    │                                       └─────────▲─┘ │
//!                 └───────────────┘                                                 └───┘
//!                                                    sCmdVerify/sCmdOk, sCmdVerify/sCmdError
//! ```
//!
//! [`ServerSession`] is the right half from `accepting` on, [`ClientSession`] the left half from
//! `connected` on; making the connection (`idle`, `conPend`, `waiting`) is their owner's work.
//! Within cmdRecvd, SASL, READ FLOW and WRITE FLOW have states of their own. The right to answer
//! is a token such as [`Turn`], which is given back with the answer: what does not fit the state
//! can't be said.
//!
//! # A server
//!
//! ```
//! use std::io::{Read, Write};
//!
//! use eson_protocol::session::{Limits, ServerEvent, ServerSession};
//! use eson_protocol::{Command, DataLine, Reply, Status};
//!
//! fn serve(mut socket: impl Read + Write) -> std::io::Result<()> {
//!     let mut session = ServerSession::new(Limits::default());
//!     session.greet("fnaa.orange.example");
//!     let mut buffer = [0; 4096];
//!     loop {
//!         while let Some(event) = session.next_event() {
//!             answer(&mut session, event);
//!             socket.write_all(&session.take_output())?;
//!         }
//!         socket.write_all(&session.take_output())?;
//!         if session.is_closed() {
//!             return Ok(());
//!         }
//!         match socket.read(&mut buffer)? {
//!             0 => return Ok(()),
//!             length => session.receive(&buffer[..length]),
//!         }
//!     }
//! }
//!
//! fn answer(session: &mut ServerSession, event: ServerEvent) {
//!     match event {
//!         ServerEvent::Command(Command::Quit, turn) => session.bye(turn),
//!         ServerEvent::Command(Command::Noop, turn) => session.reply(turn, Status::done()),
//!         ServerEvent::Command(Command::GetFlows(_), turn) => {
//!             let flows = vec![DataLine::text("time.flows.orange.example")];
//!             session.reply(turn, Reply::data(flows));
//!         }
//!         ServerEvent::Command(Command::ReadFlow(..), turn) => {
//!             let data = session.begin_data(turn);
//!             session.event_line(&data, r#"{"specversion":"1.0"}"#);
//!             session.end_data(data, &Status::done());
//!         }
//!         ServerEvent::Command(command, turn) => {
//!             let text = format!("this FNAA does not do {command}");
//!             session.reply(turn, Status::unsupported(text));
//!         }
//!         ServerEvent::Authenticate { mechanism, start } if mechanism != "ANONYMOUS" => {
//!             let turn = start.refuse();
//!             session.reply(turn, Status::unsupported("this FNAA takes ANONYMOUS only"));
//!         }
//!         ServerEvent::Authenticate { start, .. } => session.start_exchange(start),
//!         ServerEvent::SaslResponse { exchange, .. } => session.succeed(exchange, None),
//!         ServerEvent::WriteFlow { write, .. } => session.accept_events(write),
//!         ServerEvent::EventLine(_) => { /* keep it until the end */ }
//!         ServerEvent::EndOfEvents(turn) => session.reply(turn, Status::done_with(0)),
//!         _ => {}
//!     }
//! }
//!
//! // A socket that sends one line and then ends.
//! struct Telnet(std::io::Cursor<Vec<u8>>, Vec<u8>);
//! # impl Read for &mut Telnet {
//! #     fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> { self.0.read(buffer) }
//! # }
//! # impl Write for &mut Telnet {
//! #     fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> { self.1.write(buffer) }
//! #     fn flush(&mut self) -> std::io::Result<()> { Ok(()) }
//! # }
//! let mut telnet = Telnet(std::io::Cursor::new(b"NOOP\nQUIT\n".to_vec()), Vec::new());
//! serve(&mut telnet)?;
//! assert_eq!(telnet.1, b"220 fnaa.orange.example FNAA\r\n220 OK\r\n220 Bye\r\n");
//! # Ok::<(), std::io::Error>(())
//! ```

mod client;
mod limits;
mod lines;
mod output;
mod sasl;
mod server;

pub use client::{
    ClientError, ClientEvent, ClientExchange, ClientSession, EventBody, Greeting, SendError,
};
pub use limits::{Limits, MAX_SASL_LENGTH};
pub use lines::LineError;
pub use sasl::SaslData;
pub use server::{DataTurn, Exchange, ExchangeStart, ServerEvent, ServerSession, Turn, WriteTurn};
