//! How Schema Registries are asked.

use std::path::PathBuf;

use eson_protocol::AddressPolicy;
use eson_schema::Url;
use ipnet::IpNet;

use super::SecretFile;
use super::participant::{Login, network};
use super::reader::{Node, Section};

/// How a Schema Registry is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaRegistry {
    /// `url`: which one, as flows and processors name it.
    pub url: Url,
    /// `username` and `password-file`, or `token-file`: as whom we ask.
    pub login: RegistryLogin,
    /// `trusted-networks`: the loopback, link-local and private networks where it may be. Public
    /// addresses always may.
    pub trusted_networks: Vec<IpNet>,
    /// `tls-ca`: the certificates that may sign its own, in PEM; without it, the system's.
    pub tls_ca: Option<PathBuf>,
}

impl SchemaRegistry {
    /// Where it may be.
    #[must_use]
    pub fn address_policy(&self) -> AddressPolicy {
        AddressPolicy::new(self.trusted_networks.clone())
    }
}

/// As whom a Schema Registry is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryLogin {
    /// As nobody.
    Nobody,
    /// Basic authentication.
    Basic(Login),
    /// A bearer token.
    Bearer(SecretFile),
}

pub(super) fn registry(node: Node<'_>) -> Option<SchemaRegistry> {
    node.section(|section| {
        let url = section.required("url", |node| match Url::parse(&node.text()?) {
            Ok(url) => Some(url),
            Err(cause) => node.report(cause.to_string()),
        });
        let login = login(section);
        let plaintext_auth = section.optional("plaintext-auth", |node| node.boolean());
        let trusted_networks = section.list("trusted-networks", network);
        let tls_ca = section.optional("tls-ca", |node| node.file());
        let (url, login) = (url?, login?);
        if login != RegistryLogin::Nobody && !url.is_tls() && plaintext_auth != Some(true) {
            section.report(
                "url",
                "is http: with a login, which everybody on the way could read; take https:, or \
                 say `plaintext-auth: true`",
            );
        }
        Some(SchemaRegistry {
            url,
            login,
            trusted_networks,
            tls_ca,
        })
    })
}

fn login(section: &Section<'_>) -> Option<RegistryLogin> {
    let username = section.optional("username", |node| node.text());
    let password = section.optional("password-file", |node| node.file());
    let token = section.optional("token-file", |node| node.file());
    match (username, password, token) {
        (None, None, None) => Some(RegistryLogin::Nobody),
        (Some(username), Some(password), None) => Some(RegistryLogin::Basic(Login {
            username,
            password: SecretFile::new(password),
        })),
        (None, None, Some(token)) => Some(RegistryLogin::Bearer(SecretFile::new(token))),
        _ => {
            section.report(
                "username",
                "comes with `password-file`, and instead of both there may be `token-file`",
            );
            None
        }
    }
}
