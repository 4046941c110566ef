//! Bridges in a cluster of three Kafka nodes, while leaders move, connections break and processes
//! die: nothing is lost, nothing is doubled where that is promised, and order is kept.

#[path = "../binary/ground.rs"]
mod ground;
mod mishap;
mod rounds;
mod route;
mod transactions;
