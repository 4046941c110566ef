//! The keys that DNSSEC chains begin at.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hickory_proto::dnssec::rdata::{DNSKEY, DS};
use hickory_proto::dnssec::{Algorithm, DigestType, PublicKeyBuf};
use hickory_proto::rr::Name;

/// A key or a key's digest that is trusted for one zone (RFC 4033, section 2), as DNSKEY or DS
/// record in zone-file syntax: what `dnssec-dsfromkey` and `dig DNSKEY` print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchor {
    pub(crate) zone: Name,
    pub(crate) key: AnchorKey,
}

/// The two forms of an anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AnchorKey {
    /// The key itself.
    Key(DNSKEY),
    /// The digest of the key.
    Digest(DS),
}

/// Why a text holds no trust anchors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no trust anchor: {why}; a DNSKEY or DS record in zone-file syntax is")]
pub struct TrustAnchorError {
    /// The line's number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl TrustAnchor {
    /// Reads a file of DNSKEY and DS records, one a line; `;` begins a comment.
    ///
    /// # Errors
    /// [`TrustAnchorError`] names the first line that is neither.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, TrustAnchorError> {
        let lines = text.lines().enumerate().map(|(index, line)| {
            let content = line.split(';').next().unwrap_or("").trim();
            (index + 1, content)
        });
        lines
            .filter(|(_, content)| !content.is_empty())
            .map(|(line, content)| {
                content
                    .parse()
                    .map_err(|why| TrustAnchorError { line, why })
            })
            .collect()
    }
}

impl FromStr for TrustAnchor {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_ascii_whitespace().peekable();
        let owner = words.next().ok_or("it is empty")?;
        let zone = Name::from_ascii(owner).map_err(|error| error.to_string())?;
        words.next_if(|word| word.parse::<u32>().is_ok());
        words.next_if(|word| word.eq_ignore_ascii_case("IN"));
        let kind = words.next().ok_or("the type is missing")?;
        let fields: Vec<&str> = words.collect();
        let key = match kind.to_ascii_uppercase().as_str() {
            "DNSKEY" => AnchorKey::Key(dnskey(&fields)?),
            "DS" => AnchorKey::Digest(ds(&fields)?),
            other => return Err(format!("it has the type {other}")),
        };
        Ok(Self { zone, key })
    }
}

fn dnskey(fields: &[&str]) -> Result<DNSKEY, String> {
    let [flags, _protocol, algorithm, key @ ..] = fields else {
        return Err("a DNSKEY has flags, protocol, algorithm and key".to_owned());
    };
    let flags: u16 = number(flags, "flags")?;
    let algorithm = Algorithm::from_u8(number(algorithm, "algorithm")?);
    let key = base64(&key.concat())?;
    if key.is_empty() {
        return Err("the key is missing".to_owned());
    }
    Ok(DNSKEY::with_flags(flags, PublicKeyBuf::new(key, algorithm)))
}

fn ds(fields: &[&str]) -> Result<DS, String> {
    let [tag, algorithm, digest_type, digest @ ..] = fields else {
        return Err("a DS has key tag, algorithm, digest type and digest".to_owned());
    };
    let algorithm = Algorithm::from_u8(number(algorithm, "algorithm")?);
    let digest_type = DigestType::from(number::<u8>(digest_type, "digest type")?);
    let digest = hexadecimal(&digest.concat())?;
    Ok(DS::new(
        number(tag, "key tag")?,
        algorithm,
        digest_type,
        digest,
    ))
}

fn number<T: FromStr>(text: &str, what: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no {what}"))
}

fn base64(text: &str) -> Result<Vec<u8>, String> {
    BASE64
        .decode(text)
        .map_err(|error| format!("the key is no base64: {error}"))
}

fn hexadecimal(text: &str) -> Result<Vec<u8>, String> {
    let digit = |octet: &u8| char::from(*octet).to_digit(16);
    let digits: Option<Vec<u32>> = text.as_bytes().iter().map(digit).collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0);
    let digits = digits.ok_or("the digest is no hexadecimal")?;
    let octet = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).unwrap_or(u8::MAX);
    Ok(digits.chunks_exact(2).map(octet).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "; the root's key, as dig prints it
.\t60\tIN\tDNSKEY\t257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0d xCjjnopKl+GqJxpVXckHAeF+KkxLbxIL fDLUT0rAK9iUzy1L53eKGQ==

eu. IN DS 2371 13 2 1f987cc6583e92df0890718c42b4a9b1d2e4d1b1bf9b8a0f4d9c1cbbd8e0b2aa ; its digest
";

    #[test]
    fn both_forms_are_read() {
        let anchors = TrustAnchor::parse_all(FILE).expect("anchors");
        assert_eq!(anchors.len(), 2);
        assert!(anchors[0].zone.is_root());
        assert!(matches!(&anchors[0].key, AnchorKey::Key(key) if key.secure_entry_point()));
        assert_eq!(anchors[1].zone.to_ascii(), "eu.");
        assert!(matches!(&anchors[1].key, AnchorKey::Digest(ds) if ds.key_tag() == 2371));
    }

    #[test]
    fn the_wrong_line_is_named() {
        for (wrong, why) in [
            ("example. IN A 127.0.0.1", "type A"),
            ("example. DNSKEY 257 3 13", "key is missing"),
            ("example. DNSKEY 257 3 13 ***", "no base64"),
            ("example. DS 1 13 2 abc", "no hexadecimal"),
            ("example. DS one 13 2 abcd", "no key tag"),
        ] {
            let error = TrustAnchor::parse_all(&format!("\n{wrong}\n")).expect_err(wrong);
            assert_eq!(error.line, 2);
            assert!(error.why.contains(why), "{wrong}: {error}");
        }
    }

    proptest! {
        /// Whatever the file holds, reading it ends with anchors or a line's number.
        #[test]
        fn any_text_is_read_or_refused(
            text in "((\\.|eu\\.|IN|DS|DNSKEY|257|3|13|2|ab|[ \n;=a-z0-9]){0,4}\n){0,4}",
        ) {
            match TrustAnchor::parse_all(&text) {
                Ok(anchors) => prop_assert!(anchors.len() <= text.lines().count()),
                Err(error) => prop_assert!((1..=text.lines().count()).contains(&error.line)),
            }
        }
    }
}
