//! JSON Schema.

use bytes::Bytes;
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::{SchemaError, Violation};

/// The most memory, in octets, that one compiled pattern may take.
const PATTERN_SIZE: usize = 1 << 20;

/// A JSON Schema of any draft from 4 on; the latest where it does not say.
#[derive(Debug)]
pub(crate) struct JsonSchema(Validator);

impl JsonSchema {
    /// Patterns are matched in linear time: who writes a schema and who writes events need not be
    /// friends.
    pub(crate) fn read(schema: &Value) -> Result<Self, SchemaError> {
        if !schema.is_object() && !schema.is_boolean() {
            let text = "a JSON Schema is an object, true or false".to_owned();
            return Err(SchemaError::Unknown(text));
        }
        let patterns = PatternOptions::regex()
            .size_limit(PATTERN_SIZE)
            .dfa_size_limit(PATTERN_SIZE);
        let options = jsonschema::options().offline();
        let validator = options.with_pattern_options(patterns).build(schema);
        validator.map(Self).map_err(|error| SchemaError::Json {
            at: whole_or(error.instance_path().as_str()),
            cause: shortened(&error.to_string()),
        })
    }

    pub(crate) fn check(&self, content: &Bytes) -> Result<(), Violation> {
        let value: Value = serde_json::from_slice(content).map_err(|error| {
            // The position is within the content, which the writer has before him.
            Violation::NotJson(error.to_string())
        })?;
        self.0.validate(&value).map_err(|error| Violation::Schema {
            at: whole_or(error.instance_path().as_str()),
            what: shortened(&error.masked().to_string()),
        })
    }
}

/// The JSON Pointer of the whole is the empty text, which nobody would see.
fn whole_or(pointer: &str) -> String {
    match pointer {
        "" => "/".to_owned(),
        pointer => shortened(pointer),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(300).collect()
}
