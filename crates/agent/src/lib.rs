//! FNAA, the Flow Namespace Accessing Agent (draft section 4.1.3): the participant's server.
//!
//! Commands write specs and read statuses in the [`store`]; reconcilers make the world match.

mod agent;
mod authority;
mod birth;
mod check;
mod command;
pub mod config;
mod dns;
mod origin;
mod participant;
mod readiness;
mod reconcile;
mod remote;
mod resource;
mod runtime;
mod secrets;
mod session;
pub mod store;
mod tls;
mod web;

pub use agent::{AgentError, run};
pub use check::{Findings, check};
pub use dns::dns_records;
