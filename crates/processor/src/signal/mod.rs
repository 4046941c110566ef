//! Signals, N:N (draft figure 7): a program makes new events of those of many sources.
//!
//! A signal has one leg for each source. A leg reads records, asks the program what comes of them,
//! and hands that to one writer for each destination. What the program fails for goes to the
//! dead-letter flow, and holds up nobody.
//!
//! ```text
//!  source ─ feed ─▶ inputs ─▶ program ─▶ outcomes ─┬▶ outlet ─▶ destination
//!                                                  ├▶ outlet ─▶ destination
//!                                                  └▶ dead letters
//! ```
//!
//! Each outlet stores with what it writes how far that is: the event in its source, and how many of
//! the event's outputs went there ([`place`]). After a crash reading begins at the outlet that is
//! least far, and the others leave out what they have. A signal with a window has more to remember,
//! and does that in a file of its own ([`window`]).

mod asked;
mod batch;
mod grpc;
mod in_windows;
mod jq;
mod open;
mod outlet;
mod place;
mod program;
pub(crate) mod record;
mod routing;
mod run;
mod settling;
mod silence;
mod spec;
mod window;
mod windowed;

pub use jq::check_program;
pub(crate) use open::Opening;
pub use program::Programs;
pub(crate) use silence::Silence;
pub use spec::{ProgramSpec, SignalError, SignalSpec};
pub use window::WindowSpec;

/// The types and the service of package `eson.signal.v1`, generated from `proto/`.
pub mod proto {
    // Their documentation is in the `.proto`; what the generator adds of its own has none.
    #![allow(missing_docs, unreachable_pub, clippy::all)]

    tonic::include_proto!("eson.signal.v1");
}
