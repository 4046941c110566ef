//! The files that a broker is started with.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{ADMIN, Authorization, Ports};
use crate::certificates::Certificates;
use crate::seed::{Seed, entropy};

/// Writes everything into `dir`.
pub(super) fn write(dir: &Path, ports: &Ports, authorization: Authorization) {
    fs::write(dir.join("log4j2.yaml"), LOGGING).unwrap();
    let mut properties = common_properties(dir, ports);
    match authorization {
        Authorization::Open => properties.push_str(&open_listeners(ports)),
        Authorization::Acls => {
            write_certificates(dir);
            properties.push_str(&guarded_listeners(dir, ports));
        }
    }
    fs::write(dir.join("server.properties"), properties).unwrap();
}

/// A new cluster id: 16 bytes in base64.
pub(super) fn cluster_id() -> String {
    // A leading dash would be taken for an option.
    let mut bytes = Seed::new(entropy()).bytes(16);
    bytes[0] &= 0x3f;
    URL_SAFE_NO_PAD.encode(bytes)
}

const LOGGING: &str = "\
Configuration:
  Appenders:
    Console: {name: STDOUT, PatternLayout: {pattern: '[%d] %p %m (%c)%n'}}
  Loggers:
    Root: {level: WARN, AppenderRef: [{ref: STDOUT}]}
";

/// One replica of everything, because there is one broker; few partitions of the internal topics,
/// because each costs time at the start; no wait for further group members; a short session, since a
/// broker that was killed is let in again only when its last session has ended.
///
/// Snapshots of the metadata early and often: where a broker starts from the log alone and the log
/// tells of a deleted SCRAM user, Kafka 4.3 may forget every SCRAM user, the administrator included
/// (`ScramDelta.apply` drops the whole mechanism when it meets the deletion first).
fn common_properties(dir: &Path, ports: &Ports) -> String {
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={dir}/logs
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=3
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
metadata.log.max.record.bytes.between.snapshots=1024
auto.create.topics.enable=false
",
        controller = ports.controller,
        dir = dir.display(),
    )
}

fn open_listeners(ports: &Ports) -> String {
    let plaintext = format!("PLAINTEXT://127.0.0.1:{}", ports.plaintext);
    format!(
        "listeners={plaintext},CONTROLLER://127.0.0.1:{controller}\nadvertised.listeners={plaintext}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n",
        controller = ports.controller,
    )
}

fn guarded_listeners(dir: &Path, ports: &Ports) -> String {
    let outside = format!(
        "PLAINTEXT://127.0.0.1:{},SASL_PLAINTEXT://127.0.0.1:{},SSL://127.0.0.1:{},SASL_SSL://127.0.0.1:{}",
        ports.plaintext, ports.sasl, ports.tls, ports.sasl_tls
    );
    let mut text = format!(
        "\
listeners={outside},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={outside}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-256
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:{admin};User:ANONYMOUS
ssl.keystore.type=PEM
ssl.keystore.location={dir}/server.pem
",
        controller = ports.controller,
        admin = ADMIN.0,
        dir = dir.display(),
    );
    for listener in ["sasl_plaintext", "sasl_ssl"] {
        writeln!(
            text,
            "listener.name.{listener}.scram-sha-256.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;"
        )
        .unwrap();
    }
    text
}

/// `ca.pem` to trust, and `server.pem` with key and chain for the broker.
fn write_certificates(dir: &Path) {
    let made = Certificates::make(dir, &["127.0.0.1", "localhost"]);
    let read = |path| fs::read_to_string(path).unwrap();
    fs::write(dir.join("server.pem"), read(made.key) + &read(made.chain)).unwrap();
}
