//! A queue and how to reach it, checked.

use std::path::PathBuf;

use eson_broker::{QueueId, Secret};
use eson_client::{BadTlsName, TlsName};
use eson_protocol::{AddressPolicy, BrokerKind, UnknownBrokerKind};

use crate::address::{BadAddress, SocketAddress};
use crate::proto;

/// A queue and how to reach it. Its `Debug` shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The flow's name, for messages.
    pub flow: String,
    /// The kind of broker.
    pub kind: BrokerKind,
    /// The broker's bootstrap servers, or the FNAA's address; at least one.
    pub servers: Vec<SocketAddress>,
    /// How the connection is protected.
    pub tls: Tls,
    /// A PEM file with the only authorities to believe; none leaves that to the process.
    pub tls_ca: Option<PathBuf>,
    /// The queue's name at the broker.
    pub queue: String,
    /// The identity that the queue must have, where the caller knows it.
    pub queue_id: Option<QueueId>,
    /// How many partitions it has, at least; 0 where the caller doesn't know.
    pub partitions: u32,
    /// As whom to log in; none where the broker asks nobody.
    pub login: Option<Login>,
    /// Where we may connect to.
    pub policy: AddressPolicy,
}

/// Whether a connection is protected, and whose certificate is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Nothing protects it.
    Plaintext,
    /// Each server must prove its own name.
    OwnName,
    /// Every server must prove this name.
    Name(TlsName),
}

/// As whom to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The SASL mechanism.
    pub mechanism: Mechanism,
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// RFC 7677.
    ScramSha256,
    /// The same with SHA-512, as Kafka knows it.
    ScramSha512,
    /// RFC 4505; without a password.
    Anonymous,
}

/// Why an endpoint can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Another kind than this program knows.
    #[error(transparent)]
    Kind(#[from] UnknownBrokerKind),
    /// Nowhere to connect to.
    #[error("names no server")]
    NoServer,
    /// A server that is none.
    #[error(transparent)]
    Server(#[from] BadAddress),
    /// Kafka is not reached over Unix sockets.
    #[error("a kafka broker is not reached at {0}; name its HOST:PORT")]
    UnixKafka(SocketAddress),
    /// No queue.
    #[error("names no queue")]
    NoQueue,
    /// TLS for a name that no certificate can have.
    #[error("tls_name: {0}")]
    TlsName(#[from] BadTlsName),
    /// A mechanism that this program does not speak.
    #[error(
        "unknown SASL mechanism `{0}`; known are PLAIN, SCRAM-SHA-256, \
             SCRAM-SHA-512 and ANONYMOUS"
    )]
    Mechanism(String),
    /// A mechanism that needs a user name.
    #[error("SASL mechanism {0} needs a user name")]
    NoUser(String),
    /// A trusted network that is none.
    #[error("`{0}` is no network in CIDR notation, as 127.0.0.0/8 is")]
    Network(String),
}

impl TryFrom<proto::Endpoint> for Endpoint {
    type Error = EndpointError;

    fn try_from(endpoint: proto::Endpoint) -> Result<Self, EndpointError> {
        let kind = endpoint.kind.parse()?;
        if endpoint.queue.is_empty() {
            return Err(EndpointError::NoQueue);
        }
        Ok(Self {
            kind,
            servers: servers(kind, &endpoint.servers)?,
            tls: tls(endpoint.tls, &endpoint.tls_name)?,
            tls_ca: Some(endpoint.tls_ca)
                .filter(|file| !file.is_empty())
                .map(PathBuf::from),
            login: login(endpoint.mechanism, endpoint.username, endpoint.password)?,
            policy: policy(&endpoint.trusted_networks)?,
            queue_id: Some(endpoint.queue_id)
                .filter(|id| !id.is_empty())
                .map(QueueId),
            partitions: endpoint.partitions,
            queue: endpoint.queue,
            flow: endpoint.flow,
        })
    }
}

fn servers(kind: BrokerKind, texts: &[String]) -> Result<Vec<SocketAddress>, EndpointError> {
    let servers: Vec<SocketAddress> = texts
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    if servers.is_empty() {
        return Err(EndpointError::NoServer);
    }
    let unix = servers
        .iter()
        .find(|server| matches!(server, SocketAddress::Unix(_)));
    match unix {
        Some(unix) if kind == BrokerKind::Kafka => Err(EndpointError::UnixKafka(unix.clone())),
        _ => Ok(servers),
    }
}

fn tls(wanted: bool, name: &str) -> Result<Tls, EndpointError> {
    Ok(match (wanted, name) {
        (false, _) => Tls::Plaintext,
        (true, "") => Tls::OwnName,
        (true, name) => Tls::Name(TlsName::parse(name)?),
    })
}

fn login(
    mechanism: String,
    username: String,
    password: String,
) -> Result<Option<Login>, EndpointError> {
    let known = match mechanism.to_ascii_uppercase().as_str() {
        "" => return Ok(None),
        "PLAIN" => Mechanism::Plain,
        "SCRAM-SHA-256" => Mechanism::ScramSha256,
        "SCRAM-SHA-512" => Mechanism::ScramSha512,
        "ANONYMOUS" => Mechanism::Anonymous,
        _ => return Err(EndpointError::Mechanism(mechanism)),
    };
    if username.is_empty() && known != Mechanism::Anonymous {
        return Err(EndpointError::NoUser(mechanism));
    }
    Ok(Some(Login {
        mechanism: known,
        username,
        password: Secret::new(password),
    }))
}

pub(crate) fn policy(networks: &[String]) -> Result<AddressPolicy, EndpointError> {
    networks
        .iter()
        .map(|text| {
            text.parse()
                .map_err(|_| EndpointError::Network(text.clone()))
        })
        .collect::<Result<_, _>>()
        .map(AddressPolicy::new)
}

impl Endpoint {
    /// Whether `other` is, by its name and servers, the same queue.
    #[must_use]
    pub fn is_same_queue(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.queue == other.queue
            && self
                .servers
                .iter()
                .any(|server| other.servers.contains(server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> proto::Endpoint {
        proto::Endpoint {
            flow: "time.flows.unix.ar".into(),
            kind: "kafka".into(),
            servers: vec!["kf1.unix.ar:9092".into()],
            queue: "time.flows.unix.ar".into(),
            mechanism: "SCRAM-SHA-256".into(),
            username: "alice".into(),
            password: "wonderland".into(),
            trusted_networks: vec!["127.0.0.0/8".into()],
            ..Default::default()
        }
    }

    #[test]
    fn nothing_prints_the_password() {
        let message = message();
        let endpoint = Endpoint::try_from(message.clone()).expect("a good endpoint");
        for printed in [format!("{message:?}"), format!("{endpoint:?}")] {
            assert!(printed.contains("alice"), "{printed}");
            assert!(!printed.contains("wonderland"), "{printed}");
        }
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        type Change = fn(&mut proto::Endpoint);
        let cases: [(Change, &str); 8] = [
            (|e| e.kind = "amqp".into(), "unknown broker type"),
            (|e| e.servers.clear(), "names no server"),
            (|e| e.servers = vec!["kf1".into()], "neither unix:PATH"),
            (|e| e.servers = vec!["unix:/k".into()], "not reached at"),
            (|e| e.queue.clear(), "names no queue"),
            (|e| e.mechanism = "GSSAPI".into(), "unknown SASL mechanism"),
            (|e| e.username.clear(), "needs a user name"),
            (|e| e.trusted_networks = vec!["::g".into()], "is no network"),
        ];
        for (change, expected) in cases {
            let mut message = message();
            change(&mut message);
            let error = Endpoint::try_from(message).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn a_queue_is_the_same_by_any_of_its_servers() {
        let one = Endpoint::try_from(message()).expect("a good endpoint");
        let mut other = one.clone();
        other
            .servers
            .insert(0, "kf2.unix.ar:9092".parse().expect("a server"));
        assert!(one.is_same_queue(&other));
        other.queue.push('2');
        assert!(!one.is_same_queue(&other));
    }
}
