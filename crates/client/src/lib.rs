//! FNUA, the Flow Namespace User Agent (draft section 4.1.5): the asynchronous FNAP client and
//! the command `fnua`.

mod dial;

pub use dial::{DialError, Dialer, Lookup, SystemLookup};
