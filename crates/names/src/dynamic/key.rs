//! TSIG keys from BIND's keyfiles.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hickory_proto::rr::TSigner;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;

use crate::wire;

/// How far the clocks of both ends may lie apart, in seconds (RFC 8945, section 10).
const FUDGE: u16 = 300;

/// A key shared with a name server, as `tsig-keygen` writes it:
/// `key "name" { algorithm hmac-sha256; secret "…"; };`.
#[derive(Clone)]
pub struct TsigKey {
    pub(super) name: String,
    pub(super) signer: TSigner,
}

/// Why a text is no keyfile. Never shows the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TsigKeyError {
    /// It has another shape.
    #[error("no key: {0} expected; a keyfile has `key \"name\" {{ algorithm …; secret \"…\"; }};`")]
    Syntax(&'static str),
    /// The algorithm is unknown or too weak.
    #[error("the key {name} uses {algorithm}; hmac-sha256, hmac-sha384 and hmac-sha512 are taken")]
    Algorithm {
        /// The key's name.
        name: String,
        /// Its algorithm.
        algorithm: String,
    },
    /// The secret can't be decoded.
    #[error("the secret of the key {0} is no base64")]
    Secret(String),
    /// The key's name is no DNS name.
    #[error("the key's name {0} is no DNS name")]
    Name(String),
}

impl TsigKey {
    /// Reads the one key in a keyfile.
    ///
    /// # Errors
    /// [`TsigKeyError`] says what is wrong, without the secret.
    pub fn parse(text: &str) -> Result<Self, TsigKeyError> {
        let tokens = tokens(&without_comments(text));
        let mut tokens = tokens.iter().map(String::as_str);
        expect(&mut tokens, "key")?;
        let name = tokens
            .next()
            .ok_or(TsigKeyError::Syntax("the key's name"))?;
        expect(&mut tokens, "{")?;
        let (algorithm, secret) = statements(&mut tokens)?;
        Self::new(name, algorithm, secret)
    }

    fn new(name: &str, algorithm: &str, secret: &str) -> Result<Self, TsigKeyError> {
        let supported = match algorithm.to_ascii_lowercase().trim_end_matches('.') {
            "hmac-sha256" => TsigAlgorithm::HmacSha256,
            "hmac-sha384" => TsigAlgorithm::HmacSha384,
            "hmac-sha512" => TsigAlgorithm::HmacSha512,
            _ => {
                return Err(TsigKeyError::Algorithm {
                    name: name.to_owned(),
                    algorithm: algorithm.to_owned(),
                });
            }
        };
        let secret = BASE64
            .decode(secret)
            .ok()
            .filter(|octets| !octets.is_empty());
        let secret = secret.ok_or_else(|| TsigKeyError::Secret(name.to_owned()))?;
        let bad_name = || TsigKeyError::Name(name.to_owned());
        let owner = wire::name(name).map_err(|_| bad_name())?.to_lowercase();
        let signer = TSigner::new(secret, supported, owner, FUDGE).map_err(|_| bad_name())?;
        Ok(Self {
            name: name.to_owned(),
            signer,
        })
    }

    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TsigKey")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn expect<'a>(
    tokens: &mut impl Iterator<Item = &'a str>,
    token: &'static str,
) -> Result<(), TsigKeyError> {
    match tokens.next() {
        Some(found) if found == token => Ok(()),
        _ => Err(TsigKeyError::Syntax(token)),
    }
}

/// `algorithm …; secret …; };`, in any order.
fn statements<'a>(
    tokens: &mut impl Iterator<Item = &'a str>,
) -> Result<(&'a str, &'a str), TsigKeyError> {
    let (mut algorithm, mut secret) = (None, None);
    loop {
        let place = match tokens.next() {
            Some("algorithm") => &mut algorithm,
            Some("secret") => &mut secret,
            Some("}") => break,
            _ => return Err(TsigKeyError::Syntax("algorithm, secret or }")),
        };
        *place = tokens.next();
        expect(tokens, ";")?;
    }
    Ok((
        algorithm.ok_or(TsigKeyError::Syntax("algorithm"))?,
        secret.ok_or(TsigKeyError::Syntax("secret"))?,
    ))
}

/// Words, quoted words without their quotes, and the signs `{ } ;` each by itself.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut quoted = false;
    let mut word = String::new();
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            _ if quoted => word.push(character),
            '{' | '}' | ';' => {
                flush(&mut word, &mut tokens);
                tokens.push(character.to_string());
            }
            _ if character.is_whitespace() => flush(&mut word, &mut tokens),
            _ => word.push(character),
        }
    }
    flush(&mut word, &mut tokens);
    tokens
}

fn flush(word: &mut String, tokens: &mut Vec<String>) {
    if !word.is_empty() {
        tokens.push(std::mem::take(word));
    }
}

/// BIND takes comments of the shell (`#`), of C++ (`//`) and of C. Base64 may hold `//`, but only
/// inside quotes or after another character.
fn without_comments(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, comment, after)) = next_comment(rest) {
        kept.push_str(before);
        kept.push(' ');
        let end = if comment == "/*" { "*/" } else { "\n" };
        rest = after.split_once(end).map_or("", |(_, rest)| rest);
    }
    kept + rest
}

/// Splits at the first comment sign that stands outside quotes and begins a word.
fn next_comment(text: &str) -> Option<(&str, &str, &str)> {
    let mut quoted = false;
    let mut begins = true;
    for (index, character) in text.char_indices() {
        let here = &text[index..];
        let sign = ["#", "//", "/*"]
            .into_iter()
            .find(|sign| here.starts_with(sign));
        if let (false, true, Some(sign)) = (quoted, begins, sign) {
            return Some((&text[..index], sign, &here[sign.len()..]));
        }
        quoted ^= character == '"';
        begins = character.is_whitespace() || matches!(character, ';' | '{' | '}');
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYFILE: &str =
        "key \"ddns-key\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0Ly8=\";\n};\n";

    #[test]
    fn what_tsig_keygen_writes_is_read() {
        let key = TsigKey::parse(KEYFILE).expect("a key");
        assert_eq!(key.name(), "ddns-key");
        assert_eq!(key.signer.key(), b"secret//");
        assert_eq!(key.signer.signer_name().to_ascii(), "ddns-key.");
    }

    #[test]
    fn comments_order_and_quotes_are_free() {
        for text in [
            "# mine\nkey k. { secret c2VjcmV0Ly8=; algorithm HMAC-SHA512; };",
            "/* a\nb */ key k { // c\nalgorithm hmac-sha384; secret \"c2VjcmV0Ly8=\"; } ;",
        ] {
            assert!(TsigKey::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_bad_keyfile_says_why_and_keeps_its_secret() {
        let weak = KEYFILE.replace("sha256", "md5");
        let no_secret = KEYFILE.replace("c2VjcmV0Ly8=", "c2Vj!!");
        for (text, expected) in [
            ("", "key expected"),
            ("zone", "key expected"),
            ("key", "the key's name expected"),
            ("key k { algorithm hmac-sha256; };", "secret expected"),
            ("key k { secret c2Vj; };", "algorithm expected"),
            ("key k { algorithm hmac-sha256", "; expected"),
            (&weak, "hmac-md5"),
            (&no_secret, "no base64"),
        ] {
            let error = TsigKey::parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("c2Vj"), "{error}");
        }
        let key = TsigKey::parse(KEYFILE).expect("a key");
        assert!(!format!("{key:?}").contains("secret"));
    }

    proptest! {
        /// Whatever the file holds, reading it ends with a key or a reason.
        #[test]
        fn any_text_is_read_or_refused(text in "(key|secret|algorithm|[{};\"#/* a-z\n]){0,40}") {
            if let Ok(key) = TsigKey::parse(&text) {
                prop_assert!(!key.name().is_empty());
            }
        }
    }
}
