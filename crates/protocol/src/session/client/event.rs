//! What a client session tells its owner.

use bytes::Bytes;

use crate::session::{LineError, SaslData};
use crate::text::{StatusError, UnwritableError};
use crate::{DataLine, Status};

/// What the server has said. Replies come in the order of the commands.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The server is there.
    Greeting(Greeting),
    /// The oldest command is answered, without data.
    Status(Status),
    /// The oldest command is being answered with data.
    DataBegin,
    /// One line of data.
    DataLine(DataLine),
    /// One event of READ FLOW: JSON, in UTF-8, without the line's end.
    EventLine(Bytes),
    /// The data is at its end, and the oldest command is answered.
    DataEnd(Status),
    /// The server waits for the next SASL message: answer with
    /// [`respond`](super::ClientSession::respond) or [`cancel`](super::ClientSession::cancel).
    /// Empty for `220 OK`, which asks for the first one.
    Challenge {
        /// The server's message.
        data: SaslData,
        /// The right to answer.
        exchange: ClientExchange,
    },
    /// The server waits for the events of WRITE FLOW.
    SendEvents(EventBody),
    /// The server closes the session. Commands without an answer may or may not have been
    /// carried out.
    Closing(Status),
}

/// The server's first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The FNAA's name, where it gives one.
    pub fqdn: Option<String>,
}

/// The right to send one SASL message.
#[must_use = "the server waits for an answer"]
#[derive(Debug, PartialEq, Eq)]
pub struct ClientExchange(pub(super) ());

/// The right to send events.
#[must_use = "the server waits for the end of the events"]
#[derive(Debug, PartialEq, Eq)]
pub struct EventBody(pub(super) ());

/// What the server has sent is not FNAP: the connection is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A line is too long or is no text.
    #[error("the server broke the protocol: {0}")]
    Line(#[from] LineError),
    /// A status line was due.
    #[error("the server broke the protocol: {0}")]
    Status(#[from] StatusError),
    /// A challenge is not base64.
    #[error("the server broke the protocol: its SASL challenge is not base64")]
    Challenge,
    /// A line came that nobody had asked for.
    #[error("the server broke the protocol: it sent `{0}` when nothing was asked")]
    Unexpected(String),
}

/// Why a command can't be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It has no line.
    #[error(transparent)]
    Unwritable(#[from] UnwritableError),
    /// AUTHENTICATE, STARTTLS, WRITE FLOW or a followed READ FLOW is not answered yet.
    #[error("the answer to {0} has to come before the next command is sent")]
    MustWait(&'static str),
    /// So many commands wait for their reply that one has to come first.
    #[error("{0} commands wait for their reply; read some replies first")]
    TooMany(usize),
    /// The session is over.
    #[error("the FNAP session is closed")]
    Closed,
}
