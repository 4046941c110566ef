//! Protobuf descriptors.

use bytes::Bytes;
use prost_reflect::{
    DescriptorPool, DynamicMessage, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};

use crate::{SchemaError, Violation};

/// A message type out of a descriptor set.
#[derive(Debug)]
pub(crate) struct ProtobufSchema(MessageDescriptor);

impl ProtobufSchema {
    pub(crate) fn read(document: &[u8], message: Option<&str>) -> Result<Self, SchemaError> {
        let pool = DescriptorPool::decode(document)
            .map_err(|error| SchemaError::Unknown(error.to_string()))?;
        let Some(name) = message else {
            return only_message(&pool).map(Self);
        };
        let found = pool.get_message_by_name(name.trim_start_matches('.'));
        let absent = || SchemaError::Message(format!("the descriptor has no message {name}"));
        found.map(Self).ok_or_else(absent)
    }

    /// Judges a message. A field that the descriptor does not have is refused: whoever reads by
    /// the published schema would not see it.
    pub(crate) fn check(&self, content: &Bytes) -> Result<(), Violation> {
        let message = DynamicMessage::decode(self.0.clone(), content.clone());
        let message = message.map_err(|error| Violation::Schema {
            at: "/".to_owned(),
            what: format!("{} can't be read: {error}", self.0.full_name()),
        })?;
        check_message(&message, &mut String::new())
    }
}

fn only_message(pool: &DescriptorPool) -> Result<MessageDescriptor, SchemaError> {
    let files = pool.files();
    let own = files.filter(|file| !file.package_name().starts_with("google.protobuf"));
    let mut messages = own.flat_map(|file| file.messages().collect::<Vec<_>>());
    let first = messages.next().ok_or_else(|| {
        SchemaError::Unknown("it is a descriptor set without a message".to_owned())
    })?;
    match messages.next() {
        None => Ok(first),
        Some(second) => Err(SchemaError::Message(format!(
            "the descriptor has several messages, {} and {} among them",
            first.full_name(),
            second.full_name()
        ))),
    }
}

/// Looks for fields that are not described, at any depth. `at` is the JSON Pointer of the message.
fn check_message(message: &DynamicMessage, at: &mut String) -> Result<(), Violation> {
    if let Some(unknown) = message.unknown_fields().next() {
        return Err(Violation::Schema {
            at: if at.is_empty() {
                "/".to_owned()
            } else {
                at.clone()
            },
            what: format!(
                "{} has no field {}",
                message.descriptor().full_name(),
                unknown.number()
            ),
        });
    }
    for (field, value) in message.fields() {
        within(at, field.name(), |at| check_value(value, at))?;
    }
    Ok(())
}

fn check_value(value: &Value, at: &mut String) -> Result<(), Violation> {
    match value {
        Value::Message(message) => check_message(message, at),
        Value::List(values) => {
            let mut values = values.iter().enumerate();
            values.try_for_each(|(index, value)| {
                within(at, &index.to_string(), |at| check_value(value, at))
            })
        }
        Value::Map(entries) => {
            let mut entries = entries.iter();
            entries.try_for_each(|(key, value)| within(at, &text(key), |at| check_value(value, at)))
        }
        _ => Ok(()),
    }
}

/// Goes one step down (RFC 6901) and back.
fn within<T>(at: &mut String, step: &str, check: impl FnOnce(&mut String) -> T) -> T {
    let before = at.len();
    at.push('/');
    at.push_str(&step.replace('~', "~0").replace('/', "~1"));
    let result = check(at);
    at.truncate(before);
    result
}

fn text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}
