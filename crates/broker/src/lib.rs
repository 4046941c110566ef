//! FEB, the Flow Events Broker (draft section 4.1.1): events brokers behind one trait.
//!
//! [`Broker`] is the draft's figure 3 (create, read, update and delete a queue, list consumers),
//! with the credentials that figure 2 asks for and with reading and writing. Each kind is one
//! module; every kind passes the same contract test (`tests/contract/`).

mod backoff;
mod chunk;
mod error;
mod fnap;
mod kafka;
mod local;
mod pace;
mod partitioner;
mod queue;
mod reached;
mod traits;

pub use chunk::{Chunk, EncodedBatches, Payload};
pub use error::BrokerError;
pub use eson_protocol::{Delivery, Secret};
pub use fnap::{FnapBroker, FnapOptions};
pub use kafka::{
    Advertised, KafkaBroker, KafkaConfig, KafkaSasl, KafkaTls, SaslMechanism, UnknownSaslMechanism,
};
pub use local::{AppendTo, LocalBroker, LocalOptions, OpenError};
pub use pace::{Pace, Rates};
pub use partitioner::{BatchPartitioner, Partitioner, murmur2, partition_of_key};
pub use queue::{Consumer, Credential, Lease, QueueDescription, QueueId, QueueSpec, QueueUpdate};
pub use reached::{Epochs, Reached};
pub use traits::{Broker, ProcessorSource, QueueReader, QueueWriter, ReaderOptions, WriterOptions};
