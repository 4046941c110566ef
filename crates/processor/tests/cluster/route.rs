//! A bridge from a topic to another one of the cluster, and numbered events on their way.

use std::time::UNIX_EPOCH;

use eson_processor::client::Client;
use eson_processor::proto::{Delivery, Endpoint, Leg, LegStatus, ProcessorType, Spec};
use eson_tests::KafkaCluster;
use eson_tests::records::{Leadership, Sample, await_copy, leaders, plain_client, produce};
use rdkafka::ClientConfig;
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use tokio::task::{JoinHandle, spawn_blocking};

use super::ground::{DEADLINE, FlowProcessor, administer, create, until_leg};

const NODES: u32 = 3;
const PARTITIONS: u32 = 4;

/// The ways to the cluster: what happens on one is not seen on the other.
pub(crate) const SOURCE: &str = "SOURCE";
pub(crate) const DESTINATION: &str = "DESTINATION";

/// What the processor may hold, and what it may occupy: the program itself, compiled without
/// optimisation, has the rest.
const BUFFERS: u64 = 32 << 20;
const MEMORY_KIB: u64 = (BUFFERS >> 10) + (96 << 10);

/// The cluster that all tests of this binary share, one after the other; it ends with the process.
pub(crate) async fn cluster() -> MutexGuard<'static, KafkaCluster> {
    static CLUSTER: OnceCell<Mutex<KafkaCluster>> = OnceCell::const_new();
    let start = || KafkaCluster::start("processor-cluster", NODES, &[SOURCE, DESTINATION]);
    let started = async || Mutex::new(spawn_blocking(start).await.expect("a cluster"));
    CLUSTER.get_or_init(started).await.lock().await
}

/// A bridge at work.
pub(crate) struct Route {
    pub(crate) cluster: MutexGuard<'static, KafkaCluster>,
    pub(crate) processor: FlowProcessor,
    pub(crate) to: String,
    from: String,
    spec: Spec,
    client: ClientConfig,
    /// What was written so far.
    samples: Vec<Sample>,
}

impl Route {
    /// Two new topics, and a processor that copies one to the other.
    pub(crate) async fn open(name: &str, delivery: Delivery, commit_interval_ms: u32) -> Self {
        let cluster = cluster().await;
        let admin = administer(cluster.servers().split(',').next().expect("a server"));
        let (from, to) = (format!("{name}.from"), format!("{name}.to"));
        for topic in [&from, &to] {
            create(&admin, topic, PARTITIONS).await;
        }
        let spec = Spec {
            id: "instance".to_owned(),
            r#type: ProcessorType::Bridge.into(),
            sources: vec![endpoint(cluster.front(SOURCE), &from)],
            legs: vec![Leg {
                id: "leg".to_owned(),
                destination: Some(endpoint(cluster.front(DESTINATION), &to)),
                delivery: delivery.into(),
                commit_interval_ms,
                ..Default::default()
            }],
            ..Default::default()
        };
        let memory = BUFFERS.to_string();
        let arguments = ["--memory-limit", &memory, "--request-timeout", "3"];
        let processor = FlowProcessor::start_with(&arguments.map(AsRef::as_ref)).await;
        let route = Self {
            client: plain_client(&cluster.servers()),
            cluster,
            processor,
            to,
            from,
            spec,
            samples: vec![],
        };
        route.create().await;
        route
    }

    /// Tells the processor what to do, when it has started anew.
    pub(crate) async fn create(&self) {
        let client = self.processor.client().await;
        client.create(self.spec.clone()).await.expect("created");
    }

    /// Begins to write so many more events.
    pub(crate) fn write(&mut self, count: u64) -> JoinHandle<()> {
        let first = self.samples.len() as u64;
        let events: Vec<_> = (first..first + count).map(event).collect();
        self.samples.extend_from_slice(&events);
        let (client, topic) = (self.client.clone(), self.from.clone());
        spawn_blocking(move || produce(&client, &topic, &events))
    }

    /// Who looks after the destination's partitions now; empty while nobody can say.
    pub(crate) async fn leaders(&self) -> Vec<Leadership> {
        let (client, topic) = (self.client.clone(), self.to.clone());
        let asked = spawn_blocking(move || leaders(&client, &topic));
        asked.await.expect("asked").unwrap_or_default()
    }

    /// Waits until every broker has all of the destination.
    pub(crate) async fn until_whole(&self) {
        self.until_leaders(|all| all.iter().all(|one| one.in_sync == NODES as usize))
            .await;
    }

    pub(crate) async fn until_leaders(&self, wanted: impl Fn(&[Leadership]) -> bool) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let leaders = self.leaders().await;
            if !leaders.is_empty() && wanted(&leaders) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{leaders:?}");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// Waits until everything that was written before a moment ago is stored at the destination.
    pub(crate) async fn until_caught_up(&self) {
        let written = self.samples.len() as u64;
        let client: Client = self.processor.client().await;
        until_leg(&client, "leg", |leg| stored(leg) >= written).await;
    }

    /// The processor stays within what it was given, whatever happens around it.
    pub(crate) fn check_memory(&self) {
        let resident = self.processor.resident_kib();
        assert!(resident < MEMORY_KIB, "{resident} KiB of {MEMORY_KIB}");
    }

    /// Compares what has arrived with what was written: all of it, in its order. Returns how many
    /// events came more than once.
    pub(crate) async fn compare(self) -> usize {
        let Self {
            client,
            to,
            samples,
            ..
        } = self;
        let compared = spawn_blocking(move || await_copy(&client, &to, &samples, DEADLINE));
        compared.await.expect("all of them")
    }
}

fn stored(leg: &LegStatus) -> u64 {
    leg.stored.values().sum()
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

/// An event of today: a broker that restarts forgets producers whose last record is older than a
/// day, by the record's own time.
fn event(number: u64) -> Sample {
    let now = UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    Sample {
        partition: (number % u64::from(PARTITIONS)) as i32,
        timestamp: i64::try_from(now).expect("before the year 292,000,000"),
        key: Some(format!("key-{}", number % 50).into_bytes()),
        value: Some(format!("event {number} ").repeat(10).into_bytes()),
        headers: vec![("number".to_owned(), Some(number.to_be_bytes().to_vec()))],
    }
}
