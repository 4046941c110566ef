//! A processor service over a Unix socket, between real embedded queues.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod faults;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use eson_broker::{
    AppendTo, Broker, BrokerError, Epochs, LocalBroker, LocalOptions, Payload, ProcessorSource,
    QueueId, QueueSpec, QueueWriter, ReaderOptions, WriterOptions,
};
use eson_client::SystemLookup;
use eson_processor::client::Client;
use eson_processor::proto::{self, LegStatus, State, Status};
use eson_processor::signal::proto::program_service_server::{ProgramService, ProgramServiceServer};
use eson_processor::{
    BrokerFactory, Endpoint, Listener, MemoryBudget, Processors, Programs, Registries,
    SocketAddress, Threads,
};
use eson_protocol::{BrokerKind, Header, Positions, Record, Start};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use self::faults::{Faults, Faulty};

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// What the processor may use: little, so that tests can fill it.
const MEMORY: usize = 4 * 1024 * 1024;

/// Legs meet others on their own thread and on another one.
const THREADS: NonZero<usize> = NonZero::new(2).expect("two");

/// The two participants.
pub(crate) const ORANGE: &str = "fnaa.orange.example:61000";
/// How many octets an event at Blue's may have; at Orange's twice as many.
pub(crate) const BLUE_TAKES: usize = 512 * 1024;
/// Another address of the same.
pub(crate) const ORANGE_TOO: &str = "192.0.2.1:61000";
pub(crate) const BLUE: &str = "fnaa.blue.example:51000";
pub(crate) const FLOW: &str = "time.flows.orange.example";
pub(crate) const COPY: &str = "time.flows.blue.example";

/// Two participants' queues, and a processor that may be killed and started again.
pub(crate) struct Ground {
    brokers: Arc<LocalBrokers>,
    directory: TempDir,
    service: Option<Runtime>,
}

impl Ground {
    /// Two participants without queues, and a processor.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let open = |server: &str, max_event| {
            let path = directory.path().join(server);
            let options = LocalOptions {
                max_event,
                ..LocalOptions::new(path, server.parse().expect("a server"))
            };
            LocalBroker::open(&options).expect("a broker")
        };
        let orange = open(ORANGE, 2 * BLUE_TAKES);
        let brokers = LocalBrokers {
            brokers: [
                (ORANGE, orange.clone()),
                (ORANGE_TOO, orange),
                (BLUE, open(BLUE, BLUE_TAKES)),
            ]
            .into(),
            faults: Mutex::default(),
        };
        let mut ground = Self {
            brokers: Arc::new(brokers),
            directory,
            service: None,
        };
        ground.start();
        ground
    }

    /// Two participants with a flow and a queue for its copy, of so many partitions.
    pub(crate) async fn with_queues(source: u32, destination: u32) -> Self {
        let ground = Self::new().await;
        ground.create_queue(ORANGE, FLOW, source).await;
        ground.create_queue(BLUE, COPY, destination).await;
        ground
    }

    fn address(&self) -> SocketAddress {
        SocketAddress::Unix(self.directory.path().join("processor.sock"))
    }

    /// Starts a processor in a runtime of its own.
    pub(crate) fn start(&mut self) {
        let runtime = Runtime::new().expect("a runtime");
        let (address, brokers) = (self.address(), self.brokers.clone());
        let state = Some(self.directory.path().join("windows"));
        let serve = async move {
            let listener = Listener::bind(&address).await.expect("listening");
            let threads = Threads::start(THREADS).expect("threads");
            let worker = env!("CARGO_BIN_EXE_flow-processor").into();
            let programs = Programs::new(worker, Arc::new(SystemLookup)).with_state(state);
            let memory = MemoryBudget::new(MEMORY);
            let registries = Registries::new(Arc::new(SystemLookup), None);
            let processors = Processors::new(brokers, memory, threads, programs, registries);
            tokio::spawn(listener.serve(processors, std::future::pending()));
        };
        // From within another runtime only a task's end can be waited for.
        let (done, started) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            serve.await;
            done.send(()).expect("somebody waits");
        });
        started
            .recv_timeout(DEADLINE)
            .expect("the processor starts");
        self.service = Some(runtime);
    }

    /// Ends the processor in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.service.take() {
            // A runtime is not waited for from within another one.
            let killing = std::thread::spawn(move || runtime.shutdown_timeout(DEADLINE));
            killing.join().expect("no panic");
        }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.address()).await.expect("a processor")
    }

    pub(crate) fn broker(&self, server: &str) -> &LocalBroker {
        &self.brokers.brokers[server]
    }

    /// Whatever happens at a server from now on.
    pub(crate) fn inject(&self, server: &'static str, faults: Faults) -> Arc<Faults> {
        let faults = Arc::new(faults);
        let mut injected = self.brokers.faults.lock().expect("no panic");
        injected.insert(server, faults.clone());
        faults
    }

    pub(crate) async fn create_queue(&self, server: &str, queue: &str, partitions: u32) -> QueueId {
        let spec = QueueSpec {
            name: queue.to_owned(),
            partitions,
            retention: None,
            retention_bytes: None,
        };
        let broker = self.broker(server);
        broker.create_queue(&spec).await.expect("a queue")
    }

    /// Writes numbered events, each to the partition of its key.
    pub(crate) async fn produce(&self, numbers: std::ops::Range<u64>) {
        let records = numbers.map(event).collect();
        let broker = self.broker(ORANGE);
        let appended = broker.append(FLOW, AppendTo::Key, records, None).await;
        appended.expect("written");
    }

    /// Writes numbered events without a key to one partition.
    pub(crate) async fn produce_to(&self, partition: u32, numbers: std::ops::Range<u64>) {
        let keyless = |number| Record {
            key: None,
            ..event(number)
        };
        let records = numbers.map(keyless).collect();
        let to = AppendTo::Partition(partition);
        let appended = self.broker(ORANGE).append(FLOW, to, records, None).await;
        appended.expect("written");
    }

    /// Everything in a queue now, by partition, in order.
    pub(crate) async fn contents(&self, server: &str, queue: &str) -> BTreeMap<u32, Vec<Record>> {
        let broker = self.broker(server);
        let description = broker.describe_queue(queue).await.expect("a queue");
        let options = ReaderOptions {
            positions: Positions::new(),
            epochs: Epochs::new(),
            start: Start::Earliest,
            encoded: false,
            buffer: 1 << 20,
        };
        let mut reader = broker.open_reader(queue, options).await.expect("a reader");
        let ranges = description.partitions;
        let mut missing: u64 = ranges.values().map(|(from, to)| to - from).sum();
        let mut contents: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
        while missing > 0 {
            let chunk = reader.next().await.expect("records");
            let Payload::Records(records) = chunk.payload else {
                panic!("an embedded queue has records");
            };
            missing = missing.saturating_sub(records.len() as u64);
            contents.entry(chunk.partition).or_default().extend(records);
        }
        contents
    }

    /// How many records a queue has.
    pub(crate) async fn count(&self, server: &str, queue: &str) -> u64 {
        let description = self.broker(server).describe_queue(queue).await;
        let ranges = description.expect("a queue").partitions;
        ranges
            .values()
            .map(|(earliest, latest)| latest - earliest)
            .sum()
    }

    /// A writer to a queue of Blue's that takes over from the leg named `leg` that reads the flow.
    pub(crate) async fn writer_in_place_of_leg(&self, queue: &str) -> Box<dyn QueueWriter> {
        let source = self.broker(ORANGE).describe_queue(FLOW).await;
        let leg = ProcessorSource {
            processor: "leg".to_owned(),
            source: source.expect("the flow").id.0,
        };
        let options = WriterOptions::new(Some(leg), 1 << 20);
        let writer = self.broker(BLUE).open_writer(queue, options).await;
        writer.expect("a writer")
    }

    /// Waits until a queue has so many records.
    pub(crate) async fn until_count(&self, server: &str, queue: &str, wanted: u64) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let count = self.count(server, queue).await;
            if count >= wanted {
                assert_eq!(count, wanted, "records at {queue}");
                return;
            }
            assert!(Instant::now() < deadline, "{count} of {wanted} at {queue}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The participants' embedded queues by their servers, as if they were reached over FNAP.
struct LocalBrokers {
    brokers: BTreeMap<&'static str, LocalBroker>,
    faults: Mutex<BTreeMap<&'static str, Arc<Faults>>>,
}

#[async_trait]
impl BrokerFactory for LocalBrokers {
    fn kinds(&self) -> Vec<BrokerKind> {
        vec![BrokerKind::Local]
    }

    async fn broker(&self, endpoint: &Endpoint) -> Result<Arc<dyn Broker>, BrokerError> {
        let server = endpoint.servers[0].to_string();
        let broker: Arc<dyn Broker> = Arc::new(self.brokers[&*server].clone());
        let faults = self.faults.lock().expect("no panic");
        Ok(match faults.get(&*server) {
            Some(faults) => Arc::new(Faulty::new(broker, faults.clone())),
            None => broker,
        })
    }
}

/// The event of a number; 50 keys.
pub(crate) fn event(number: u64) -> Record {
    Record {
        offset: 0,
        timestamp: 1_700_000_000_000 + number as i64,
        key: Some(Bytes::from(format!("key-{}", number % 50))),
        value: (number % 10 != 9).then(|| Bytes::from(format!("event {number}"))),
        headers: vec![Header {
            name: "number".to_owned(),
            value: Some(Bytes::from(number.to_string())),
        }],
    }
}

/// The number of an event.
pub(crate) fn number(record: &Record) -> u64 {
    let value = record.headers[0].value.as_ref().expect("a number");
    std::str::from_utf8(value)
        .expect("text")
        .parse()
        .expect("a number")
}

/// Without the offsets, which differ from queue to queue where counts do.
pub(crate) fn without_offsets(records: &[Record]) -> Vec<Record> {
    records
        .iter()
        .map(|record| Record {
            offset: 0,
            ..record.clone()
        })
        .collect()
}

pub(crate) fn endpoint(server: &str, queue: &str) -> proto::Endpoint {
    proto::Endpoint {
        flow: queue.to_owned(),
        kind: "local".to_owned(),
        servers: vec![server.to_owned()],
        queue: queue.to_owned(),
        ..Default::default()
    }
}

pub(crate) fn leg(id: &str, queue: &str) -> proto::Leg {
    proto::Leg {
        id: id.to_owned(),
        destination: Some(endpoint(BLUE, queue)),
        ..Default::default()
    }
}

/// The flow to its copy.
pub(crate) fn bridge() -> proto::Spec {
    proto::Spec {
        id: "bridge".to_owned(),
        r#type: proto::ProcessorType::Bridge.into(),
        sources: vec![endpoint(ORANGE, FLOW)],
        legs: vec![leg("leg", COPY)],
        ..Default::default()
    }
}

/// A start of reading.
pub(crate) fn start(from: proto::start::From) -> Option<proto::Start> {
    let from = Some(from);
    Some(proto::Start {
        from,
        ..Default::default()
    })
}

/// Waits until the leg of an instance is as wanted.
pub(crate) async fn until(
    client: &Client,
    instance: &str,
    leg: &str,
    wanted: impl Fn(&LegStatus) -> bool,
) -> LegStatus {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let statuses = client.describe(instance).await.expect("a status");
        let status = leg_of(&statuses[0], leg);
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "the leg stays {status:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn until_state(client: &Client, instance: &str, state: State) -> LegStatus {
    until(client, instance, "leg", |leg| leg.state() == state).await
}

pub(crate) fn leg_of(status: &Status, leg: &str) -> LegStatus {
    let found = status.legs.iter().find(|status| status.id == leg);
    found.expect("such a leg").clone()
}

/// The largest request that a program of [`serve`] takes.
const LARGEST_REQUEST: usize = 1 << 30;

/// Serves a program at an address of this machine, until the test ends.
pub(crate) async fn serve(program: impl ProgramService) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let service = ProgramServiceServer::new(program).max_decoding_message_size(LARGEST_REQUEST);
    let serving = Server::builder().add_service(service);
    tokio::spawn(serving.serve_with_incoming(TcpIncoming::from(listener)));
    address.to_string()
}
