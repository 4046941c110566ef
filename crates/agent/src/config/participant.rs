//! What this participant hosts, who its users are, and whom it meets.

use std::path::PathBuf;

use eson_identity::{Mechanism, ScramVerifier};
use eson_protocol::{AddressPolicy, Name, Principal};
use ipnet::IpNet;

use super::reader::{Node, Section};
use super::{Known, SecretFile};

/// A namespace that is hosted here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// `name`.
    pub name: Name,
    /// `broker`: where the queues of its flows are, where CREATE FLOW doesn't say.
    pub broker: String,
    /// `ns-public`: the name server that everybody asks; none registers nothing there.
    pub ns_public: Option<String>,
    /// `ns-private`: the name server that only this participant asks; it has private flows too.
    pub ns_private: Option<String>,
    /// `owners`: who may do everything in it; a name without a domain is one of our own users.
    pub owners: Vec<Principal>,
}

/// Somebody who may log in here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `name`: what he logs in as.
    pub name: String,
    /// `scram-sha-256`: what stands for his password, as `fnaad user add` writes it.
    pub verifier: ScramVerifier,
    /// `principal`: who he is then (`name@domain`); the domain of a peer, for that peer's FNAA.
    pub principal: Principal,
}

/// How we meet another participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// `domain`: whose namespaces this is about; none (`*`) for everybody who has no entry.
    pub domain: Option<Name>,
    /// `mechanism`, `username` and `password-file`: as whom we log in there.
    pub login: PeerLogin,
    /// `plaintext-auth`: whether we send credentials there without TLS (false).
    pub plaintext_auth: bool,
    /// `trusted-networks`: the loopback, link-local and private networks that this peer may send
    /// us to. Public addresses always may.
    pub trusted_networks: Vec<IpNet>,
    /// `tls-ca`: the certificates that may sign this peer's, in PEM; without it, the system's.
    pub tls_ca: Option<PathBuf>,
}

impl Peer {
    /// Where this peer may send us.
    #[must_use]
    pub fn address_policy(&self) -> AddressPolicy {
        AddressPolicy::new(self.trusted_networks.clone())
    }
}

/// Who has no entry, not even `*`: met without credentials, at public addresses.
pub(super) static STRANGER: Peer = Peer {
    domain: None,
    login: PeerLogin::Anonymous,
    plaintext_auth: false,
    trusted_networks: Vec::new(),
    tls_ca: None,
};

/// As whom we log in at a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerLogin {
    /// `mechanism: anonymous` (the default).
    Anonymous,
    /// `mechanism: plain`.
    Plain(Login),
    /// `mechanism: scram-sha-256`.
    ScramSha256(Login),
}

/// A user name and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// `username`.
    pub username: String,
    /// `password-file`: a file with the password alone.
    pub password: SecretFile,
}

pub(super) fn namespace(node: &Node<'_>, known: &Known<'_>) -> Option<Namespace> {
    node.section(|section| {
        let name = section.required("name", |node| node.name());
        let broker = section.required("broker", |node| {
            reference(&node, &known.brokers, "broker", "brokers")
        });
        let nameserver = |key| {
            let read = |node| reference(&node, &known.nameservers, "name server", "nameservers");
            section.optional(key, read)
        };
        let (ns_public, ns_private) = (nameserver("ns-public"), nameserver("ns-private"));
        let owners = section.list("owners", |node| owner(&node, known.domain));
        Some(Namespace {
            name: name?,
            broker: broker?,
            ns_public,
            ns_private,
            owners,
        })
    })
}

/// The name of an item of another list.
fn reference(node: &Node<'_>, names: &[&str], what: &str, list: &str) -> Option<String> {
    let name = node.text()?;
    match names.contains(&name.as_str()) {
        true => Some(name),
        false => node.report(format!("there is no {what} `{name}` in `{list}`")),
    }
}

fn owner(node: &Node<'_>, domain: &Name) -> Option<Principal> {
    let text = node.text()?;
    let text = match text.contains(['@', '.']) {
        true => text,
        false => format!("{text}@{domain}"),
    };
    match Principal::parse(&text) {
        Ok(Principal::AnyUserOf(domain)) => node.report(format!(
            "must be one user or one FNAA; for all users of {domain}: GRANT admin ON … TO *@{domain}"
        )),
        Ok(principal) => Some(principal),
        Err(cause) => node.report(cause.to_string()),
    }
}

/// Who a user is: somebody who can be told from others.
fn somebody(node: &Node<'_>) -> Option<Principal> {
    match node.parsed()? {
        Principal::Anonymous | Principal::AnyUserOf(_) => {
            node.report("must be one user (`name@domain`) or one FNAA (its domain)")
        }
        principal => Some(principal),
    }
}

pub(super) fn user(node: &Node<'_>, domain: &Name) -> Option<User> {
    node.section(|section| {
        let name = section.required("name", |node| user_name(&node, domain));
        let verifier = section.required("scram-sha-256", |node| node.parsed());
        let principal = section.optional("principal", |node| somebody(&node));
        let (name, own) = name?;
        Some(User {
            name,
            verifier: verifier?,
            principal: principal.unwrap_or(own),
        })
    })
}

fn user_name(node: &Node<'_>, domain: &Name) -> Option<(String, Principal)> {
    let name = node.text()?;
    match Principal::parse(&format!("{name}@{domain}")) {
        Ok(principal @ Principal::User { .. }) if !name.contains('@') => Some((name, principal)),
        _ => node.report(format!(
            "`{name}` is no user's name: no blanks, `@`, `=` or `*`"
        )),
    }
}

pub(super) fn peer(node: Node<'_>) -> Option<Peer> {
    node.section(|section| {
        let domain = section.required("domain", |node| match node.text()?.as_str() {
            "*" => Some(None),
            _ => node.name().map(Some),
        });
        let login = peer_login(section);
        let plaintext_auth = section.optional("plaintext-auth", |node| node.boolean());
        let trusted_networks = section.list("trusted-networks", network);
        let tls_ca = section.optional("tls-ca", |node| node.file());
        Some(Peer {
            domain: domain?,
            login: login?,
            plaintext_auth: plaintext_auth.unwrap_or(false),
            trusted_networks,
            tls_ca,
        })
    })
}

fn peer_login(section: &Section<'_>) -> Option<PeerLogin> {
    let mechanisms = [
        ("anonymous", Mechanism::Anonymous),
        ("plain", Mechanism::Plain),
        ("scram-sha-256", Mechanism::ScramSha256),
    ];
    let mechanism = section.optional("mechanism", |node| node.word(&mechanisms));
    let username = section.optional("username", |node| node.text());
    let password = section.optional("password-file", |node| node.file());
    let login = username.zip(password).map(|(username, password)| Login {
        username,
        password: SecretFile::new(password),
    });
    match (mechanism.unwrap_or(Mechanism::Anonymous), login) {
        (Mechanism::Anonymous, None) => Some(PeerLogin::Anonymous),
        (Mechanism::Anonymous, Some(_)) => {
            section.report(
                "username",
                "is not used: say which `mechanism` to log in with",
            );
            None
        }
        (Mechanism::Plain, Some(login)) => Some(PeerLogin::Plain(login)),
        (Mechanism::ScramSha256, Some(login)) => Some(PeerLogin::ScramSha256(login)),
        (Mechanism::Plain | Mechanism::ScramSha256, None) => {
            section.report("mechanism", "needs `username` and `password-file`");
            None
        }
    }
}

pub(super) fn network(node: Node<'_>) -> Option<IpNet> {
    match node.text()?.parse() {
        Ok(network) => Some(network),
        Err(_) => node.report("must be a network, as in 127.0.0.0/8"),
    }
}
