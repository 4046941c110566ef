//! What can go wrong between a client and an FNAA.

use std::io;
use std::time::Duration;

use eson_protocol::{Code, Status};

use crate::DialError;

/// A conversation with an FNAA failed. None of these carries a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no connection. Look at the address, or try again later.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The Unix socket does not accept a connection. Look whether the server runs.
    #[error("the socket {path} does not accept a connection: {cause}")]
    Socket {
        /// The socket's path.
        path: String,
        /// What the system said.
        cause: io::Error,
    },
    /// TLS could not be set up: the certificate is not valid for that name, for one.
    #[error("TLS with {server} failed, the certificate must be valid for {name}: {cause}")]
    Tls {
        /// The server.
        server: String,
        /// The name asked for.
        name: String,
        /// What the TLS library said.
        cause: io::Error,
    },
    /// The server did not answer in time. What was sent may have been carried out. A server that
    /// expects TLS waits like that for who speaks plaintext.
    #[error("{server} did not answer {what} within {} s", after.as_secs_f32())]
    Timeout {
        /// The server.
        server: String,
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
    },
    /// The connection ended. What was sent may have been carried out.
    #[error("{server} closed the connection{}", .cause.as_ref().map(|c| format!(": {c}")).unwrap_or_default())]
    Closed {
        /// The server.
        server: String,
        /// What the network said, where it was no orderly end.
        cause: Option<io::Error>,
    },
    /// What the server sent is no FNAP.
    #[error("{server}: {cause}")]
    Protocol {
        /// The server.
        server: String,
        /// What was wrong.
        cause: String,
    },
    /// The server answered, and refused. Its text says what to do.
    #[error("{0}")]
    Refused(Status),
    /// The login failed on our side: the server's proof was wrong, or nothing fits. A login that
    /// the server refuses is [`ClientError::Refused`] with 535.
    #[error("the login at {server} failed: {cause}")]
    Sasl {
        /// The server.
        server: String,
        /// What was wrong.
        cause: String,
    },
    /// The password was not sent, because anybody on the way could read it. Use TLS, or allow
    /// plaintext for this server.
    #[error(
        "the connection to {server} is not protected by TLS: no password was sent; use TLS, or \
         allow plaintext authentication for this server"
    )]
    Plaintext {
        /// The server.
        server: String,
    },
    /// The command can't be written: a line break in an argument, for one.
    #[error("the command can't be sent: {0}")]
    Unsendable(String),
    /// An earlier call was cancelled while its reply was on the way, so replies no longer match
    /// commands. Connect again.
    #[error("an earlier command on this connection to {server} was abandoned; connect again")]
    Interrupted {
        /// The server.
        server: String,
    },
}

impl ClientError {
    /// The server's status, where it refused.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused(status) => Some(status),
            _ => None,
        }
    }

    /// Whether the server refused with this code.
    #[must_use]
    pub fn is(&self, code: Code) -> bool {
        self.status().is_some_and(|s| s.code == code.number())
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused(status) => (400..500).contains(&status.code),
            Self::Dial(DialError::Forbidden { .. }) => false,
            Self::Dial(_)
            | Self::Socket { .. }
            | Self::Timeout { .. }
            | Self::Closed { .. }
            | Self::Interrupted { .. } => true,
            _ => false,
        }
    }
}
