//! Origins: which flows feed a flow, told without telling their names.
//!
//! An origin is a random salt and a hash of salt and name. Who knows a name can see whether it is
//! among a flow's origins; who does not learns nothing. Origins are passed on, so that a loop over
//! any number of participants closes at somebody who recognises his own flow.
//!
//! With each origin goes the birth of the youngest subscription on the way from there. Each
//! participant sees by that whether a subscription of its own is the newest of a loop: of two
//! halves that are made at the same moment, one goes on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eson_protocol::Name;
use sha2::{Digest, Sha256};

use crate::birth::Birth;

const SALT: usize = 12;

/// How many origins a flow may have: a chain of participants beyond this is refused as a loop.
pub(crate) const MAX_ORIGINS: usize = 64;

/// An origin for `flow`.
pub(crate) fn of(salt: [u8; SALT], flow: &Name) -> String {
    let mut origin = salt.to_vec();
    origin.extend(digest(&salt, flow));
    URL_SAFE_NO_PAD.encode(origin)
}

/// An origin as it is told: with the birth of the youngest subscription on the way.
pub(crate) fn told(origin: &str, youngest: Birth) -> String {
    format!("{origin}.{youngest}")
}

/// Takes apart what [`told`] has put together. Who tells no birth counts as the oldest.
pub(crate) fn parts(told: &str) -> (&str, Birth) {
    let (origin, birth) = told.split_once('.').unwrap_or((told, ""));
    (origin, birth.parse().unwrap_or(Birth::OLDEST))
}

/// Whether the origin is `flow`. What is no origin is none.
pub(crate) fn is(origin: &str, flow: &Name) -> bool {
    match URL_SAFE_NO_PAD.decode(origin) {
        Ok(bytes) if bytes.len() > SALT => {
            let (salt, hash) = bytes.split_at(SALT);
            hash == digest(salt, flow)
        }
        _ => false,
    }
}

/// If `flow` is among those told: the birth of the youngest subscription on the way from it. Of
/// several ways it is the one on which that is oldest, since that is a loop which any younger
/// subscription closes.
pub(crate) fn youngest_since(origins: &[String], flow: &Name) -> Option<Birth> {
    let told = origins.iter().map(|told| parts(told));
    told.filter(|(origin, _)| is(origin, flow))
        .map(|(_, birth)| birth)
        .min()
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
        let birth = |at| Birth::new(at, [0; 4]);
        let own = of([7; SALT], &name("a.example"));
        let origins = vec![
            told(&own, birth(9)),
            told(&of([9; SALT], &name("a.example")), birth(5)),
            of([8; SALT], &name("b.example")),
            "nonsense!".to_owned(),
            String::new(),
        ];
        let youngest = |flow| youngest_since(&origins, &name(flow));
        assert_eq!(youngest("a.example"), Some(birth(5)));
        assert_eq!(youngest("b.example"), Some(Birth::OLDEST));
        assert_eq!(youngest("c.example"), None);
    }

    #[test]
    fn two_origins_of_one_flow_look_different() {
        assert_ne!(
            of([1; SALT], &name("a.example")),
            of([2; SALT], &name("a.example"))
        );
    }
}
