//! Which broker is behind an endpoint.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use eson_broker::{
    Broker, BrokerError, FnapBroker, FnapOptions, KafkaBroker, KafkaConfig, KafkaSasl, KafkaTls,
    SaslMechanism,
};
use eson_client::{
    Address, BadTlsName, ConnectOptions, Credentials, Dialer, Lookup, TlsName, TlsRoots,
};
use eson_protocol::{AddressPolicy, BrokerKind, Server};

use crate::SocketAddress;
use crate::endpoint::{Endpoint, Login, Mechanism, Tls};

/// How long an idle fetch waits at a Kafka broker, which looks at rights when a fetch arrives: a
/// right that was taken away is noticed within this time.
const FETCH_WAIT: Duration = Duration::from_millis(900);

/// How long a record is tried before the leg says that its destination is in trouble.
const DELIVERY: Duration = Duration::from_secs(30);

/// Finds the broker behind an endpoint.
#[async_trait]
pub trait BrokerFactory: Send + Sync {
    /// The kinds of endpoints that this factory knows.
    fn kinds(&self) -> Vec<BrokerKind>;

    /// The broker behind `endpoint`. Endpoints that agree in servers, login and policy may share
    /// one, and with it its connections.
    ///
    /// # Errors
    /// [`BrokerError::Unsupported`] for a kind or mechanism that this factory does not know, and
    /// whatever connecting met, where the kind connects at once.
    async fn broker(&self, endpoint: &Endpoint) -> Result<Arc<dyn Broker>, BrokerError>;
}

/// The brokers of the kinds that this program knows, each shared for as long as anybody uses it.
pub struct Brokers {
    lookup: Arc<dyn Lookup>,
    /// The certificate authorities, for Kafka's client and for FNAP's.
    tls_roots: Option<PathBuf>,
    fnap_roots: TlsRoots,
    request_timeout: Option<Duration>,
    known: Mutex<Vec<(Reach, Weak<dyn Broker>)>>,
}

/// What endpoints have to agree in to share a broker.
#[derive(Clone, PartialEq, Eq)]
struct Reach {
    kind: BrokerKind,
    servers: Vec<SocketAddress>,
    tls: Tls,
    tls_ca: Option<PathBuf>,
    login: Option<Login>,
    policy: AddressPolicy,
}

impl Brokers {
    /// Brokers whose names are looked up with `lookup`, and whose certificates the operating
    /// system's authorities or those in the PEM file `tls_roots` have to vouch for.
    #[must_use]
    pub fn new(lookup: Arc<dyn Lookup>, tls_roots: Option<PathBuf>) -> Self {
        Self {
            lookup,
            fnap_roots: tls_roots
                .clone()
                .map_or_else(TlsRoots::system, TlsRoots::with_file),
            tls_roots,
            request_timeout: None,
            known: Mutex::default(),
        }
    }

    /// The same, with a bound of its own on how long a Kafka may leave a request without an answer
    /// ([`KafkaConfig::request_timeout`]).
    #[must_use]
    pub fn with_request_timeout(self, request_timeout: Duration) -> Self {
        Self {
            request_timeout: Some(request_timeout),
            ..self
        }
    }

    fn connect(&self, endpoint: &Endpoint) -> Result<Arc<dyn Broker>, BrokerError> {
        match endpoint.kind {
            BrokerKind::Kafka => Ok(Arc::new(KafkaBroker::new(self.kafka(endpoint)?)?)),
            BrokerKind::Local => Ok(Arc::new(FnapBroker::new(self.fnap(endpoint)?))),
        }
    }

    /// Queues of the kind `local` are reached through their FNAA.
    fn fnap(&self, endpoint: &Endpoint) -> Result<FnapOptions, BrokerError> {
        let servers = endpoint.servers.iter();
        let servers = servers.map(|server| fnap_address(server, &endpoint.tls));
        let login = endpoint.login.as_ref();
        Ok(FnapOptions {
            servers: servers
                .collect::<Result<_, BadTlsName>>()
                .map_err(|bad| unsupported(endpoint, format!("be reached: {bad}")))?,
            connect: ConnectOptions {
                roots: self.roots(endpoint),
                ..ConnectOptions::new(self.dialer(endpoint))
            },
            credentials: login
                .map(|login| fnap_credentials(endpoint, login))
                .transpose()?,
        })
    }

    fn kafka(&self, endpoint: &Endpoint) -> Result<KafkaConfig, BrokerError> {
        let servers = endpoint.servers.iter().filter_map(tcp).cloned();
        let usual = KafkaConfig::new(servers.collect(), self.dialer(endpoint));
        let config = KafkaConfig {
            client_id: "flow-processor".to_owned(),
            fetch_wait: FETCH_WAIT,
            delivery_timeout: DELIVERY,
            request_timeout: self.request_timeout.unwrap_or(usual.request_timeout),
            ..usual
        };
        let config = match self.kafka_tls(endpoint) {
            Some(tls) => config.with_tls(tls),
            None => config,
        };
        Ok(match &endpoint.login {
            Some(login) => config.with_sasl(kafka_sasl(endpoint, login)?),
            None => config,
        })
    }

    /// Those that the endpoint names, or the process's own, which are read once for all.
    fn roots(&self, endpoint: &Endpoint) -> TlsRoots {
        let own = endpoint.tls_ca.clone().map(TlsRoots::with_file);
        own.unwrap_or_else(|| self.fnap_roots.clone())
    }

    fn kafka_tls(&self, endpoint: &Endpoint) -> Option<KafkaTls> {
        let server_name = match &endpoint.tls {
            Tls::Plaintext => return None,
            Tls::OwnName => None,
            Tls::Name(name) => Some(name.to_string()),
        };
        Some(KafkaTls {
            ca_file: endpoint.tls_ca.clone().or_else(|| self.tls_roots.clone()),
            server_name,
        })
    }

    fn dialer(&self, endpoint: &Endpoint) -> Dialer {
        Dialer::new(self.lookup.clone(), endpoint.policy.clone())
    }
}

#[async_trait]
impl BrokerFactory for Brokers {
    fn kinds(&self) -> Vec<BrokerKind> {
        vec![BrokerKind::Local, BrokerKind::Kafka]
    }

    async fn broker(&self, endpoint: &Endpoint) -> Result<Arc<dyn Broker>, BrokerError> {
        let reach = Reach::of(endpoint);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, broker)| broker.strong_count() > 0);
        let found = known.iter().find(|(other, _)| *other == reach);
        if let Some(broker) = found.and_then(|(_, broker)| broker.upgrade()) {
            return Ok(broker);
        }
        let broker = self.connect(endpoint)?;
        known.push((reach, Arc::downgrade(&broker)));
        Ok(broker)
    }
}

impl Reach {
    fn of(endpoint: &Endpoint) -> Self {
        let mut servers = endpoint.servers.clone();
        servers.sort_unstable();
        Self {
            kind: endpoint.kind,
            servers,
            tls: endpoint.tls.clone(),
            tls_ca: endpoint.tls_ca.clone(),
            login: endpoint.login.clone(),
            policy: endpoint.policy.clone(),
        }
    }
}

fn tcp(address: &SocketAddress) -> Option<&Server> {
    match address {
        SocketAddress::Tcp(server) => Some(server),
        SocketAddress::Unix(_) => None,
    }
}

fn fnap_address(server: &SocketAddress, tls: &Tls) -> Result<Address, BadTlsName> {
    Ok(match server {
        SocketAddress::Unix(path) => Address::Unix(path.clone()),
        SocketAddress::Tcp(Server { host, port }) => Address::Tcp {
            host: host.clone(),
            port: *port,
            tls: match tls {
                Tls::Plaintext => None,
                Tls::OwnName => Some(TlsName::parse(host)?),
                Tls::Name(name) => Some(name.clone()),
            },
        },
    })
}

fn fnap_credentials(endpoint: &Endpoint, login: &Login) -> Result<Credentials, BrokerError> {
    let user = login.username.clone();
    let password = login.password.clone();
    match login.mechanism {
        Mechanism::Anonymous => Ok(Credentials::Anonymous { trace: user }),
        Mechanism::Plain => Ok(Credentials::Plain { user, password }),
        Mechanism::ScramSha256 => Ok(Credentials::ScramSha256 { user, password }),
        Mechanism::ScramSha512 => Err(unsupported(endpoint, "log in by SCRAM-SHA-512".to_owned())),
    }
}

fn kafka_sasl(endpoint: &Endpoint, login: &Login) -> Result<KafkaSasl, BrokerError> {
    let mechanism = match login.mechanism {
        Mechanism::Plain => SaslMechanism::Plain,
        Mechanism::ScramSha256 => SaslMechanism::ScramSha256,
        Mechanism::ScramSha512 => SaslMechanism::ScramSha512,
        Mechanism::Anonymous => {
            return Err(unsupported(endpoint, "log in as ANONYMOUS".to_owned()));
        }
    };
    Ok(KafkaSasl {
        mechanism,
        username: login.username.clone(),
        password: login.password.clone(),
    })
}

fn unsupported(endpoint: &Endpoint, what: String) -> BrokerError {
    BrokerError::Unsupported {
        kind: endpoint.kind.to_string(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use eson_client::SystemLookup;

    use super::*;
    use crate::proto;

    fn endpoint(server: &str, user: &str) -> Endpoint {
        let message = proto::Endpoint {
            kind: "kafka".into(),
            servers: vec![server.into()],
            queue: "time.flows.unix.ar".into(),
            mechanism: "SCRAM-SHA-256".into(),
            username: user.into(),
            password: "wonderland".into(),
            ..Default::default()
        };
        message.try_into().expect("a good endpoint")
    }

    #[tokio::test]
    async fn brokers_are_shared_while_somebody_uses_them() {
        let brokers = Brokers::new(Arc::new(SystemLookup), None);
        let broker = async |server, user| {
            let broker = brokers.broker(&endpoint(server, user)).await;
            broker.expect("a broker")
        };
        let first = broker("kf1:9092", "alice").await;
        assert!(Arc::ptr_eq(&first, &broker("kf1:9092", "alice").await));
        assert!(!Arc::ptr_eq(&first, &broker("kf1:9092", "test").await));
        assert!(!Arc::ptr_eq(&first, &broker("kf2:9092", "alice").await));
        drop(first);
        let known = || brokers.known.lock().expect("no panic").len();
        broker("kf3:9092", "alice").await;
        assert_eq!(known(), 1, "who is not used is forgotten");
    }

    #[tokio::test]
    async fn each_kind_has_its_mechanisms() {
        use BrokerKind::{Kafka, Local};
        let brokers = Brokers::new(Arc::new(SystemLookup), None);
        for (kind, mechanism, works) in [
            (Kafka, Mechanism::Plain, true),
            (Kafka, Mechanism::ScramSha512, true),
            (Kafka, Mechanism::Anonymous, false),
            (Local, Mechanism::Anonymous, true),
            (Local, Mechanism::ScramSha256, true),
            (Local, Mechanism::ScramSha512, false),
        ] {
            let mut endpoint = endpoint("fnaa.unix.ar:61000", "alice");
            endpoint.kind = kind;
            endpoint.login.as_mut().expect("a login").mechanism = mechanism;
            let broker = brokers.broker(&endpoint).await;
            assert_eq!(broker.is_ok(), works, "{kind} {mechanism:?}");
            if let Ok(broker) = broker {
                assert_eq!(broker.kind(), kind);
            }
        }
    }
}
