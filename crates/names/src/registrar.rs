//! The port by which an FNAA changes names (figure 4: register, update and unregister flow).

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use eson_protocol::Name;

use crate::publish::{FlowRecords, NamespaceRecords, RecordError};
use crate::wire::BadName;

/// Puts records into one name server and takes them out again.
///
/// Every method is idempotent and may be called again after any error: what is done already is
/// no clash. A flow's or a namespace's records change as one: all of them or none.
#[async_trait]
pub trait Registrar: Send + Sync {
    /// Makes the flow's records those of `records`, whichever of its records were there before.
    ///
    /// # Errors
    /// [`RegisterError::Taken`] when records of another owner are there; they stay as they are.
    async fn register(&self, records: &FlowRecords) -> Result<(), RegisterError>;

    /// Removes what [`Registrar::register`] added for this flow, also where it was registered
    /// with other values, and nothing else. Done as well when nothing of ours is there; a
    /// stranger's records stay.
    ///
    /// # Errors
    /// When the name server can't be changed.
    async fn unregister(&self, records: &FlowRecords) -> Result<(), RegisterError>;

    /// Makes the namespace's records those of `records`.
    ///
    /// # Errors
    /// As [`Registrar::register`].
    async fn register_namespace(&self, records: &NamespaceRecords) -> Result<(), RegisterError>;

    /// Removes what [`Registrar::register_namespace`] added.
    ///
    /// # Errors
    /// As [`Registrar::unregister`].
    async fn unregister_namespace(&self, records: &NamespaceRecords) -> Result<(), RegisterError>;

    /// Whether names below `namespace` can be changed here: the server answers, has the zone and
    /// takes our key. Changes nothing.
    ///
    /// # Errors
    /// What a registration would meet.
    async fn check(&self, namespace: &Name) -> Result<ZoneCheck, RegisterError>;
}

/// What [`Registrar::check`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneCheck {
    /// The zone that holds the namespace, without the last dot.
    pub zone: String,
    /// How long others remember that a name does not exist, in seconds (RFC 2308). Above 60 a
    /// new flow is found late by those who asked too early.
    pub negative_ttl: u32,
}

/// Why names could not be changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name server does not answer. Try again later.
    #[error("the name server {server} does not answer: {cause}")]
    Unreachable {
        /// The server's address and port.
        server: String,
        /// What the last attempt met.
        cause: Arc<io::Error>,
    },
    /// The name server refuses the change.
    #[error("the name server {server} refuses to change the zone {zone}: {rcode} ({})", advice(.rcode))]
    Refused {
        /// The server's address and port.
        server: String,
        /// The response code's mnemonic: REFUSED, NOTAUTH, NOTZONE, SERVFAIL, …
        rcode: String,
        /// The zone, or the name whose zone was looked for; without the last dot.
        zone: String,
    },
    /// The name server does not accept our TSIG key.
    #[error(
        "key rejected: the name server {server} does not accept the key {key} ({reason}); compare \
         the keyfile with the server's, and both clocks"
    )]
    KeyRejected {
        /// The server's address and port.
        server: String,
        /// The key's name.
        key: String,
        /// The TSIG error's mnemonic: BADSIG, BADKEY or BADTIME.
        reason: String,
    },
    /// Somebody else's records are there.
    #[error(
        "{name} has records of another owner; remove them at the name server or choose another \
         name"
    )]
    Taken {
        /// Where they are, in presentation form.
        name: String,
    },
    /// Somebody else changes the same records again and again. Try again later.
    #[error("the records at {name} changed while they were being replaced; try again")]
    Contended {
        /// Where they are, in presentation form.
        name: String,
    },
    /// The name server's answer makes no sense.
    #[error("the name server {server} answers with nonsense: {why}")]
    BadAnswer {
        /// The server's address and port.
        server: String,
        /// What is wrong with it.
        why: String,
    },
    /// No zone here holds the name.
    #[error("no zone of this name server holds {0}; add its zone to the configuration")]
    NoZone(Name),
    /// The values make no records.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// A name does not fit in DNS.
    #[error("the record name {name} does not fit in DNS: {why}")]
    BadName {
        /// The name in presentation form.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

impl From<BadName> for RegisterError {
    fn from(BadName { name, why }: BadName) -> Self {
        Self::BadName { name, why }
    }
}

impl RegisterError {
    /// Whether the same call may succeed later without anybody changing a configuration.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Contended { .. } | Self::BadAnswer { .. } => true,
            Self::Refused { rcode, .. } => rcode == "SERVFAIL",
            _ => false,
        }
    }
}

/// What an operator does about a response code.
fn advice(rcode: &str) -> &'static str {
    match rcode {
        "NOTAUTH" | "NOTZONE" => "it is not the primary of that zone: check the nameserver's host",
        "REFUSED" => "its update policy must grant the key that zone",
        "SERVFAIL" => "see the server's log, then try again",
        _ => "see the server's log",
    }
}
