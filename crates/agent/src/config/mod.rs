//! The configuration of fnaad: one YAML file, strict, everything that is wrong told at once.
//!
//! The keys are those of the draft's configuration where it has them. A key may be written with
//! underscores for hyphens. `docs/operations.md` has the whole reference.

mod broker;
mod cross_check;
mod listen;
mod names;
mod participant;
mod policy;
mod problem;
mod reader;
mod registry;
mod scalar;
mod secret_file;
mod service;
mod users_file;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use eson_protocol::Name;
use serde_yaml_ng::Value;

use self::reader::{Reading, Section};

pub use broker::{Broker, BrokerType, Kafka, Sasl, SaslMechanism};
pub use listen::{Certificate, Listener};
pub use names::{EmbeddedZone, Nameserver, NameserverKind, Resolver, StubZone};
pub use participant::{Login, Namespace, Peer, PeerLogin, User};
pub use policy::{Limits, Subscriptions};
pub use problem::{ConfigError, Problem};
pub use registry::{RegistryLogin, SchemaRegistry};
pub use secret_file::{SecretFile, SecretFileError};
pub use service::{Log, LogFormat, Processor, Web};
pub use users_file::{UsersFileError, add_user};

/// The users file's name in the state directory, where the configuration names no other.
const USERS_FILE: &str = "users.yaml";

/// One participant's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `fqdn`: this FNAA's own name, in its greeting and in DNS.
    pub fqdn: Name,
    /// `domain`: the participant's domain: its users are `user@domain`.
    pub domain: Name,
    /// `state-dir`: where everything is kept that must survive a restart.
    pub state_dir: PathBuf,
    /// `listen`: where FNAP is spoken; the first is the one that DNS tells.
    pub listen: Vec<Listener>,
    /// `resolver`: whom we ask for names.
    pub resolver: Resolver,
    /// `nameservers`: where our names are registered.
    pub nameservers: Vec<Nameserver>,
    /// `brokers`: where queues are.
    pub brokers: Vec<Broker>,
    /// `namespaces`: what is hosted here.
    pub namespaces: Vec<Namespace>,
    /// `users-file`: where `fnaad user add` writes (`users.yaml` in the state directory).
    pub users_file: PathBuf,
    /// `users`: who may log in here; those of `users-file` included.
    pub users: Vec<User>,
    /// `peers`: how we meet others.
    pub peers: Vec<Peer>,
    /// `schema-registries`: how Schema Registries are asked.
    pub schema_registries: Vec<SchemaRegistry>,
    /// `subscriptions`: what holds for them.
    pub subscriptions: Subscriptions,
    /// `limits`: how much anybody may use.
    pub limits: Limits,
    /// `processor`: how flow processors are run.
    pub processor: Processor,
    /// `web`: health and metrics; none where absent.
    pub web: Option<Web>,
    /// `log`: what is told on standard error.
    pub log: Log,
}

impl Config {
    /// Reads a configuration. `state_dir` goes before the file's own.
    ///
    /// # Errors
    /// [`ConfigError`], with everything that is wrong at once.
    pub fn load(file: &Path, state_dir: Option<&Path>) -> Result<Self, ConfigError> {
        let value = read_yaml(file)?;
        let reading = Reading::new(file.parent().unwrap_or(Path::new("")));
        let mut config = reading
            .root(&value)
            .section(|section| read(section, state_dir));
        if let Some(config) = &mut config {
            let added = users_file::read(&config.users_file, &config.domain, &reading);
            config.users.extend(added);
            cross_check::cross_check(config, &reading);
        }
        let problems = reading.into_problems();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError::Invalid {
                file: file.to_owned(),
                problems,
            }),
        }
    }

    /// How we meet whoever hosts `name`: by the longest `domain` of `peers` that it lies in.
    #[must_use]
    pub fn peer(&self, name: &Name) -> &Peer {
        let length = |peer: &&Peer| {
            peer.domain
                .as_ref()
                .map_or(0, |domain| domain.as_str().len())
        };
        let concerns = |peer: &&Peer| match &peer.domain {
            Some(domain) => name.is_within(domain),
            None => true,
        };
        let found = self.peers.iter().filter(concerns).max_by_key(length);
        found.unwrap_or(&participant::STRANGER)
    }

    /// How we meet a host: as the participant whose domain it lies in; an address, as strangers.
    #[must_use]
    pub fn peer_at(&self, host: &str) -> &Peer {
        match Name::parse(host) {
            Ok(name) if host.parse::<IpAddr>().is_err() => self.peer(&name),
            _ => {
                let everybody = self.peers.iter().find(|peer| peer.domain.is_none());
                everybody.unwrap_or(&participant::STRANGER)
            }
        }
    }

    /// The namespace that `name` lies in: the longest that is hosted here.
    #[must_use]
    pub fn namespace_of(&self, name: &Name) -> Option<&Namespace> {
        let hosted = self.namespaces.iter();
        let hosted = hosted.filter(|namespace| name.is_within(&namespace.name));
        hosted.max_by_key(|namespace| namespace.name.as_str().len())
    }

    /// A broker by its name.
    #[must_use]
    pub fn broker(&self, name: &str) -> Option<&Broker> {
        self.brokers.iter().find(|broker| broker.name == name)
    }
}

fn read_yaml(file: &Path) -> Result<Value, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|cause| ConfigError::Read {
        file: file.to_owned(),
        cause,
    })?;
    serde_yaml_ng::from_str(&text).map_err(|cause| ConfigError::Syntax {
        file: file.to_owned(),
        cause: cause.to_string(),
    })
}

fn read(section: &Section<'_>, override_state_dir: Option<&Path>) -> Option<Config> {
    // Stands in for a name that is missing, so that the rest is checked all the same.
    let missing: Name = "missing.invalid".parse().ok()?;
    let name = |key| section.required(key, |node| node.name());
    let fqdn = name("fqdn").unwrap_or_else(|| missing.clone());
    let domain = name("domain").unwrap_or(missing);
    let state_dir = state_dir(section, override_state_dir);
    let users_file = section.optional("users-file", |node| node.file());
    let brokers = section.required_list("brokers", broker::broker);
    let known = Known {
        domain: &domain,
        brokers: section.names_in("brokers"),
        nameservers: section.names_in("nameservers"),
    };
    Some(Config {
        fqdn,
        listen: section.required_list("listen", listen::listener),
        resolver: or_default(section.optional("resolver", names::resolver)),
        nameservers: section.list("nameservers", names::nameserver),
        brokers,
        namespaces: section
            .required_list("namespaces", |node| participant::namespace(&node, &known)),
        users_file: users_file.unwrap_or_else(|| state_dir.join(USERS_FILE)),
        users: section.list("users", |node| participant::user(&node, &domain)),
        peers: section.list("peers", participant::peer),
        schema_registries: section.list("schema-registries", registry::registry),
        subscriptions: or_default(section.optional("subscriptions", policy::subscriptions)),
        limits: or_default(section.optional("limits", policy::limits)),
        processor: or_default(section.optional("processor", service::processor)),
        web: section.optional("web", service::web),
        log: or_default(section.optional("log", service::log)),
        state_dir,
        domain,
    })
}

fn or_default<T: Default>(value: Option<T>) -> T {
    value.unwrap_or_default()
}

fn state_dir(section: &Section<'_>, override_state_dir: Option<&Path>) -> PathBuf {
    let written = section.optional("state-dir", |node| node.file());
    let given = override_state_dir.map(Path::to_owned).or(written);
    given.unwrap_or_else(|| {
        section.report("state-dir", "is missing; give it here or by --state-dir");
        PathBuf::new()
    })
}

/// What namespaces may refer to.
struct Known<'k> {
    domain: &'k Name,
    brokers: Vec<&'k str>,
    nameservers: Vec<&'k str>,
}

#[cfg(test)]
mod tests;
