//! Who asks, and to whom a right is given.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Name, NameError};

/// Somebody a grant can name, written as in `GRANT read ON f TO …`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Principal {
    /// Whoever comes without credentials: `anonymous`.
    Anonymous,
    /// A participant's FNAA itself: `orange.example`.
    Domain(Name),
    /// One user of a participant: `alice@orange.example`.
    User {
        /// The user's name at that participant.
        user: String,
        /// The participant.
        domain: Name,
    },
    /// Every user of a participant: `*@orange.example`.
    AnyUserOf(Name),
}

/// Why a text is no principal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrincipalError {
    /// The part before `@` is empty or has a blank or a control character.
    #[error("`{0}` is no user name: it may not be empty nor have blanks, `@` or `=`")]
    BadUser(String),
    /// The domain is no name.
    #[error("the principal's domain: {0}")]
    BadDomain(#[from] NameError),
}

impl Principal {
    /// Reads `anonymous`, `domain`, `user@domain` or `*@domain`.
    ///
    /// # Errors
    /// [`PrincipalError`] says which half is wrong.
    pub fn parse(text: &str) -> Result<Self, PrincipalError> {
        if text.eq_ignore_ascii_case("anonymous") {
            return Ok(Self::Anonymous);
        }
        match text.rsplit_once('@') {
            None => Ok(Self::Domain(Name::parse(text)?)),
            Some(("*", domain)) => Ok(Self::AnyUserOf(Name::parse(domain)?)),
            Some((user, domain)) => Ok(Self::User {
                user: check_user(user)?.to_owned(),
                domain: Name::parse(domain)?,
            }),
        }
    }

    /// Whether a grant to `self` is one to `who`: equal, or `who` is a user of the domain that
    /// [`Principal::AnyUserOf`] names. A grant to `anonymous` is one to everybody.
    #[must_use]
    pub fn covers(&self, who: &Self) -> bool {
        match (self, who) {
            (Self::Anonymous, _) => true,
            (Self::AnyUserOf(domain), Self::User { domain: of, .. }) => domain == of,
            _ => self == who,
        }
    }
}

fn check_user(user: &str) -> Result<&str, PrincipalError> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '=' | '"' | '*');
    if user.is_empty() || user.len() > 255 || user.contains(bad) {
        return Err(PrincipalError::BadUser(user.to_owned()));
    }
    Ok(user)
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Domain(domain) => write!(f, "{domain}"),
            Self::User { user, domain } => write!(f, "{user}@{domain}"),
            Self::AnyUserOf(domain) => write!(f, "*@{domain}"),
        }
    }
}

impl FromStr for Principal {
    type Err = PrincipalError;

    fn from_str(text: &str) -> Result<Self, PrincipalError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Principal {
    type Error = PrincipalError;

    fn try_from(text: String) -> Result<Self, PrincipalError> {
        Self::parse(&text)
    }
}

impl From<Principal> for String {
    fn from(principal: Principal) -> Self {
        principal.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(text: &str) -> Principal {
        Principal::parse(text).expect("a principal")
    }

    #[test]
    fn every_kind_is_read_and_written() {
        for text in [
            "anonymous",
            "orange.example",
            "alice@orange.example",
            "*@orange.example",
        ] {
            assert_eq!(principal(text).to_string(), text);
        }
        assert_eq!(principal("Anonymous"), Principal::Anonymous);
        assert_eq!(
            principal("Alice@Orange.Example").to_string(),
            "Alice@orange.example"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for text in [
            "@a.example",
            "a b@c.example",
            "a*@b.example",
            "a@b@c.example",
            "a=b@c.example",
        ] {
            assert!(
                matches!(Principal::parse(text), Err(PrincipalError::BadUser(_))),
                "{text}"
            );
        }
        for text in ["", "alice@", "alice@a_b", "*"] {
            assert!(
                matches!(Principal::parse(text), Err(PrincipalError::BadDomain(_))),
                "{text}"
            );
        }
        let long = format!("{}@a.example", "a".repeat(256));
        assert!(Principal::parse(&long).is_err());
    }

    #[test]
    fn a_grant_covers_whom_it_names() {
        let alice = principal("alice@orange.example");
        for (grant, covers) in [
            ("anonymous", true),
            ("*@orange.example", true),
            ("alice@orange.example", true),
            ("bob@orange.example", false),
            ("alice@blue.example", false),
            ("*@example", false),
            ("orange.example", false),
        ] {
            assert_eq!(principal(grant).covers(&alice), covers, "{grant}");
        }
        let fnaa = principal("orange.example");
        assert!(fnaa.covers(&fnaa));
        assert!(!principal("*@orange.example").covers(&fnaa));
        assert!(!alice.covers(&Principal::Anonymous));
    }
}
