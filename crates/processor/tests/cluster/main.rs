//! Processors of every type between two clusters of three Kafka nodes, while leaders move, connections
//! break and processes die: nothing is lost, nothing is doubled where that is promised, and order is kept.

mod clusters;
mod events;
#[path = "../binary/ground.rs"]
mod ground;
mod mishap;
mod rounds;
mod route;
mod topics;
mod transactions;
mod work;
mod writing;
