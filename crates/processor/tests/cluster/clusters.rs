//! The two clusters of three Kafka nodes that all tests of this binary share.

use eson_tests::KafkaCluster;
use eson_tests::kafka::Front;
use eson_tests::proxy::Fault;
use eson_tests::records::plain_client;
use rdkafka::ClientConfig;
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use tokio::task::spawn_blocking;

/// The name of the listeners behind the proxies.
const FRONT: &str = "PROXIED";

/// How many brokers each cluster has.
pub(crate) const NODES: usize = 3;

/// Where the processor reads, and where it writes: what happens at one is not seen at the other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Source,
    Destination,
}

/// A cluster with the sources, where one has to log in, and one with the destinations. The processor
/// reaches both through proxies.
pub(crate) struct Clusters {
    source: KafkaCluster,
    destination: KafkaCluster,
}

/// The clusters, for one test after the other; they end with the process.
pub(crate) async fn clusters() -> MutexGuard<'static, Clusters> {
    static CLUSTERS: OnceCell<Mutex<Clusters>> = OnceCell::const_new();
    let started = async || {
        let started = spawn_blocking(Clusters::start).await;
        Mutex::new(started.expect("two clusters"))
    };
    CLUSTERS.get_or_init(started).await.lock().await
}

impl Clusters {
    fn start() -> Self {
        let start = |cluster, guarded| {
            let front = Front {
                name: FRONT,
                guarded,
            };
            KafkaCluster::start(cluster, NODES as u32, &[front])
        };
        Self {
            source: start("processor-source", true),
            destination: start("processor-destination", false),
        }
    }

    pub(crate) fn of(&self, side: Side) -> &KafkaCluster {
        match side {
            Side::Source => &self.source,
            Side::Destination => &self.destination,
        }
    }

    pub(crate) fn of_mut(&mut self, side: Side) -> &mut KafkaCluster {
        match side {
            Side::Source => &mut self.source,
            Side::Destination => &mut self.destination,
        }
    }

    /// The brokers of a side, as the processor reaches them.
    pub(crate) fn proxied(&self, side: Side) -> Vec<String> {
        self.of(side).front(FRONT)
    }

    /// A client of a side's brokers that no fault on the way concerns.
    pub(crate) fn client(&self, side: Side) -> ClientConfig {
        plain_client(&self.of(side).servers())
    }

    /// What happens to all of the processor's connections to a side from now on.
    pub(crate) fn set(&self, side: Side, fault: Fault) {
        self.of(side).set(FRONT, fault);
    }
}
