//! Who a client is.

use eson_protocol::Secret;

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
        password: Secret,
    },
    /// SASL SCRAM-SHA-256 (RFC 7677): the server proves that it knows the user.
    ScramSha256 {
        /// The user's name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// The best mechanism that the server offers for a password: SCRAM-SHA-256, else PLAIN.
    Best {
        /// The user's name.
        user: String,
        /// The password.
        password: Secret,
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
