//! Some participants that know each other, on the ground that a test wants.

use std::sync::{Arc, OnceLock};
use std::thread;

use crate::bind::Bind;
use crate::kafka::{Authorization, Kafka};
use crate::participant::{Identity, Names, Participant, Queues};

/// What the participants stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The embedded name server and the embedded broker.
    Embedded,
    /// BIND; Kafka for the first and the second participant, the embedded broker for the others.
    Servers,
}

/// Participants, each a peer of all others, and the servers that they use.
#[derive(Debug)]
pub struct World {
    /// In the order of their domains.
    pub participants: Vec<Participant>,
    /// The name server, if the ground has one.
    pub bind: Option<Bind>,
    /// The brokers of the first participants, in their order.
    pub kafkas: Vec<Arc<Kafka>>,
}

impl World {
    /// Starts servers of its own and a participant for each domain.
    #[must_use]
    pub fn start(ground: Ground, domains: &[&str]) -> Self {
        let kafkas = match ground {
            Ground::Embedded => Vec::new(),
            Ground::Servers => start_kafkas(domains.len().min(2)),
        };
        Self::start_on(ground, kafkas, domains, &|configuration| configuration)
    }

    /// Starts participants beside others of this test process: on servers, they share its Kafkas
    /// and have a BIND of their own. Their configurations are as `change` leaves them.
    #[must_use]
    pub fn beside_others(
        ground: Ground,
        domains: &[&str],
        change: &dyn Fn(String) -> String,
    ) -> Self {
        let kafkas = match ground {
            Ground::Embedded => Vec::new(),
            Ground::Servers => shared_kafkas(),
        };
        Self::start_on(ground, kafkas, domains, change)
    }

    fn start_on(
        ground: Ground,
        kafkas: Vec<Arc<Kafka>>,
        domains: &[&str],
        change: &dyn Fn(String) -> String,
    ) -> Self {
        let identities: Vec<Identity> =
            domains.iter().map(|domain| Identity::new(domain)).collect();
        let bind = (ground == Ground::Servers).then(|| start_bind(&identities));
        let participants = identities
            .iter()
            .enumerate()
            .map(|(at, identity)| {
                let kafka = kafkas.get(at);
                let queues = kafka.map_or(Queues::Local, |kafka| Queues::Kafka(kafka));
                let names = bind.as_ref().map_or(Names::Embedded, Names::Bind);
                let peers = others(&identities, at);
                let text = Participant::configuration(identity, queues, names, &peers);
                Participant::start_with(identity, &change(text))
            })
            .collect();
        Self {
            participants,
            bind,
            kafkas,
        }
    }

    /// The first participant, who publishes.
    #[must_use]
    pub fn orange(&self) -> &Participant {
        &self.participants[0]
    }

    /// The second participant, who subscribes.
    #[must_use]
    pub fn blue(&self) -> &Participant {
        &self.participants[1]
    }

    /// One of the brokers, to kill: nobody else may use it.
    ///
    /// # Panics
    /// When it is shared, or there is none.
    pub fn own_kafka(&mut self, at: usize) -> &mut Kafka {
        Arc::get_mut(&mut self.kafkas[at]).expect("this Kafka is shared with other tests")
    }

    /// The name server.
    ///
    /// # Panics
    /// On embedded ground.
    #[must_use]
    pub fn bind(&self) -> &Bind {
        self.bind.as_ref().expect("this ground has no BIND")
    }
}

fn others(identities: &[Identity], at: usize) -> Vec<&Identity> {
    let different = |identity: &&Identity| **identity != identities[at];
    identities.iter().filter(different).collect()
}

/// All at once: each takes seconds, most of them waiting.
fn start_kafkas(count: usize) -> Vec<Arc<Kafka>> {
    let start = |number| {
        thread::spawn(move || {
            let kafka = Kafka::start(&format!("kafka-{number}"), Authorization::Acls);
            kafka.allow_agent();
            kafka
        })
    };
    let starting: Vec<_> = (0..count).map(start).collect();
    starting
        .into_iter()
        .map(|kafka| Arc::new(kafka.join().expect("Kafka did not start")))
        .collect()
}

/// Two brokers that all worlds of a test process may use, because a broker's start takes longer
/// than most tests. Flows have different names in each test.
fn shared_kafkas() -> Vec<Arc<Kafka>> {
    static SHARED: OnceLock<Vec<Arc<Kafka>>> = OnceLock::new();
    SHARED.get_or_init(|| start_kafkas(2)).clone()
}

/// A zone for each domain and one for its namespace. The domain's zone says where the FNAA is, in
/// both of the draft's ways, and delegates the namespace.
fn start_bind(identities: &[Identity]) -> Bind {
    let mut zones = Vec::new();
    for identity in identities {
        let port = identity.fnap.port();
        let fnaa = identity.fnaa();
        let records = format!(
            "fnaa A 127.0.0.1\nfnaa SRV 0 0 {port} {fnaa}.\nkafka A 127.0.0.1\nflows NS ns\n"
        );
        zones.push((identity.domain.clone(), records));
        zones.push((identity.namespace(), String::new()));
    }
    let zones: Vec<(&str, &str)> = zones
        .iter()
        .map(|(zone, records)| (zone.as_str(), records.as_str()))
        .collect();
    Bind::start("bind", &zones)
}
