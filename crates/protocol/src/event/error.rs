//! What can be wrong with an event.

use crate::Status;

/// Why a line is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The line is no JSON, or not of the expected shape.
    #[error("the event is not the JSON it should be: {0}")]
    Json(String),
    /// The octets are no `io.cloudevents.v1.CloudEvent`.
    #[error("the event is not the Protobuf message io.cloudevents.v1.CloudEvent: {0}")]
    Protobuf(String),
    /// The line is to be Protobuf in base64, and is no base64.
    #[error("the line is not base64 of a CloudEvent in Protobuf")]
    Base64,
    /// The record's `content-type` says that its value is a CloudEvent, and it has no value.
    #[error("the record's content-type says that its value is a CloudEvent, and it has no value")]
    NoValue,
    /// An attribute is there twice.
    #[error("the CloudEvent has `{0}` twice")]
    Repeated(String),
    /// A CloudEvent lacks an attribute that is required.
    #[error("the CloudEvent has no `{0}`; specversion, id, source and type are required")]
    Missing(&'static str),
    /// The version is not ours.
    #[error("the CloudEvent's specversion is `{0}`; only `1.0` is understood")]
    Version(String),
    /// A member's name can't be that of an attribute.
    #[error("`{0}` is no name of a CloudEvents attribute: small letters and digits only")]
    Name(String),
    /// An attribute's value is of a wrong type or form.
    #[error("the CloudEvent's `{name}` should be {expected}")]
    Value {
        /// The attribute.
        name: String,
        /// What it should be.
        expected: &'static str,
    },
    /// There is both `data` and `data_base64`.
    #[error("the CloudEvent has both `data` and `data_base64`; one of them is the content")]
    TwoContents,
}

impl EventError {
    /// The status that answers a WRITE FLOW whose line with this number, from 1, is wrong.
    #[must_use]
    pub fn status(&self, line: u64) -> Status {
        Status::argument(format!("line {line}: {self}"))
    }
}
