//! Schema Registries, by the REST API of Confluent's that others speak too.

mod document;
mod error;
mod transfer;

use bytes::Bytes;
use hyper::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use document::{Reference, RegisteredSchema, Registration};
pub use error::RegistryError;
pub use transfer::{TransferError, transfer};

use self::document::{NewId, Refusal};
use crate::http::{Answered, Question};
use crate::{Authorization, HttpClient, Url};

/// The API's own media type; some registries take no other, none minds it.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// What is understood of an answer.
const ACCEPT: &str = "application/vnd.schemaregistry.v1+json, application/json;q=0.9";

/// The most octets of an answer: a schema as large as one by URL may be, with every octet escaped.
const MAX_ANSWER: usize = 4 * crate::MAX_SCHEMA;

/// A Schema Registry. It keeps nothing: whoever asks often remembers the answers.
#[derive(Clone)]
pub struct Registry {
    http: HttpClient,
    url: Url,
    authorization: Option<Authorization>,
}

impl Registry {
    /// The registry at `url`, below which are `/subjects` and `/schemas`.
    #[must_use]
    pub fn new(http: HttpClient, url: Url, authorization: Option<Authorization>) -> Self {
        Self {
            http,
            url,
            authorization,
        }
    }

    /// Whether there is a registry that lets us in.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn check(&self) -> Result<(), RegistryError> {
        let kinds = self.get(&["schemas", "types"]).await?;
        self.read::<Vec<String>>(&kinds).map(drop)
    }

    /// The schema with an id; none where the registry has none.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn schema(&self, id: u32) -> Result<Option<RegisteredSchema>, RegistryError> {
        let answered = self.get(&["schemas", "ids", &id.to_string()]).await?;
        self.found(&answered)
    }

    /// A schema as others refer to it; none where the registry has none.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn referred(
        &self,
        reference: &Reference,
    ) -> Result<Option<RegisteredSchema>, RegistryError> {
        let version = reference.version.to_string();
        let path = ["subjects", &reference.subject, "versions", &version];
        let answered = self.get(&path).await?;
        self.found(&answered)
    }

    /// Under which id and version a subject has a schema; none where it has not.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn find(
        &self,
        subject: &str,
        schema: &RegisteredSchema,
    ) -> Result<Option<Registration>, RegistryError> {
        let answered = self.post(&["subjects", subject], schema).await?;
        self.found(&answered)
    }

    /// Registers a schema under a subject, and gives its id. The same once more gives the same id.
    ///
    /// # Errors
    /// [`RegistryError`]; [`RegistryError::Refused`] where the schema is not compatible with
    /// those that the subject has, by the rules that the registry keeps for it.
    pub async fn register(
        &self,
        subject: &str,
        schema: &RegisteredSchema,
    ) -> Result<u32, RegistryError> {
        let answered = self
            .post(&["subjects", subject, "versions"], schema)
            .await?;
        self.read(&answered).map(|NewId { id }| id)
    }

    async fn get(&self, path: &[&str]) -> Result<Answered, RegistryError> {
        self.ask(path, None).await
    }

    async fn post(&self, path: &[&str], body: &impl Serialize) -> Result<Answered, RegistryError> {
        let body = serde_json::to_vec(body).map_err(|cause| self.nonsense(cause))?;
        self.ask(path, Some((Bytes::from(body), MEDIA_TYPE))).await
    }

    async fn ask(
        &self,
        path: &[&str],
        body: Option<(Bytes, &'static str)>,
    ) -> Result<Answered, RegistryError> {
        let question = Question {
            authorization: self.authorization.as_ref(),
            accept: ACCEPT,
            body,
        };
        let url = self.url.below(path.iter().copied());
        Ok(self.http.ask(&url, &question, MAX_ANSWER).await?)
    }

    /// What is asked for, or that the registry has no such thing.
    fn found<T: DeserializeOwned>(&self, answered: &Answered) -> Result<Option<T>, RegistryError> {
        let refusal = Refusal::read(&answered.body);
        match answered.status {
            StatusCode::NOT_FOUND if refusal.is_some_and(|it| it.is_absence()) => Ok(None),
            _ => self.read(answered).map(Some),
        }
    }

    fn read<T: DeserializeOwned>(&self, answered: &Answered) -> Result<T, RegistryError> {
        if answered.status.is_success() {
            return serde_json::from_slice(&answered.body).map_err(|cause| self.nonsense(cause));
        }
        let registry = self.url.to_string();
        let said = Refusal::read(&answered.body);
        let said = said.map(Refusal::into_text).unwrap_or_default();
        Err(match answered.status {
            StatusCode::UNAUTHORIZED => RegistryError::Unauthenticated { registry, said },
            StatusCode::FORBIDDEN => RegistryError::Denied { registry, said },
            status => RegistryError::Refused {
                registry,
                status: status.as_u16(),
                said,
            },
        })
    }

    fn nonsense(&self, cause: serde_json::Error) -> RegistryError {
        RegistryError::Answer {
            registry: self.url.to_string(),
            cause: cause.to_string(),
        }
    }
}
