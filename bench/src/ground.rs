//! Two Kafkas, and what they do meanwhile.

use eson_tests::Kafka;
use eson_tests::kafka::Authorization;
use eson_tests::records::{create_topic, plain_client};

use crate::topics::PARTITIONS;

/// Where flows come from and where they go.
pub(crate) struct Ground {
    pub(crate) source: Kafka,
    pub(crate) destination: Kafka,
}

impl Ground {
    pub(crate) fn start() -> Self {
        Self {
            source: Kafka::start("source", Authorization::Open),
            destination: Kafka::start("destination", Authorization::Open),
        }
    }

    /// Creates a topic for a copy.
    pub(crate) fn create_copy(&self, copy: &str) {
        create_topic(
            &plain_client(&self.destination.plaintext()),
            copy,
            PARTITIONS,
        );
    }
}
