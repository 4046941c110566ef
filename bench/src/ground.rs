//! Two Kafkas, and what they do meanwhile.

use eson_tests::Kafka;
use eson_tests::kafka::Authorization;
use eson_tests::records::{create_topic_with, delete_topic, plain_client};

use crate::topics::{PARTITIONS, Setting};

/// Files of a topic that is deleted don't stay for a minute.
const GONE_AT_ONCE: Setting = ("file.delete.delay.ms", "0");

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

    /// Creates a topic for a copy, with these settings.
    pub(crate) fn create_copy(&self, copy: &str, settings: &[Setting]) {
        let client = plain_client(&self.destination.plaintext());
        let settings = [&[GONE_AT_ONCE], settings].concat();
        create_topic_with(&client, copy, PARTITIONS, &settings);
    }

    /// Deletes a copy, so that its disk has room for others and nothing of it to write any more.
    pub(crate) fn delete_copy(&self, copy: &str) {
        delete_topic(&plain_client(&self.destination.plaintext()), copy);
    }
}
