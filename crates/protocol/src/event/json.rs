//! Pieces of JSON that are written by hand, and base64 in JSON strings.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Adds a JSON string.
pub(super) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            // Writing to a String can't fail.
            '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// Adds octets as a JSON string in base64.
pub(super) fn push_base64(out: &mut String, octets: &[u8]) {
    out.push('"');
    STANDARD.encode_string(octets, out);
    out.push('"');
}

/// Adds octets in base64, or `null`.
pub(super) fn push_optional_base64(out: &mut String, octets: Option<&Bytes>) {
    match octets {
        Some(octets) => push_base64(out, octets),
        None => out.push_str("null"),
    }
}

/// Octets from a JSON string in base64.
pub(super) struct Base64(pub(super) Bytes);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Base64Visitor)
    }
}

struct Base64Visitor;

impl Visitor<'_> for Base64Visitor {
    type Value = Base64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string in base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Base64, E> {
        let octets = STANDARD.decode(text);
        octets
            .map(|octets| Base64(Bytes::from(octets)))
            .map_err(|_| E::custom("a string is not base64"))
    }
}
