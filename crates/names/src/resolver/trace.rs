//! What a resolution did, step by step, printed like the draft's transcripts.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// The steps of a resolution in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace(Vec<Step>);

/// One step of a resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// What is looked for.
    Resolving {
        /// The record type's mnemonic.
        kind: String,
        /// The name, without the last dot.
        name: String,
        /// Who is asked first.
        server: SocketAddr,
    },
    /// A question goes out.
    Query {
        /// The name, absolute.
        name: String,
        /// The record type's number.
        kind: u16,
        /// Who is asked.
        server: SocketAddr,
        /// Whether over TCP.
        tcp: bool,
    },
    /// The answer was still in the cache.
    Cached {
        /// The name, absolute.
        name: String,
        /// The record type's number.
        kind: u16,
    },
    /// Records came.
    Answer {
        /// Each in zone-file syntax, its fields separated by tabs; signatures left out.
        records: Vec<String>,
        /// From question to answer; zero from the cache.
        took: Duration,
    },
    /// An answer without records came.
    Empty {
        /// The response code's mnemonic: NOERROR (there is no such record), NXDOMAIN (there is no
        /// such name), SERVFAIL, REFUSED, …
        rcode: String,
        /// From question to answer; zero from the cache.
        took: Duration,
    },
    /// No answer came.
    Failed {
        /// Who was asked.
        server: SocketAddr,
        /// What happened instead.
        why: String,
    },
    /// DNSSEC's outcome for an answer.
    Validated {
        /// The name, absolute.
        name: String,
        /// The record type's mnemonic.
        kind: String,
        /// `secure`, `insecure` or `bogus`, and why.
        outcome: String,
    },
    /// A conclusion, or why another way is taken.
    Note(String),
}

impl Trace {
    /// The steps in their order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    pub(crate) fn push(&mut self, step: Step) {
        self.0.push(step);
    }
}

impl fmt::Display for Trace {
    /// One line a step, each ended by a line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolving { kind, name, server } => {
                write!(f, "Resolving {kind} for {name} using server {server}")
            }
            Self::Query {
                name,
                kind,
                server,
                tcp,
            } => {
                let over = if *tcp { " over TCP" } else { "" };
                write!(
                    f,
                    "Executing query {name} IN {kind} using server {server}{over}"
                )
            }
            Self::Cached { name, kind } => write!(f, "Found query {name} IN {kind} in the cache"),
            Self::Answer { records, .. } => {
                write!(f, "Executing successful: [{}]", records.join(", "))
            }
            Self::Empty { rcode, .. } => write!(f, "Executing unsuccessful: {rcode}"),
            Self::Failed { server, why } => write!(f, "Executing failed at {server}: {why}"),
            Self::Validated {
                name,
                kind,
                outcome,
            } => write!(f, "DNSSEC for {name} {kind}: {outcome}"),
            Self::Note(text) => f.write_str(text),
        }
    }
}
