//! READ FLOW, from the client's side.

use std::borrow::BorrowMut;

use eson_protocol::text::parse_data_line;
use eson_protocol::{Command, DataLine, Name, ReadOptions, Status};

use crate::ClientError;
use crate::client::{Client, accepted, begins_data, line_of};
use crate::exchange::Event;

/// The events of a flow as they come, one JSON object a line.
///
/// Made by [`Client::read_flow`], which borrows the session, or by [`FlowReader::open`], which
/// owns it. A reader that is dropped before its end or [`FlowReader::stop`] leaves the session
/// interrupted.
pub struct FlowReader<C: BorrowMut<Client>> {
    client: C,
    follow: bool,
    finished: bool,
}

impl Client {
    /// Begins to read a flow's events.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when there is no such flow or the caller may not read it, and
    /// everything that a connection can meet.
    pub async fn read_flow(
        &mut self,
        flow: &Name,
        options: &ReadOptions,
    ) -> Result<FlowReader<&mut Self>, ClientError> {
        FlowReader::open(self, flow, options).await
    }
}

impl<C: BorrowMut<Client>> FlowReader<C> {
    /// Begins to read a flow's events through a session that the reader keeps.
    ///
    /// # Errors
    /// As for [`Client::read_flow`].
    pub async fn open(
        mut client: C,
        flow: &Name,
        options: &ReadOptions,
    ) -> Result<Self, ClientError> {
        let session = client.borrow_mut();
        let line = line_of(&Command::ReadFlow(flow.clone(), options.clone()))?;
        session.begin()?;
        session.send_line(&line).await?;
        let answer = accepted(session.status(&line).await?);
        let data = match &answer {
            Ok(status) => begins_data(status),
            Err(_) => false,
        };
        if !data {
            session.end();
            answer?;
        }
        Ok(Self {
            client,
            follow: options.follow,
            finished: !data,
        })
    }

    /// The next event; none at the end. Waits without a time-out when the read follows, else for
    /// as long as an answer may take. Cancel-safe.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the server ends with an error; everything that a connection
    /// can meet.
    pub async fn next_line(&mut self) -> Result<Option<String>, ClientError> {
        if self.finished {
            return Ok(None);
        }
        let client = self.client.borrow_mut();
        let line = match self.follow {
            true => client.line_patiently().await?,
            false => client.line("READ FLOW").await?,
        };
        match parse_event_line(line) {
            Ok(event) => Ok(Some(event)),
            Err(status) => {
                self.finish(&status);
                accepted(status).map(|_| None)
            }
        }
    }

    /// Ends the read: asks the server to stop, and drops what it had sent by then.
    ///
    /// # Errors
    /// As for [`FlowReader::next_line`]; [`ClientError::Timeout`] when events go on for longer
    /// than an answer may take.
    pub async fn stop(mut self) -> Result<(), ClientError> {
        self.drain().await
    }

    /// Like [`FlowReader::stop`], and gives the session back.
    ///
    /// # Errors
    /// As for [`FlowReader::stop`]; the session is lost then.
    pub async fn into_client(mut self) -> Result<C, ClientError> {
        self.drain().await?;
        Ok(self.client)
    }

    async fn drain(&mut self) -> Result<(), ClientError> {
        if self.finished {
            return Ok(());
        }
        let client = self.client.borrow_mut();
        if self.follow {
            client.send_line("").await?;
        }
        self.follow = false;
        while self.next_line().await?.is_some() {}
        Ok(())
    }

    fn finish(&mut self, status: &Status) {
        let client = self.client.borrow_mut();
        client
            .connection
            .observe(Event::Received(&status.to_string()));
        client.end();
        self.finished = true;
    }
}

/// An event, or the status that ends them. An event begins with `{`, so that it needs no more
/// than a look.
fn parse_event_line(line: String) -> Result<String, Status> {
    if line.starts_with('{') {
        return Ok(line);
    }
    Ok(match parse_data_line(&line)? {
        DataLine::Text(text) => text,
        DataLine::Attribute(key, value) => format!("{key}={value}"),
    })
}
