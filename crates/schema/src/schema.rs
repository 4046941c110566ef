//! A schema, ready to judge content.

use bytes::Bytes;

use crate::Violation;
use crate::json::JsonSchema;
use crate::protobuf::ProtobufSchema;

/// The most octets of a schema's document.
pub const MAX_SCHEMA: usize = 1 << 20;

/// A schema that was read, ready to judge content.
#[derive(Debug)]
pub struct Schema(Language);

#[derive(Debug)]
enum Language {
    Json(JsonSchema),
    Protobuf(ProtobufSchema),
}

/// Why a document is no schema that can be enforced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// It is neither of the two.
    #[error("the schema is neither a JSON Schema nor a Protobuf descriptor set: {0}")]
    Unknown(String),
    /// It is JSON and no JSON Schema.
    #[error("the JSON Schema is wrong at {at}: {cause}")]
    Json {
        /// Where in it, as a JSON Pointer; `/` for the whole.
        at: String,
        /// What is wrong.
        cause: String,
    },
    /// A JSON Schema is named by a part.
    #[error("a JSON Schema is taken as a whole: leave out the `#{0}` behind its URL")]
    Part(String),
    /// The descriptor has no such message, or it is open which one is meant.
    #[error(
        "{0}; name the message behind a # in the schema's URL, as in …/order.desc#orders.v1.Order"
    )]
    Message(String),
}

impl Schema {
    /// Reads a JSON Schema or a serialised `google.protobuf.FileDescriptorSet`. `part` names the
    /// message in a descriptor; it may be left out where there is only one.
    ///
    /// Nothing else is fetched: a JSON Schema may refer to itself and to the drafts' own schemas.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub fn read(document: &[u8], part: Option<&str>) -> Result<Self, SchemaError> {
        match serde_json::from_slice(document) {
            Ok(json) => match part {
                Some(part) => Err(SchemaError::Part(part.to_owned())),
                None => JsonSchema::read(&json).map(|it| Self(Language::Json(it))),
            },
            Err(_) => ProtobufSchema::read(document, part).map(|it| Self(Language::Protobuf(it))),
        }
    }

    /// Whether the media type is one that this schema can describe.
    pub(crate) fn describes(&self, media_type: &str) -> bool {
        match &self.0 {
            Language::Json(_) => eson_protocol::event::media_type::is_json(media_type),
            Language::Protobuf(_) => eson_protocol::event::media_type::is_protobuf(media_type),
        }
    }

    /// What it describes, in messages.
    pub(crate) fn language(&self) -> &'static str {
        match &self.0 {
            Language::Json(_) => "JSON",
            Language::Protobuf(_) => "Protobuf",
        }
    }

    /// Whether content in Protobuf stands behind message indexes in a registry's frame.
    pub(crate) fn has_message_indexes(&self) -> bool {
        matches!(self.0, Language::Protobuf(_))
    }

    /// Judges content.
    ///
    /// # Errors
    /// The first thing that does not fit, and where.
    pub fn check(&self, content: &Bytes) -> Result<(), Violation> {
        match &self.0 {
            Language::Json(schema) => schema.check(content),
            Language::Protobuf(schema) => schema.check(content),
        }
    }
}
