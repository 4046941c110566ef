//! What a server session tells its owner.

use bytes::Bytes;

use super::turn::{Exchange, ExchangeStart, Turn, WriteTurn};
use crate::session::{LineError, SaslData};
use crate::{Command, EventFormat, Name, Status, StorePosition};

/// What the client has done. An event with a token waits for an answer; until the token is given
/// back, no further command is handed out.
#[derive(Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// A command other than AUTHENTICATE and WRITE FLOW. Answer with
    /// [`reply`](super::ServerSession::reply), or line by line from
    /// [`begin_data`](super::ServerSession::begin_data) on; QUIT with
    /// [`bye`](super::ServerSession::bye).
    Command(Command, Turn),
    /// AUTHENTICATE. Go on with [`start_exchange`](super::ServerSession::start_exchange), or refuse
    /// by [`ExchangeStart::refuse`].
    Authenticate {
        /// The SASL mechanism, in upper case.
        mechanism: String,
        /// The right to answer.
        start: ExchangeStart,
    },
    /// The client's next message of the exchange, the initial response included. Answer with
    /// [`challenge`](super::ServerSession::challenge), [`succeed`](super::ServerSession::succeed)
    /// or [`fail`](super::ServerSession::fail).
    SaslResponse {
        /// The message.
        data: SaslData,
        /// The right to answer.
        exchange: Exchange,
    },
    /// The client has given the exchange up, or broken it; that has been answered.
    SaslCancelled,
    /// The exchange has succeeded and the client knows: whatever `succeed` was called for holds
    /// from here on.
    Authenticated,
    /// WRITE FLOW. Take the events with [`accept_events`](super::ServerSession::accept_events), or
    /// refuse by [`WriteTurn::refuse`].
    WriteFlow {
        /// The flow.
        flow: Name,
        /// The form of each line.
        format: EventFormat,
        /// A source position to store with the events.
        position: Option<StorePosition>,
        /// The right to answer.
        write: WriteTurn,
    },
    /// One line of WRITE FLOW, without its end: UTF-8 without NUL.
    EventLine(Bytes),
    /// One line of WRITE FLOW was skipped. It counts as a line; the answer is due at the end.
    EventLineRefused(LineError),
    /// The client has sent all events.
    EndOfEvents(Turn),
    /// The client wants no more of a followed READ FLOW: end the data.
    EndOfRead,
    /// The client has sent something that is no command, or none that it may send now. It has
    /// been answered with this status.
    Refused(Status),
    /// The session is over: send what there is to send and close the connection.
    Closed,
}
