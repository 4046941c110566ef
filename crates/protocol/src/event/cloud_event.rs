//! The CloudEvent itself, which has no form of its own.

use bytes::Bytes;

use super::EventError;
use super::attribute::{Attribute, REQUIRED, Value, repeated};
use super::{binding, json_format, protobuf_format};
use crate::Record;

/// A CloudEvent 1.0: checked attributes and content.
///
/// It is read from and written to three forms: a record's headers and value (*binary mode* of
/// CloudEvents' Kafka protocol binding), JSON, and Protobuf. The last two may be the value of a
/// record too (*structured mode*).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent {
    attributes: Vec<Attribute>,
    data: Option<Bytes>,
}

/// How a record holds a CloudEvent (Kafka protocol binding, section 1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentMode {
    /// Attributes in headers, data in the value.
    #[default]
    Binary,
    /// The whole event in JSON in the value.
    Json,
    /// The whole event in Protobuf in the value.
    Protobuf,
}

impl CloudEvent {
    /// An event of these attributes and content, in their order.
    ///
    /// # Errors
    /// [`EventError::Missing`] or [`EventError::Repeated`].
    pub fn new(attributes: Vec<Attribute>, data: Option<Bytes>) -> Result<Self, EventError> {
        if let Some(name) = repeated(attributes.iter().map(Attribute::name)) {
            return Err(EventError::Repeated(name.to_owned()));
        }
        let missing = |required: &&&str| !attributes.iter().any(|it| it.name() == **required);
        match REQUIRED.iter().find(missing) {
            Some(required) => Err(EventError::Missing(required)),
            None => Ok(Self { attributes, data }),
        }
    }

    /// Reads the JSON format (`application/cloudevents+json`). Content in JSON is a part of
    /// `json`, not a copy.
    ///
    /// # Errors
    /// [`EventError`] says which member is wrong.
    pub fn from_json(json: &Bytes) -> Result<Self, EventError> {
        json_format::decode(json)
    }

    /// Writes the JSON format, on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        json_format::encode(self)
    }

    /// Reads the Protobuf format (`application/cloudevents+protobuf`): a message
    /// `io.cloudevents.v1.CloudEvent`. The content is a part of `message`, not a copy.
    ///
    /// # Errors
    /// [`EventError`] says which field is wrong.
    pub fn from_protobuf(message: &Bytes) -> Result<Self, EventError> {
        protobuf_format::decode(message)
    }

    /// Writes the Protobuf format, which has times in UTC.
    #[must_use]
    pub fn to_protobuf(&self) -> Bytes {
        protobuf_format::encode(self)
    }

    /// Reads a record in any of the three modes; none where it is no CloudEvent and does not look
    /// like one.
    ///
    /// # Errors
    /// [`EventError`] where it says that it is one, by `content-type` or a header of a required
    /// attribute, and is not valid.
    pub fn from_record(record: &Record) -> Result<Option<Self>, EventError> {
        Self::read_record(record).map(|found| found.map(|(event, _)| event))
    }

    /// As [`CloudEvent::from_record`], and says in which mode the record holds the event.
    ///
    /// # Errors
    /// As [`CloudEvent::from_record`].
    pub fn read_record(record: &Record) -> Result<Option<(Self, ContentMode)>, EventError> {
        binding::read(record)
    }

    /// The record that holds the event. Its key is the extension `partitionkey`; its offset is 0,
    /// and its timestamp -1: the broker's own clock counts.
    #[must_use]
    pub fn into_record(self, mode: ContentMode) -> Record {
        binding::bind(self, mode)
    }

    /// The attributes in their order; each is there once.
    #[must_use]
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// An attribute's value.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        let found = self.attributes.iter().find(|it| it.name() == name);
        found.map(Attribute::value)
    }

    /// The content; none is not the same as empty.
    #[must_use]
    pub fn data(&self) -> Option<&Bytes> {
        self.data.as_ref()
    }

    /// The media type of the content, `datacontenttype`.
    #[must_use]
    pub fn media_type(&self) -> Option<&str> {
        match self.attribute("datacontenttype") {
            Some(Value::String(media_type)) => Some(media_type),
            _ => None,
        }
    }

    /// An event that we make ourselves, of attributes that can't be missing or repeated.
    pub(super) fn of_ours(attributes: Vec<Attribute>, data: Option<Bytes>) -> Self {
        Self { attributes, data }
    }

    /// Adds an attribute unless it is there.
    pub(super) fn add(&mut self, attribute: Attribute) {
        if self.attribute(attribute.name()).is_none() {
            self.attributes.push(attribute);
        }
    }

    /// The same event with this content.
    pub(super) fn with_data(self, data: Bytes) -> Self {
        Self {
            data: Some(data),
            ..self
        }
    }

    pub(super) fn into_parts(self) -> (Vec<Attribute>, Option<Bytes>) {
        (self.attributes, self.data)
    }
}
