//! The broker-agnostic attributes of a flow: what DESCRIBE FLOW, RESOLVE and SUBSCRIBE answer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kind of events broker behind a flow: the value of `type=` and of DNS's `broker-type=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BrokerKind {
    /// The queue embedded in the FNAA, reached over FNAP.
    Local,
    /// Apache Kafka.
    Kafka,
}

/// A broker kind that this build does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown broker type `{0}`; this build knows local and kafka")]
pub struct UnknownBrokerKind(pub String);

impl BrokerKind {
    /// The word used on the wire and in DNS.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Kafka => "kafka",
        }
    }
}

impl fmt::Display for BrokerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BrokerKind {
    type Err = UnknownBrokerKind;

    fn from_str(text: &str) -> Result<Self, UnknownBrokerKind> {
        match text.to_ascii_lowercase().as_str() {
            "local" => Ok(Self::Local),
            "kafka" => Ok(Self::Kafka),
            _ => Err(UnknownBrokerKind(text.to_owned())),
        }
    }
}

/// Whether a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportSecurity {
    /// Nothing protects it.
    Plaintext,
    /// TLS from the first byte.
    Tls,
}

/// A host and a port, as in `server=kf1.unix.ar:9092`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Server {
    /// A DNS name or an address (IPv6 without brackets).
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no host:port");
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let host = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() {
            return Err(bad());
        }
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_| bad())?,
        })
    }
}

impl TryFrom<String> for Server {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Server> for String {
    fn from(server: Server) -> Self {
        server.to_string()
    }
}

/// Where a queue is and how to talk to it, without any secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The broker's kind.
    pub kind: BrokerKind,
    /// The queue's name at the broker.
    pub queue: String,
    /// The bootstrap servers, at least one.
    pub servers: Vec<Server>,
    /// Whether the servers speak TLS.
    pub security: TransportSecurity,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_and_written() {
        for text in ["kf1.unix.ar:9092", "127.0.0.1:1", "[::1]:65535"] {
            assert_eq!(
                text.parse::<Server>().map(|server| server.to_string()),
                Ok(text.to_owned())
            );
        }
        for wrong in ["", "kf1", ":9092", "kf1:", "kf1:65536", "kf1:-1", "[]:1"] {
            assert!(wrong.parse::<Server>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn broker_kinds_are_read_and_written() {
        for kind in [BrokerKind::Local, BrokerKind::Kafka] {
            assert_eq!(kind.as_str().to_uppercase().parse(), Ok(kind));
        }
        let unknown = UnknownBrokerKind("pigeon".to_owned());
        assert_eq!("pigeon".parse::<BrokerKind>(), Err(unknown));
    }
}
