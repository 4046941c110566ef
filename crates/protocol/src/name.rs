//! Names of flows, namespaces and hosts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name of a flow, in octets: `_queue._flow._tcp.` in front of the name of a copy
/// must still fit in the 253 octets of a DNS name.
pub(crate) const MAX_NAME_LENGTH: usize = 218;

/// The longest label of a name, in octets (RFC 1035, section 2.3.4).
pub(crate) const MAX_LABEL_LENGTH: usize = 63;

/// A fully qualified domain name of letters, digits and hyphens: a flow, a namespace or a host.
///
/// Kept in lower case, as A-labels (RFC 5890), without the last dot. Underscore is refused,
/// because it is DNS's service prefix and Kafka folds `_` and `.` in metric names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// There is no label at all.
    #[error("a name needs at least one label")]
    Empty,
    /// The name has more octets than [`MAX_NAME_LENGTH`].
    #[error("the name has {0} octets; at most {MAX_NAME_LENGTH} are allowed")]
    TooLong(usize),
    /// Two dots follow each other, or the name begins with one.
    #[error("the name `{0}` has an empty label")]
    EmptyLabel(String),
    /// A label has more octets than [`MAX_LABEL_LENGTH`].
    #[error("the label `{0}` is longer than {MAX_LABEL_LENGTH} octets")]
    LabelTooLong(String),
    /// A label has a character other than a letter, a digit or a hyphen inside it.
    #[error("the label `{0}` may have letters, digits and inner hyphens only")]
    BadLabel(String),
    /// The name is not valid under IDNA (RFC 5891).
    #[error("the name `{0}` is not a valid international domain name")]
    BadInternational(String),
}

impl Name {
    /// Reads a name; case is folded, one last dot is dropped, U-labels become A-labels.
    ///
    /// # Errors
    /// [`NameError`] says which label is wrong.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let ascii = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii_strict(text)
                .map_err(|_| NameError::BadInternational(text.to_owned()))?
        };
        check(&ascii)?;
        Ok(Self(ascii))
    }

    /// The name in lower case without the last dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels from the left.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// The leftmost label.
    #[must_use]
    pub fn first_label(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }

    /// The name without its leftmost label; none for a single label.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0
            .split_once('.')
            .map(|(_, rest)| Self(rest.to_owned()))
    }

    /// Whether this name equals `suffix` or lies below it, label by label.
    #[must_use]
    pub fn is_within(&self, suffix: &Self) -> bool {
        self == suffix || self.relative_to(suffix).is_some()
    }

    /// What stands in front of `suffix`: `arrivals.airport` of `arrivals.airport.flows.orange.example`
    /// in `flows.orange.example`. None when this name is not strictly below `suffix`.
    #[must_use]
    pub fn relative_to(&self, suffix: &Self) -> Option<&str> {
        self.0.strip_suffix(suffix.as_str())?.strip_suffix('.')
    }

    /// `label` (one or more labels) put in front of this name.
    ///
    /// # Errors
    /// [`NameError`] when the result is no name.
    pub fn prefixed(&self, label: &str) -> Result<Self, NameError> {
        Self::parse(&format!("{label}.{}", self.0))
    }
}

fn check(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME_LENGTH {
        return Err(NameError::TooLong(name.len()));
    }
    name.split('.')
        .try_for_each(|label| check_label(label, name))
}

fn check_label(label: &str, name: &str) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyLabel(name.to_owned()));
    }
    if label.len() > MAX_LABEL_LENGTH {
        return Err(NameError::LabelTooLong(label.to_owned()));
    }
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    if !label.bytes().all(allowed) || label.starts_with('-') || label.ends_with('-') {
        return Err(NameError::BadLabel(label.to_owned()));
    }
    Ok(())
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    #[test]
    fn spelling_is_normalised() {
        assert_eq!(name("Time.Flows.Unix.AR.").as_str(), "time.flows.unix.ar");
        assert_eq!(name("Café.example").as_str(), "xn--caf-dma.example");
        assert_eq!(name("1-2.a").as_str(), "1-2.a");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, error) in [
            ("", NameError::Empty),
            (".", NameError::Empty),
            ("a..b", NameError::EmptyLabel("a..b".to_owned())),
            (".a", NameError::EmptyLabel(".a".to_owned())),
            ("a_b.c", NameError::BadLabel("a_b".to_owned())),
            ("-a.b", NameError::BadLabel("-a".to_owned())),
            ("a-.b", NameError::BadLabel("a-".to_owned())),
            ("a b", NameError::BadLabel("a b".to_owned())),
            ("*.b", NameError::BadLabel("*".to_owned())),
        ] {
            assert_eq!(Name::parse(text), Err(error), "{text}");
        }
        let bad = NameError::BadInternational("é\u{200d}.b".to_owned());
        assert_eq!(Name::parse("é\u{200d}.b"), Err(bad));
    }

    #[test]
    fn lengths_are_bounded() {
        let label = "a".repeat(63);
        assert!(Name::parse(&label).is_ok());
        let long = "a".repeat(64);
        assert_eq!(Name::parse(&long), Err(NameError::LabelTooLong(long)));
        let whole = format!("{label}.{label}.{label}.{}", "a".repeat(26));
        assert_eq!(whole.len(), MAX_NAME_LENGTH);
        assert!(Name::parse(&whole).is_ok());
        assert_eq!(
            Name::parse(&format!("{whole}a")),
            Err(NameError::TooLong(219))
        );
        assert_eq!(name(&whole).prefixed("b"), Err(NameError::TooLong(220)));
    }

    /// The proof of concept took a namespace for its own by substring.
    #[test]
    fn belonging_goes_label_by_label() {
        let namespace = name("flows.orange.example");
        let flow = name("arrivals.airport.flows.orange.example");
        assert_eq!(flow.relative_to(&namespace), Some("arrivals.airport"));
        assert!(flow.is_within(&namespace) && namespace.is_within(&namespace));
        assert_eq!(namespace.relative_to(&namespace), None);
        for other in [
            "xflows.orange.example",
            "flows.orange.example.org",
            "orange.example",
        ] {
            assert!(!name(other).is_within(&namespace), "{other}");
        }
    }

    #[test]
    fn labels_are_taken_from_the_left() {
        let flow = name("a.b.c");
        assert_eq!(flow.first_label(), "a");
        assert_eq!(flow.parent(), Some(name("b.c")));
        assert_eq!(name("c").parent(), None);
        assert_eq!(flow.labels().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(flow.prefixed("X.y"), Ok(name("x.y.a.b.c")));
    }
}
