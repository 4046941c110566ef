//! What CREATE and UPDATE FLOW say of a flow's content.

use eson_protocol::{Name, PayloadAttributes, Status};

use super::Request;

impl Request<'_> {
    /// The attributes of a new flow. The schema of a flow that is there already is not fetched
    /// again, so that the same command may be repeated when its server is away.
    pub(super) async fn new_payload(
        &self,
        flow: &Name,
        asked: PayloadAttributes,
    ) -> Result<PayloadAttributes, Status> {
        let wanted = merged(&PayloadAttributes::default(), &asked);
        let found = self.participant.flows.get(flow.as_str()).await?;
        if let Some(found) = found {
            let there = found.resource.spec.payload;
            let digest = wanted.schema_digest.clone();
            let pinned = PayloadAttributes {
                schema_digest: digest.or_else(|| there.schema_digest.clone()),
                ..wanted.clone()
            };
            if pinned == there {
                return Ok(there);
            }
            // Whatever it is, it is not what is there: CREATE FLOW will say so.
            return self.participant.pinned(wanted).await.map(|it| it.payload);
        }
        let pinned = self.participant.pinned(wanted).await?;
        self.participant.keep_schema(flow, &pinned).await?;
        Ok(pinned.payload)
    }
}

/// What holds when `asked` is laid over `before`: an empty text takes an attribute away, and a
/// schema that is named again is to be looked at again.
pub(super) fn merged(before: &PayloadAttributes, asked: &PayloadAttributes) -> PayloadAttributes {
    let laid_over = |asked: &Option<String>, before: &Option<String>| match asked {
        Some(text) if text.is_empty() => None,
        Some(text) => Some(text.clone()),
        None => before.clone(),
    };
    let digest = match asked.schema {
        Some(_) => &None,
        None => &before.schema_digest,
    };
    PayloadAttributes {
        content_type: laid_over(&asked.content_type, &before.content_type),
        schema: laid_over(&asked.schema, &before.schema),
        schema_digest: laid_over(&asked.schema_digest, digest),
        schema_registry: laid_over(&asked.schema_registry, &before.schema_registry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(schema: Option<&str>, digest: Option<&str>) -> PayloadAttributes {
        PayloadAttributes {
            schema: schema.map(str::to_owned),
            schema_digest: digest.map(str::to_owned),
            ..PayloadAttributes::default()
        }
    }

    #[test]
    fn a_schema_that_is_named_is_pinned_anew() {
        let before = payload(Some("https://a.example/1"), Some("sha256:1"));
        let after = |schema, digest| merged(&before, &payload(schema, digest));
        assert_eq!(after(None, None), before);
        let again = payload(Some("https://a.example/1"), None);
        assert_eq!(after(Some("https://a.example/1"), None), again);
        let other = payload(Some("https://a.example/2"), Some("sha256:2"));
        assert_eq!(after(Some("https://a.example/2"), Some("sha256:2")), other);
        assert_eq!(after(Some(""), None), payload(None, None));
        let digest = payload(Some("https://a.example/1"), Some("sha256:3"));
        assert_eq!(after(None, Some("sha256:3")), digest);
    }
}
