//! What nobody else may know: the key of this FNAA, and what is derived from it.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eson_broker::{Credential, Secret};
use eson_protocol::{Name, Principal, Status};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::birth::Birth;
use crate::resource::{Label, SubscriberSpec};

/// The octets of the key.
const KEY_LENGTH: usize = 32;

/// The file of the key in the state directory.
const KEY_FILE: &str = "secret.key";

/// Derives labels and passwords of subscribers from a key that is kept outside the store, so
/// that the store holds no password. Lost, every subscriber is made anew.
#[derive(Clone)]
pub(crate) struct SubscriberKeys([u8; KEY_LENGTH]);

/// The key can't be read or made.
#[derive(Debug, thiserror::Error)]
#[error("the secret key {} can't be read or made: {cause}", file.display())]
pub struct KeyError {
    file: PathBuf,
    cause: io::Error,
}

impl SubscriberKeys {
    /// Reads the key in the state directory, or makes it on the first start.
    ///
    /// # Errors
    /// When the file can't be read or made, or is no key.
    pub(crate) fn open(state: &Path) -> Result<Self, KeyError> {
        let file = state.join(KEY_FILE);
        let key = match read_key(&file) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => make_key(&file),
            other => other,
        };
        key.map(Self).map_err(|cause| KeyError { file, cause })
    }

    /// The label of a subscriber's copy. Nobody without the key can tell or guess it.
    #[must_use]
    pub(crate) fn label(&self, flow: &Name, principal: &Principal, id: &str) -> Label {
        let mac = self.derive("label", &[flow.as_str(), &principal.to_string(), id]);
        let mut bits = [0; 10];
        bits.copy_from_slice(&mac[..10]);
        Label::from_bits(bits)
    }

    /// The credential of a subscriber, with the password of its current generation.
    #[must_use]
    pub(crate) fn credential(&self, spec: &SubscriberSpec) -> Credential {
        let label = spec.label.as_str();
        let generation = spec.credential.to_string();
        let mac = self.derive("password", &[spec.flow.as_str(), label, &generation]);
        Credential {
            mechanism: "SCRAM-SHA-256".to_owned(),
            username: label.to_owned(),
            password: Secret::new(URL_SAFE_NO_PAD.encode(&mac[..24])),
        }
    }

    /// The salt of a flow's origins: the same at each renewal, and without meaning elsewhere.
    #[must_use]
    pub(crate) fn origin_salt(&self, flow: &Name) -> [u8; 12] {
        let mac = self.derive("origin", &[flow.as_str()]);
        let mut salt = [0; 12];
        salt.copy_from_slice(&mac[..12]);
        salt
    }

    /// A key for another purpose.
    #[must_use]
    pub(crate) fn key_for(&self, purpose: &str) -> [u8; KEY_LENGTH] {
        self.derive(purpose, &[])
    }

    /// HMAC over the parts, each with its length, so that no two lists of parts are the same.
    fn derive(&self, purpose: &str, parts: &[&str]) -> [u8; KEY_LENGTH] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            unreachable!("HMAC takes keys of any length (RFC 2104, section 3)")
        };
        for part in std::iter::once(&purpose).chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }
}

fn read_key(file: &Path) -> io::Result<[u8; KEY_LENGTH]> {
    let mut key = Vec::new();
    OpenOptions::new()
        .read(true)
        .open(file)?
        .read_to_end(&mut key)?;
    key.try_into().map_err(|_| {
        let text = "it is not a key of 32 octets; restore it from a backup";
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

/// Under another name first, so that a crash leaves a whole key or none.
fn make_key(file: &Path) -> io::Result<[u8; KEY_LENGTH]> {
    let mut key = [0; KEY_LENGTH];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let unfinished = file.with_extension("new");
    let mut options = OpenOptions::new();
    let mut out = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    out.write_all(&key)?;
    out.sync_all()?;
    std::fs::rename(&unfinished, file)?;
    Ok(key)
}

/// 128 random bits as text.
///
/// # Errors
/// 451 when the system has no random numbers.
pub(crate) fn random_token() -> Result<String, Status> {
    let mut bits = [0; 16];
    let filled = getrandom::fill(&mut bits);
    filled.map_err(|error| Status::backend(format!("no random numbers: {error}")))?;
    Ok(URL_SAFE_NO_PAD.encode(bits))
}

/// The birth of something that is made at `now`, in milliseconds since the Unix epoch.
///
/// # Errors
/// When the system has no random numbers.
pub(crate) fn birth(now: u64) -> Result<Birth, Status> {
    let mut number = [0; 4];
    let filled = getrandom::fill(&mut number);
    filled.map_err(|error| Status::backend(format!("no random numbers: {error}")))?;
    Ok(Birth::new(now, number))
}

/// A name for something secret that does not tell it.
pub(crate) fn fingerprint(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(secret)[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    #[test]
    fn the_key_survives_and_nobody_else_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let state = tempfile::tempdir().expect("a directory");
        let first = SubscriberKeys::open(state.path()).expect("made");
        let again = SubscriberKeys::open(state.path()).expect("read");
        assert_eq!(first.0, again.0);
        let file = std::fs::metadata(state.path().join(KEY_FILE)).expect("there");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_broken_key_is_not_replaced() {
        let state = tempfile::tempdir().expect("a directory");
        std::fs::write(state.path().join(KEY_FILE), "short").expect("written");
        assert!(SubscriberKeys::open(state.path()).is_err());
    }

    #[test]
    fn labels_differ_by_flow_principal_and_id() {
        let keys = SubscriberKeys([1; KEY_LENGTH]);
        let anonymous = Principal::Anonymous;
        let blue = Principal::Domain(name("blue.example"));
        let label = |flow: &str, who: &Principal, id: &str| keys.label(&name(flow), who, id);
        let one = label("a.example", &anonymous, "x");
        assert_eq!(one, label("a.example", &anonymous, "x"));
        for other in [
            label("b.example", &anonymous, "x"),
            label("a.example", &blue, "x"),
            label("a.example", &anonymous, "y"),
        ] {
            assert_ne!(one, other);
        }
        let other_key = SubscriberKeys([2; KEY_LENGTH]);
        assert_ne!(one, other_key.label(&name("a.example"), &anonymous, "x"));
    }

    #[test]
    fn parts_are_not_run_together() {
        let keys = SubscriberKeys([7; KEY_LENGTH]);
        assert_ne!(
            keys.derive("p", &["a", "bc"]),
            keys.derive("p", &["ab", "c"])
        );
        assert_ne!(keys.derive("p", &["a"]), keys.derive("pa", &[]));
    }
}
