//! Where queues are.

use std::path::PathBuf;

use eson_protocol::{Server, TransportSecurity};

use super::SecretFile;
use super::reader::{Node, Section};

/// An events broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// `name`: what namespaces and flows call it.
    pub name: String,
    /// `type` and the keys of that type.
    pub kind: BrokerType,
    /// `partitions`: how many partitions a new flow's queue has where CREATE FLOW doesn't say (1).
    pub partitions: u32,
    /// `adopt`: patterns with `*` for any characters: the existing queues that `queue=` may adopt.
    pub adopt: Vec<String>,
    /// `topic-prefix`: put in front of a flow's name for its queue's name.
    pub topic_prefix: String,
    /// `topic-suffix`: put behind a flow's name for its queue's name.
    pub topic_suffix: String,
}

impl Broker {
    /// Whether `queue=` may adopt this queue.
    #[must_use]
    pub fn may_adopt(&self, queue: &str) -> bool {
        self.adopt.iter().any(|pattern| matches(pattern, queue))
    }

    /// The name of the queue of a flow that adopts none.
    #[must_use]
    pub fn queue_name(&self, flow: &eson_protocol::Name) -> String {
        format!("{}{flow}{}", self.topic_prefix, self.topic_suffix)
    }
}

/// What a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerType {
    /// `type: local`: the queues inside fnaad.
    Local,
    /// `type: kafka`: a Kafka cluster.
    Kafka(Kafka),
}

/// A Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// `bootstrap-servers`: how fnaad and its processors reach it.
    pub bootstrap_servers: Vec<Server>,
    /// `tls`: whether those speak TLS (false).
    pub tls: bool,
    /// `ca`: the certificates that may sign theirs, in PEM; without it, the system's.
    pub ca: Option<PathBuf>,
    /// `sasl`: as whom fnaad logs in; nobody where absent.
    pub sasl: Option<Sasl>,
    /// `replication-factor`: of new topics; the cluster's default where absent.
    pub replication_factor: Option<i16>,
    /// `subscriber-servers`: how others reach it, and what DNS tells (`bootstrap-servers`).
    pub subscriber_servers: Vec<Server>,
    /// `subscriber-security`: whether those speak `tls` or `plaintext` (as `tls` says).
    pub subscriber_security: TransportSecurity,
}

/// A login at a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sasl {
    /// `mechanism`: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512` (SCRAM-SHA-256).
    pub mechanism: SaslMechanism,
    /// `username`.
    pub username: String,
    /// `password-file`: a file with the password alone.
    pub password: SecretFile,
}

/// How fnaad logs in at a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password as it is.
    Plain,
    /// Challenge and response.
    ScramSha256,
    /// The same with the longer hash.
    ScramSha512,
}

impl SaslMechanism {
    const WORDS: [(&'static str, Self); 3] = [
        ("PLAIN", Self::Plain),
        ("SCRAM-SHA-256", Self::ScramSha256),
        ("SCRAM-SHA-512", Self::ScramSha512),
    ];

    /// The name registered with IANA.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

pub(super) fn broker(node: Node<'_>) -> Option<Broker> {
    node.section(|section| {
        let name = section.required("name", |node| node.label());
        let kind = section.variant(&[("local", |_| Some(BrokerType::Local)), ("kafka", kafka)]);
        let partitions = section.optional("partitions", |node| node.number(1..=10_000));
        let adopt = section.list("adopt", |node| node.text());
        let affix = |key| {
            section
                .optional(key, |node| node.label())
                .unwrap_or_default()
        };
        let (topic_prefix, topic_suffix) = (affix("topic-prefix"), affix("topic-suffix"));
        Some(Broker {
            name: name?,
            kind: kind?,
            partitions: partitions.unwrap_or(1),
            adopt,
            topic_prefix,
            topic_suffix,
        })
    })
}

fn kafka(section: &Section<'_>) -> Option<BrokerType> {
    let servers = |key| section.one_or_more(key, |node| node.parsed::<Server>());
    let securities = [
        ("tls", TransportSecurity::Tls),
        ("plaintext", TransportSecurity::Plaintext),
    ];
    let bootstrap_servers = section.required("bootstrap-servers", |node| {
        match servers("bootstrap-servers") {
            servers if servers.is_empty() => node.report("needs at least one host:port"),
            servers => Some(servers),
        }
    });
    let tls = section
        .optional("tls", |node| node.boolean())
        .unwrap_or(false);
    let ca = section.optional("ca", |node| node.file());
    if ca.is_some() && !tls {
        section.report("ca", "has no meaning without `tls: true`");
    }
    let sasl = section.optional("sasl", sasl);
    let replication_factor = section.optional("replication-factor", |node| node.number(1..=1000));
    let subscriber_servers = servers("subscriber-servers");
    let security = section.optional("subscriber-security", |node| node.word(&securities));
    let bootstrap_servers = bootstrap_servers?;
    Some(BrokerType::Kafka(Kafka {
        subscriber_servers: match subscriber_servers.is_empty() {
            true => bootstrap_servers.clone(),
            false => subscriber_servers,
        },
        bootstrap_servers,
        tls,
        ca,
        sasl,
        replication_factor: replication_factor.map(|factor: u16| factor.cast_signed()),
        subscriber_security: security.unwrap_or(match tls {
            true => TransportSecurity::Tls,
            false => TransportSecurity::Plaintext,
        }),
    }))
}

fn sasl(node: Node<'_>) -> Option<Sasl> {
    node.section(|section| {
        let mechanism = section.optional("mechanism", |node| node.word(&SaslMechanism::WORDS));
        let username = section.required("username", |node| node.text());
        let password = section.required("password-file", |node| node.file());
        Some(Sasl {
            mechanism: mechanism.unwrap_or(SaslMechanism::ScramSha256),
            username: username?,
            password: SecretFile::new(password?),
        })
    })
}

/// Whether `text` is `pattern`, where `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<_> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    let mut text = text;
    for part in parts {
        match text.split_once(part) {
            Some((_, behind)) => text = behind,
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, text) in [
            ("orders", "orders"),
            ("orders_*", "orders_v1"),
            ("*", ""),
            ("*_v1", "orders_v1"),
            ("a*b*c", "a-b-b-c"),
            ("a*a", "aa"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("orders", "orders_v1"),
            ("orders_*", "my_orders_v1"),
            ("a*a", "a"),
            ("a*b*c", "a-c-b"),
            ("", "x"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
