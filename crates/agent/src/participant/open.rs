//! Opening what the configuration names: store, brokers, name servers, resolver, runtime.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use eson_broker::{
    Advertised, BrokerError, KafkaBroker, KafkaConfig, KafkaSasl, KafkaTls, LocalBroker,
    LocalOptions, Secret,
};
use eson_client::Dialer;
use eson_identity::StaticAccounts;
use eson_names::dynamic::{DynamicUpdate, TsigKey, TsigKeyError};
use eson_names::embedded::{EmbeddedError, EmbeddedServer, EmbeddedZone};
use eson_names::{
    HostRecords, Record, RecordData, Registrar, Resolver, ResolverConfig, StubZone, Target,
    TrustAnchor, TrustAnchorError,
};
use eson_processor::proto;
use eson_protocol::{AddressPolicy, BrokerKind, Name, Server, TransportSecurity};

use super::brokers::{BrokerEntry, Brokers, PublicServers};
use super::{Contracts, Nameservers, Participant};
use crate::config::{self, BrokerType, Config, NameserverKind, SecretFileError};
use crate::reconcile::{Controllers, FanOut};
use crate::runtime::{ChildProcesses, RuntimeError};
use crate::secrets::{KeyError, SubscriberKeys};
use crate::store::{RedbStore, Resources, Store, StoreError};

/// How long a name server may take for one update.
const UPDATE_TIMEOUT: Duration = Duration::from_secs(5);

/// The socket that our own processors reach us by, in the state directory.
const SOCKET: &str = "fnap.sock";

/// The user name of our own processors.
pub(crate) const PROCESSOR_USER: &str = "flow-processor";

/// Why a participant can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The state directory can't be made.
    #[error("the state directory {}: {cause}", directory.display())]
    StateDirectory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The secret key can't be read or made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A password file can't be read.
    #[error(transparent)]
    Password(#[from] SecretFileError),
    /// A file that the configuration names can't be read.
    #[error("{key}: {} can't be read: {cause}", file.display())]
    File {
        /// The key that names it.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A TSIG key file is none.
    #[error("nameservers: the keyfile {}: {cause}", file.display())]
    Keyfile {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        cause: TsigKeyError,
    },
    /// The trust anchor file is none.
    #[error("resolver.trust-anchor {}: {cause}", file.display())]
    TrustAnchor {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        cause: TrustAnchorError,
    },
    /// The embedded queues can't be opened.
    #[error("the embedded queues: {0}")]
    Queues(#[from] eson_broker::OpenError),
    /// A broker can't be set up.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The embedded name server does not start.
    #[error(transparent)]
    Nameserver(#[from] EmbeddedError),
    /// Flow processors can't be run.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The system has no random numbers.
    #[error("the system has no random numbers: {0}")]
    Random(String),
}

impl Participant {
    /// Opens everything, and starts nothing: the embedded name servers have their addresses, and
    /// answer nobody yet.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is left running then.
    pub(crate) async fn open(config: Config) -> Result<Arc<Self>, OpenError> {
        make_directory(&config.state_dir)?;
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(&config.state_dir)?);
        let keys = SubscriberKeys::open(&config.state_dir)?;
        keep_names(&config.state_dir)?;
        let resolver = Arc::new(Resolver::new(resolver_config(&config)?));
        let dialer = Dialer::new(Arc::clone(&resolver) as _, AddressPolicy::unrestricted());
        let socket = config.state_dir.join(SOCKET);
        let password = random_password()?;
        let brokers = open_brokers(&config, &dialer, &socket, &password)?;
        let nameservers = open_nameservers(&config).await?;
        let runtime = ChildProcesses::new(&config)?;
        Ok(Arc::new(Self {
            fqdn: config.fqdn.clone(),
            domain: config.domain.clone(),
            namespaces: Resources::new(Arc::clone(&store)),
            flows: Resources::new(Arc::clone(&store)),
            grants: Resources::new(Arc::clone(&store)),
            subscribers: Resources::new(Arc::clone(&store)),
            subscriptions: Resources::new(Arc::clone(&store)),
            processors: Resources::new(Arc::clone(&store)),
            schemas: Resources::new(store),
            contracts: Contracts::default(),
            brokers,
            nameservers,
            resolver,
            dialer,
            runtime: Arc::new(runtime),
            keys,
            controllers: Controllers::default(),
            fan_out: FanOut::default(),
            routing: tokio::sync::Mutex::default(),
            readers: Arc::new(StaticAccounts::default()),
            socket,
            processor_password: password,
            config: RwLock::new(Arc::new(config)),
        }))
    }
}

fn make_directory(directory: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|cause| OpenError::StateDirectory {
        directory: directory.to_owned(),
        cause,
    })
}

/// Makes the names of what may be new in the directory as durable as the content is already: after a loss of
/// power the store must not be there without the key, or neither of them.
fn keep_names(directory: &Path) -> Result<(), OpenError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|cause| OpenError::StateDirectory {
        directory: directory.to_owned(),
        cause,
    })
}

fn random_password() -> Result<Secret, OpenError> {
    match crate::secrets::random_token() {
        Ok(token) => Ok(Secret::new(token)),
        Err(status) => Err(OpenError::Random(status.text)),
    }
}

fn resolver_config(config: &Config) -> Result<ResolverConfig, OpenError> {
    let resolver = &config.resolver;
    let nameservers = match resolver.nameservers.is_empty() {
        true => system_nameservers()?,
        false => resolver.nameservers.clone(),
    };
    let stub_zones = resolver.stub_zones.iter().map(|stub| StubZone {
        zone: stub.zone.clone(),
        servers: stub.nameservers.clone(),
    });
    let trusted = config
        .peers
        .iter()
        .flat_map(|peer| peer.trusted_networks.clone());
    let defaults = ResolverConfig::default();
    Ok(ResolverConfig {
        nameservers,
        stub_zones: stub_zones.collect(),
        trust_anchors: trust_anchors(resolver)?,
        address_policy: AddressPolicy::new(trusted.collect()),
        authoritative_port: resolver
            .authoritative_port
            .unwrap_or(defaults.authoritative_port),
        ..defaults
    })
}

/// The `nameserver` lines of the system's `resolv.conf`. Without that file only stub zones are
/// asked.
fn system_nameservers() -> Result<Vec<SocketAddr>, OpenError> {
    let file = Path::new("/etc/resolv.conf");
    let text = match std::fs::read_to_string(file) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => String::new(),
        Err(cause) => {
            return Err(OpenError::File {
                key: "resolver",
                file: file.to_owned(),
                cause,
            });
        }
        Ok(text) => text,
    };
    let addresses = text
        .lines()
        .filter_map(|line| line.strip_prefix("nameserver"));
    let addresses = addresses.filter_map(|address| address.trim().parse::<IpAddr>().ok());
    Ok(addresses
        .map(|address| SocketAddr::new(address, 53))
        .collect())
}

fn trust_anchors(resolver: &config::Resolver) -> Result<Vec<TrustAnchor>, OpenError> {
    let Some(file) = &resolver.trust_anchor else {
        return Ok(Vec::new());
    };
    let text = read_file("resolver.trust-anchor", file)?;
    TrustAnchor::parse_all(&text).map_err(|cause| OpenError::TrustAnchor {
        file: file.clone(),
        cause,
    })
}

fn read_file(key: &'static str, file: &Path) -> Result<String, OpenError> {
    let text = std::fs::read_to_string(file);
    text.map_err(|cause| OpenError::File {
        key,
        file: file.to_owned(),
        cause,
    })
}

fn open_brokers(
    config: &Config,
    dialer: &Dialer,
    socket: &Path,
    password: &Secret,
) -> Result<Brokers, OpenError> {
    let mut brokers = BTreeMap::new();
    for broker in &config.brokers {
        let entry = match &broker.kind {
            BrokerType::Local => open_local(config, broker, socket, password)?,
            BrokerType::Kafka(kafka) => open_kafka(broker, kafka, dialer)?,
        };
        brokers.insert(broker.name.clone(), entry);
    }
    Ok(Brokers(brokers))
}

fn open_local(
    config: &Config,
    broker: &config::Broker,
    socket: &Path,
    password: &Secret,
) -> Result<BrokerEntry, OpenError> {
    let listener = config.listen.first();
    let port = listener.map_or(0, |listener| listener.advertised_port);
    let server = Server {
        host: config.fqdn.to_string(),
        port,
    };
    let security = match listener.is_some_and(|listener| listener.tls.is_some()) {
        true => TransportSecurity::Tls,
        false => TransportSecurity::Plaintext,
    };
    let path = config.state_dir.join("queues.redb");
    let options = LocalOptions {
        security,
        // Whatever is taken in has to fit a line when it is read: base64 adds a third, and names
        // and headers something.
        max_event: config.limits.event / 2,
        ..LocalOptions::new(path, server.clone())
    };
    let local = LocalBroker::open(&options)?;
    let endpoint = proto::Endpoint {
        kind: BrokerKind::Local.to_string(),
        servers: vec![format!("unix:{}", socket.display())],
        // Over a socket that only we can open, there is nothing to hide from.
        mechanism: "PLAIN".to_owned(),
        username: PROCESSOR_USER.to_owned(),
        password: password.expose().to_owned(),
        ..proto::Endpoint::default()
    };
    Ok(BrokerEntry {
        kind: BrokerKind::Local,
        broker: Arc::new(local.clone()),
        local: Some(local),
        config: broker.clone(),
        endpoint,
        public: PublicServers::new(vec![server], security),
    })
}

fn open_kafka(
    broker: &config::Broker,
    kafka: &config::Kafka,
    dialer: &Dialer,
) -> Result<BrokerEntry, OpenError> {
    let password = kafka
        .sasl
        .as_ref()
        .map(|sasl| sasl.password.read())
        .transpose()?;
    let sasl = kafka.sasl.as_ref().zip(password);
    let settings = KafkaConfig {
        tls: kafka.tls.then(|| KafkaTls {
            ca_file: kafka.ca.clone(),
            server_name: None,
        }),
        sasl: sasl.as_ref().map(|(sasl, password)| KafkaSasl {
            mechanism: sasl_mechanism(sasl.mechanism),
            username: sasl.username.clone(),
            password: password.clone(),
        }),
        advertised: Some(Advertised {
            servers: kafka.subscriber_servers.clone(),
            security: kafka.subscriber_security,
        }),
        ..KafkaConfig::new(kafka.bootstrap_servers.clone(), dialer.clone())
    };
    let endpoint = proto::Endpoint {
        kind: BrokerKind::Kafka.to_string(),
        servers: kafka
            .bootstrap_servers
            .iter()
            .map(ToString::to_string)
            .collect(),
        tls: kafka.tls,
        tls_ca: kafka
            .ca
            .as_ref()
            .map(|file| file.display().to_string())
            .unwrap_or_default(),
        mechanism: sasl
            .as_ref()
            .map(|(sasl, _)| sasl.mechanism.as_str())
            .unwrap_or_default()
            .to_owned(),
        username: sasl
            .as_ref()
            .map(|(sasl, _)| sasl.username.clone())
            .unwrap_or_default(),
        password: sasl
            .map(|(_, password)| password.expose().to_owned())
            .unwrap_or_default(),
        // What our own configuration names, may be anywhere.
        trusted_networks: vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()],
        ..proto::Endpoint::default()
    };
    Ok(BrokerEntry {
        kind: BrokerKind::Kafka,
        broker: Arc::new(KafkaBroker::new(settings)?),
        local: None,
        config: broker.clone(),
        endpoint,
        public: PublicServers::new(kafka.subscriber_servers.clone(), kafka.subscriber_security),
    })
}

fn sasl_mechanism(mechanism: config::SaslMechanism) -> eson_broker::SaslMechanism {
    match mechanism {
        config::SaslMechanism::Plain => eson_broker::SaslMechanism::Plain,
        config::SaslMechanism::ScramSha256 => eson_broker::SaslMechanism::ScramSha256,
        config::SaslMechanism::ScramSha512 => eson_broker::SaslMechanism::ScramSha512,
    }
}

async fn open_nameservers(config: &Config) -> Result<Nameservers, OpenError> {
    let mut nameservers = Nameservers::default();
    for nameserver in &config.nameservers {
        let registrar: Box<dyn Registrar> = match &nameserver.kind {
            NameserverKind::Embedded { listen, zones } => {
                let zones = embedded_zones(config, &nameserver.name, zones);
                let server = EmbeddedServer::bind(*listen, zones).await?;
                let registrar = server.registrar();
                let name = nameserver.name.clone();
                nameservers.servers().push((name, server));
                Box::new(registrar)
            }
            NameserverKind::Rfc2136 { server, keyfile } => {
                let text = read_file("nameservers[].keyfile", keyfile)?;
                let key = TsigKey::parse(&text).map_err(|cause| OpenError::Keyfile {
                    file: keyfile.clone(),
                    cause,
                })?;
                Box::new(DynamicUpdate::new(*server, key, UPDATE_TIMEOUT))
            }
        };
        nameservers
            .registrars
            .insert(nameserver.name.clone(), registrar);
    }
    Ok(nameservers)
}

/// The zones it lists, and those of our namespaces that lie in none of them.
fn embedded_zones(
    config: &Config,
    nameserver: &str,
    listed: &[config::EmbeddedZone],
) -> Vec<EmbeddedZone> {
    let zone = |zone: Name, records| EmbeddedZone {
        zone,
        server: config.fqdn.clone(),
        records,
    };
    let mut zones: Vec<_> = listed
        .iter()
        .map(|listed| zone(listed.name.clone(), host_records(config, listed)))
        .collect();
    for namespace in &config.namespaces {
        let serves = [&namespace.ns_public, &namespace.ns_private];
        let here = serves
            .iter()
            .any(|server| server.as_deref() == Some(nameserver));
        let covered = zones
            .iter()
            .any(|zone| namespace.name.is_within(&zone.zone));
        if here && !covered {
            zones.push(zone(namespace.name.clone(), Vec::new()));
        }
    }
    zones
}

/// The addresses of the listed hosts, and our own SRV, which the proof of concept's clients ask
/// for.
fn host_records(config: &Config, zone: &config::EmbeddedZone) -> Vec<Record> {
    const TTL: u32 = 60;
    let port = config
        .listen
        .first()
        .map_or(0, |listener| listener.advertised_port);
    let mut records = Vec::new();
    for (label, addresses) in &zone.hosts {
        let Ok(host) = zone.name.prefixed(label.as_str()) else {
            continue;
        };
        let is_agent = host == config.fqdn;
        let agent = Target { host, port };
        let host = HostRecords {
            agent,
            addresses: addresses.clone(),
            ttl: TTL,
        };
        let wanted = |record: &Record| is_agent || !matches!(record.data, RecordData::Srv { .. });
        records.extend(host.records().into_iter().filter(wanted));
    }
    records
}
