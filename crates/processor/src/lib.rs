//! FP, the Flow Processors (draft sections 4.1.4 and 4.2, figures 6 and 7).
//!
//! A processor runs *instances*. An instance has one or more *legs*, each of which reads one source
//! queue and writes one destination queue: a bridge has one leg, a distributor one for each of
//! its destinations, a collector one for each of its sources, and so has a signal, whose legs ask a
//! program what to write to all destinations. A leg stores its position in the
//! source at its destination, so that it goes on where it was after any crash of any part.
//!
//! [`Processors`] holds the instances, [`Service`] offers them over gRPC (`proto/`), the command
//! `flow-processor` serves them on a socket, and [`client`] is how an FNAA talks to it.

pub mod client;
pub mod jq;
pub mod proto;
pub mod signal;

mod address;
mod backoff;
mod brokers;
mod budget;
mod dead_letters;
mod endpoint;
mod instance;
mod leg;
mod listen;
mod lookup;
mod measure;
mod partition;
mod processors;
mod report;
mod schema_ids;
mod service;
mod source;
mod spec;
mod threads;
mod turns;
mod validation;

pub use address::{BadAddress, SocketAddress};
pub use brokers::{BrokerFactory, Brokers};
pub use budget::{MemoryBudget, OutOfMemory};
pub use endpoint::{Endpoint, EndpointError, Login, Mechanism, Tls};
pub use leg::SOURCE_FLOW;
pub use listen::{ListenError, Listener};
pub use lookup::{BadNameserver, Nameserver, Stub, lookup};
pub use processors::{ProcessorError, Processors};
pub use schema_ids::{OnUnknownSchema, Registries, RegistrySpec, SchemaIdsError, SchemaIdsSpec};
pub use service::Service;
pub use signal::{ProgramSpec, Programs, SignalError, SignalSpec, WindowSpec};
pub use spec::{
    InstanceSpec, LegSpec, MAX_COMMIT_INTERVAL, MAX_ID, MAX_LEGS, SpecError, TYPES, Work,
};
pub use threads::Threads;
pub use validation::{ContractSpec, ContractSpecError, OnViolation};
