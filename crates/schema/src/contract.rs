//! What the owner of a flow has said its events are.

use std::sync::Arc;

use bytes::Bytes;
use eson_protocol::Record;
use eson_protocol::event::media_type::{essence, is_json, is_media_type};
use eson_protocol::event::{CloudEvent, ContentMode, EventError};
use serde::de::IgnoredAny;

use crate::{Frame, Schema};

/// The media type that asks for CloudEvents in whatever mode.
const CLOUDEVENTS: &str = "application/cloudevents";

/// What a flow's events must be. The default asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct Contract {
    content: Content,
    schema: Option<Arc<Schema>>,
    framed: bool,
}

/// What `content-type` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Content {
    /// Nothing.
    #[default]
    Any,
    /// CloudEvents, in this mode or in any.
    Event(Option<ContentMode>),
    /// Content of this media type, in a CloudEvent or alone.
    Media(String),
}

/// Why content type and schema can't be a contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// The content type is no media type.
    #[error("content-type: `{0}` is no media type, as application/json is one")]
    MediaType(String),
    /// A format of CloudEvents that is not spoken here.
    #[error(
        "content-type: `{0}` is not spoken here; application/cloudevents (any mode), \
         application/cloudevents+json and application/cloudevents+protobuf are"
    )]
    Format(String),
    /// The schema describes something else.
    #[error("the schema describes {language}, and content-type says {media_type}")]
    Language {
        /// What the schema describes.
        language: &'static str,
        /// What the flow's content type says.
        media_type: String,
    },
}

/// Why a record does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The flow takes CloudEvents, and it is none.
    #[error("the flow takes CloudEvents only, and this record is none")]
    NoEvent,
    /// It says that it is a CloudEvent, and is not valid.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A CloudEvent in another mode.
    #[error("the flow takes CloudEvents as {expected}, and this record holds one otherwise")]
    Mode {
        /// The media type that the flow has.
        expected: &'static str,
    },
    /// The content's media type is another.
    #[error("the flow takes {expected}, and this is {found}")]
    MediaType {
        /// The flow's.
        expected: String,
        /// The record's.
        found: String,
    },
    /// The media type says JSON, and the content is none.
    #[error("the content is no JSON: {0}")]
    NotJson(String),
    /// The value has no registry's id in front.
    #[error("the flow's values begin with the id of a schema in its registry, and this has none")]
    NotFramed,
    /// The content does not fit the schema.
    #[error("the content does not fit the flow's schema at {at}: {what}")]
    Schema {
        /// Where in the content, as a JSON Pointer (RFC 6901); `/` for the whole.
        at: String,
        /// What does not fit.
        what: String,
    },
}

/// What of a record is judged.
struct Part<'a> {
    media_type: Option<&'a str>,
    content: &'a Bytes,
}

impl Contract {
    /// The contract of a flow with this content type and schema. `framed`: values begin with the
    /// id of a schema in a registry.
    ///
    /// # Errors
    /// [`ContractError`].
    pub fn new(
        content_type: Option<&str>,
        schema: Option<Arc<Schema>>,
        framed: bool,
    ) -> Result<Self, ContractError> {
        let content = content_type.map_or(Ok(Content::Any), Content::read)?;
        if let (Content::Media(media_type), Some(schema)) = (&content, &schema)
            && !schema.describes(media_type)
        {
            return Err(ContractError::Language {
                language: schema.language(),
                media_type: media_type.clone(),
            });
        }
        Ok(Self {
            content,
            schema,
            framed,
        })
    }

    /// How the flow's records hold CloudEvents that come in lines.
    #[must_use]
    pub fn mode(&self) -> ContentMode {
        match self.content {
            Content::Event(Some(mode)) => mode,
            _ => ContentMode::Binary,
        }
    }

    /// Judges a record as it is to be stored. One without a value, with a key and without a
    /// CloudEvent's headers is a tombstone, which takes a key's events away, and fits.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self, record: &Record) -> Result<(), Violation> {
        if self.asks_for_nothing() {
            return Ok(());
        }
        match CloudEvent::read_record(record)? {
            Some((event, mode)) => self.check_event(&event, mode),
            None if record.value.is_none() && record.key.is_some() => Ok(()),
            None => self.check_plain(record),
        }
    }

    fn asks_for_nothing(&self) -> bool {
        self.content == Content::Any && self.schema.is_none() && !self.framed
    }

    fn check_event(&self, event: &CloudEvent, mode: ContentMode) -> Result<(), Violation> {
        if let Content::Event(Some(expected)) = self.content
            && expected != mode
        {
            return Err(Violation::Mode {
                expected: media_type_of(expected),
            });
        }
        match event.data() {
            None => Ok(()),
            Some(content) => self.check_content(&Part {
                media_type: event.media_type(),
                content,
            }),
        }
    }

    fn check_plain(&self, record: &Record) -> Result<(), Violation> {
        if let Content::Event(_) = self.content {
            return Err(Violation::NoEvent);
        }
        let mut headers = record.headers.iter();
        let header = headers.find(|header| header.name == "content-type");
        let media_type = header.and_then(|header| header.value.as_deref());
        let content = record.value.clone().unwrap_or_default();
        self.check_content(&Part {
            media_type: media_type.and_then(|text| std::str::from_utf8(text).ok()),
            content: &content,
        })
    }

    /// Where a record does not say what its content is, it is what the flow says.
    fn check_content(&self, part: &Part<'_>) -> Result<(), Violation> {
        let mut media_type = part.media_type;
        if let Content::Media(expected) = &self.content {
            let found = media_type.map_or(expected.as_str(), essence);
            if !found.eq_ignore_ascii_case(expected) {
                return Err(Violation::MediaType {
                    expected: expected.clone(),
                    found: found.chars().take(100).collect(),
                });
            }
            media_type = Some(expected);
        }
        let content = self.unframed(part.content)?;
        match &self.schema {
            Some(schema) => check_schema(schema, media_type, &content),
            None if media_type.is_some_and(is_json) => is_well_formed(&content),
            None => Ok(()),
        }
    }

    fn unframed(&self, content: &Bytes) -> Result<Bytes, Violation> {
        if !self.framed {
            return Ok(content.clone());
        }
        let frame = Frame::parse(content).ok_or(Violation::NotFramed)?;
        let indexes = self
            .schema
            .as_ref()
            .is_some_and(|it| it.has_message_indexes());
        match indexes {
            true => frame.protobuf_message().ok_or(Violation::NotFramed),
            false => Ok(frame.content),
        }
    }
}

impl Content {
    fn read(content_type: &str) -> Result<Self, ContractError> {
        let essence = essence(content_type).to_ascii_lowercase();
        if !is_media_type(content_type) {
            return Err(ContractError::MediaType(content_type.to_owned()));
        }
        let mode = |mode| media_type_of(mode) == essence;
        match essence.strip_prefix(CLOUDEVENTS) {
            Some("") => Ok(Self::Event(None)),
            Some(_) if mode(ContentMode::Json) => Ok(Self::Event(Some(ContentMode::Json))),
            Some(_) if mode(ContentMode::Protobuf) => Ok(Self::Event(Some(ContentMode::Protobuf))),
            Some(_) => Err(ContractError::Format(essence)),
            None => Ok(Self::Media(essence)),
        }
    }
}

fn media_type_of(mode: ContentMode) -> &'static str {
    match mode {
        ContentMode::Binary => CLOUDEVENTS,
        ContentMode::Json => "application/cloudevents+json",
        ContentMode::Protobuf => "application/cloudevents+protobuf",
    }
}

fn check_schema(
    schema: &Schema,
    media_type: Option<&str>,
    content: &Bytes,
) -> Result<(), Violation> {
    if let Some(found) = media_type
        && !schema.describes(found)
    {
        return Err(Violation::MediaType {
            expected: format!("{} by its schema", schema.language()),
            found: found.chars().take(100).collect(),
        });
    }
    schema.check(content)
}

fn is_well_formed(content: &[u8]) -> Result<(), Violation> {
    match serde_json::from_slice::<IgnoredAny>(content) {
        Ok(_) => Ok(()),
        Err(error) => Err(Violation::NotJson(error.to_string())),
    }
}
