//! What a flow says of its events' content.

use serde::{Deserialize, Serialize};

use crate::DataLine;

/// What a flow says of its events' content: the same four attributes in CREATE FLOW, in DNS and
/// in answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PayloadAttributes {
    /// `content-type=`: the media type of the events.
    pub content_type: Option<String>,
    /// `schema=`: the URL of the content's schema.
    pub schema: Option<String>,
    /// `schema-digest=`: what the document at that URL is known by, `sha256:` and hexadecimal
    /// digits.
    pub schema_digest: Option<String>,
    /// `schema-registry=`: the URL of the Schema Registry whose ids values begin with.
    pub schema_registry: Option<String>,
}

impl PayloadAttributes {
    /// Reads them from what `value` gives for each key.
    pub fn read(mut value: impl FnMut(&'static str) -> Option<String>) -> Self {
        Self {
            content_type: value("content-type"),
            schema: value("schema"),
            schema_digest: value("schema-digest"),
            schema_registry: value("schema-registry"),
        }
    }

    /// Those that there are, with their keys.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let pairs = [
            ("content-type", &self.content_type),
            ("schema", &self.schema),
            ("schema-digest", &self.schema_digest),
            ("schema-registry", &self.schema_registry),
        ];
        pairs
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.as_deref()?)))
    }

    /// Those that there are, as data lines.
    pub fn lines(&self) -> impl Iterator<Item = DataLine> {
        self.pairs()
            .map(|(key, value)| DataLine::attribute(key, value))
    }
}
