//! WRITE FLOW, from the client's side.

use eson_protocol::{Code, Command, EventFormat, Name, Status, StorePosition};

use crate::ClientError;
use crate::client::{Client, accepted, line_of};

/// How many octets of events are gathered before they are sent.
const PIECE: usize = 64 * 1024;

impl Client {
    /// Writes events, one JSON object each, and returns how many the broker has acknowledged:
    /// all of them.
    ///
    /// All lines go in one batch, for which the server has a limit (`limits.write` in
    /// CAPABILITIES). `position` is stored together with the events.
    ///
    /// # Errors
    /// [`ClientError::Refused`]: with 501 an event is wrong (the text has its number) and none is
    /// written; with 451 the broker failed after the number that the text has. Where the
    /// connection breaks, any number may have been written. [`ClientError::Unsendable`] for a line
    /// break within an event; nothing is sent then.
    pub async fn write_flow<L: AsRef<str>>(
        &mut self,
        flow: &Name,
        format: EventFormat,
        position: Option<&StorePosition>,
        events: &[L],
    ) -> Result<u64, ClientError> {
        check(events)?;
        let line = line_of(&Command::WriteFlow {
            flow: flow.clone(),
            format,
            position: position.cloned(),
        })?;
        self.begin()?;
        self.send_line(&line).await?;
        let go_on = self.status(&line).await?;
        if go_on.code != Code::SendEvents.number() {
            accepted(go_on).inspect_err(|_| self.end())?;
            return Err(self.broken("it did not ask for the events"));
        }
        let sent = self.send_events(events).await;
        let status = self.outcome(&line, sent).await?;
        self.end();
        self.acknowledged(&accepted(status)?)
    }

    async fn send_events<L: AsRef<str>>(&mut self, events: &[L]) -> Result<(), ClientError> {
        let mut piece = Vec::with_capacity(PIECE);
        for event in events {
            piece.extend_from_slice(event.as_ref().as_bytes());
            piece.extend_from_slice(b"\r\n");
            if piece.len() >= PIECE {
                self.connection.send(&piece).await?;
                piece.clear();
            }
        }
        piece.extend_from_slice(b".\r\n");
        self.connection.send(&piece).await
    }

    /// A server that closes in the middle may have said why.
    async fn outcome(
        &mut self,
        line: &str,
        sent: Result<(), ClientError>,
    ) -> Result<Status, ClientError> {
        match (sent, self.status(line).await) {
            (Err(error), Err(_)) => Err(error),
            (_, outcome) => outcome,
        }
    }

    /// `220 OK n`.
    fn acknowledged(&self, status: &Status) -> Result<u64, ClientError> {
        let number = status.text.rsplit(' ').next().unwrap_or_default();
        number
            .parse()
            .map_err(|_| self.broken(format!("`{status}` does not tell how many were written")))
    }
}

fn check<L: AsRef<str>>(events: &[L]) -> Result<(), ClientError> {
    for (at, event) in events.iter().enumerate() {
        let event = event.as_ref();
        if event.contains(['\r', '\n', '\0']) || event == "." {
            return Err(ClientError::Unsendable(format!(
                "event {} is no single line of JSON",
                at + 1
            )));
        }
    }
    Ok(())
}
