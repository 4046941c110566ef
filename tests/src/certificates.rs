//! Certificates for a server under test, made when they are needed.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// What a TLS server proves itself with, as PEM files.
#[derive(Debug)]
pub struct Certificates {
    /// The authority that a client has to trust.
    pub authority: PathBuf,
    /// The server's certificate and its authority's.
    pub chain: PathBuf,
    /// The server's key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes an authority of its own and a certificate for `names`, in `dir`.
    #[must_use]
    pub fn make(dir: &Path, names: &[&str]) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let server = CertificateParams::new(names).unwrap();
        let server = server.signed_by(&key, &authority).unwrap();
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        Self {
            authority: write("ca.pem", authority.pem()),
            chain: write("chain.pem", server.pem() + &authority.pem()),
            key: write("key.pem", key.serialize_pem()),
        }
    }
}
