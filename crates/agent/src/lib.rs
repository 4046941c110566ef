//! FNAA, the Flow Namespace Accessing Agent (draft section 4.1.3): the participant's server.
//!
//! Commands write specs and read statuses in the [`store`]; reconcilers make the world match.

mod agent;
mod authority;
mod command;
pub mod config;
mod origin;
mod participant;
mod reconcile;
mod remote;
mod resource;
mod runtime;
mod secrets;
mod session;
pub mod store;
mod tls;

pub use agent::{AgentError, run};
