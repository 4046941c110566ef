//! Why a name can't be resolved.

use std::fmt;

use super::trace::Trace;
use crate::wire::BadName;

/// Why a name can't be resolved, with what was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveError {
    /// What went wrong.
    pub kind: ResolveErrorKind,
    /// Each step taken.
    pub trace: Trace,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveErrorKind {
    /// There is nothing of the kind at this name.
    #[error("{name} has no {what} in DNS; check the spelling, or that it is published")]
    NotFound {
        /// The name asked for.
        name: String,
        /// What is missing: flow, FNAA, address.
        what: &'static str,
    },
    /// An SRV record with the target `.` says that the service is decidedly not there.
    #[error("{name} is decidedly not offered: its SRV target is `.`")]
    NotOffered {
        /// Where the SRV is.
        name: String,
    },
    /// No name server answers. Try again later.
    #[error("no name server answers for {name}: {why}")]
    Unreachable {
        /// The name asked for.
        name: String,
        /// What each attempt met.
        why: String,
    },
    /// Every name server answers that it can't. Try again later.
    #[error("the name servers can't answer for {name}: {rcode}")]
    Failed {
        /// The name asked for.
        name: String,
        /// The response code's mnemonic: SERVFAIL, REFUSED, …
        rcode: String,
    },
    /// The answer's signatures don't hold: somebody changed it, or its zone is broken. It is not
    /// used.
    #[error("the answer for {name} is bogus by DNSSEC and not used: {why}")]
    Bogus {
        /// Whose records.
        name: String,
        /// What does not hold.
        why: String,
    },
    /// Aliases go round or on for too long.
    #[error("the aliases of {name} {why}")]
    Chain {
        /// Where the chain begins.
        name: String,
        /// Loop or length.
        why: String,
    },
    /// Records are there that make no sense.
    #[error("the records of {name} make no sense: {why}")]
    Malformed {
        /// Whose records.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// No name server is configured for this name.
    #[error("no name server is configured that can be asked for {name}; set `nameserver`")]
    NoServer {
        /// The name asked for.
        name: String,
    },
    /// The name does not fit in DNS.
    #[error("{name} is no DNS name: {why}")]
    BadName {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

impl From<BadName> for ResolveErrorKind {
    fn from(BadName { name, why }: BadName) -> Self {
        Self::BadName { name, why }
    }
}

impl ResolveError {
    /// Whether the same question may be answered later: the servers fail, the name may exist.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        use ResolveErrorKind::{Failed, Unreachable};
        matches!(self.kind, Unreachable { .. } | Failed { .. })
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for ResolveError {}
