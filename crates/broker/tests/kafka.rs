//! Kafka: the contract, against a real broker.

mod contract;
mod support;

use support::fixture;

contract::tests!(fixture);
