//! A real Kafka, and the real command.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use eson_broker::{Broker, Credential, KafkaBroker, KafkaConfig, QueueSpec, Secret};
use eson_client::{Dialer, SystemLookup};
use eson_processor::SocketAddress;
use eson_processor::client::Client;
use eson_processor::proto::{Endpoint, Leg, LegStatus, ProcessorType, Spec, State};
use eson_protocol::AddressPolicy;
use eson_tests::kafka::Authorization;
use eson_tests::process::resident_kib;
use eson_tests::records::{self, Sample, plain_client};
use eson_tests::{Kafka, Process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// How long anything may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// The broker that all tests of this binary share; it ends with the process.
pub(crate) fn kafka() -> MutexGuard<'static, Kafka> {
    static KAFKA: OnceLock<Mutex<Kafka>> = OnceLock::new();
    let start = || Mutex::new(Kafka::start("processor-kafka", Authorization::Acls));
    let kafka = KAFKA.get_or_init(start).lock();
    kafka.unwrap_or_else(PoisonError::into_inner)
}

/// The shared broker's administrator.
pub(crate) fn admin() -> KafkaBroker {
    administer(&kafka().plaintext())
}

pub(crate) fn administer(server: &str) -> KafkaBroker {
    let dialer = Dialer::new(Arc::new(SystemLookup), AddressPolicy::unrestricted());
    let config = KafkaConfig::new(vec![server.parse().expect("a server")], dialer);
    KafkaBroker::new(config).expect("a broker")
}

/// A new topic of the shared broker.
pub(crate) async fn topic(partitions: u32) -> String {
    static TOPICS: AtomicU32 = AtomicU32::new(0);
    let number = TOPICS.fetch_add(1, Ordering::Relaxed);
    let name = format!("topic-{number}.flows.orange.example");
    create(&admin(), &name, partitions).await;
    name
}

pub(crate) async fn create(broker: &KafkaBroker, name: &str, partitions: u32) {
    let spec = QueueSpec {
        name: name.to_owned(),
        partitions,
        retention: Some(QueueSpec::FOREVER),
        retention_bytes: None,
    };
    broker.create_queue(&spec).await.expect("created");
}

/// Settings for librdkafka, which checks what has arrived.
pub(crate) fn librdkafka() -> rdkafka::ClientConfig {
    plain_client(&kafka().plaintext())
}

/// Records of all kinds, spread over partitions.
pub(crate) fn samples(count: u32, partitions: u32) -> Vec<Sample> {
    let sample = |number: u32| Sample {
        partition: (number % partitions) as i32,
        timestamp: 1_700_000_000_000 + i64::from(number),
        key: (!number.is_multiple_of(7)).then(|| format!("key-{}", number % 100).into_bytes()),
        value: (number % 11 != 10).then(|| format!("event {number}").repeat(20).into_bytes()),
        headers: vec![
            ("number".to_owned(), Some(number.to_be_bytes().to_vec())),
            ("nothing".to_owned(), None),
        ],
    };
    (0..count).map(sample).collect()
}

/// Writes records as librdkafka does, off the runtime's threads.
pub(crate) async fn produce(topic: &str, samples: &[Sample]) {
    produce_to(librdkafka(), topic, samples).await;
}

async fn produce_to(client: rdkafka::ClientConfig, topic: &str, samples: &[Sample]) {
    let (topic, samples) = (topic.to_owned(), samples.to_vec());
    let producing = move || records::produce(&client, &topic, &samples);
    tokio::task::spawn_blocking(producing)
        .await
        .expect("written");
}

pub(crate) fn credential(user: &str) -> Credential {
    Credential {
        mechanism: "SCRAM-SHA-256".to_owned(),
        username: user.to_owned(),
        password: Secret::new("through-the-looking-glass".to_owned()),
    }
}

/// A topic of the shared broker.
pub(crate) fn source(topic: &str) -> Endpoint {
    endpoint(kafka().plaintext(), topic)
}

fn endpoint(server: String, topic: &str) -> Endpoint {
    Endpoint {
        flow: topic.to_owned(),
        kind: "kafka".to_owned(),
        servers: vec![server],
        queue: topic.to_owned(),
        trusted_networks: vec!["127.0.0.0/8".to_owned()],
        ..Default::default()
    }
}

/// The same for a user who has to log in.
pub(crate) fn sasl_endpoint(topic: &str, credential: &Credential) -> Endpoint {
    logged_in(endpoint(kafka().sasl(), topic), credential)
}

/// The same queue as somebody.
pub(crate) fn logged_in(endpoint: Endpoint, credential: &Credential) -> Endpoint {
    Endpoint {
        mechanism: credential.mechanism.clone(),
        username: credential.username.clone(),
        password: credential.password.expose().to_owned(),
        ..endpoint
    }
}

/// The same over TLS.
pub(crate) fn sasl_tls_endpoint(topic: &str, credential: &Credential) -> Endpoint {
    // Whoever asks for the broker holds it until the end of the statement.
    let server = kafka().sasl_tls();
    Endpoint {
        servers: vec![server],
        tls: true,
        ..sasl_endpoint(topic, credential)
    }
}

/// The PEM file with the shared broker's own authority.
pub(crate) fn authority() -> PathBuf {
    kafka().ca_file()
}

pub(crate) fn leg(id: &str, topic: &str) -> Leg {
    Leg {
        id: id.to_owned(),
        destination: Some(source(topic)),
        ..Default::default()
    }
}

/// The instance `instance` with the leg `leg`.
pub(crate) fn bridge(from: &str, to: &str) -> Spec {
    Spec {
        id: "instance".to_owned(),
        r#type: ProcessorType::Bridge.into(),
        sources: vec![source(from)],
        legs: vec![leg("leg", to)],
        ..Default::default()
    }
}

/// The same with a destination at a broker of its own.
pub(crate) fn bridge_into(from: &str, kafka: &OwnKafka, to: &str) -> Spec {
    let mut spec = bridge(from, to);
    spec.legs[0].destination = Some(endpoint(kafka.0.plaintext(), to));
    spec
}

/// A broker of one test alone, who may kill it.
pub(crate) struct OwnKafka(Kafka);

pub(crate) fn own_kafka(name: &str) -> OwnKafka {
    OwnKafka(Kafka::start(name, Authorization::Open))
}

impl OwnKafka {
    pub(crate) async fn create(&self, topic: &str, partitions: u32) {
        create(&administer(&self.0.plaintext()), topic, partitions).await;
    }

    pub(crate) fn librdkafka(&self) -> rdkafka::ClientConfig {
        plain_client(&self.0.plaintext())
    }

    pub(crate) async fn produce(&self, topic: &str, samples: &[Sample]) {
        produce_to(self.librdkafka(), topic, samples).await;
    }

    pub(crate) fn bridge(&self, from: &str, to: &str) -> Spec {
        let endpoint = |topic| endpoint(self.0.plaintext(), topic);
        Spec {
            sources: vec![endpoint(from)],
            legs: vec![Leg {
                id: "leg".to_owned(),
                destination: Some(endpoint(to)),
                ..Default::default()
            }],
            id: "instance".to_owned(),
            r#type: ProcessorType::Bridge.into(),
            ..Default::default()
        }
    }

    /// `kill -9`, and up again.
    pub(crate) fn restart(&mut self) {
        self.0.kill9();
        self.0.restart();
    }

    /// The same without holding up the runtime: clients go on meanwhile.
    pub(crate) async fn restart_aside(mut self) -> Self {
        let restarted = tokio::task::spawn_blocking(move || {
            self.restart();
            self
        });
        restarted.await.expect("restarted")
    }
}

/// The real command, with a socket in a directory of its own.
pub(crate) struct FlowProcessor {
    directory: TempDir,
    arguments: Vec<OsString>,
    process: Process,
}

impl FlowProcessor {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(arguments: &[&OsStr]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        let process = launch(&directory, &arguments);
        let mut processor = Self {
            directory,
            arguments,
            process,
        };
        processor.until_ready().await;
        processor
    }

    /// Starts it again after it has ended.
    pub(crate) async fn restart(&mut self) {
        self.process = launch(&self.directory, &self.arguments);
        self.until_ready().await;
    }

    async fn until_ready(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        while Client::connect(&self.address()).await.is_err() {
            assert!(self.process.ended().is_none(), "{}", self.log());
            assert!(Instant::now() < deadline, "{}", self.log());
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.address()).await.expect("a processor")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("processor.sock")
    }

    fn address(&self) -> SocketAddress {
        SocketAddress::Unix(self.socket())
    }

    pub(crate) fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Stops it without ending it, until it is thawed.
    pub(crate) fn freeze(&self) {
        self.process.signal("STOP");
    }

    pub(crate) fn thaw(&self) {
        self.process.signal("CONT");
    }

    /// The memory that it occupies now, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        resident_kib(self.process.id())
    }

    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.process.terminate()
    }

    pub(crate) fn log(&self) -> String {
        self.process.output()
    }
}

fn launch(directory: &TempDir, arguments: &[OsString]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flow-processor"));
    let socket = directory.path().join("processor.sock");
    let listen = format!("unix:{}", socket.display());
    command.args(["--log", "debug", "--listen", &listen]);
    command.args(arguments);
    Process::start("flow-processor", command, &directory.path().join("log"))
}

/// Waits until a leg of `instance` is as wanted.
pub(crate) async fn until_leg(
    client: &Client,
    leg: &str,
    wanted: impl Fn(&LegStatus) -> bool,
) -> LegStatus {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let statuses = client.describe("instance").await.expect("a status");
        let mut legs = statuses[0].legs.iter();
        let status = legs.find(|status| status.id == leg).expect("such a leg");
        if wanted(status) {
            return status.clone();
        }
        assert!(Instant::now() < deadline, "the leg stays {status:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn until_state(client: &Client, state: State) -> LegStatus {
    until_leg(client, "leg", |leg| leg.state() == state).await
}
