//! Making a schema of one registry known to another.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Reference, RegisteredSchema, Registration, Registry, RegistryError};

/// How many schemas one may refer to, directly or over others, and how deep.
const MAX_REFERENCES: usize = 256;

/// Why a schema is not known to the other registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The registry that has the schema.
    #[error(transparent)]
    From(RegistryError),
    /// The registry that is to have it.
    #[error(transparent)]
    To(RegistryError),
    /// A schema refers to one that its own registry does not have (any more).
    #[error("a schema refers to version {version} of {subject}, which its registry does not have")]
    Dangling {
        /// The subject.
        subject: String,
        /// The version.
        version: u32,
    },
    /// A schema refers to too many others.
    #[error("a schema refers to more than {MAX_REFERENCES} others")]
    TooMany,
}

/// Makes the schema that has `id` in `from` known to `to` under `subject`, and gives its id
/// there; none where `from` has no such schema.
///
/// What it refers to goes first, under the subjects that it has in `from`. What `to` has already is
/// found and not registered again, so that repeating this changes nothing.
///
/// # Errors
/// [`TransferError`]. What was registered before stays, and is found the next time.
pub async fn transfer(
    from: &Registry,
    to: &Registry,
    id: u32,
    subject: &str,
) -> Result<Option<u32>, TransferError> {
    let Some(schema) = from.schema(id).await.map_err(TransferError::From)? else {
        return Ok(None);
    };
    let mut transfer = Transfer {
        from,
        to,
        placed: BTreeMap::new(),
        met: 0,
    };
    let schema = transfer.with_references(schema).await?;
    transfer.id(subject, &schema).await.map(Some)
}

struct Transfer<'a> {
    from: &'a Registry,
    to: &'a Registry,
    /// The version that `to` has of each subject and version of `from`.
    placed: BTreeMap<(String, u32), u32>,
    /// How many references were met.
    met: usize,
}

impl Transfer<'_> {
    /// The schema with references that hold in `to`.
    fn with_references(
        &mut self,
        schema: RegisteredSchema,
    ) -> BoxFuture<'_, Result<RegisteredSchema, TransferError>> {
        async move {
            let mut references = Vec::with_capacity(schema.references.len());
            for reference in schema.references {
                let version = self.place(&reference).await?;
                references.push(Reference {
                    version,
                    ..reference
                });
            }
            Ok(RegisteredSchema {
                references,
                ..schema
            })
        }
        .boxed()
    }

    /// The version that `to` has of what is referred to. A circle of references ends here, too.
    async fn place(&mut self, reference: &Reference) -> Result<u32, TransferError> {
        let key = (reference.subject.clone(), reference.version);
        if let Some(version) = self.placed.get(&key) {
            return Ok(*version);
        }
        self.met += 1;
        if self.met > MAX_REFERENCES {
            return Err(TransferError::TooMany);
        }
        let found = self.from.referred(reference).await;
        let schema = found.map_err(TransferError::From)?;
        let schema = schema.ok_or_else(|| TransferError::Dangling {
            subject: reference.subject.clone(),
            version: reference.version,
        })?;
        let schema = self.with_references(schema).await?;
        let version = self.version(&reference.subject, &schema).await?;
        self.placed.insert(key, version);
        Ok(version)
    }

    async fn version(
        &self,
        subject: &str,
        schema: &RegisteredSchema,
    ) -> Result<u32, TransferError> {
        if let Some(registration) = self.find(subject, schema).await? {
            return Ok(registration.version);
        }
        let registered = self.to.register(subject, schema).await;
        registered.map_err(TransferError::To)?;
        let registration = self.find(subject, schema).await?;
        let registration = registration.ok_or_else(|| {
            TransferError::To(RegistryError::Answer {
                registry: self.to.url.to_string(),
                cause: format!("a schema that it has just taken is not under {subject}"),
            })
        })?;
        Ok(registration.version)
    }

    async fn id(&self, subject: &str, schema: &RegisteredSchema) -> Result<u32, TransferError> {
        if let Some(registration) = self.find(subject, schema).await? {
            return Ok(registration.id);
        }
        let registered = self.to.register(subject, schema).await;
        registered.map_err(TransferError::To)
    }

    async fn find(
        &self,
        subject: &str,
        schema: &RegisteredSchema,
    ) -> Result<Option<Registration>, TransferError> {
        let found = self.to.find(subject, schema).await;
        found.map_err(TransferError::To)
    }
}
