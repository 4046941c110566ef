//! What the owner of a server session says.

use super::{DataTurn, Exchange, ExchangeStart, ServerSession, State, Turn, WriteTurn};
use crate::session::sasl;
use crate::{Code, DataLine, Reply, Status};

/// Answers. Each takes the token of what it answers; a token of another session, or of one that
/// has been closed, has no effect.
impl ServerSession {
    /// Answers a command.
    pub fn reply(&mut self, _turn: Turn, reply: impl Into<Reply>) {
        if self.answering().is_some() {
            self.output.reply(&reply.into());
        }
    }

    /// Answers QUIT: `220 Bye`, and the end.
    pub fn bye(&mut self, _turn: Turn) {
        self.close(&Status::bye());
    }

    /// Begins to answer with data, for data that is not there at once.
    pub fn begin_data(&mut self, _turn: Turn) -> DataTurn {
        if let Some(pending) = self.answering() {
            self.output.begin_data();
            self.state = State::Data {
                follow: pending.follow,
            };
        }
        DataTurn(())
    }

    /// Sends one data line.
    pub fn data_line(&mut self, _data: &DataTurn, line: &DataLine) {
        if matches!(self.state, State::Data { .. }) {
            self.output.data_line(line);
        }
    }

    /// Sends one event of READ FLOW, which is JSON.
    pub fn event_line(&mut self, _data: &DataTurn, event: &str) {
        if matches!(self.state, State::Data { .. }) {
            self.output.event_line(event);
        }
    }

    /// Ends the data.
    pub fn end_data(&mut self, _data: DataTurn, status: &Status) {
        if matches!(self.state, State::Data { .. }) {
            self.output.status(status);
            self.state = State::Command;
        }
    }

    /// Asks for the events of WRITE FLOW: `354`.
    /// [`ServerEvent::EventLine`](super::ServerEvent::EventLine) follows for each, and
    /// [`ServerEvent::EndOfEvents`](super::ServerEvent::EndOfEvents) with the turn to answer.
    pub fn accept_events(&mut self, _write: WriteTurn) {
        if self.answering().is_some() {
            let text = "go on, one event a line; a line with only a dot ends";
            self.output.status(&Status::new(Code::SendEvents, text));
            self.state = State::Events;
        }
    }

    /// Begins a SASL exchange: takes the initial response, or asks for it by `220 OK`.
    /// [`ServerEvent::SaslResponse`](super::ServerEvent::SaslResponse) follows.
    pub fn start_exchange(&mut self, _start: ExchangeStart) {
        if let Some(pending) = self.answering() {
            self.state = match pending.initial {
                Some(initial) => State::InitialResponse(initial),
                None => {
                    self.output.status(&Status::done());
                    State::Response
                }
            };
        }
    }

    /// Sends a SASL challenge.
    pub fn challenge(&mut self, _exchange: Exchange, data: &[u8]) {
        if self.exchanging() {
            self.challenge_line(data);
            self.state = State::Response;
        }
    }

    /// Ends the exchange with success. Final data of the server, such as SCRAM's signature, goes
    /// out as one more challenge, which the client answers with an empty line.
    /// [`ServerEvent::Authenticated`](super::ServerEvent::Authenticated) follows in either case.
    pub fn succeed(&mut self, _exchange: Exchange, final_data: Option<&[u8]>) {
        if !self.exchanging() {
            return;
        }
        match final_data {
            Some(data) => {
                self.challenge_line(data);
                self.state = State::Confirmation;
            }
            None => {
                self.authenticated();
                self.state = State::Succeeded;
            }
        }
    }

    /// Ends the exchange with a failure, usually [`Status::credentials`].
    pub fn fail(&mut self, _exchange: Exchange, status: Status) {
        if self.exchanging() {
            self.state = State::Command;
            self.refuse(status);
        }
    }

    fn exchanging(&mut self) -> bool {
        matches!(self.state, State::Exchange) && !self.closes_for_early_bytes(Some("AUTHENTICATE"))
    }

    fn challenge_line(&mut self, data: &[u8]) {
        let code = Code::Challenge.number();
        self.output.line(&format!("{code} {}", sasl::encode(data)));
    }
}
