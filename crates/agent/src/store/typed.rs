//! The typed view of a store.

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Change, Changes, Entry, Kind, Store, StoreError};

/// A type that is stored under one [`Kind`].
///
/// Documents are JSON: fields may be added with `#[serde(default)]`, and a field that this build
/// does not know is ignored, so that an older fnaad can still read a newer one's state.
pub trait Resource: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The kind.
    const KIND: Kind;
}

/// A resource as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<R> {
    /// The name, unique within its kind.
    pub name: String,
    /// See [`Entry::version`].
    pub version: u64,
    /// Whether the first phase of deletion has begun.
    pub deleting: bool,
    /// The resource itself.
    pub resource: R,
}

/// The resources of one type.
pub struct Resources<R> {
    store: Arc<dyn Store>,
    resource: PhantomData<fn() -> R>,
}

impl<R> Clone for Resources<R> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            resource: PhantomData,
        }
    }
}

impl<R: Resource> Resources<R> {
    /// The resources of this type in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            resource: PhantomData,
        }
    }

    /// One resource; none when there is no such name.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when the document is no `R`.
    pub async fn get(&self, name: &str) -> Result<Option<Stored<R>>, StoreError> {
        let entry = self.store.get(R::KIND, name).await?;
        entry.map(|entry| decode(&entry)).transpose()
    }

    /// One resource that must be there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not, and as for [`Resources::get`].
    pub async fn require(&self, name: &str) -> Result<Stored<R>, StoreError> {
        let missing = || StoreError::NotFound {
            kind: R::KIND,
            name: name.to_owned(),
        };
        self.get(name).await?.ok_or_else(missing)
    }

    /// All, those being deleted included, ordered by name.
    ///
    /// # Errors
    /// As for [`Resources::get`].
    pub async fn list(&self) -> Result<Vec<Stored<R>>, StoreError> {
        self.list_prefix("").await
    }

    /// Those whose names begin with `prefix`, ordered by name.
    ///
    /// # Errors
    /// As for [`Resources::get`].
    pub async fn list_prefix(&self, prefix: &str) -> Result<Vec<Stored<R>>, StoreError> {
        let entries = self.store.list(R::KIND, prefix).await?;
        entries.iter().map(decode).collect()
    }

    /// Adds a resource.
    ///
    /// # Errors
    /// As for [`Store::create`].
    pub async fn create(&self, name: &str, resource: R) -> Result<Stored<R>, StoreError> {
        let document = encode(name, &resource)?;
        let entry = self.store.create(R::KIND, name, document).await?;
        Ok(stored(&entry, resource))
    }

    /// Changes a resource, again and again until nobody else was faster. `change` may run more
    /// than once; when it changes nothing, nothing is written and the version stays.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], and as for [`Resources::get`].
    pub async fn update(
        &self,
        name: &str,
        mut change: impl FnMut(&mut R) + Send,
    ) -> Result<Stored<R>, StoreError> {
        let change = |resource: &mut R| {
            change(resource);
            Ok(())
        };
        self.try_update::<StoreError>(name, change).await
    }

    /// As [`Resources::update`], with a change that may refuse. A refusal writes nothing.
    ///
    /// # Errors
    /// The refusal, or what [`Resources::update`] meets.
    pub async fn try_update<E: From<StoreError>>(
        &self,
        name: &str,
        mut change: impl FnMut(&mut R) -> Result<(), E> + Send,
    ) -> Result<Stored<R>, E> {
        loop {
            let mut wanted = self.require(name).await?;
            let before = encode(name, &wanted.resource)?;
            change(&mut wanted.resource)?;
            if encode(name, &wanted.resource)? == before {
                return Ok(wanted);
            }
            match self.replace(wanted).await {
                Err(StoreError::Conflict { .. }) => {}
                result => return Ok(result?),
            }
        }
    }

    /// Writes a resource if it still has the version that it was read with.
    ///
    /// # Errors
    /// As for [`Store::update`].
    pub async fn replace(&self, wanted: Stored<R>) -> Result<Stored<R>, StoreError> {
        let document = encode(&wanted.name, &wanted.resource)?;
        let entry = self
            .store
            .update(R::KIND, &wanted.name, wanted.version, document)
            .await?;
        Ok(stored(&entry, wanted.resource))
    }

    /// Begins a deletion. Marking twice changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn mark_deleting(&self, name: &str) -> Result<Stored<R>, StoreError> {
        decode(&self.store.mark_deleting(R::KIND, name).await?)
    }

    /// Ends a deletion. A resource that is gone is no error.
    ///
    /// # Errors
    /// [`StoreError::NotMarked`] when no deletion has begun.
    pub async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.store.remove(R::KIND, name).await
    }

    /// The changes of one resource from now on.
    #[must_use]
    pub fn changes_of(&self, name: &str) -> NameChanges {
        NameChanges {
            changes: self.store.changes(R::KIND),
            name: name.to_owned(),
        }
    }

    /// The changes from now on, [`ResourceChange::Resync`] first.
    #[must_use]
    pub fn changes(&self) -> ResourceChanges<R> {
        ResourceChanges {
            changes: self.store.changes(R::KIND),
            resource: PhantomData,
        }
    }
}

/// The changes of one resource, however it changed.
#[derive(Debug)]
pub struct NameChanges {
    changes: Changes,
    name: String,
}

impl NameChanges {
    /// Waits until the resource may have changed since the last call; at once the first time.
    /// False when the store is closed. Cancel-safe.
    pub async fn changed(&mut self) -> bool {
        loop {
            match self.changes.next().await {
                None => return false,
                Some(Change::Resync) => return true,
                Some(Change::Removed(name)) if name == self.name => return true,
                Some(Change::Put(entry)) if entry.name == self.name => return true,
                Some(_) => {}
            }
        }
    }
}

/// Something happened to the resources of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceChange<R> {
    /// List again: this is the beginning, or changes were missed.
    Resync,
    /// A resource was created, updated or marked as being deleted.
    Put(Stored<R>),
    /// A resource is gone.
    Removed(String),
}

/// The changes of one type, in order.
#[derive(Debug)]
pub struct ResourceChanges<R> {
    changes: Changes,
    resource: PhantomData<fn() -> R>,
}

impl<R: Resource> ResourceChanges<R> {
    /// The next change; none when the store is closed. Cancel-safe.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`]; the stream goes on behind it.
    pub async fn next(&mut self) -> Result<Option<ResourceChange<R>>, StoreError> {
        Ok(match self.changes.next().await {
            None => None,
            Some(Change::Resync) => Some(ResourceChange::Resync),
            Some(Change::Removed(name)) => Some(ResourceChange::Removed(name)),
            Some(Change::Put(entry)) => Some(ResourceChange::Put(decode(&entry)?)),
        })
    }
}

fn stored<R>(entry: &Entry, resource: R) -> Stored<R> {
    Stored {
        name: entry.name.clone(),
        version: entry.version,
        deleting: entry.deleting,
        resource,
    }
}

fn encode<R: Resource>(name: &str, resource: &R) -> Result<Bytes, StoreError> {
    match serde_json::to_vec(resource) {
        Ok(document) => Ok(document.into()),
        Err(cause) => Err(unreadable::<R>(name, &cause)),
    }
}

fn decode<R: Resource>(entry: &Entry) -> Result<Stored<R>, StoreError> {
    match serde_json::from_slice(&entry.document) {
        Ok(resource) => Ok(stored(entry, resource)),
        Err(cause) => Err(unreadable::<R>(&entry.name, &cause)),
    }
}

fn unreadable<R: Resource>(name: &str, cause: &serde_json::Error) -> StoreError {
    StoreError::Unreadable {
        kind: R::KIND,
        name: name.to_owned(),
        cause: cause.to_string(),
    }
}
