//! Origins: which flows feed a flow, told without telling their names.
//!
//! An origin is a random salt and a hash of salt and name. Who knows a name can see whether it is
//! among a flow's origins; who does not learns nothing. Origins are passed on as they are, so
//! that a loop over any number of participants closes at somebody who recognises his own flow.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eson_protocol::Name;
use sha2::{Digest, Sha256};

const SALT: usize = 12;

/// How many origins a flow may have: a chain of participants beyond this is refused as a loop.
pub(crate) const MAX_ORIGINS: usize = 64;

/// An origin for `flow`.
pub(crate) fn of(salt: [u8; SALT], flow: &Name) -> String {
    let mut origin = salt.to_vec();
    origin.extend(digest(&salt, flow));
    URL_SAFE_NO_PAD.encode(origin)
}

/// Whether `flow` is among the origins. What is no origin is none.
pub(crate) fn contains(origins: &[String], flow: &Name) -> bool {
    origins
        .iter()
        .any(|origin| match URL_SAFE_NO_PAD.decode(origin) {
            Ok(bytes) if bytes.len() > SALT => {
                let (salt, hash) = bytes.split_at(SALT);
                hash == digest(salt, flow)
            }
            _ => false,
        })
}

fn digest(salt: &[u8], flow: &Name) -> Vec<u8> {
    let hash = Sha256::new()
        .chain_update(salt)
        .chain_update(flow.as_str())
        .finalize();
    hash[..16].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    #[test]
    fn a_flow_recognises_itself_and_nobody_else() {
        let origins = vec![
            of([7; SALT], &name("a.example")),
            of([8; SALT], &name("b.example")),
        ];
        assert!(contains(&origins, &name("a.example")));
        assert!(contains(&origins, &name("b.example")));
        assert!(!contains(&origins, &name("c.example")));
        assert!(!contains(
            &["nonsense!".to_owned(), String::new()],
            &name("a.example")
        ));
    }

    #[test]
    fn two_origins_of_one_flow_look_different() {
        assert_ne!(
            of([1; SALT], &name("a.example")),
            of([2; SALT], &name("a.example"))
        );
    }
}
