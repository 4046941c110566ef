//! Between which Schema Registries ids are translated.

use eson_protocol::OnUnknownSchema;
use serde::{Deserialize, Serialize};

/// Between which Schema Registries a processor or a subscription translates ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegistryTerms {
    /// The URL of the one whose ids come; none is what the source says of itself.
    pub from: Option<String>,
    /// The URL of the one whose ids go on.
    pub to: String,
    /// Whether keys have ids, too.
    pub keys: bool,
    /// What becomes of events whose schema is unknown.
    pub on_unknown: OnUnknownSchema,
}

impl RegistryTerms {
    /// What is said, as `key=value` of the command that said it.
    pub(crate) fn words(&self) -> Vec<(&'static str, String)> {
        let from = self.from.iter();
        from.map(|from| ("registry-from", from.clone()))
            .chain([
                ("registry-to", self.to.clone()),
                ("registry-keys", self.keys.to_string()),
                ("on-unknown-schema", self.on_unknown.as_str().to_owned()),
            ])
            .collect()
    }
}
