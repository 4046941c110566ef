//! READ FLOW, from the client's side.

use std::borrow::BorrowMut;

use bytes::Bytes;
use eson_protocol::session::ClientEvent;
use eson_protocol::{Command, Name, ReadOptions};

use crate::ClientError;
use crate::client::{Client, accepted};

/// What is waited for, in messages.
const AWAITED: &str = "READ FLOW";

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
        let command = Command::ReadFlow(flow.clone(), options.clone());
        session.begin(&command).await?;
        let finished = match session.event(AWAITED).await? {
            ClientEvent::DataBegin => {
                session.observe_received("220 DATA");
                false
            }
            ClientEvent::Status(status) => {
                accepted(session.observed(status))?;
                true
            }
            other => return Err(session.out_of_place(other)),
        };
        Ok(Self {
            client,
            follow: options.follow,
            finished,
        })
    }

    /// The next event, which is UTF-8; none at the end. Waits without a time-out when the read
    /// follows, else for as long as an answer may take. Cancel-safe.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the server ends with an error; everything that a connection
    /// can meet.
    pub async fn next_line(&mut self) -> Result<Option<Bytes>, ClientError> {
        if self.finished {
            return Ok(None);
        }
        let client = self.client.borrow_mut();
        let event = match self.follow {
            true => client.event_patiently().await?,
            false => client.event(AWAITED).await?,
        };
        match event {
            ClientEvent::EventLine(line) => Ok(Some(line)),
            ClientEvent::DataEnd(status) => {
                self.finished = true;
                accepted(client.observed(status)).map(|_| None)
            }
            other => Err(client.out_of_place(other)),
        }
    }

    /// Ends the read: asks the server to stop, and drops what it had sent by then. A read that
    /// does not follow can't be stopped, so that all the rest is dropped; where that is much,
    /// drop the reader and the session instead.
    ///
    /// # Errors
    /// As for [`FlowReader::next_line`].
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
        client.session.end_read();
        client.flush().await?;
        self.follow = false;
        while self.next_line().await?.is_some() {}
        Ok(())
    }
}
