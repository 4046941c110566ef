//! FNAA, the Flow Namespace Accessing Agent (draft section 4.1.3): the participant's server.
//!
//! Commands write specs and read statuses in the [`store`]; reconcilers make the world match.

pub mod config;
pub mod store;
