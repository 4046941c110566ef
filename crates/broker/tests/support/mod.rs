//! One real Kafka for a whole test binary.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use eson_broker::{
    Broker, BrokerError, Chunk, Credential, KafkaBroker, KafkaConfig, KafkaSasl, Payload,
    QueueReader, QueueSpec, ReaderOptions,
};
use eson_client::{Dialer, SystemLookup};
use eson_protocol::{AddressPolicy, Header, Positions, Record, Start};
use eson_tests::Kafka;
use eson_tests::kafka::Authorization;

use crate::contract::Fixture;

/// The broker that all tests of a binary share; it ends with the process.
pub(crate) fn kafka() -> MutexGuard<'static, Kafka> {
    static KAFKA: OnceLock<Mutex<Kafka>> = OnceLock::new();
    let start = || Mutex::new(Kafka::start("broker-kafka", Authorization::Acls));
    let kafka = KAFKA.get_or_init(start).lock();
    kafka.unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How to reach a listener of it, quick to notice what changes.
pub(crate) fn config(address: &str) -> KafkaConfig {
    let dialer = Dialer::new(Arc::new(SystemLookup), AddressPolicy::unrestricted());
    KafkaConfig {
        metadata_max_age: Duration::from_secs(1),
        fetch_wait: Duration::from_millis(500),
        ..KafkaConfig::new(vec![address.parse().expect("an address")], dialer)
    }
}

/// The administrator of the shared broker.
pub(crate) fn admin() -> KafkaBroker {
    KafkaBroker::new(config(&kafka().plaintext())).expect("a broker")
}

/// A user that logs in with a credential.
pub(crate) fn user(credential: &Credential) -> KafkaBroker {
    let sasl = KafkaSasl {
        mechanism: credential.mechanism.parse().expect("known"),
        username: credential.username.clone(),
        password: credential.password.clone(),
    };
    KafkaBroker::new(config(&kafka().sasl()).with_sasl(sasl)).expect("a broker")
}

/// A queue name that nobody else has.
pub(crate) fn queue() -> String {
    static QUEUES: AtomicU32 = AtomicU32::new(0);
    let number = QUEUES.fetch_add(1, Ordering::Relaxed);
    format!("queue-{number}.flows.orange.example")
}

pub(crate) struct OnKafka {
    broker: KafkaBroker,
}

pub(crate) async fn fixture() -> OnKafka {
    OnKafka { broker: admin() }
}

#[async_trait]
impl Fixture for OnKafka {
    fn broker(&self) -> &dyn Broker {
        &self.broker
    }

    fn queue(&self) -> String {
        queue()
    }

    async fn open_reader_as(
        &self,
        credential: &Credential,
        queue: &str,
        options: ReaderOptions,
    ) -> Result<Box<dyn QueueReader>, BrokerError> {
        user(credential).open_reader(queue, options).await
    }
}

/// Creates a queue of a new name.
pub(crate) async fn created(broker: &KafkaBroker, partitions: u32) -> String {
    let spec = QueueSpec {
        name: queue(),
        partitions,
        retention: Some(QueueSpec::FOREVER),
        retention_bytes: None,
    };
    broker.create_queue(&spec).await.expect("created");
    spec.name
}

pub(crate) fn from_earliest(encoded: bool) -> ReaderOptions {
    ReaderOptions {
        positions: Positions::new(),
        start: Start::Earliest,
        encoded,
        buffer: 4 << 20,
    }
}

/// A record whose content tells its number.
pub(crate) fn numbered(number: u64) -> Record {
    Record {
        offset: number,
        timestamp: 1_700_000_000_000 + number.cast_signed(),
        key: Some(Bytes::from(format!("key-{number}"))),
        value: Some(Bytes::from(format!("value-{number}"))),
        headers: vec![Header {
            name: "number".to_owned(),
            value: Some(Bytes::from(number.to_string())),
        }],
    }
}

/// Records of the source's partition.
pub(crate) fn chunk(partition: u32, numbers: std::ops::Range<u64>) -> Chunk {
    Chunk {
        partition,
        first: numbers.start,
        next: numbers.end,
        high_watermark: numbers.end,
        payload: Payload::Records(numbers.map(numbered).collect()),
    }
}
