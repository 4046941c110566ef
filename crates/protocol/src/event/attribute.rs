//! Attributes of a CloudEvent: their names, and the type system of their values (CloudEvents 1.0,
//! section 3).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::EventError;
use super::media_type::is_media_type;
use crate::text::parse_time;

/// The attributes without which there is no CloudEvent.
pub(super) const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// An attribute's value, in one of the seven types of CloudEvents.
///
/// Only Protobuf carries all seven; JSON has three of them, and a record's headers have texts.
/// [`Value::text`] is what all forms agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number of 32 bits.
    Integer(i32),
    /// Text without control characters.
    String(String),
    /// Octets.
    Binary(Bytes),
    /// An absolute URI (RFC 3986).
    Uri(String),
    /// A URI or a relative reference (RFC 3986).
    UriReference(String),
    /// A time by RFC 3339, as it was written.
    Timestamp(String),
}

impl Value {
    /// The value's canonical text.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Boolean(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Binary(octets) => Cow::Owned(STANDARD.encode(octets)),
            Self::String(text)
            | Self::Uri(text)
            | Self::UriReference(text)
            | Self::Timestamp(text) => Cow::Borrowed(text),
        }
    }

    /// A text as a value of the type that the specification gives the attribute.
    pub(super) fn of(name: &str, text: String) -> Self {
        match name {
            "source" => Self::UriReference(text),
            "dataschema" => Self::Uri(text),
            "time" => Self::Timestamp(text),
            _ => Self::String(text),
        }
    }
}

/// An attribute that has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    name: String,
    value: Value,
}

impl Attribute {
    /// Checks a name and its value.
    ///
    /// # Errors
    /// [`EventError`] where the name has other characters than small letters and digits or is
    /// `data`, or the value is not of the attribute's type.
    pub fn new(name: impl Into<String>, value: Value) -> Result<Self, EventError> {
        let name = name.into();
        if !is_name(&name) {
            return Err(EventError::Name(name.chars().take(64).collect()));
        }
        check(&name, &value.text())?;
        Ok(Self { name, value })
    }

    /// An attribute from its text.
    pub(super) fn from_text(name: &str, text: &str) -> Result<Self, EventError> {
        Self::new(name, Value::of(name, text.to_owned()))
    }

    /// The attribute's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The attribute's value.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }
}

/// Small letters and digits; `data` is not an attribute.
fn is_name(name: &str) -> bool {
    let allowed = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit();
    !name.is_empty() && name.bytes().all(allowed) && name != "data"
}

/// A name that is there twice. Sorting keeps an event with very many attributes cheap.
pub(super) fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
    twice.map(|pair| pair[0])
}

/// Checks the text of an attribute's value.
pub(super) fn check(name: &str, value: &str) -> Result<(), EventError> {
    if name == "specversion" && value != "1.0" {
        return Err(EventError::Version(value.chars().take(16).collect()));
    }
    let (fits, expected) = match name {
        "id" | "type" | "subject" | "partitionkey" => {
            (!value.is_empty(), "a text that is not empty")
        }
        "source" | "dataschema" => (is_uri_reference(value), "a URI"),
        "time" => (parse_time(value).is_some(), "a time by RFC 3339"),
        "datacontenttype" => (is_media_type(value), "a media type"),
        _ => (true, ""),
    };
    let (fits, expected) = match value.contains(char::is_control) {
        true => (false, "without control characters"),
        false => (fits, expected),
    };
    if fits {
        return Ok(());
    }
    Err(EventError::Value {
        name: name.to_owned(),
        expected,
    })
}

/// Whether a text has only what a URI or relative reference may have (RFC 3986, appendix A), and
/// is not empty.
fn is_uri_reference(text: &str) -> bool {
    let allowed = |octet: u8| octet.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&octet);
    let escape = |after: &str| {
        let mut digits = after.bytes().take(2);
        digits.len() == 2 && digits.all(|octet| octet.is_ascii_hexdigit())
    };
    let escapes = text.split('%').skip(1).all(escape);
    !text.is_empty() && text.bytes().all(allowed) && escapes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_references() {
        for good in [
            "/mycontext",
            "https://github.com/cloudevents",
            "mailto:cncf-wg-serverless@lists.cncf.io",
            "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
            "/sensors/tn-1234567/alerts",
            "1-555-123-4567",
            "a%2Fb?c=[d]#e",
            "type.googleapis.com/orders.v1.Order",
        ] {
            assert!(is_uri_reference(good), "{good}");
        }
        for wrong in ["", "a b", "%", "a%2", "a%2x", "<a>", "é", "a\\b"] {
            assert!(!is_uri_reference(wrong), "{wrong}");
        }
    }

    #[test]
    fn texts_are_canonical() {
        assert_eq!(Value::Boolean(true).text(), "true");
        assert_eq!(Value::Integer(-7).text(), "-7");
        assert_eq!(Value::Binary(Bytes::from_static(b"\xff")).text(), "/w==");
        assert_eq!(Value::of("time", "x".to_owned()).text(), "x");
    }
}
