//! IAM, identity and access management (draft section 4.1.6): who somebody is, and what he may do.
//!
//! No I/O, no clock: the agent carries the bytes of a SASL exchange to an [`Authentication`] and
//! passes the time to a [`Slowdown`]. [`may`] is the whole of authorization.

mod authentication;
mod grants;
mod mechanism;
mod sasl;
mod scram_message;
mod slowdown;
mod source;
mod verifier;

pub use authentication::{
    Authentication, Authenticator, FailureReason, Standing, StartError, Step,
};
pub use grants::{Decision, may};
pub use mechanism::{ConnectionSecurity, Mechanism};
pub use slowdown::{Slowdown, SlowdownPolicy};
pub use source::{Account, Identity, IdentitySource, Proof, StaticAccounts};
pub use verifier::{ScramVerifier, VerifierError};
