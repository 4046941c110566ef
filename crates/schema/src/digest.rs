//! The digest that pins a schema.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// What stands in front of the hexadecimal digits.
const ALGORITHM: &str = "sha256:";

/// The SHA-256 of a document; as text, `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// A text that is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a schema's digest is `sha256:` and 64 hexadecimal digits; `sha256sum FILE` tells them")]
pub struct DigestError;

impl Digest {
    /// The digest of a document.
    #[must_use]
    pub fn of(document: &[u8]) -> Self {
        Self(Sha256::digest(document).into())
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits = text.strip_prefix(ALGORITHM).ok_or(DigestError)?;
        if digits.len() != 64 || !digits.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            return Err(DigestError);
        }
        let mut octets = [0; 32];
        for (octet, at) in octets.iter_mut().zip((0..64).step_by(2)) {
            let pair = digits.get(at..at + 2).ok_or(DigestError)?;
            *octet = u8::from_str_radix(pair, 16).map_err(|_| DigestError)?;
        }
        Ok(Self(octets))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ALGORITHM)?;
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_sha256sum_tells() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), empty);
        assert_eq!(empty.parse(), Ok(Digest::of(b"")));
        assert_eq!(empty.replace("e3b", "E3B").parse(), Ok(Digest::of(b"")));
    }

    #[test]
    fn nothing_else_is_one() {
        let digits = "0".repeat(64);
        for wrong in [
            digits.clone(),
            format!("sha256:{digits}0"),
            format!("sha512:{digits}"),
            format!("sha256:{}é", "0".repeat(62)),
            format!("sha256:+{}", "0".repeat(63)),
            String::new(),
        ] {
            assert_eq!(wrong.parse::<Digest>(), Err(DigestError), "{wrong}");
        }
    }
}
