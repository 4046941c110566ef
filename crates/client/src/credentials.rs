//! Who a client is.

use std::fmt;

/// A password. Neither printed nor logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    #[must_use]
    pub fn new(password: String) -> Self {
        Self(password)
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(password: String) -> Self {
        Self(password)
    }
}

impl From<&str> for Password {
    fn from(password: &str) -> Self {
        Self(password.to_owned())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Who a client is, and how it shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody in particular (SASL ANONYMOUS, RFC 4505).
    Anonymous {
        /// What the operator of the server may see: a mail address, for one. May be empty.
        trace: String,
    },
    /// SASL PLAIN (RFC 4616): the server sees the password.
    Plain {
        /// The user's name.
        user: String,
        /// The password.
        password: Password,
    },
    /// SASL SCRAM-SHA-256 (RFC 7677): the server proves that it knows the user.
    ScramSha256 {
        /// The user's name.
        user: String,
        /// The password.
        password: Password,
    },
    /// The best mechanism that the server offers for a password: SCRAM-SHA-256, else PLAIN.
    Best {
        /// The user's name.
        user: String,
        /// The password.
        password: Password,
    },
}

impl Credentials {
    /// Whether these are worth protecting on the way.
    pub(crate) fn is_secret(&self) -> bool {
        !matches!(self, Self::Anonymous { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_password() {
        let credentials = Credentials::Plain {
            user: "alice".into(),
            password: "wonderland".into(),
        };
        let printed = format!("{credentials:?}");
        assert!(
            printed.contains("alice") && !printed.contains("wonderland"),
            "{printed}"
        );
    }
}
