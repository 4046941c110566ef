//! `fnaad --check`: everything that would keep a configuration from working, before it is used.

use std::fmt::Display;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config::{BrokerType, Config, NameserverKind, PeerLogin, RegistryLogin, SecretFile};
use crate::participant::Participant;
use crate::readiness::checks;
use crate::runtime::RuntimeOptions;
use crate::store::{RedbStore, StoreError};

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What keeps the configuration from working.
    pub problems: Vec<String>,
    /// What is good to know.
    pub notes: Vec<String>,
}

/// Looks at what a configuration names: files, addresses, the flow processor, brokers and name
/// servers. Changes nothing, and works on a state directory of its own. Where a fnaad runs on the
/// configured one, only files are looked at.
pub async fn check(config: Config) -> Findings {
    let mut findings = Findings::default();
    findings.check_files(&config);
    findings.check_program(&config);
    if is_running(&config.state_dir) {
        findings.notes.push(format!(
            "a fnaad runs on {}: addresses, brokers and name servers are not asked; see /readyz",
            config.state_dir.display()
        ));
        return findings;
    }
    findings.check_addresses(&config);
    if findings.problems.is_empty() {
        findings.check_parts(config).await;
    }
    findings
}

impl Findings {
    fn note<T, E: Display>(&mut self, key: impl Display, result: Result<T, E>) {
        if let Err(cause) = result {
            self.problems.push(format!("{key}: {cause}"));
        }
    }

    fn check_files(&mut self, config: &Config) {
        for (key, file) in named_files(config) {
            let opened = std::fs::File::open(&file);
            let opened = opened.map_err(|cause| format!("{}: {cause}", file.display()));
            self.note(key, opened);
        }
        for (key, secret) in named_secrets(config) {
            self.note(key, secret.read());
        }
        for (index, listener) in config.listen.iter().enumerate() {
            if let Some(certificate) = &listener.tls {
                self.note(
                    format!("listen[{index}].tls"),
                    crate::tls::server_config(certificate),
                );
            }
        }
    }

    fn check_program(&mut self, config: &Config) {
        let checked = RuntimeOptions::of(config)
            .map_err(|error| error.to_string())
            .and_then(|options| check_executable(&options.program));
        self.note("processor.program", checked);
    }

    fn check_addresses(&mut self, config: &Config) {
        let fnap = config
            .listen
            .iter()
            .map(|listener| ("listen", listener.address));
        let web = config.web.iter().map(|web| ("web.listen", web.listen));
        for (key, address) in fnap.chain(web) {
            let bound = TcpListener::bind(address).map_err(|cause| format!("{address}: {cause}"));
            self.note(key, bound);
        }
    }

    /// Opens everything, on a state directory of its own, and asks it.
    async fn check_parts(&mut self, mut config: Config) {
        config.state_dir = std::env::temp_dir().join(format!("fnaad-check-{}", std::process::id()));
        let made = std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&config.state_dir);
        if let Err(cause) = made {
            let place = config.state_dir.display();
            self.problems
                .push(format!("{place} can't be made for the check: {cause}"));
            return;
        }
        let state_dir = config.state_dir.clone();
        match Participant::open(config).await {
            Err(error) => self.problems.push(error.to_string()),
            Ok(participant) => {
                for check in checks(&participant).await {
                    self.notes.extend(check.warning());
                    if !check.is_passed() {
                        self.problems.push(check.to_string());
                    }
                }
                participant.close().await;
            }
        }
        if let Err(cause) = std::fs::remove_dir_all(&state_dir) {
            self.notes
                .push(format!("{} can't be removed: {cause}", state_dir.display()));
        }
    }
}

/// Only an existing store is looked at, so that nothing is made where fnaad, as another user,
/// could not use it.
fn is_running(state_dir: &Path) -> bool {
    let in_use =
        || RedbStore::open(state_dir).is_err_and(|error| matches!(error, StoreError::InUse { .. }));
    RedbStore::exists(state_dir) && in_use()
}

fn check_executable(program: &Path) -> Result<(), String> {
    let described = |cause: io::Error| format!("{}: {cause}", program.display());
    let metadata = std::fs::metadata(program).map_err(described)?;
    match metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        true => Ok(()),
        false => Err(format!("{} is no program", program.display())),
    }
}

fn named_files(config: &Config) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    if let Some(file) = &config.resolver.trust_anchor {
        files.push(("resolver.trust-anchor".to_owned(), file.clone()));
    }
    for (index, nameserver) in config.nameservers.iter().enumerate() {
        if let NameserverKind::Rfc2136 { keyfile, .. } = &nameserver.kind {
            files.push((format!("nameservers[{index}].keyfile"), keyfile.clone()));
        }
    }
    for (index, broker) in config.brokers.iter().enumerate() {
        if let BrokerType::Kafka(kafka) = &broker.kind {
            files.extend(
                kafka
                    .ca
                    .clone()
                    .map(|file| (format!("brokers[{index}].ca"), file)),
            );
        }
    }
    for (index, peer) in config.peers.iter().enumerate() {
        files.extend(
            peer.tls_ca
                .clone()
                .map(|file| (format!("peers[{index}].tls-ca"), file)),
        );
    }
    for (index, registry) in config.schema_registries.iter().enumerate() {
        let file = registry.tls_ca.clone();
        files.extend(file.map(|file| (format!("schema-registries[{index}].tls-ca"), file)));
    }
    let programs = config.processor.program_ca.clone();
    files.extend(programs.map(|file| ("processor.program-ca".to_owned(), file)));
    files
}

fn named_secrets(config: &Config) -> Vec<(String, &SecretFile)> {
    let mut secrets = Vec::new();
    for (index, broker) in config.brokers.iter().enumerate() {
        if let BrokerType::Kafka(kafka) = &broker.kind {
            let key = format!("brokers[{index}].sasl.password-file");
            secrets.extend(kafka.sasl.as_ref().map(|sasl| (key, &sasl.password)));
        }
    }
    for (index, peer) in config.peers.iter().enumerate() {
        if let PeerLogin::Plain(login) | PeerLogin::ScramSha256(login) = &peer.login {
            secrets.push((format!("peers[{index}].password-file"), &login.password));
        }
    }
    for (index, registry) in config.schema_registries.iter().enumerate() {
        let key = format!("schema-registries[{index}]");
        match &registry.login {
            RegistryLogin::Nobody => {}
            RegistryLogin::Basic(login) => {
                secrets.push((format!("{key}.password-file"), &login.password));
            }
            RegistryLogin::Bearer(token) => secrets.push((format!("{key}.token-file"), token)),
        }
    }
    secrets
}
