//! How other participants are met.

use std::path::PathBuf;

use eson_client::{Credentials, TlsRoots};
use eson_protocol::{AddressPolicy, Name, Principal};

use super::Participant;
use crate::config::{self, PeerLogin};
use crate::resource::Failure;

/// As whom, and under which conditions, another participant's FNAA is met.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// What we log in with.
    pub credentials: Credentials,
    /// Where it may send us.
    pub policy: AddressPolicy,
    /// Whose certificates are believed.
    pub roots: TlsRoots,
    /// The file that they are in, where it is not the system's.
    pub tls_ca: Option<PathBuf>,
    /// Whether credentials may go there without TLS.
    pub allow_plaintext: bool,
}

impl Peer {
    fn read(peer: &config::Peer) -> Result<Self, Failure> {
        let password = |login: &config::Login| match login.password.read() {
            Ok(secret) => Ok(secret.expose().into()),
            Err(error) => Err(Failure::backend(error)),
        };
        let credentials = match &peer.login {
            PeerLogin::Anonymous => Credentials::Anonymous {
                trace: String::new(),
            },
            PeerLogin::Plain(login) => Credentials::Plain {
                user: login.username.clone(),
                password: password(login)?,
            },
            PeerLogin::ScramSha256(login) => Credentials::ScramSha256 {
                user: login.username.clone(),
                password: password(login)?,
            },
        };
        Ok(Self {
            credentials,
            policy: peer.address_policy(),
            roots: peer
                .tls_ca
                .clone()
                .map_or_else(TlsRoots::system, TlsRoots::with_file),
            tls_ca: peer.tls_ca.clone(),
            allow_plaintext: peer.plaintext_auth,
        })
    }
}

impl Participant {
    /// How whoever hosts `flow` is met.
    ///
    /// # Errors
    /// 451 when the password file can't be read.
    pub(crate) fn peer_for(&self, flow: &Name) -> Result<Peer, Failure> {
        Peer::read(self.config().peer(flow))
    }

    /// The user that we subscribe for, where the publisher knows us as the domain that he is of.
    pub(crate) fn on_behalf_of(&self, remote: &Name, owner: &Principal) -> Option<Principal> {
        let config = self.config();
        let username = match &config.peer(remote).login {
            PeerLogin::Anonymous => return None,
            PeerLogin::Plain(login) | PeerLogin::ScramSha256(login) => &login.username,
        };
        (*username == self.domain.as_str()).then(|| owner.clone())
    }

    /// The processors of one peer run apart from those of others. Peers without an entry of their
    /// own in the configuration share one.
    pub(crate) fn shard_of(&self, remote: &Name) -> String {
        match &self.config().peer(remote).domain {
            Some(domain) => format!("peer-{domain}"),
            None => "peers".to_owned(),
        }
    }
}
