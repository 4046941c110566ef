//! FNS, the Flow Name Service (draft section 4.1.2): flow names in DNS.
//!
//! - [`FlowRecords`] and [`NamespaceRecords`] say which records a flow and a namespace have.
//! - A [`Registrar`] puts them into a name server and takes them out again.
//! - A [`Resolver`] finds where a flow or an FNAA is, and tells each step that it took.
//!
//! What hickory-dns calls its types stays inside this crate.

mod change;
mod delegation;
pub mod dynamic;
pub mod embedded;
mod exchange;
mod publish;
mod record;
mod registrar;
mod resolver;
mod text;
mod wire;

pub use delegation::{Delegation, HostRecords, parent_zone_lines};
pub use publish::{FlowRecords, NamespaceRecords, QueueRecords, RecordError, Target};
pub use record::{Record, RecordData};
pub use registrar::{RegisterError, Registrar, ZoneCheck};
pub use resolver::{
    Agent, AgentResolution, QueueLocation, Resolution, ResolveError, ResolveErrorKind, Resolver,
    ResolverConfig, Security, Step, StubZone, Trace, TrustAnchor, TrustAnchorError,
};
