//! What can be wrong with a command line, and how a server says so.

use crate::{Code, NameError, PrincipalError, Status, UriError};

/// Why a line is no command.
///
/// What these texts quote comes from the client and goes back to it, shortened and without
/// control characters. A line that looks like a misplaced password is not quoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Answered with `500 [SYNTAX]`.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// Answered with `501 [ARGUMENT]`.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// Answered with `502 [UNSUPPORTED]`.
    #[error("this FNAA has no extension `{0}`; ENABLE knows ATTRIBUTES")]
    UnknownExtension(String),
}

/// Why a line can't be taken apart, or begins with no known command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxError {
    /// The line is empty or blank.
    #[error("the line has no command")]
    Empty,
    /// A control character other than the tabulator.
    #[error("the line has a control character")]
    Control,
    /// A quoted string has no end.
    #[error("a quoted string is not closed; it ends with `\"`")]
    Unclosed,
    /// Something other than `"` or `\` follows a backslash in a quoted string.
    #[error("a backslash in a quoted string may stand before `\"` and `\\` only")]
    BadEscape,
    /// A quote stands inside a word.
    #[error("a `\"` may stand only around a whole argument or value")]
    StrayQuote,
    /// No command begins like that; the word is quoted if it may be.
    #[error("unknown command{0}; HELP lists the commands")]
    UnknownCommand(QuotedVerb),
    /// The verb exists, what follows it does not.
    #[error("{verb} needs one of {known} behind it; HELP lists the commands")]
    UnknownNoun {
        /// The verb.
        verb: &'static str,
        /// What may follow it.
        known: String,
    },
}

/// A verb that is short and alphabetic enough to be quoted back: a password that was sent at the
/// wrong moment must not come to stand in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotedVerb(Option<String>);

impl QuotedVerb {
    pub(super) fn new(word: &str) -> Self {
        let harmless = word.len() <= 12 && word.bytes().all(|octet| octet.is_ascii_alphabetic());
        Self(harmless.then(|| word.to_ascii_uppercase()))
    }
}

impl std::fmt::Display for QuotedVerb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(verb) => write!(f, " {verb}"),
            None => Ok(()),
        }
    }
}

/// Why an argument or option of a known command is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// An argument is missing.
    #[error("{command} needs {what}")]
    Missing {
        /// The command.
        command: &'static str,
        /// What should stand there.
        what: &'static str,
    },
    /// There is an argument too many.
    #[error("{command} does not take `{found}` there")]
    Unexpected {
        /// The command.
        command: &'static str,
        /// The argument.
        found: String,
    },
    /// There is an argument too many, which is not quoted, for it may be a password.
    #[error("{command} takes a mechanism and an initial response, and nothing behind them")]
    TooMany {
        /// The command.
        command: &'static str,
    },
    /// The command has no such option.
    #[error("{command} has no option `{option}`")]
    UnknownOption {
        /// The command.
        command: &'static str,
        /// The option's key.
        option: String,
    },
    /// An option that may be given once is given more often.
    #[error("the option `{0}` is given twice")]
    Repeated(&'static str),
    /// A name is wrong.
    #[error("{0}")]
    Name(#[from] NameError),
    /// A flow URI is wrong.
    #[error("{0}")]
    Uri(#[from] UriError),
    /// A principal is wrong.
    #[error("{0}")]
    Principal(#[from] PrincipalError),
    /// A value is not of the kind it should be.
    #[error("`{found}` is no {what}; write {example}")]
    Value {
        /// What it should be.
        what: &'static str,
        /// What it is.
        found: String,
        /// What would be right.
        example: &'static str,
    },
    /// The initial response is not base64; it is not quoted, for it holds a password.
    #[error("the initial response is not base64")]
    InitialResponse,
}

impl ArgumentError {
    pub(super) fn value(what: &'static str, found: &str, example: &'static str) -> Self {
        Self::Value {
            what,
            found: excerpt(found),
            example,
        }
    }
}

impl CommandError {
    /// The status that answers the line.
    #[must_use]
    pub fn status(&self) -> Status {
        let code = match self {
            Self::Syntax(_) => Code::Syntax,
            Self::Argument(_) => Code::Argument,
            Self::UnknownExtension(_) => Code::Unsupported,
        };
        Status::new(code, self.to_string())
    }
}

impl From<&CommandError> for Status {
    fn from(error: &CommandError) -> Self {
        error.status()
    }
}

/// Why a command, which is a value, can't be written as a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnwritableError {
    /// A value has a control character, a line end for one: the line would be two commands.
    #[error("the value `{0}` has a control character, which FNAP can't carry")]
    Control(String),
    /// The line would be longer than [`super::MAX_COMMAND_LENGTH`].
    #[error("the command has {0} octets; at most {max} are allowed", max = super::MAX_COMMAND_LENGTH)]
    TooLong(usize),
}

/// At most 64 characters of what a client sent, without control characters.
pub(super) fn excerpt(text: &str) -> String {
    const MOST: usize = 64;
    let mut excerpt: String = text
        .chars()
        .take(MOST)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MOST).is_some() {
        excerpt.push('…');
    }
    excerpt
}
