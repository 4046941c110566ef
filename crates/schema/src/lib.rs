//! What a flow's events must be: the flow's content type and schema as a [`Contract`] that judges
//! records, and where schemas come from.
//!
//! A schema is a JSON Schema or a Protobuf descriptor, named by its URI and pinned by its
//! [`Digest`]. [`Contract`] and [`Schema`] do no I/O; [`HttpClient`] fetches, under the address
//! policy of its dialer. Schemas may also be in a Schema Registry, whose ids values begin with
//! ([`Frame`]): [`Registry`] asks one, and [`transfer`] makes a schema of one known to another.

mod authorization;
mod contract;
mod digest;
mod frame;
mod http;
mod json;
mod protobuf;
mod registry;
mod schema;
mod url;

pub use authorization::Authorization;
pub use contract::{Contract, ContractError, Violation};
pub use digest::{Digest, DigestError};
pub use frame::Frame;
pub use http::{HttpClient, HttpError};
pub use registry::{
    Reference, RegisteredSchema, Registration, Registry, RegistryError, TransferError, transfer,
};
pub use schema::{MAX_SCHEMA, Schema, SchemaError};
pub use url::{Url, UrlError};
