//! Between which Schema Registries the ids in events are translated.

use serde::{Deserialize, Serialize};

/// Between which Schema Registries a processor or a subscription translates the ids that values
/// begin with. What is absent keeps its default or its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryOptions {
    /// `registry-from=`: the URL of the registry whose ids are in what is read. Without it, the
    /// source's `schema-registry`.
    pub from: Option<String>,
    /// `registry-to=`: the URL of the registry whose ids shall be in what is written. An empty text
    /// ends the translation.
    pub to: Option<String>,
    /// `registry-keys=`: whether keys begin with ids, too.
    pub keys: Option<bool>,
    /// `on-unknown-schema=`: what becomes of events whose schema is unknown.
    pub on_unknown: Option<OnUnknownSchema>,
}

/// What becomes of an event that has no id of a schema, or one that the source's registry does not
/// know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknownSchema {
    /// The processor stops there. An id that passes could mean another schema at the destination.
    #[default]
    Stop,
    /// It passes as it is, is told of and counted.
    Pass,
    /// It goes to the flow of dead letters.
    #[serde(rename = "dead-letter")]
    DeadLetter,
}
