//! FNUA, the Flow Namespace User Agent (draft section 4.1.5): the asynchronous FNAP client and
//! the command `fnua`.

mod address;
mod client;
mod connection;
mod credentials;
mod dial;
mod error;
mod exchange;
mod login;
mod read_flow;
mod sasl;
mod tls;
mod write_flow;

pub use address::{Address, BadTlsName, TlsName};
pub use client::Client;
pub use connection::{ConnectOptions, Stream};
pub use credentials::Credentials;
pub use dial::{DialError, Dialer, Lookup, SystemLookup};
pub use error::ClientError;
pub use eson_protocol::Secret;
pub use exchange::{Event, Exchange};
pub use read_flow::FlowReader;
pub use tls::{TlsRoots, TlsRootsError};
