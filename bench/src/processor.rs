//! The product's `flow-processor`, told what to do as an FNAA tells it.

use std::process::Command;
use std::time::{Duration, Instant};

use eson_processor::SocketAddress;
use eson_processor::client::Client;
use eson_processor::proto::{
    Delivery, Endpoint, Leg, LegStatus, ProcessorType, Spec, Start, Status, start,
};
use eson_tests::participant::binary;
use eson_tests::{Kafka, Process, data_dir};
use tokio::runtime::Runtime;

use crate::PATIENCE;
use crate::ground::Ground;

/// How long it is at least from one question to the next. Each costs the processor time, which is
/// measured with the rest.
const POLL: Duration = Duration::from_millis(50);

/// Of what takes long, it is such a part of the time that it has taken.
const PART: u32 = 20;

/// A running processor.
pub(crate) struct Processor {
    runtime: Runtime,
    client: Client,
    process: Process,
}

impl Processor {
    pub(crate) fn start() -> Self {
        let dir = data_dir("processor");
        let address = SocketAddress::Unix(dir.join("processor.sock"));
        let mut command = Command::new(binary("flow-processor"));
        command.arg("--listen").arg(address.to_string());
        let process = Process::start("flow-processor", command, &dir.join("processor.log"));
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(connect(&address));
        Self {
            runtime,
            client,
            process,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn create(&self, spec: Spec) {
        self.runtime.block_on(self.client.create(spec)).unwrap();
    }

    pub(crate) fn status(&self, instance: &str) -> Status {
        let described = self.runtime.block_on(self.client.describe(instance));
        described.unwrap().remove(0)
    }

    /// Waits until each leg's destination has stored that it has so many records. Its offsets don't
    /// tell: the ends of transactions take some, too.
    pub(crate) fn await_stored(&self, instance: &str, records: u64) {
        let began = Instant::now();
        loop {
            let status = self.status(instance);
            let stored = |leg: &LegStatus| leg.stored.values().sum::<u64>();
            if status.legs.iter().all(|leg| stored(leg) == records) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{status:?}");
            pause(POLL.max(began.elapsed() / PART));
        }
    }
}

async fn connect(address: &SocketAddress) -> Client {
    let began = Instant::now();
    loop {
        match Client::connect(address).await {
            Ok(client) => return client,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A bridge from the source's topic to the destination's `copy`.
pub(crate) fn bridge(ground: &Ground, topic: &str, copy: &str, delivery: Delivery) -> Spec {
    fan_out(ground, topic, copy, &[copy.to_owned()], delivery)
}

/// One topic to each of `copies`.
pub(crate) fn fan_out(
    ground: &Ground,
    topic: &str,
    instance: &str,
    copies: &[String],
    delivery: Delivery,
) -> Spec {
    let leg = |copy: &String| Leg {
        source: 0,
        id: copy.clone(),
        destination: Some(endpoint(&ground.destination, copy)),
        start: Some(Start {
            from: Some(start::From::Earliest(true)),
            ..Start::default()
        }),
        delivery: delivery.into(),
        ..Leg::default()
    };
    let kind = match copies {
        [_] => ProcessorType::Bridge,
        _ => ProcessorType::Distributor,
    };
    Spec {
        id: instance.to_owned(),
        r#type: kind.into(),
        sources: vec![endpoint(&ground.source, topic)],
        legs: copies.iter().map(leg).collect(),
        ..Spec::default()
    }
}

/// A topic as the processor finds it.
pub(crate) fn endpoint(kafka: &Kafka, topic: &str) -> Endpoint {
    Endpoint {
        flow: topic.to_owned(),
        kind: "kafka".to_owned(),
        servers: vec![kafka.plaintext()],
        queue: topic.to_owned(),
        trusted_networks: vec!["127.0.0.0/8".to_owned()],
        ..Endpoint::default()
    }
}

/// Waits between two looks, or while a load runs: there is no runtime here to block.
#[allow(
    clippy::disallowed_methods,
    reason = "a measurement lasts as long as it is meant to"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
