//! Every FNAP reply as a type, free of text.

use std::fmt;

/// A three-digit status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// Done.
    Ok = 220,
    /// A SASL challenge; its text is base64.
    Challenge = 334,
    /// Go on, send events.
    SendEvents = 354,
    /// The server closes the session.
    Closing = 421,
    /// Too much at once; try again.
    Busy = 450,
    /// A broker, name server or runtime did not answer; try again.
    Backend = 451,
    /// A quota is used up; try again later.
    Quota = 452,
    /// The line is no command.
    Syntax = 500,
    /// An argument is wrong.
    Argument = 501,
    /// This FNAA does not do that.
    Unsupported = 502,
    /// Not at this point of the session.
    Sequence = 503,
    /// Authenticate first.
    Auth = 530,
    /// Needs TLS.
    Privacy = 534,
    /// The credentials are wrong.
    Credentials = 535,
    /// There is no such thing, or the caller may not know of it.
    NotFound = 550,
    /// Another FNAA hosts it.
    NotLocal = 551,
    /// The caller may not do that.
    Denied = 552,
    /// The name can't be used.
    Name = 553,
    /// It exists with other content.
    Exists = 554,
    /// Events would go round.
    Loop = 555,
    /// Waits for the owner's approval.
    Pending = 556,
    /// The owner has ended it.
    Revoked = 557,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 22] = [
        Self::Ok,
        Self::Challenge,
        Self::SendEvents,
        Self::Closing,
        Self::Busy,
        Self::Backend,
        Self::Quota,
        Self::Syntax,
        Self::Argument,
        Self::Unsupported,
        Self::Sequence,
        Self::Auth,
        Self::Privacy,
        Self::Credentials,
        Self::NotFound,
        Self::NotLocal,
        Self::Denied,
        Self::Name,
        Self::Exists,
        Self::Loop,
        Self::Pending,
        Self::Revoked,
    ];

    /// The three digits.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Whether the same command may succeed later.
    #[must_use]
    pub fn is_transient(self) -> bool {
        (400..500).contains(&self.number())
    }

    /// Whether the command has failed, now or for good.
    #[must_use]
    pub fn is_error(self) -> bool {
        self.number() >= 400
    }
}

/// The bracketed word that a program reads, such as `[NOTFOUND]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(pub String);

/// One status line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The three digits; a client takes any, also those it does not know.
    pub code: u16,
    /// The bracketed word, if any.
    pub reason: Option<Reason>,
    /// For people: what went wrong, with which name, and what to do.
    pub text: String,
}

/// One line of a reply's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataLine {
    /// `key=value`.
    Attribute(String, String),
    /// A bare text, such as the name in SUBSCRIBE's first line, or an event.
    Text(String),
}

/// What a server answers to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Only a status.
    Status(Status),
    /// Data lines, then a status.
    Data(Vec<DataLine>, Status),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.code)?;
        if let Some(Reason(word)) = &self.reason {
            write!(f, " [{word}]")?;
        }
        write!(f, " {}", self.text)
    }
}
