//! The events brokers that the configuration names, each with how our processors reach it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use eson_broker::{
    Advertised, KafkaBroker, KafkaConfig, KafkaSasl, KafkaTls, LocalBroker, LocalOptions, Secret,
};
use eson_client::Dialer;
use eson_processor::proto;
use eson_protocol::{BrokerKind, Server, TransportSecurity};

use super::super::brokers::{BrokerEntry, Brokers, PublicServers};
use super::{OpenError, PROCESSOR_USER};
use crate::config::{self, BrokerType, Config};

pub(super) fn open_brokers(
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
