//! The SASL mechanisms (RFC 4422) that this FNAA offers.

use std::fmt;
use std::str::FromStr;

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// Salted challenge and response (RFC 7677): the server never learns the password.
    ScramSha256,
    /// User and password as they are (RFC 4616).
    Plain,
    /// Nobody in particular (RFC 4505).
    Anonymous,
}

/// What protects the connection that a login comes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionSecurity {
    /// TLS, or a Unix socket of this machine.
    Protected,
    /// Plain TCP, where the listener's `plaintext-auth: true` allows credentials all the same.
    PlaintextAllowed,
    /// Plain TCP: no credentials may be sent or accepted.
    Plaintext,
}

impl Mechanism {
    /// Every mechanism, best first.
    pub const ALL: [Self; 3] = [Self::ScramSha256, Self::Plain, Self::Anonymous];

    /// The name registered with IANA.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::Anonymous => "ANONYMOUS",
        }
    }

    /// Whether the mechanism may be used over such a connection.
    #[must_use]
    pub fn is_allowed(self, security: ConnectionSecurity) -> bool {
        self == Self::Anonymous || security != ConnectionSecurity::Plaintext
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mechanism {
    type Err = ();

    /// Reads a mechanism's name; case is folded.
    fn from_str(text: &str) -> Result<Self, ()> {
        let named = |mechanism: &Self| mechanism.as_str().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(named).ok_or(())
    }
}
