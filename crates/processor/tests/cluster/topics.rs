//! The topics that a processor works between.

use eson_broker::{Broker, KafkaBroker, Lease};
use eson_processor::proto::Endpoint;
use eson_tests::KafkaCluster;

use super::events::PARTITIONS;
use super::ground::{administer, create, credential, logged_in};
use super::work::{Queues, Work};

/// The ways to the cluster: what happens on one is not seen on the other.
pub(crate) const SOURCE: &str = "SOURCE";
pub(crate) const DESTINATION: &str = "DESTINATION";

/// As whom the processor reads.
const READER: &str = "reader";

/// The topics that a processor works between.
pub(crate) struct Topics {
    pub(crate) sources: Vec<String>,
    pub(crate) destinations: Vec<String>,
    pub(crate) dead_letters: String,
}

impl Topics {
    /// New topics for some work.
    pub(crate) async fn create(cluster: &KafkaCluster, name: &str, work: Work) -> Self {
        let topics = Self {
            sources: numbered(&format!("{name}.from"), work.sources()),
            destinations: numbered(&format!("{name}.to"), work.destinations()),
            dead_letters: format!("{name}.dead"),
        };
        let copied = topics.sources.iter().chain(&topics.destinations);
        let admin = administrator(cluster);
        for topic in copied.chain([&topics.dead_letters]) {
            create(&admin, topic, PARTITIONS).await;
        }
        topics.allow(cluster).await;
        topics
    }

    /// Gives the processor's user the right to read all sources.
    pub(crate) async fn allow(&self, cluster: &KafkaCluster) {
        let admin = administrator(cluster);
        for topic in &self.sources {
            let granted = admin
                .grant(topic, &credential(READER), Lease::Granted)
                .await;
            granted.expect("granted");
        }
    }

    /// Takes the user and his rights away.
    pub(crate) async fn deny(&self, cluster: &KafkaCluster) {
        let admin = administrator(cluster);
        for topic in &self.sources {
            admin.revoke(topic, READER).await.expect("revoked");
        }
    }

    /// How a processor reaches them.
    pub(crate) fn queues(&self, cluster: &KafkaCluster) -> Queues {
        let at = |front| {
            let servers = cluster.front(front);
            move |topic: &String| endpoint(servers.clone(), topic)
        };
        let guarded = |topic: &String| logged_in(at(SOURCE)(topic), &credential(READER));
        Queues {
            sources: self.sources.iter().map(guarded).collect(),
            destinations: self.destinations.iter().map(at(DESTINATION)).collect(),
            dead_letters: at(DESTINATION)(&self.dead_letters),
        }
    }
}

fn administrator(cluster: &KafkaCluster) -> KafkaBroker {
    administer(cluster.servers().split(',').next().expect("a server"))
}

fn numbered(name: &str, count: usize) -> Vec<String> {
    let numbers = 0..count;
    numbers.map(|number| format!("{name}-{number}")).collect()
}

fn endpoint(servers: Vec<String>, topic: &str) -> Endpoint {
    Endpoint {
        flow: topic.to_owned(),
        kind: "kafka".to_owned(),
        servers,
        queue: topic.to_owned(),
        trusted_networks: vec!["127.0.0.0/8".to_owned()],
        ..Default::default()
    }
}
