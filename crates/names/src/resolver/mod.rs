//! From a name to where it is served, step by step.

mod anchor;
mod answer;
mod config;
mod error;
mod trace;

pub use answer::{Agent, AgentResolution, QueueLocation, Resolution, Security};
pub use config::{ResolverConfig, StubZone, TrustAnchor, TrustAnchorError};
pub use error::{ResolveError, ResolveErrorKind};
pub use trace::{Step, Trace};
