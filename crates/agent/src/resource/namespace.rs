//! Namespaces: the subdomains in which flows are named.

use eson_protocol::{Name, Principal};
use serde::{Deserialize, Serialize};

use super::{Condition, Reconciled};
use crate::store::{Kind, Resource};

/// A namespace that this FNAA hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Namespace {
    /// What is wanted.
    pub spec: NamespaceSpec,
    /// What is.
    #[serde(default)]
    pub status: NamespaceStatus,
}

/// What a namespace is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamespaceSpec {
    /// Its name.
    pub name: Name,
    /// Who may do everything in it.
    pub owners: Vec<Principal>,
    /// The broker of new flows, by its name in the configuration.
    pub broker: String,
    /// The name server of the public view, by its name in the configuration.
    pub ns_public: Option<String>,
    /// The name server of the private view.
    pub ns_private: Option<String>,
    /// Whether it comes from the configuration; such a one is not deleted by a command.
    pub configured: bool,
    /// Counts changes of this spec.
    pub generation: u64,
}

/// What a namespace is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamespaceStatus {
    /// How far it matches.
    pub condition: Condition,
}

impl Namespace {
    /// The name servers of both views, each once, by their names in the configuration.
    #[must_use]
    pub(crate) fn nameservers(&self) -> Vec<&str> {
        let views = self.spec.ns_public.iter().chain(&self.spec.ns_private);
        let mut names: Vec<_> = views.map(String::as_str).collect();
        names.dedup();
        names
    }
}

impl Resource for Namespace {
    const KIND: Kind = Kind::Namespace;
}

impl Reconciled for Namespace {
    fn generation(&self) -> u64 {
        self.spec.generation
    }

    fn condition(&mut self) -> &mut Condition {
        &mut self.status.condition
    }
}
