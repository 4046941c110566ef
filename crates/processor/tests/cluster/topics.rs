//! The topics that a processor works between.

use eson_broker::{Broker, KafkaBroker, Lease};
use eson_processor::proto::Endpoint;
use eson_tests::KafkaCluster;

use super::clusters::{Clusters, Side};
use super::events::PARTITIONS;
use super::ground::{administer, create, credential, logged_in};
use super::work::{Queues, Work};

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
    pub(crate) async fn create(clusters: &Clusters, name: &str, work: Work) -> Self {
        let topics = Self {
            sources: numbered(&format!("{name}.from"), work.sources()),
            destinations: numbered(&format!("{name}.to"), work.destinations()),
            dead_letters: format!("{name}.dead"),
        };
        let written = topics.destinations.iter().chain([&topics.dead_letters]);
        create_all(clusters.of(Side::Source), topics.sources.iter()).await;
        create_all(clusters.of(Side::Destination), written).await;
        topics.allow(clusters).await;
        topics
    }

    /// The topics of a side that events are copied from or to.
    pub(crate) fn of(&self, side: Side) -> &[String] {
        match side {
            Side::Source => &self.sources,
            Side::Destination => &self.destinations,
        }
    }

    /// Gives the processor's user the right to read all sources.
    pub(crate) async fn allow(&self, clusters: &Clusters) {
        let admin = administrator(clusters.of(Side::Source));
        for topic in &self.sources {
            let granted = admin
                .grant(topic, &credential(READER), Lease::Granted)
                .await;
            granted.expect("granted");
        }
    }

    /// Takes the user and his rights away.
    pub(crate) async fn deny(&self, clusters: &Clusters) {
        let admin = administrator(clusters.of(Side::Source));
        for topic in &self.sources {
            admin.revoke(topic, READER).await.expect("revoked");
        }
    }

    /// How a processor reaches them.
    pub(crate) fn queues(&self, clusters: &Clusters) -> Queues {
        let at = |side| {
            let servers = clusters.proxied(side);
            move |topic: &String| endpoint(servers.clone(), topic)
        };
        let guarded = |topic: &String| logged_in(at(Side::Source)(topic), &credential(READER));
        let destination = at(Side::Destination);
        Queues {
            sources: self.sources.iter().map(guarded).collect(),
            destinations: self.destinations.iter().map(&destination).collect(),
            dead_letters: destination(&self.dead_letters),
        }
    }
}

async fn create_all(cluster: &KafkaCluster, topics: impl Iterator<Item = &String>) {
    let admin = administrator(cluster);
    for topic in topics {
        create(&admin, topic, PARTITIONS).await;
    }
}

pub(crate) fn administrator(cluster: &KafkaCluster) -> KafkaBroker {
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
