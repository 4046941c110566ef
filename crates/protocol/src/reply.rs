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

impl Code {
    /// The bracketed word that goes with the code: `NOTFOUND` with 550.
    #[must_use]
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Ok | Self::Challenge | Self::SendEvents | Self::Closing => None,
            Self::Busy => Some("BUSY"),
            Self::Backend => Some("BACKEND"),
            Self::Quota => Some("QUOTA"),
            Self::Syntax => Some("SYNTAX"),
            Self::Argument => Some("ARGUMENT"),
            Self::Unsupported => Some("UNSUPPORTED"),
            Self::Sequence => Some("SEQUENCE"),
            Self::Auth => Some("AUTH"),
            Self::Privacy => Some("PRIVACY"),
            Self::Credentials => Some("CREDENTIALS"),
            Self::NotFound => Some("NOTFOUND"),
            Self::NotLocal => Some("NOTLOCAL"),
            Self::Denied => Some("DENIED"),
            Self::Name => Some("NAME"),
            Self::Exists => Some("EXISTS"),
            Self::Loop => Some("LOOP"),
            Self::Pending => Some("PENDING"),
            Self::Revoked => Some("REVOKED"),
        }
    }

    /// The code of a number, if this build knows it.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
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

impl Status {
    /// A status with the code's own bracketed word.
    #[must_use]
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code: code.number(),
            reason: code.word().map(|word| Reason(word.to_owned())),
            text: text.into(),
        }
    }

    /// The code, if this build knows it.
    #[must_use]
    pub fn known_code(&self) -> Option<Code> {
        Code::from_number(self.code)
    }

    /// Whether the command has failed, now or for good.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.code >= 400
    }

    /// Whether the same command may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// `220 OK`.
    #[must_use]
    pub fn done() -> Self {
        Self::new(Code::Ok, "OK")
    }

    /// `220 OK` and what it is about, as in `220 OK time.flows.unix.ar`.
    #[must_use]
    pub fn done_with(what: impl fmt::Display) -> Self {
        Self::new(Code::Ok, format!("OK {what}"))
    }

    /// `220 Authenticated`.
    #[must_use]
    pub fn authenticated() -> Self {
        Self::new(Code::Ok, "Authenticated")
    }

    /// `220 Bye`.
    #[must_use]
    pub fn bye() -> Self {
        Self::new(Code::Ok, "Bye")
    }
}

/// One constructor for each failure, so that a caller reads `Status::not_found(…)`.
macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident => $code:ident;)*) => {
        impl Status {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(text: impl Into<String>) -> Self {
                    Self::new(Code::$code, text)
                }
            )*
        }
    };
}

failures! {
    /// 421: the server closes the session.
    closing => Closing;
    /// `450 [BUSY]`: too much at once; try again.
    busy => Busy;
    /// `451 [BACKEND]`: a broker, name server or runtime did not answer; the text says which.
    backend => Backend;
    /// `452 [QUOTA]`: a quota is used up.
    quota => Quota;
    /// `500 [SYNTAX]`: the line is no command.
    syntax => Syntax;
    /// `501 [ARGUMENT]`: an argument is wrong.
    argument => Argument;
    /// `502 [UNSUPPORTED]`: this FNAA does not do that.
    unsupported => Unsupported;
    /// `503 [SEQUENCE]`: not at this point of the session.
    sequence => Sequence;
    /// `530 [AUTH]`: authenticate first.
    auth => Auth;
    /// `534 [PRIVACY]`: needs TLS.
    privacy => Privacy;
    /// `535 [CREDENTIALS]`: the credentials are wrong.
    credentials => Credentials;
    /// `550 [NOTFOUND]`: there is no such thing, or the caller may not know of it.
    not_found => NotFound;
    /// `551 [NOTLOCAL]`: another FNAA hosts it; the text names it.
    not_local => NotLocal;
    /// `552 [DENIED]`: the caller may not do that.
    denied => Denied;
    /// `553 [NAME]`: the name can't be used.
    name => Name;
    /// `554 [EXISTS]`: it exists with other content.
    exists => Exists;
    /// `555 [LOOP]`: events would go round.
    would_loop => Loop;
    /// `556 [PENDING]`: waits for the owner's approval.
    pending => Pending;
    /// `557 [REVOKED]`: the owner has ended it.
    revoked => Revoked;
}

/// One line of a reply's data. `Debug` hides the value of the key `password`.
#[derive(Clone, PartialEq, Eq)]
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

impl Reply {
    /// Data lines that end in `220 OK`.
    #[must_use]
    pub fn data(lines: Vec<DataLine>) -> Self {
        Self::Data(lines, Status::done())
    }

    /// The status that ends the reply.
    #[must_use]
    pub fn status(&self) -> &Status {
        match self {
            Self::Status(status) | Self::Data(_, status) => status,
        }
    }
}

impl From<Status> for Reply {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl DataLine {
    /// `key=value`.
    #[must_use]
    pub fn attribute(key: impl Into<String>, value: impl fmt::Display) -> Self {
        Self::Attribute(key.into(), value.to_string())
    }

    /// A bare text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Debug for DataLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(key, _) if key == "password" => write!(f, "Attribute({key:?}, …)"),
            Self::Attribute(key, value) => write!(f, "Attribute({key:?}, {value:?})"),
            Self::Text(text) => write!(f, "Text({text:?})"),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_one_codes_and_every_failure_has_a_word_of_its_own() {
        for (at, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(Code::from_number(code.number()), Some(code));
            let words = Code::ALL.into_iter().skip(at + 1).map(Code::word);
            assert!(
                !words.flatten().any(|word| Some(word) == code.word()),
                "{code:?}"
            );
            assert_eq!(code.word().is_some(), code.number() >= 450, "{code:?}");
        }
        assert_eq!(Code::from_number(999), None);
    }

    #[test]
    fn failures_are_passing_or_final() {
        let passing = Status::backend("the broker of a.example did not answer");
        assert!(passing.is_error() && passing.is_transient());
        let last = Status::revoked("the owner has ended it");
        assert!(last.is_error() && !last.is_transient());
        assert!(!Status::done().is_error());
        assert_eq!(last.known_code(), Some(Code::Revoked));
        for code in Code::ALL {
            let status = Status::new(code, "");
            assert_eq!(status.is_error(), code.is_error());
            assert_eq!(status.is_transient(), code.is_transient());
        }
    }

    #[test]
    fn the_plain_replies_are_the_drafts() {
        assert_eq!(Status::done().to_string(), "220 OK");
        let flow = Status::done_with("time.flows.unix.ar");
        assert_eq!(flow.to_string(), "220 OK time.flows.unix.ar");
        assert_eq!(Status::authenticated().to_string(), "220 Authenticated");
        assert_eq!(Status::bye().to_string(), "220 Bye");
        let denied = Status::denied("alice may not write a.example");
        assert_eq!(
            denied.to_string(),
            "552 [DENIED] alice may not write a.example"
        );
    }

    #[test]
    fn a_password_is_not_printed() {
        let reply = Reply::data(vec![
            DataLine::attribute("username", "c1"),
            DataLine::attribute("password", "hidden"),
        ]);
        let printed = format!("{reply:?}");
        assert!(
            printed.contains("c1") && !printed.contains("hidden"),
            "{printed}"
        );
    }
}
