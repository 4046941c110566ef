//! What a participant's configuration says on each ground.

use std::fmt::Write as _;
use std::path::Path;

use super::{Identity, Names, Queues};
use crate::kafka::AGENT;

/// The file with Kafka's password, beside the configuration.
const PASSWORD_FILE: &str = "kafka-password";

/// What stands for the passwords of [`super::USER`] and [`super::OTHER_USER`].
const USERS: &str = "\
users:
  - name: test
    scram-sha-256: 4096$c2FsdC1vZi11c2VyLW9uZQ==$LOtZhoht/h8HGWbciNCPj20+ZiAUVCuzqhFB0fs04Cg=$ELDku1mENhVjjBsDgsq/U5idz+HXqwUPkcpOsc4788Y=
  - name: alice
    scram-sha-256: 4096$c2FsdC1vZi11c2VyLXR3bw==$CxbZ1OdB4std3dDpyaMExGs1UWGJJyAqgg29qwoi4ec=$7vzQy2WYi07u5Ack6gV+TvV7ZjLEKkoxUf3kLnD6sII=
";

/// Writes the files that the configuration refers to.
pub(super) fn write_secrets(dir: &Path) {
    std::fs::write(dir.join(PASSWORD_FILE), AGENT.1).unwrap();
}

/// The whole file.
pub(super) fn text(
    identity: &Identity,
    queues: Queues<'_>,
    names: Names<'_>,
    peers: &[&Identity],
) -> String {
    let mut text = format!(
        "\
fqdn: {fnaa}
domain: {domain}
listen:
  - address: {fnap}
    plaintext-auth: true
web:
  listen: {web}
log:
  filter: debug,hickory_proto=info,hickory_net=info,h2=info,hyper=info
namespaces:
  - name: {namespace}
    broker: queues
    ns-public: names
    ns-private: names
    owners: [test]
peers:
  - domain: '*'
    mechanism: anonymous
    trusted-networks: [127.0.0.0/8]
subscriptions:
  per-peer: 1000
{USERS}",
        fnaa = identity.fnaa(),
        domain = identity.domain,
        fnap = identity.fnap,
        web = identity.web,
        namespace = identity.namespace(),
    );
    text.push_str(&brokers(identity, queues));
    text.push_str(&nameservers(identity, names));
    text.push_str(&resolver(identity, names, peers));
    text
}

fn brokers(identity: &Identity, queues: Queues<'_>) -> String {
    match queues {
        Queues::Local => "brokers:\n  - { name: queues, type: local }\n".to_owned(),
        Queues::Kafka(kafka) => format!(
            "\
brokers:
  - name: queues
    type: kafka
    bootstrap-servers: {host}:{port}
    sasl:
      username: {user}
      password-file: {PASSWORD_FILE}
    replication-factor: 1
    adopt: ['*_v1']
",
            host = identity.kafka_host(),
            port = kafka.ports.sasl,
            user = AGENT.0,
        ),
    }
}

fn nameservers(identity: &Identity, names: Names<'_>) -> String {
    match names {
        Names::Embedded => format!(
            "\
nameservers:
  - name: names
    type: embedded
    listen: {dns}
    zones:
      - name: {domain}
        hosts: {{ fnaa: 127.0.0.1 }}
",
            dns = identity.dns,
            domain = identity.domain,
        ),
        Names::Bind(bind) => format!(
            "\
nameservers:
  - name: names
    type: rfc2136
    server: {server}
    keyfile: {key}
",
            server = bind.address(),
            key = bind.key_file().display(),
        ),
    }
}

fn resolver(identity: &Identity, names: Names<'_>, peers: &[&Identity]) -> String {
    match names {
        Names::Bind(bind) => format!("resolver:\n  nameservers: {}\n", bind.address()),
        Names::Embedded => {
            let mut text = "resolver:\n  stub-zones:\n".to_owned();
            for known in std::iter::once(&identity).chain(peers) {
                writeln!(
                    text,
                    "    - {{ zone: {}, nameserver: '{}' }}",
                    known.domain, known.dns
                )
                .unwrap();
            }
            text
        }
    }
}
