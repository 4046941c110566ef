//! Where FNAP is spoken.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::reader::Node;

/// An FNAP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `address`: where to listen.
    pub address: SocketAddr,
    /// `advertised-port`: the port that DNS tells, where it is another than that of `address`.
    pub advertised_port: u16,
    /// `tls`: TLS from the first byte, with this certificate; without it, plain TCP.
    pub tls: Option<Certificate>,
    /// `plaintext-auth`: whether credentials are taken over plain TCP (false).
    pub plaintext_auth: bool,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// `certificate`: the chain in PEM, our own certificate first.
    pub certificate: PathBuf,
    /// `key`: the private key in PEM.
    pub key: PathBuf,
}

pub(super) fn listener(node: Node<'_>) -> Option<Listener> {
    node.section(|section| {
        let address = section.required("address", |node| node.socket_address());
        let advertised_port = section.optional("advertised-port", |node| node.number(1..=u16::MAX));
        let tls = section.optional("tls", certificate);
        let plaintext_auth = section.optional("plaintext-auth", |node| node.boolean());
        if tls.is_some() && plaintext_auth == Some(true) {
            section.report(
                "plaintext-auth",
                "has no meaning where TLS is spoken; leave it out",
            );
        }
        let address = address?;
        if address.port() == 0 && advertised_port.is_none() {
            section.report("address", "needs a port: DNS has to tell it");
        }
        Some(Listener {
            address,
            advertised_port: advertised_port.unwrap_or(address.port()),
            tls,
            plaintext_auth: plaintext_auth.unwrap_or(false),
        })
    })
}

fn certificate(node: Node<'_>) -> Option<Certificate> {
    node.section(|section| {
        let certificate = section.required("certificate", |node| node.file());
        let key = section.required("key", |node| node.file());
        Some(Certificate {
            certificate: certificate?,
            key: key?,
        })
    })
}
