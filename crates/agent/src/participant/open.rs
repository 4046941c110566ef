//! Opening what the configuration names: store, brokers, name servers, resolver, runtime.

mod brokers;
mod nameservers;
mod resolver;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use eson_broker::{BrokerError, Secret};
use eson_client::Dialer;
use eson_identity::StaticAccounts;
use eson_names::dynamic::TsigKeyError;
use eson_names::embedded::EmbeddedError;
use eson_names::{Resolver, TrustAnchorError};
use eson_protocol::AddressPolicy;

use self::brokers::open_brokers;
use self::nameservers::open_nameservers;
use self::resolver::resolver_config;
use super::{Contracts, Participant};
use crate::config::{Config, SecretFileError};
use crate::reconcile::{Controllers, FanOut};
use crate::runtime::{ChildProcesses, RuntimeError};
use crate::secrets::{KeyError, SubscriberKeys};
use crate::store::{RedbStore, Resources, Store, StoreError};

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
            subscribing: tokio::sync::Mutex::default(),
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

fn read_file(key: &'static str, file: &Path) -> Result<String, OpenError> {
    let text = std::fs::read_to_string(file);
    text.map_err(|cause| OpenError::File {
        key,
        file: file.to_owned(),
        cause,
    })
}
