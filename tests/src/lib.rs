//! What the tests drive the product with: real servers, the real binaries, and clients that are
//! not the product's own.
//!
//! Nothing here depends on another crate of the workspace, so that any of them may start Kafka or
//! BIND in its own tests. Everything panics with what was expected and what was seen, as a test
//! does. Whatever is started ends with the test process, however that ends: see [`process`].
//!
//! Servers listen on free ports of 127.0.0.1 and keep their data in a directory that is removed
//! afterwards. With `ESON_TEST_KEEP=1` it stays, and its path is printed.

#![allow(clippy::unwrap_used, reason = "a harness panics where a test fails")]

pub mod bind;
pub mod certificates;
pub mod discovery;
pub mod fnap;
pub mod kafka;
pub mod participant;
pub mod ports;
pub mod process;
#[cfg(feature = "librdkafka")]
pub mod producing;
pub mod proxy;
#[cfg(feature = "librdkafka")]
pub mod records;
pub mod registry;
pub mod seed;
pub mod wait;
mod watchdog;
pub mod world;

pub use bind::Bind;
pub use certificates::Certificates;
pub use fnap::RawFnap;
pub use kafka::{Kafka, KafkaCluster};
pub use participant::Participant;
pub use process::{Process, data_dir};
pub use proxy::{Fault, Proxy};
pub use registry::SchemaRegistry;
pub use seed::Seed;
pub use wait::until;
pub use world::{Ground, World};
