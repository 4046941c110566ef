//! What is stored in a password's place.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The fewest PBKDF2 rounds (RFC 7677, section 4), and the most: a second of one core.
const ROUNDS: std::ops::RangeInclusive<u32> = 4096..=2_000_000;

/// The longest salt, in octets.
const MAX_SALT: usize = 64;

/// The SCRAM-SHA-256 verifier of a password (RFC 5802, section 3): it checks a login, but can't
/// be used to log in anywhere.
///
/// Written as `ROUNDS$SALT$STORED-KEY$SERVER-KEY`, the last three in base64. It still lets its
/// reader guess passwords at leisure, so that it is not printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    rounds: u32,
    salt: Vec<u8>,
    stored_key: [u8; 32],
    server_key: [u8; 32],
}

/// Why a text is no verifier, or a password can't have one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// There are not four parts, or one can't be read.
    #[error(
        "this is no verifier (ROUNDS$SALT$STORED-KEY$SERVER-KEY, in base64); write one with \
         `fnaad user add`"
    )]
    Malformed,
    /// There are too few rounds, or so many that a login would keep a core busy for seconds.
    #[error("a verifier has 4096 to 2000000 rounds; this has {0}")]
    Rounds(u32),
    /// The password is empty or has characters that SASLprep (RFC 4013) prohibits.
    #[error("the password is empty or has characters that can't be typed everywhere (RFC 4013)")]
    Password,
}

impl ScramVerifier {
    /// How many rounds a new verifier takes: some milliseconds at each login, on both sides.
    pub const DEFAULT_ROUNDS: u32 = 16_384;

    /// Derives the verifier of a password; takes `rounds` rounds of PBKDF2. The salt should be
    /// 16 random octets.
    ///
    /// # Errors
    /// [`VerifierError::Password`] and [`VerifierError::Rounds`].
    pub fn derive(password: &str, salt: &[u8], rounds: u32) -> Result<Self, VerifierError> {
        check_rounds(rounds)?;
        let password = prepare(password)?;
        let salted = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), salt, rounds);
        let client_key = hmac(&salted, &[b"Client Key"]);
        Ok(Self {
            rounds,
            salt: salt.to_vec(),
            stored_key: Sha256::digest(client_key).into(),
            server_key: hmac(&salted, &[b"Server Key"]),
        })
    }

    /// A verifier that no password fits, always the same for one user: who is told its salt
    /// can't tell that the user does not exist.
    pub(crate) fn of_nobody(user: &str, key: &[u8; 32], rounds: u32) -> Self {
        let part = |label: &[u8]| hmac(key, &[label, user.as_bytes()]);
        Self {
            rounds,
            salt: part(b"salt ")[..16].to_vec(),
            stored_key: part(b"stored "),
            server_key: part(b"server "),
        }
    }

    /// Whether this is the verifier of `password`; takes as many rounds as it was made with, and
    /// the time says nothing about the answer.
    #[must_use]
    pub fn verifies(&self, password: &str) -> bool {
        match Self::derive(password, &self.salt, self.rounds) {
            Ok(derived) => derived.stored_key.ct_eq(&self.stored_key).into(),
            Err(_) => false,
        }
    }

    /// The text form, for the users file alone.
    #[must_use]
    pub fn encode(&self) -> String {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|part| STANDARD.encode(part));
        format!("{}${salt}${stored}${server}", self.rounds)
    }

    /// The rounds of PBKDF2.
    #[must_use]
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    pub(crate) fn salt(&self) -> &[u8] {
        &self.salt
    }

    pub(crate) fn stored_key(&self) -> &[u8; 32] {
        &self.stored_key
    }

    pub(crate) fn server_key(&self) -> &[u8; 32] {
        &self.server_key
    }
}

/// The password as SCRAM and PLAIN compare it (RFC 5802, section 2.2).
pub(crate) fn prepare(password: &str) -> Result<std::borrow::Cow<'_, str>, VerifierError> {
    match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => Ok(prepared),
        _ => Err(VerifierError::Password),
    }
}

pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else {
        unreachable!("HMAC takes keys of every length (RFC 2104)");
    };
    let mac = parts.iter().fold(mac, |mac, part| mac.chain_update(part));
    mac.finalize().into_bytes().into()
}

fn check_rounds(rounds: u32) -> Result<(), VerifierError> {
    match ROUNDS.contains(&rounds) {
        true => Ok(()),
        false => Err(VerifierError::Rounds(rounds)),
    }
}

impl FromStr for ScramVerifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Self, VerifierError> {
        let parts: Vec<_> = text.split('$').collect();
        let [rounds, salt, stored_key, server_key] = parts[..] else {
            return Err(VerifierError::Malformed);
        };
        let rounds = rounds.parse().map_err(|_| VerifierError::Malformed)?;
        check_rounds(rounds)?;
        let salt = STANDARD.decode(salt).unwrap_or_default();
        if salt.is_empty() || salt.len() > MAX_SALT {
            return Err(VerifierError::Malformed);
        }
        Ok(Self {
            rounds,
            salt,
            stored_key: decode_key(stored_key)?,
            server_key: decode_key(server_key)?,
        })
    }
}

fn decode_key(text: &str) -> Result<[u8; 32], VerifierError> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|_| VerifierError::Malformed)?;
    bytes.try_into().map_err(|_| VerifierError::Malformed)
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier")
            .field("rounds", &self.rounds)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3.
    #[test]
    fn has_the_keys_of_the_rfc() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = ScramVerifier::derive("pencil", &salt, 4096).unwrap();
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)\
                       hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYD\
                       pWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = hmac(&verifier.server_key, &[message.as_bytes()]);
        let expected = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(STANDARD.encode(signature), expected);
    }

    #[test]
    fn is_read_as_it_is_written() {
        let verifier = ScramVerifier::derive("test", b"0123456789abcdef", 4096).unwrap();
        assert_eq!(verifier.encode().parse(), Ok(verifier.clone()));
        assert!(verifier.verifies("test"));
        assert!(!verifier.verifies("Test"));
        assert!(!verifier.verifies(""));
        assert_eq!(
            format!("{verifier:?}"),
            "ScramVerifier { rounds: 4096, .. }"
        );
    }

    #[test]
    fn refuses_what_is_no_verifier() {
        let good = ScramVerifier::derive("test", b"0123456789abcdef", 4096).unwrap();
        let good = good.encode();
        for bad in ["", "test", "4096$$$", &good[1..], &good[..good.len() - 2]] {
            assert!(bad.parse::<ScramVerifier>().is_err(), "{bad}");
        }
        let few = good.replacen("4096", "1", 1);
        assert_eq!(few.parse::<ScramVerifier>(), Err(VerifierError::Rounds(1)));
        let error = ScramVerifier::derive("\u{7}", b"salt", 4096);
        assert_eq!(error, Err(VerifierError::Password));
    }

    #[test]
    fn forms_of_one_password_are_one() {
        let verifier = ScramVerifier::derive("I\u{ad}X", b"0123456789abcdef", 4096).unwrap();
        assert!(verifier.verifies("IX"));
        assert!(verifier.verifies("\u{2168}"));
    }
}
