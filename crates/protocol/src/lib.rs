//! FNAP, the Flow Namespace Accessing Protocol, and the plain types that every part shares.
//!
//! Nothing here does I/O, reads a clock or needs a runtime: bytes go in, values come out. The
//! draft is `draft-spinella-event-streaming-open-network-02`; `docs/fnap.md` is this project's
//! own specification of what the draft leaves open.

mod address;
mod attributes;
mod command;
mod delivery;
pub mod event;
mod flow_attributes;
mod name;
mod payload;
mod principal;
mod quality;
mod record;
mod registry;
mod reply;
mod secret;
pub mod session;
mod stored_position;
pub mod text;
mod uri;
mod validate;

pub use address::AddressPolicy;
pub use attributes::{BrokerKind, Connection, Server, TransportSecurity, UnknownBrokerKind};
pub use command::{
    Access, Command, ComponentKind, EventFormat, FlowChanges, FlowOptions, NamespaceOptions, OnGap,
    ProcessorOptions, ProcessorType, Program, ReadOptions, RemoteSubscribe, Right, Start,
    StorePosition, SubscribeOptions,
};
pub use delivery::{Delivery, DeliveryOptions, Mode};
pub use flow_attributes::{AttributesError, FlowAttributes, FlowCredential};
pub use name::{Name, NameError};
pub use payload::PayloadAttributes;
pub use principal::{Principal, PrincipalError};
pub use quality::{Limit, Overlag, QualityOptions};
pub use record::{Header, Positions, Record};
pub use registry::{OnUnknownSchema, RegistryOptions};
pub use reply::{Code, DataLine, Reason, Reply, Status};
pub use secret::Secret;
pub use stored_position::{InvalidStoredPosition, StoredPosition};
pub use uri::{FlowUri, UriError};
pub use validate::Validate;
