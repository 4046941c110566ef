//! What a Schema Registry is asked and answers.

use serde::{Deserialize, Serialize};

/// The most characters that are told of what a registry says.
const MAX_TEXT: usize = 300;

/// A schema as a registry has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredSchema {
    /// The schema's own text.
    pub schema: String,
    /// `JSON` or `PROTOBUF`; none is Avro.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_type: Option<String>,
    /// The schemas that it refers to.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "or_none"
    )]
    pub references: Vec<Reference>,
}

/// A schema that another one refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    /// What the schema calls it.
    pub name: String,
    /// The subject that it is under.
    pub subject: String,
    /// Which of the subject's schemas it is.
    pub version: u32,
}

/// Where a schema is in a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Registration {
    /// Its id.
    pub id: u32,
    /// Which of its subject's schemas it is.
    pub version: u32,
}

/// The answer to a registration.
#[derive(Deserialize)]
pub(super) struct NewId {
    pub(super) id: u32,
}

/// Why a registry refuses.
#[derive(Deserialize)]
pub(super) struct Refusal {
    #[serde(rename = "error_code")]
    code: u32,
    #[serde(default)]
    message: String,
}

impl Refusal {
    /// Reads the body of an answer; none where it is something else.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Whether it says that a subject, version or schema is not there, and not that the path is
    /// none of the API's.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self.code, 40401..=40403)
    }

    /// For people.
    pub(super) fn into_text(self) -> String {
        let text = self.message.replace(char::is_control, " ");
        let text: String = text.chars().take(MAX_TEXT).collect();
        format!(": {text} ({})", self.code)
    }
}

/// Registries say `null` for an empty list, too.
fn or_none<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Reference>, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_read_and_written_as_registries_have_them() {
        let avro: RegisteredSchema =
            serde_json::from_str(r#"{"schema":"\"string\"","references":null}"#).expect("a schema");
        assert_eq!(avro.schema_type, None);
        let written = serde_json::to_string(&avro).expect("JSON");
        assert_eq!(written, r#"{"schema":"\"string\""}"#);
        let text = r#"{"schema":"{}","schemaType":"JSON","references":[{"name":"n","subject":"s","version":2}]}"#;
        let json: RegisteredSchema = serde_json::from_str(text).expect("a schema");
        assert_eq!(json.references[0].version, 2);
        assert_eq!(serde_json::to_string(&json).expect("JSON"), text);
        let more = r#"{"subject":"s","id":7,"version":3,"schema":"x","schemaId":9}"#;
        let found: Registration = serde_json::from_str(more).expect("a registration");
        assert_eq!(found, Registration { id: 7, version: 3 });
    }

    #[test]
    fn an_absence_is_told_from_a_wrong_path() {
        let absence = |body: &str| Refusal::read(body.as_bytes()).is_some_and(|it| it.is_absence());
        assert!(absence(
            r#"{"error_code":40403,"message":"Schema 7 not found"}"#
        ));
        assert!(!absence(
            r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#
        ));
        assert!(!absence("<html>"));
        let long = Refusal {
            code: 409,
            message: format!("a\n{}", "b".repeat(1_000)),
        };
        let text = long.into_text();
        assert!(
            text.starts_with(": a bbb") && text.ends_with("b (409)"),
            "{text}"
        );
        assert!(text.len() < 320);
    }
}
