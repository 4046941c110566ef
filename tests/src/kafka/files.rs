//! The files that a broker is started with.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{ADMIN, Authorization, Front, Ports};
use crate::certificates::Certificates;
use crate::seed::{Seed, entropy};

/// How a broker is part of its cluster: every broker is a controller too.
pub(super) struct Member<'a> {
    /// Its number, 1 and up.
    pub(super) node: u32,
    /// The ports of all controllers, in the order of their numbers.
    pub(super) controllers: &'a [u16],
}

/// Writes everything into `dir`, these settings last.
pub(super) fn write(dir: &Path, ports: &Ports, authorization: Authorization, settings: &[&str]) {
    let member = Member {
        node: 1,
        controllers: &[ports.controller],
    };
    let listeners = match authorization {
        Authorization::Open => open_listeners(ports),
        Authorization::Acls => {
            write_certificates(dir);
            guarded_listeners(dir, ports)
        }
    };
    let own: String = settings.iter().map(|it| format!("{it}\n")).collect();
    write_properties(dir, &member, &(listeners + &own));
}

/// Where a broker listens for one front.
pub(super) struct FrontListener {
    pub(super) front: Front,
    pub(super) port: u16,
    /// The port that clients are told instead.
    pub(super) advertised: u16,
}

/// Writes everything for a broker that is open to everybody at `port`, and behind fronts.
pub(super) fn write_member(dir: &Path, member: &Member<'_>, port: u16, fronts: &[FrontListener]) {
    let controller = member.controllers[member.node as usize - 1];
    let mut listeners = format!("PLAINTEXT://127.0.0.1:{port}");
    let mut advertised = listeners.clone();
    let mut map = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned();
    let mut logins = String::new();
    for listener in fronts {
        let Front { name, guarded } = listener.front;
        let protocol = if guarded {
            "SASL_PLAINTEXT"
        } else {
            "PLAINTEXT"
        };
        write!(listeners, ",{name}://127.0.0.1:{}", listener.port).unwrap();
        write!(advertised, ",{name}://127.0.0.1:{}", listener.advertised).unwrap();
        write!(map, ",{name}:{protocol}").unwrap();
        if guarded {
            logins += &scram_login(name);
        }
    }
    let text = format!(
        "listeners={listeners},CONTROLLER://127.0.0.1:{controller}\nadvertised.listeners={advertised}\n\
         listener.security.protocol.map={map}\n{GUARD}super.users=User:ANONYMOUS\n{logins}"
    );
    write_properties(dir, member, &text);
}

fn write_properties(dir: &Path, member: &Member<'_>, listeners: &str) {
    fs::write(dir.join("log4j2.yaml"), LOGGING).unwrap();
    let properties = common_properties(dir, member) + listeners;
    fs::write(dir.join("server.properties"), properties).unwrap();
}

/// A new cluster id.
pub(super) fn cluster_id() -> String {
    random_id()
}

/// 16 bytes in base64, as Kafka writes ids.
pub(super) fn random_id() -> String {
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

/// A replica of everything at each broker, and leaders only moved by those who say so; few
/// partitions of the internal topics, because each costs time at the start; no wait for further
/// group members; transactions that are given up when their time is over, and not long after; a short
/// session, since a broker that was killed is let in again only when its last session has ended.
///
/// Everything is kept where a topic says nothing else: the samples are of 2023, and half a minute after
/// its start a broker would otherwise delete those that are there.
///
/// What a topic's own limits let go of is deleted within a second, and not within minutes.
///
/// Snapshots of the metadata early and often: where a broker starts from the log alone and the log
/// tells of a deleted SCRAM user, Kafka 4.3 may forget every SCRAM user, the administrator included
/// (`ScramDelta.apply` drops the whole mechanism when it meets the deletion first).
fn common_properties(dir: &Path, member: &Member<'_>) -> String {
    let voters: Vec<_> = (1..)
        .zip(member.controllers)
        .map(|(node, port)| format!("{node}@127.0.0.1:{port}"))
        .collect();
    let replicas = voters.len();
    format!(
        "\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={dir}/logs
num.partitions=1
default.replication.factor={replicas}
min.insync.replicas={in_sync}
auto.leader.rebalance.enable=false
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=3
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=3
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
log.retention.ms=-1
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=1000
log.cleaner.backoff.ms=500
log.cleaner.dedupe.buffer.size=8388608
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
metadata.log.max.record.bytes.between.snapshots=1024
auto.create.topics.enable=false
",
        node = member.node,
        voters = voters.join(","),
        in_sync = replicas.saturating_sub(1).max(1),
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
{GUARD}super.users=User:{admin};User:ANONYMOUS
ssl.keystore.type=PEM
ssl.keystore.location={dir}/server.pem
",
        controller = ports.controller,
        admin = ADMIN.0,
        dir = dir.display(),
    );
    for listener in ["SASL_PLAINTEXT", "SASL_SSL"] {
        text += &scram_login(listener);
    }
    text
}

/// Who logs in may do what ACLs say.
const GUARD: &str = "\
sasl.enabled.mechanisms=SCRAM-SHA-256
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
";

fn scram_login(listener: &str) -> String {
    format!(
        "listener.name.{}.scram-sha-256.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;\n",
        listener.to_lowercase()
    )
}

/// `ca.pem` to trust, and `server.pem` with key and chain for the broker.
fn write_certificates(dir: &Path) {
    let made = Certificates::make(dir, &["127.0.0.1", "localhost"]);
    let read = |path| fs::read_to_string(path).unwrap();
    fs::write(dir.join("server.pem"), read(made.key) + &read(made.chain)).unwrap();
}
