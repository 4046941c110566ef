//! Replacing ids on the record path.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use eson_broker::{Chunk, Payload};
use eson_client::{Dialer, Lookup, TlsRoots};
use eson_protocol::Record;
use eson_schema::{Frame, HttpClient, Registry, TransferError, transfer};
use tokio::sync::Mutex;

use super::cache::Cache;
use super::spec::{OnUnknownSchema, RegistrySpec, SchemaIdsSpec};
use crate::report::Trouble;

/// How Schema Registries are reached. Cheap to clone.
#[derive(Clone)]
pub struct Registries {
    lookup: Arc<dyn Lookup>,
    tls_roots: Option<PathBuf>,
}

impl Registries {
    /// Their names are looked up with `lookup`, and the operating system's authorities or those in
    /// the PEM file `tls_roots` have to vouch for them.
    #[must_use]
    pub fn new(lookup: Arc<dyn Lookup>, tls_roots: Option<PathBuf>) -> Self {
        Self { lookup, tls_roots }
    }

    fn registry(&self, spec: &RegistrySpec) -> Registry {
        let dialer = Dialer::new(self.lookup.clone(), spec.policy.clone());
        let authorities = spec.tls_ca.clone().or_else(|| self.tls_roots.clone());
        let roots = authorities.map_or_else(TlsRoots::system, TlsRoots::with_file);
        let http = HttpClient::new(dialer, roots);
        Registry::new(http, spec.url.clone(), spec.authorization.clone())
    }

    /// A translation of what is written to `topic`, which knows nothing yet.
    pub(crate) fn translation(&self, spec: &SchemaIdsSpec, topic: &str) -> SharedTranslation {
        let of = |what: &str| Subject {
            name: format!("{topic}-{what}"),
            ids: Cache::default(),
        };
        let translation = Translation {
            from: self.registry(&spec.from),
            to: self.registry(&spec.to),
            on_unknown: spec.on_unknown,
            values: of("value"),
            keys: spec.keys.then(|| of("key")),
        };
        Arc::new(Mutex::new(translation))
    }
}

/// The translation of one leg. It outlives the leg's connections, and with it what it has found
/// out.
pub(crate) type SharedTranslation = Arc<Mutex<Translation>>;

/// Replaces the ids of one leg's events.
pub(crate) struct Translation {
    from: Registry,
    to: Registry,
    on_unknown: OnUnknownSchema,
    values: Subject,
    /// None where keys are no business of registries.
    keys: Option<Subject>,
}

/// What is registered for one topic's values or keys, under the name that the topic gives it
/// (`TopicNameStrategy`).
struct Subject {
    name: String,
    ids: Cache,
}

impl Translation {
    /// Whether both registries let us in.
    pub(crate) async fn check(&self) -> Result<(), Trouble> {
        let source = self.from.check().await;
        source.map_err(|error| Trouble::of_registry(&TransferError::From(error)))?;
        let destination = self.to.check().await;
        destination.map_err(|error| Trouble::of_registry(&TransferError::To(error)))
    }

    /// What becomes of events whose ids are unknown.
    pub(crate) fn on_unknown(&self) -> OnUnknownSchema {
        self.on_unknown
    }

    /// Replaces the ids in a chunk, which its reader was asked to unpack. Gives the offsets of
    /// events that are as they were, since their ids are unknown, and why: only the first one,
    /// if the leg stops there. After an error the chunk is to be read again.
    pub(crate) async fn translate(
        &mut self,
        chunk: &mut Chunk,
    ) -> Result<Vec<(u64, String)>, Trouble> {
        let mut unknown = Vec::new();
        let Payload::Records(records) = &mut chunk.payload else {
            return Ok(unknown);
        };
        for record in records {
            if let Some(why) = self.translate_record(record).await? {
                unknown.push((record.offset, why));
                if self.on_unknown == OnUnknownSchema::Stop {
                    break;
                }
            }
        }
        Ok(unknown)
    }

    /// Replaces the ids of a record, or says why that can't be; then it is as it was.
    async fn translate_record(&mut self, record: &mut Record) -> Result<Option<String>, Trouble> {
        let ends = (&self.from, &self.to);
        let key = match &mut self.keys {
            None => Ok(record.key.clone()),
            Some(keys) => keys.translate(record.key.as_ref(), ends).await?,
        };
        let value = self.values.translate(record.value.as_ref(), ends).await?;
        match (key, value) {
            (Ok(key), Ok(value)) => {
                record.key = key;
                record.value = value;
                Ok(None)
            }
            (Err(why), _) => Ok(Some(format!("the key {why}"))),
            (_, Err(why)) => Ok(Some(format!("the value {why}"))),
        }
    }
}

impl Subject {
    /// The same content behind the other registry's id, or why there is none.
    async fn translate(
        &mut self,
        content: Option<&Bytes>,
        ends: (&Registry, &Registry),
    ) -> Result<Result<Option<Bytes>, String>, Trouble> {
        let Some(content) = content else {
            return Ok(Ok(None));
        };
        let Some(frame) = Frame::parse(content) else {
            return Ok(Err("has no id of a schema in front".to_owned()));
        };
        Ok(match self.other_id(frame.id, ends).await? {
            Some(id) if id == frame.id => Ok(Some(content.clone())),
            Some(id) => Ok(Some(frame.with_id(id))),
            None => Err(format!(
                "has the schema id {}, which the source's registry does not know",
                frame.id
            )),
        })
    }

    async fn other_id(
        &mut self,
        id: u32,
        (from, to): (&Registry, &Registry),
    ) -> Result<Option<u32>, Trouble> {
        if let Some(known) = self.ids.get(id) {
            return Ok(known);
        }
        // Few legs talk to registries, and those that do, seldom: none keeps room for it.
        let other = Box::pin(transfer(from, to, id, &self.name)).await;
        let other = other.map_err(|error| Trouble::of_registry(&error))?;
        match other {
            Some(other) => tracing::info!(subject = self.name, id, other, "a schema is known"),
            None => tracing::warn!(subject = self.name, id, "a schema is unknown"),
        }
        self.ids.insert(id, other);
        Ok(other)
    }
}
