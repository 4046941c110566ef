//! What is needed to reach a Kafka cluster.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use eson_client::Dialer;
use eson_protocol::{Server, TransportSecurity};

use crate::Secret;

/// How to reach a Kafka cluster (2.8 or newer), and as whom.
#[derive(Clone)]
pub struct KafkaConfig {
    /// The bootstrap servers, at least one.
    pub servers: Vec<Server>,
    /// TLS towards every broker of the cluster; none is plaintext.
    pub tls: Option<KafkaTls>,
    /// The login; none for listeners without SASL.
    pub sasl: Option<KafkaSasl>,
    /// Opens the connections, to the bootstrap servers and to those that metadata names.
    pub dialer: Dialer,
    /// The name by which the broker's logs and quotas know us.
    pub client_id: String,
    /// Where other clients reach the cluster, if not where we do: what
    /// [`crate::QueueDescription::connection`] says.
    pub advertised: Option<Advertised>,
    /// How long one request may take, beyond the time it asks the broker to wait.
    pub request_timeout: Duration,
    /// How long a writer tries to get a record acknowledged, and a reader to read any of the
    /// partitions, before it gives up.
    pub delivery_timeout: Duration,
    /// How long a transaction may stay open until its coordinator aborts it. Longer than
    /// [`crate::WriterOptions::commit_interval`] and [`KafkaConfig::delivery_timeout`] together,
    /// or a broker that restarts costs the whole transaction.
    pub transaction_timeout: Duration,
    /// How long a transaction of the source may hide records until a reader says so.
    pub hanging_after: Duration,
    /// How often a reader looks for new partitions when nothing else makes it look.
    pub metadata_max_age: Duration,
    /// How long an idle fetch waits at the broker: also how late a right that was taken away is
    /// noticed.
    pub fetch_wait: Duration,
}

impl KafkaConfig {
    /// Plaintext without login, and everything else at its default.
    #[must_use]
    pub fn new(servers: Vec<Server>, dialer: Dialer) -> Self {
        Self {
            servers,
            tls: None,
            sasl: None,
            dialer,
            client_id: "eson".to_owned(),
            advertised: None,
            request_timeout: Duration::from_secs(30),
            delivery_timeout: Duration::from_secs(120),
            transaction_timeout: Duration::from_secs(60),
            hanging_after: Duration::from_secs(10),
            metadata_max_age: Duration::from_secs(30),
            fetch_wait: Duration::from_secs(5),
        }
    }

    /// With TLS.
    #[must_use]
    pub fn with_tls(self, tls: KafkaTls) -> Self {
        Self {
            tls: Some(tls),
            ..self
        }
    }

    /// With a login.
    #[must_use]
    pub fn with_sasl(self, sasl: KafkaSasl) -> Self {
        Self {
            sasl: Some(sasl),
            ..self
        }
    }

    /// Where other clients are told to go.
    pub(crate) fn advertised(&self) -> Advertised {
        self.advertised.clone().unwrap_or_else(|| Advertised {
            servers: self.servers.clone(),
            security: match self.tls {
                Some(_) => TransportSecurity::Tls,
                None => TransportSecurity::Plaintext,
            },
        })
    }

    /// The servers as error messages name them.
    pub(crate) fn server_list(&self) -> String {
        let names: Vec<_> = self.servers.iter().map(ToString::to_string).collect();
        names.join(",")
    }
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("servers", &self.server_list())
            .field("tls", &self.tls)
            .field("sasl", &self.sasl)
            .finish_non_exhaustive()
    }
}

/// Where clients reach a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// The bootstrap servers.
    pub servers: Vec<Server>,
    /// Whether they speak TLS.
    pub security: TransportSecurity,
}

/// TLS towards a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaTls {
    /// A PEM file with the only authorities to believe; none believes the operating system's.
    pub ca_file: Option<PathBuf>,
    /// The name that certificates must prove; none is the host that was dialled.
    pub server_name: Option<String>,
}

/// A login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSasl {
    /// How it is proven.
    pub mechanism: SaslMechanism,
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// A SASL mechanism of Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// RFC 4616: the password itself is sent. Only over TLS or loopback.
    Plain,
    /// RFC 7677.
    ScramSha256,
    /// The same with SHA-512.
    ScramSha512,
}

impl SaslMechanism {
    /// The registered name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// A mechanism that this client can't do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown SASL mechanism `{0}`; use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")]
pub struct UnknownSaslMechanism(pub String);

impl std::str::FromStr for SaslMechanism {
    type Err = UnknownSaslMechanism;

    fn from_str(text: &str) -> Result<Self, UnknownSaslMechanism> {
        [Self::Plain, Self::ScramSha256, Self::ScramSha512]
            .into_iter()
            .find(|mechanism| mechanism.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownSaslMechanism(text.to_owned()))
    }
}
