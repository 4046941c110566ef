//! The server's half of a session.

mod answer;
mod event;
mod turn;

use bytes::Bytes;

use super::Limits;
use super::lines::{LineError, Lines};
use super::output::Output;
use super::sasl::SaslData;
use crate::text::parse_command;
use crate::{Command, Status};

pub use event::ServerEvent;
pub use turn::{DataTurn, Exchange, ExchangeStart, Turn, WriteTurn};

/// How much is read ahead while a command is being carried out.
const READ_AHEAD: usize = 16 * 1024;

/// The server's half of a session: bytes in, events out; answers in, bytes out.
///
/// See [the module](super) for a complete loop. The session answers by itself what needs no
/// thought: broken lines, commands that need authentication, bytes sent too early. Nothing
/// it does can fail or panic, whatever the client sends.
#[derive(Debug)]
pub struct ServerSession {
    limits: Limits,
    input: Lines,
    output: Output,
    state: State,
    authenticated: bool,
    /// How many lines in a row were refused.
    errors: u32,
}

/// Figure 13's states, and those that SASL, READ FLOW and WRITE FLOW need within cmdRecvd.
#[derive(Debug)]
enum State {
    /// Accepting or ready: a command may come.
    Command,
    /// cmdRecvd: the owner holds a [`Turn`], a [`WriteTurn`] or an [`ExchangeStart`].
    Answering(Pending),
    /// The initial response is to be handed out.
    InitialResponse(SaslData),
    /// The client is to send its next SASL message.
    Response,
    /// The owner holds an [`Exchange`].
    Exchange,
    /// The client has the server's final data and is to send an empty line.
    Confirmation,
    /// The success is to be told to the owner.
    Succeeded,
    /// Event lines come in.
    Events,
    /// Data lines go out; the owner holds a [`DataTurn`].
    Data {
        /// Whether an empty line of the client means something.
        follow: bool,
    },
    /// The end is to be told to the owner.
    Closing,
    /// Nothing happens any more.
    Closed,
}

/// What is known of a command that waits for its answer.
#[derive(Debug, Default)]
struct Pending {
    /// The client must not send anything before the answer; the text names the command.
    synchronizes: Option<&'static str>,
    /// The command is a READ FLOW that goes on until the client ends it.
    follow: bool,
    /// The initial response of AUTHENTICATE.
    initial: Option<SaslData>,
}

impl ServerSession {
    /// A session that has not greeted yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            input: Lines::default(),
            output: Output::default(),
            state: State::Command,
            authenticated: false,
            errors: 0,
        }
    }

    /// Sends the greeting, `220 fqdn FNAA`. Call it once, first; not after STARTTLS.
    pub fn greet(&mut self, fqdn: impl std::fmt::Display) {
        self.output.line(&format!("220 {fqdn} FNAA"));
    }

    /// Takes bytes from the client. Follow it by [`ServerSession::next_event`] until there is
    /// none: what is buffered is then less than one line.
    pub fn receive(&mut self, bytes: &[u8]) {
        if !self.is_closed() {
            self.input.push(bytes);
        }
    }

    /// Whether it makes sense to read from the client now. False while a command is being carried
    /// out and enough has been read ahead, so that a client that does not wait is slowed by TCP.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        match self.state {
            State::Closing | State::Closed => false,
            State::Answering(_) | State::Exchange | State::Data { .. } => {
                self.input.len() < READ_AHEAD
            }
            _ => true,
        }
    }

    /// What the client has done, one thing at a time; none until more bytes or an answer come.
    pub fn next_event(&mut self) -> Option<ServerEvent> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Command => self.next_command(),
            State::InitialResponse(data) => Some(self.hand_out(data)),
            State::Response => self.next_response(),
            State::Confirmation => self.next_confirmation(),
            State::Succeeded => {
                self.state = State::Command;
                Some(ServerEvent::Authenticated)
            }
            State::Events => self.next_event_line(),
            State::Data { follow } => {
                let ends = follow && self.input.take_empty();
                self.state = State::Data {
                    follow: follow && !ends,
                };
                ends.then_some(ServerEvent::EndOfRead)
            }
            State::Closing => Some(ServerEvent::Closed),
            state => {
                self.state = state;
                None
            }
        }
    }

    fn next_command(&mut self) -> Option<ServerEvent> {
        self.state = State::Command;
        // An empty line is what ends a followed READ FLOW that had just ended by itself.
        while self.input.take_empty() {}
        let command = match self.input.next(self.limits.command)? {
            Ok(line) => parse_command(&String::from_utf8_lossy(&line)).map_err(|e| e.status()),
            Err(error) => Err(Status::syntax(error.to_string())),
        };
        match command.and_then(|command| self.permitted(command)) {
            Ok(command) => self.hand_out_command(command),
            Err(status) => Some(self.refuse(status)),
        }
    }

    /// Refuses what needs authentication, and a second authentication.
    fn permitted(&self, command: Command) -> Result<Command, Status> {
        let needs_none = matches!(
            command,
            Command::StartTls
                | Command::Capabilities
                | Command::Authenticate { .. }
                | Command::Noop
                | Command::Help
                | Command::Quit
        );
        match command {
            Command::Authenticate { .. } if self.authenticated => Err(Status::sequence(
                "this session is authenticated already; open another one",
            )),
            _ if self.authenticated || needs_none => Ok(command),
            _ => Err(Status::auth("authenticate first, with AUTHENTICATE")),
        }
    }

    /// Answers a line that the owner gets to see only as [`ServerEvent::Refused`].
    fn refuse(&mut self, status: Status) -> ServerEvent {
        self.output.status(&status);
        self.errors += 1;
        if self.errors >= self.limits.errors {
            self.close(&Status::closing("too many errors in a row"));
        }
        ServerEvent::Refused(status)
    }

    fn hand_out_command(&mut self, command: Command) -> Option<ServerEvent> {
        let synchronizes = match &command {
            Command::StartTls => Some("STARTTLS"),
            Command::Authenticate { .. } => Some("AUTHENTICATE"),
            Command::WriteFlow { .. } => Some("WRITE FLOW"),
            _ => None,
        };
        if self.closes_for_early_bytes(synchronizes) {
            return self.next_event();
        }
        self.errors = 0;
        let mut pending = Pending {
            synchronizes,
            ..Pending::default()
        };
        let event = event_of(command, &mut pending);
        self.state = State::Answering(pending);
        Some(event)
    }

    /// Command smuggling: bytes behind a synchronization point would be read differently by
    /// someone who does not know how the server answers.
    fn closes_for_early_bytes(&mut self, synchronizes: Option<&str>) -> bool {
        match synchronizes {
            Some(command) if self.input.len() > 0 => {
                let text = format!("bytes came before the answer to {command}; wait for it");
                self.close(&Status::closing(text));
                true
            }
            _ => false,
        }
    }

    fn hand_out(&mut self, data: SaslData) -> ServerEvent {
        self.state = State::Exchange;
        ServerEvent::SaslResponse {
            data,
            exchange: Exchange(()),
        }
    }

    fn next_response(&mut self) -> Option<ServerEvent> {
        self.state = State::Response;
        let line = self.input.next(self.limits.sasl)?;
        if self.closes_for_early_bytes(Some("AUTHENTICATE")) {
            return self.next_event();
        }
        Some(match response(line) {
            Ok(data) => self.hand_out(data),
            Err(status) => self.cancel(status),
        })
    }

    fn next_confirmation(&mut self) -> Option<ServerEvent> {
        self.state = State::Confirmation;
        let line = self.input.next(self.limits.sasl)?;
        if self.closes_for_early_bytes(Some("AUTHENTICATE")) {
            return self.next_event();
        }
        Some(match response(line) {
            Ok(data) if data.as_bytes().is_empty() => {
                self.authenticated();
                self.state = State::Command;
                ServerEvent::Authenticated
            }
            Ok(_) => self.cancel(Status::argument(
                "an empty line should answer the server's last SASL message",
            )),
            Err(status) => self.cancel(status),
        })
    }

    fn cancel(&mut self, status: Status) -> ServerEvent {
        self.state = State::Command;
        self.refuse(status);
        ServerEvent::SaslCancelled
    }

    fn authenticated(&mut self) {
        self.authenticated = true;
        self.errors = 0;
        self.output.status(&Status::authenticated());
    }

    fn next_event_line(&mut self) -> Option<ServerEvent> {
        self.state = State::Events;
        Some(match self.input.next(self.limits.event)? {
            Ok(line) if line.as_ref() == b"." => {
                self.state = State::Answering(Pending::default());
                ServerEvent::EndOfEvents(Turn(()))
            }
            Ok(line) => ServerEvent::EventLine(line),
            Err(error) => ServerEvent::EventLineRefused(error),
        })
    }

    /// Ends the state that a token stands for, unless the session has been closed meanwhile or
    /// the client did not wait.
    fn answering(&mut self) -> Option<Pending> {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Answering(pending) => {
                let early = self.closes_for_early_bytes(pending.synchronizes);
                (!early).then_some(pending)
            }
            state => {
                self.state = state;
                None
            }
        }
    }

    /// Ends the session from any state with a last status, usually [`Status::closing`]: a
    /// time-out, a limit, a shutdown. [`ServerEvent::Closed`] follows; tokens that are still out
    /// have no effect any more.
    pub fn close(&mut self, status: &Status) {
        if !self.is_closed() {
            self.output.status(status);
            self.input.clear();
            self.state = State::Closing;
        }
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closing | State::Closed)
    }

    /// Whether the client has authenticated.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// How many octets wait to be sent. Send them when there are many, so that memory stays
    /// bounded.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Takes what is to be sent.
    pub fn take_output(&mut self) -> Bytes {
        self.output.take()
    }
}

/// The event of a permitted command, with the token that fits.
fn event_of(command: Command, pending: &mut Pending) -> ServerEvent {
    match command {
        Command::Authenticate { mechanism, initial } => {
            pending.initial = initial.map(SaslData::new);
            ServerEvent::Authenticate {
                mechanism,
                start: ExchangeStart(()),
            }
        }
        Command::WriteFlow {
            flow,
            format,
            position,
        } => ServerEvent::WriteFlow {
            flow,
            format,
            position,
            write: WriteTurn(()),
        },
        command => {
            pending.follow = matches!(&command, Command::ReadFlow(_, options) if options.follow);
            ServerEvent::Command(command, Turn(()))
        }
    }
}

/// A SASL message of the client, or what to answer instead.
fn response(line: Result<Bytes, LineError>) -> Result<SaslData, Status> {
    let line = line.map_err(|error| Status::syntax(error.to_string()))?;
    if line.as_ref() == b"*" {
        return Err(Status::argument("authentication is cancelled"));
    }
    SaslData::decode(&line)
        .ok_or_else(|| Status::argument("a SASL message is base64, or `*` to cancel"))
}
