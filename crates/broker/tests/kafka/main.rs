//! Kafka: the contract and what only Kafka promises, against a real broker.

mod bridge;
#[path = "../contract/mod.rs"]
mod contract;
mod forgotten;
mod limits;
mod resting;
mod security;
mod shut_out;
mod sources;
mod support;
mod topics;
mod transactions;

use async_trait::async_trait;
use eson_broker::{Broker, BrokerError, Credential, KafkaBroker, QueueReader, ReaderOptions};

struct OnKafka {
    broker: KafkaBroker,
}

#[async_trait]
impl contract::Fixture for OnKafka {
    fn broker(&self) -> &dyn Broker {
        &self.broker
    }

    fn queue(&self) -> String {
        support::queue()
    }

    async fn open_reader_as(
        &self,
        credential: &Credential,
        queue: &str,
        options: ReaderOptions,
    ) -> Result<Box<dyn QueueReader>, BrokerError> {
        support::user(credential).open_reader(queue, options).await
    }
}

async fn fixture() -> OnKafka {
    OnKafka {
        broker: support::admin(),
    }
}

contract::tests!(fixture);
