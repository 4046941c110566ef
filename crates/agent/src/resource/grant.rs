//! Grants: rights given to principals.

use eson_protocol::{Name, Principal, Right};
use serde::{Deserialize, Serialize};

use crate::store::{Kind, Resource};

/// A right on a flow or a namespace, given to a principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// Which right, on what, to whom.
    pub key: GrantKey,
}

/// What makes a grant this one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct GrantKey {
    /// The right.
    pub right: Right,
    /// The flow or namespace.
    pub on: Name,
    /// The principal.
    pub to: Principal,
}

impl GrantKey {
    /// The name that the grant is stored under. Grants on one flow share a prefix.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        let right = match self.right {
            Right::Read => "read",
            Right::Write => "write",
            Right::Admin => "admin",
        };
        format!("{} {right} {}", self.on, self.to)
    }
}

impl Resource for Grant {
    const KIND: Kind = Kind::Grant;
}
