//! Why the command failed, as an exit code and one line for people.

use std::fmt;
use std::process::ExitCode;

use eson_client::{ClientError, DialError};
use eson_protocol::{Code, Status};

use crate::terminal::printable_lines;

/// What kind of failure ended the command: the exit codes of `fnua`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Whoever read the output has seen enough: nothing to complain about.
    OutputClosed = 0,
    /// The server refused for good (5xx).
    Refused = 1,
    /// The command line, the configuration or a file on this machine.
    Usage = 2,
    /// A name could not be resolved.
    Names = 3,
    /// No connection, no TLS, no FNAP on the other side, or no answer.
    Connection = 4,
    /// The login failed, or there was none.
    Login = 5,
    /// The server asks to try again later (4xx).
    TryAgain = 6,
}

impl Kind {
    /// What helps with this kind of failure, beyond what the message says.
    fn advice(self) -> Option<&'static str> {
        match self {
            Self::Names => Some("use -d to see each question and answer"),
            Self::Connection => Some(
                "does the agent run there, and with TLS or without as configured? -d shows more",
            ),
            Self::Login => Some("check the agent's username and password in the configuration"),
            Self::TryAgain => Some("try again later"),
            Self::OutputClosed | Self::Refused | Self::Usage => None,
        }
    }
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
        }
    }

    /// The command line, the configuration or a local file is at fault.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Says in front of the message what was being done.
    pub(crate) fn while_doing(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Tells a person, on standard error.
    pub(crate) fn report(&self) {
        if self.kind == Kind::OutputClosed {
            return;
        }
        eprintln!("fnua: {}", printable_lines(&self.message));
        if let Some(advice) = self.kind.advice() {
            eprintln!("fnua: {advice}");
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }

    #[cfg(test)]
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(kind_of(&error), &error)
    }
}

fn kind_of(error: &ClientError) -> Kind {
    match error {
        ClientError::Refused(status) => kind_of_status(status),
        ClientError::Sasl { .. } | ClientError::Plaintext { .. } => Kind::Login,
        ClientError::Unsendable(_) => Kind::Usage,
        ClientError::Dial(DialError::Lookup { .. }) => Kind::Names,
        _ => Kind::Connection,
    }
}

fn kind_of_status(status: &Status) -> Kind {
    const LOGIN: [Code; 3] = [Code::Auth, Code::Privacy, Code::Credentials];
    match status.code {
        code if LOGIN.iter().any(|login| login.number() == code) => Kind::Login,
        400..500 => Kind::TryAgain,
        _ => Kind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: u16) -> Kind {
        let status = Status {
            code,
            reason: None,
            text: String::new(),
        };
        Failure::from(ClientError::Refused(status)).kind()
    }

    #[test]
    fn a_status_decides_the_exit_code() {
        assert_eq!(kind(550), Kind::Refused);
        assert_eq!(kind(535), Kind::Login);
        assert_eq!(kind(530), Kind::Login);
        assert_eq!(kind(451), Kind::TryAgain);
        assert_eq!(kind(421), Kind::TryAgain);
    }
}
