//! FNUA, the Flow Namespace User Agent (draft section 4.1.5): the asynchronous FNAP client and
//! the command `fnua`.

mod address;
mod credentials;
mod dial;
mod error;
mod exchange;
#[allow(dead_code)]
mod sasl;
#[allow(dead_code)]
mod tls;

pub use address::{Address, BadTlsName, TlsName};
pub use credentials::{Credentials, Password};
pub use dial::{DialError, Dialer, Lookup, SystemLookup};
pub use error::ClientError;
pub use exchange::{Event, Exchange};
pub use tls::{TlsRoots, TlsRootsError};
