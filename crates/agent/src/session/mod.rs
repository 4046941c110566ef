//! FNAP's server side: listeners, and one task for each connection around the session state
//! machine of `eson_protocol::session`.

mod admission;
mod connection;
mod listener;
mod login;
mod reading;
mod writing;

pub(crate) use admission::Admission;
pub(crate) use listener::ListenError;
pub(crate) use listener::{Listeners, Service};
pub(crate) use login::Logins;
