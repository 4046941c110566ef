//! What flows' events must be: schemas are fetched once, pinned by their digest, kept in the store
//! and read when events come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use eson_client::TlsRoots;
use eson_processor::proto;
use eson_protocol::{Code, Name, PayloadAttributes, Status, Validate};
use eson_schema::{Contract, Digest, HttpClient, HttpError, MAX_SCHEMA, Schema, Url};

use super::Participant;
use crate::resource::{Failure, FlowSpec, SchemaDocument};
use crate::store::StoreError;

/// How many contracts are kept ready. Beyond, they are made anew from the store.
const READY: usize = 256;

/// The most octets of one string of a TXT record (RFC 1035, section 3.3).
const MAX_STRING: usize = 255;

/// Attributes whose schema has its digest, and the document that was fetched for it.
pub(crate) struct Pinned {
    /// The attributes.
    pub(crate) payload: PayloadAttributes,
    document: Option<Bytes>,
}

impl Pinned {
    /// Attributes for which nothing was fetched.
    pub(crate) fn unchanged(payload: PayloadAttributes) -> Self {
        Self {
            payload,
            document: None,
        }
    }
}

/// The contracts of flows that were written of late.
#[derive(Default)]
pub(crate) struct Contracts(Mutex<BTreeMap<Name, Ready>>);

/// A contract, and the attributes that it was made of.
type Ready = (PayloadAttributes, Arc<Contract>);

impl Contracts {
    fn get(&self, spec: &FlowSpec) -> Option<Arc<Contract>> {
        let ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (payload, contract) = ready.get(&spec.name)?;
        (*payload == spec.payload).then(|| Arc::clone(contract))
    }

    fn keep(&self, spec: &FlowSpec, contract: Arc<Contract>) {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.len() >= READY && !ready.contains_key(&spec.name) {
            ready.pop_first();
        }
        ready.insert(spec.name.clone(), (spec.payload.clone(), contract));
    }
}

impl Participant {
    /// What a flow's events must be.
    ///
    /// # Errors
    /// 451 where the store has lost the schema and its server does not answer; 501 where the
    /// attributes make no sense.
    pub(crate) async fn contract(&self, spec: &FlowSpec) -> Result<Arc<Contract>, Status> {
        if spec.payload == PayloadAttributes::default() {
            return Ok(Arc::default());
        }
        if let Some(contract) = self.contracts.get(spec) {
            return Ok(contract);
        }
        let document = self.stored_schema(spec).await?;
        let contract = Arc::new(contract(&spec.payload, document.as_deref())?);
        self.contracts.keep(spec, Arc::clone(&contract));
        Ok(contract)
    }

    /// What a leg judges the events by that it writes to the flow; none where it judges none.
    ///
    /// # Errors
    /// As for [`Participant::contract`].
    pub(crate) async fn leg_contract(
        &self,
        spec: &FlowSpec,
        validate: Validate,
    ) -> Result<Option<proto::Contract>, Failure> {
        let on_violation = match validate {
            Validate::Off => return Ok(None),
            Validate::Stop => proto::OnViolation::Stop,
            Validate::DeadLetter => proto::OnViolation::DeadLetter,
        };
        let payload = &spec.payload;
        if *payload == PayloadAttributes::default() {
            return Ok(None);
        }
        let document = self.stored_schema(spec).await;
        let document = document.map_err(|status| Failure::from_status(&status))?;
        let url = payload.schema.as_deref().map(Url::parse);
        let part = url.and_then(|url| url.ok()?.fragment().map(str::to_owned));
        Ok(Some(proto::Contract {
            content_type: payload.content_type.clone().unwrap_or_default(),
            schema: document.map(Vec::from).unwrap_or_default(),
            schema_part: part.unwrap_or_default(),
            framed: payload.schema_registry.is_some(),
            on_violation: on_violation.into(),
        }))
    }

    /// The attributes with the digest of the schema, which is fetched and kept.
    ///
    /// # Errors
    /// 501 where the schema or another attribute is wrong, 451 where the schema can't be had now.
    pub(crate) async fn pinned(&self, mut payload: PayloadAttributes) -> Result<Pinned, Status> {
        if let Some(registry) = &payload.schema_registry {
            Url::parse(registry).map_err(|error| wrong("schema-registry", error))?;
        }
        if payload.schema.is_none() {
            if payload.schema_digest.is_some() {
                return Err(wrong("schema-digest", "say by schema= whose digest it is"));
            }
            return contract(&payload, None).map(|_| Pinned::unchanged(payload));
        }
        let document = self.fetch_schema(&payload).await?;
        contract(&payload, Some(&document))?;
        payload.schema_digest = Some(Digest::of(&document).to_string());
        Ok(Pinned {
            payload,
            document: Some(document),
        })
    }

    /// Keeps a flow's schema, so that its server need not be there when events come.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn keep_schema(&self, flow: &Name, pinned: &Pinned) -> Result<(), StoreError> {
        let Some(document) = pinned.document.clone() else {
            return Ok(());
        };
        let schema = SchemaDocument { document };
        match self.schemas.create(flow.as_str(), schema.clone()).await {
            Err(StoreError::Exists { .. }) => {
                let replace = |it: &mut SchemaDocument| *it = schema.clone();
                self.schemas
                    .update(flow.as_str(), replace)
                    .await
                    .map(|_| ())
            }
            created => created.map(|_| ()),
        }
    }

    /// Takes the schema of a flow away that is no more.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn forget_schema(&self, flow: &Name) -> Result<(), StoreError> {
        match self.schemas.mark_deleting(flow.as_str()).await {
            Ok(_) => self.schemas.remove(flow.as_str()).await,
            Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The document of a pinned schema; none where nothing is pinned. One that the store does not
    /// have, or has in another version, is fetched again.
    async fn stored_schema(&self, spec: &FlowSpec) -> Result<Option<Bytes>, Status> {
        let Some(digest) = &spec.payload.schema_digest else {
            return Ok(None);
        };
        if let Some(stored) = self.schemas.get(spec.name.as_str()).await? {
            let document = stored.resource.document;
            if Digest::of(&document).to_string() == *digest {
                return Ok(Some(document));
            }
        }
        let pinned = self.pinned(spec.payload.clone()).await?;
        self.keep_schema(&spec.name, &pinned).await?;
        Ok(pinned.document)
    }

    /// Fetches the document, which must have the digest that the attributes name.
    async fn fetch_schema(&self, payload: &PayloadAttributes) -> Result<Bytes, Status> {
        let text = payload.schema.as_deref().unwrap_or_default();
        let url = Url::parse(text).map_err(|error| wrong("schema", error))?;
        let digest = payload.schema_digest.as_deref().map(str::parse);
        let digest: Option<Digest> = digest
            .transpose()
            .map_err(|error| wrong("schema-digest", error))?;
        if digest.is_none() && !url.is_tls() {
            let text = "over http: nobody vouches for what comes; give schema-digest= too, or an \
                        https: URL";
            return Err(wrong("schema", text));
        }
        let document = self.http_client(url.host()).get(&url, MAX_SCHEMA).await;
        let document = document.map_err(|error| unreachable_schema(&error))?;
        let found = Digest::of(&document);
        match digest {
            Some(digest) if digest != found => Err(wrong(
                "schema-digest",
                format!("what is at {url} has the digest {found}"),
            )),
            _ => Ok(document),
        }
    }

    /// Asks a host as the configuration of its participant says.
    fn http_client(&self, host: &str) -> HttpClient {
        let config = self.config();
        let peer = config.peer_at(host);
        let roots = peer.tls_ca.clone();
        HttpClient::new(
            self.dialer.with_policy(peer.address_policy()),
            roots.map_or_else(TlsRoots::system, TlsRoots::with_file),
        )
    }
}

/// What of a stranger's attributes can be said of a flow of ours: each that makes sense and fits
/// into DNS. A schema is taken with its digest only.
pub(crate) fn understood(payload: &PayloadAttributes) -> PayloadAttributes {
    let mut understood = PayloadAttributes::read(|key| {
        let (_, value) = payload.pairs().find(|(known, _)| *known == key)?;
        let fits = key.len() + 1 + value.len() <= MAX_STRING;
        (fits && makes_sense(key, value)).then(|| value.to_owned())
    });
    if understood.schema.is_none() || understood.schema_digest.is_none() {
        understood.schema = None;
        understood.schema_digest = None;
    }
    understood
}

fn makes_sense(key: &str, value: &str) -> bool {
    match key {
        "content-type" => Contract::new(Some(value), None, false).is_ok(),
        "schema-digest" => value.parse::<Digest>().is_ok(),
        _ => Url::parse(value).is_ok(),
    }
}

fn contract(payload: &PayloadAttributes, document: Option<&[u8]>) -> Result<Contract, Status> {
    let schema = document.map(|document| {
        let url = Url::parse(payload.schema.as_deref().unwrap_or_default());
        let url = url.map_err(|error| wrong("schema", error))?;
        let schema = Schema::read(document, url.fragment());
        schema.map(Arc::new).map_err(|error| wrong("schema", error))
    });
    let framed = payload.schema_registry.is_some();
    Contract::new(payload.content_type.as_deref(), schema.transpose()?, framed)
        .map_err(|error| Status::argument(error.to_string()))
}

fn wrong(attribute: &str, why: impl std::fmt::Display) -> Status {
    Status::argument(format!("{attribute}: {why}"))
}

fn unreachable_schema(error: &HttpError) -> Status {
    let code = match error.is_transient() {
        true => Code::Backend,
        false => Code::Argument,
    };
    Status::new(code, format!("schema: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_stranger_s_attributes_those_are_taken_that_make_sense() {
        let digest = Digest::of(b"").to_string();
        let good = PayloadAttributes {
            content_type: Some("application/json".to_owned()),
            schema: Some("https://orange.example/order.json".to_owned()),
            schema_digest: Some(digest),
            schema_registry: Some("https://registry.orange.example".to_owned()),
        };
        assert_eq!(understood(&good), good);
        let text = |text: &str| Some(text.to_owned());
        let wrong = PayloadAttributes {
            content_type: text("json"),
            schema: text("file:///etc/passwd"),
            schema_registry: Some(format!(
                "https://registry.orange.example/{}",
                "a".repeat(255)
            )),
            ..good.clone()
        };
        assert_eq!(understood(&wrong), PayloadAttributes::default());
        let unpinned = PayloadAttributes {
            schema_digest: text("sha256:1"),
            ..good
        };
        assert_eq!(
            (
                understood(&unpinned).schema,
                understood(&unpinned).schema_digest
            ),
            (None, None)
        );
    }
}
