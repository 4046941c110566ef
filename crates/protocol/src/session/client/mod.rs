//! The client's half of a session.

mod event;

use std::collections::VecDeque;

use bytes::Bytes;

use super::Limits;
use super::lines::Lines;
use super::output::Output;
use super::sasl::{self, SaslData};
use crate::text::{
    ending_status, format_command, looks_like_status, parse_status, unescaped_data_line,
};
use crate::{Code, Command, Status};

pub use event::{ClientError, ClientEvent, ClientExchange, EventBody, Greeting, SendError};

/// The client's half of a session: bytes in, events out; commands in, bytes out.
///
/// Commands may be sent before earlier ones are answered, where FNAP allows it.
#[derive(Debug)]
pub struct ClientSession {
    limits: Limits,
    input: Lines,
    output: Output,
    outstanding: VecDeque<Expected>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The greeting is to come.
    Greeting,
    /// A status line is to come.
    Status,
    /// Data lines are to come.
    Data,
    /// Nothing is to come.
    Closed,
}

/// What is to come for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// A status, or data and a status.
    Reply,
    /// The same, and nothing may be sent before it.
    Synchronized(&'static str),
    /// Events and a status, or only a status.
    Events {
        /// The data goes on until we end it.
        follow: bool,
    },
    /// `220` asks for the first SASL message.
    Go,
    /// A challenge, or the status that ends the exchange.
    Exchange,
    /// Nothing: the next SASL message is ours.
    OurMessage,
    /// `354`, or a refusal.
    WriteAccepted,
    /// Nothing: our events go out.
    OurEvents,
}

impl ClientSession {
    /// A session whose server has not greeted yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            input: Lines::default(),
            output: Output::default(),
            outstanding: VecDeque::new(),
            state: State::Greeting,
        }
    }

    /// Sends a command.
    ///
    /// # Errors
    /// [`SendError`]; nothing is sent then.
    pub fn send(&mut self, command: &Command) -> Result<(), SendError> {
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        if let Some(Err(error)) = self.outstanding.back().map(|last| last.lets_send()) {
            return Err(error);
        }
        if self.outstanding.len() >= self.limits.pipeline {
            return Err(SendError::TooMany(self.outstanding.len()));
        }
        self.output.line(&format_command(command)?);
        self.outstanding.push_back(Expected::of(command));
        Ok(())
    }

    /// Answers a challenge.
    pub fn respond(&mut self, _exchange: ClientExchange, data: &[u8]) {
        self.answer_challenge(&sasl::encode(data));
    }

    /// Gives the exchange up. The server answers with a status.
    pub fn cancel(&mut self, _exchange: ClientExchange) {
        self.answer_challenge("*");
    }

    fn answer_challenge(&mut self, line: &str) {
        if self.replace_expected(Expected::OurMessage, Expected::Exchange) {
            self.output.line(line);
        }
    }

    /// Sends one event of WRITE FLOW, which is JSON.
    pub fn event_line(&mut self, _body: &EventBody, event: &str) {
        if self.outstanding.front() == Some(&Expected::OurEvents) {
            self.output.event_line(event);
        }
    }

    /// Ends the events of WRITE FLOW. The server answers with a status.
    pub fn end_events(&mut self, _body: EventBody) {
        if self.replace_expected(Expected::OurEvents, Expected::Reply) {
            self.output.line(".");
        }
    }

    /// Asks the server to end a followed READ FLOW. The events that are under way and the status
    /// still come. Without such a READ FLOW nothing happens.
    pub fn end_read(&mut self) {
        if let Some(Expected::Events { follow }) = self.outstanding.back_mut()
            && std::mem::take(follow)
        {
            self.output.line("");
        }
    }

    fn replace_expected(&mut self, from: Expected, to: Expected) -> bool {
        match self.outstanding.front_mut() {
            Some(expected) if *expected == from => {
                *expected = to;
                true
            }
            _ => false,
        }
    }

    /// Takes bytes from the server. Follow it by [`ClientSession::next_event`] until there is
    /// none: what is buffered is then less than one line.
    pub fn receive(&mut self, bytes: &[u8]) {
        if !self.is_closed() {
            self.input.push(bytes);
        }
    }

    /// What the server has said, one thing at a time; none until more bytes come.
    ///
    /// # Errors
    /// [`ClientError`] when it was not FNAP. The session is closed then.
    pub fn next_event(&mut self) -> Result<Option<ClientEvent>, ClientError> {
        let event = match self.state {
            State::Closed => Ok(None),
            State::Data => self.next_data_line(),
            State::Greeting | State::Status => self.next_status(),
        };
        if event.is_err() {
            self.state = State::Closed;
        }
        event
    }

    fn next_data_line(&mut self) -> Result<Option<ClientEvent>, ClientError> {
        let Some(line) = self.input.next(self.limits.data).transpose()? else {
            return Ok(None);
        };
        let is_event = matches!(self.outstanding.front(), Some(Expected::Events { .. }));
        if is_event && !looks_like_status(&line) {
            return Ok(Some(ClientEvent::EventLine(without_escape(line))));
        }
        let text = text_of(&line);
        Ok(Some(match ending_status(&text) {
            Some(status) => {
                self.state = State::Status;
                self.ended(status, ClientEvent::DataEnd)
            }
            None => ClientEvent::DataLine(unescaped_data_line(&text)),
        }))
    }

    fn next_status(&mut self) -> Result<Option<ClientEvent>, ClientError> {
        let limit = match self.outstanding.front() {
            Some(Expected::Go | Expected::Exchange) => self.limits.sasl,
            _ => self.limits.command,
        };
        let Some(line) = self.input.next(limit).transpose()? else {
            return Ok(None);
        };
        let status = parse_status(&text_of(&line))?;
        if status.code == Code::Closing.number() {
            self.state = State::Closed;
            return Ok(Some(ClientEvent::Closing(status)));
        }
        if self.state == State::Greeting {
            return self.greeted(status).map(Some);
        }
        self.replied(status).map(Some)
    }

    fn greeted(&mut self, status: Status) -> Result<ClientEvent, ClientError> {
        if status.code != Code::Ok.number() {
            return Err(ClientError::Unexpected(status.to_string()));
        }
        self.state = State::Status;
        let fqdn = status.text.split_once(' ').map(|(fqdn, _)| fqdn.to_owned());
        Ok(ClientEvent::Greeting(Greeting { fqdn }))
    }

    fn replied(&mut self, status: Status) -> Result<ClientEvent, ClientError> {
        let Some(expected) = self.outstanding.front_mut() else {
            return Err(ClientError::Unexpected(status.to_string()));
        };
        let known = status.known_code();
        match (*expected, known) {
            (Expected::OurMessage | Expected::OurEvents, _) => {
                Err(ClientError::Unexpected(status.to_string()))
            }
            (Expected::Go, Some(Code::Ok)) => {
                *expected = Expected::OurMessage;
                Ok(challenge(SaslData::new(Vec::new())))
            }
            (Expected::Go | Expected::Exchange, Some(Code::Challenge)) => {
                *expected = Expected::OurMessage;
                let data = SaslData::decode(status.text.as_bytes());
                data.map(challenge).ok_or(ClientError::Challenge)
            }
            (Expected::WriteAccepted, Some(Code::SendEvents)) => {
                *expected = Expected::OurEvents;
                Ok(ClientEvent::SendEvents(EventBody(())))
            }
            (Expected::Reply | Expected::Synchronized(_) | Expected::Events { .. }, _)
                if begins_data(&status) =>
            {
                self.state = State::Data;
                Ok(ClientEvent::DataBegin)
            }
            _ => Ok(self.ended(status, ClientEvent::Status)),
        }
    }

    /// The oldest command is answered.
    fn ended(&mut self, status: Status, event: fn(Status) -> ClientEvent) -> ClientEvent {
        self.outstanding.pop_front();
        event(status)
    }

    /// How many commands wait for their reply.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// How many octets wait to be sent.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Takes what is to be sent.
    pub fn take_output(&mut self) -> Bytes {
        self.output.take()
    }
}

impl Expected {
    fn of(command: &Command) -> Self {
        match command {
            Command::Authenticate { initial: None, .. } => Self::Go,
            Command::Authenticate { .. } => Self::Exchange,
            Command::WriteFlow { .. } => Self::WriteAccepted,
            Command::StartTls => Self::Synchronized("STARTTLS"),
            Command::ReadFlow(_, options) => Self::Events {
                follow: options.follow,
            },
            _ => Self::Reply,
        }
    }

    fn lets_send(self) -> Result<(), SendError> {
        match self {
            Self::Reply | Self::Events { follow: false } => Ok(()),
            Self::Synchronized(command) => Err(SendError::MustWait(command)),
            Self::Events { follow: true } => Err(SendError::MustWait("READ FLOW")),
            Self::Go | Self::Exchange | Self::OurMessage => {
                Err(SendError::MustWait("AUTHENTICATE"))
            }
            Self::WriteAccepted | Self::OurEvents => Err(SendError::MustWait("WRITE FLOW")),
        }
    }
}

fn begins_data(status: &Status) -> bool {
    status.code == Code::Ok.number() && status.reason.is_none() && status.text == "DATA"
}

fn challenge(data: SaslData) -> ClientEvent {
    ClientEvent::Challenge {
        data,
        exchange: ClientExchange(()),
    }
}

/// Lines have been checked to be UTF-8.
fn text_of(line: &Bytes) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(line)
}

fn without_escape(line: Bytes) -> Bytes {
    match line.first() {
        Some(b'=') => line.slice(1..),
        _ => line,
    }
}
