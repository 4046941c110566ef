//! WRITE FLOW, from the client's side.

use eson_protocol::session::{ClientEvent, EventBody};
use eson_protocol::{Command, EventFormat, Name, Status, StorePosition};

use crate::ClientError;
use crate::client::{Client, accepted};

/// What is waited for, in messages.
const AWAITED: &str = "WRITE FLOW";

/// How many octets of events are gathered before they are sent.
const PIECE: usize = 64 * 1024;

impl Client {
    /// Writes events, one JSON object each, and returns how many the broker has acknowledged:
    /// all of them.
    ///
    /// All go in one batch, for which the server has a limit (`limits.write` in CAPABILITIES).
    /// `position` is stored together with the events.
    ///
    /// # Errors
    /// [`ClientError::Refused`]: with 501 an event is wrong (the text has its number) and none is
    /// written; with 451 the broker failed after the number that the text has. Where the
    /// connection breaks, any number may have been written.
    pub async fn write_flow<E: AsRef<str>>(
        &mut self,
        flow: &Name,
        format: EventFormat,
        position: Option<&StorePosition>,
        events: &[E],
    ) -> Result<u64, ClientError> {
        check(events)?;
        let command = Command::WriteFlow {
            flow: flow.clone(),
            format,
            position: position.cloned(),
        };
        self.begin(&command).await?;
        let body = match self.event(AWAITED).await? {
            ClientEvent::SendEvents(body) => body,
            ClientEvent::Status(status) => {
                let status = accepted(self.observed(status))?;
                return Err(self.broken(&format!("`{status}` asks for no events")));
            }
            other => return Err(self.out_of_place(other)),
        };
        self.observe_received("354 …");
        let sent = self.send_events(body, events).await;
        let status = self.outcome(sent).await?;
        self.acknowledged(&accepted(status)?)
    }

    async fn send_events<E: AsRef<str>>(
        &mut self,
        body: EventBody,
        events: &[E],
    ) -> Result<(), ClientError> {
        for event in events {
            self.session.event_line(&body, event.as_ref());
            if self.session.output_len() >= PIECE {
                self.flush().await?;
            }
        }
        self.session.end_events(body);
        self.flush().await
    }

    /// The status behind the events. A server that closes in the middle may have said why.
    async fn outcome(&mut self, sent: Result<(), ClientError>) -> Result<Status, ClientError> {
        match (sent, self.event(AWAITED).await) {
            (_, Ok(ClientEvent::Status(status))) => Ok(self.observed(status)),
            (_, Err(refused @ ClientError::Refused(_))) => Err(refused),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (_, Ok(other)) => Err(self.out_of_place(other)),
        }
    }

    /// `220 OK n`.
    fn acknowledged(&self, status: &Status) -> Result<u64, ClientError> {
        let number = status.text.rsplit(' ').next().unwrap_or_default();
        let unknown = || self.broken(&format!("`{status}` does not tell how many were written"));
        number.parse().map_err(|_| unknown())
    }
}

/// A lone dot would end the events.
fn check<E: AsRef<str>>(events: &[E]) -> Result<(), ClientError> {
    match events.iter().position(|event| event.as_ref() == ".") {
        Some(at) => Err(ClientError::Unsendable(format!(
            "event {} is a dot, which is no JSON",
            at + 1
        ))),
        None => Ok(()),
    }
}
