//! Documents of schemas.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::store::{Kind, Resource};

/// The document of a flow's schema, as it was fetched; its name is the flow's. It is a cache: the
/// flow has its digest, by which it is known and may be fetched again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SchemaDocument {
    /// The octets.
    #[serde(with = "base64_text")]
    pub document: Bytes,
}

impl Resource for SchemaDocument {
    const KIND: Kind = Kind::Schema;
}

/// Octets as a text of JSON.
mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(octets: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(octets))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        let octets = STANDARD.decode(text).map_err(D::Error::custom)?;
        Ok(Bytes::from(octets))
    }
}
