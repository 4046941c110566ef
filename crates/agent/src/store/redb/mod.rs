//! The store in one database file, for one fnaad on one machine.
//!
//! Reads come from memory; changes go to one thread that owns the file and commits everything
//! that has queued up meanwhile in one durable transaction (group commit). Nothing runs while
//! nothing changes.

mod file;
mod mirror;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use self::file::File;
use self::mirror::Mirror;
use self::writer::{Operation, Request};
use super::{ChangeFeed, Changes, Entry, Kind, Store, StoreError};

/// How many changes may wait for the disk before their callers wait too.
const QUEUE: usize = 1024;

/// A [`Store`] in the file `resources.redb` of a state directory.
#[derive(Debug)]
pub struct RedbStore {
    mirror: Arc<Mirror>,
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl RedbStore {
    /// Opens or creates the store in `directory`, which must exist. Blocks while it reads the
    /// file.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it open, [`StoreError::Damaged`] when it
    /// can't be read, and those of the file system.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::start(File::new(directory))
    }

    /// Whether `directory` has a store.
    #[must_use]
    pub fn exists(directory: &Path) -> bool {
        File::exists(directory)
    }

    fn start(mut file: File) -> Result<Self, StoreError> {
        let mirror = Arc::new(Mirror::new(file.load()?, ChangeFeed::default()));
        let (requests, queue) = mpsc::channel(QUEUE);
        let writer = writer::spawn(file, Arc::clone(&mirror), queue)?;
        Ok(Self {
            mirror,
            requests: Some(requests),
            writer: Some(writer),
        })
    }

    async fn submit(
        &self,
        kind: Kind,
        name: &str,
        operation: Operation,
    ) -> Result<Option<Entry>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let request = Request {
            kind,
            name: name.to_owned(),
            operation,
            reply,
        };
        let requests = self.requests.as_ref().ok_or(StoreError::Closed)?;
        let sent = requests.send(request).await;
        sent.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// As [`RedbStore::submit`], for operations that leave an entry behind.
    async fn submit_kept(
        &self,
        kind: Kind,
        name: &str,
        operation: Operation,
    ) -> Result<Entry, StoreError> {
        let missing = || StoreError::NotFound {
            kind,
            name: name.to_owned(),
        };
        let left = self.submit(kind, name, operation).await?;
        left.ok_or_else(missing)
    }
}

/// Waits for the changes under way, and gives the file free.
impl Drop for RedbStore {
    fn drop(&mut self) {
        self.requests.take();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's thread has panicked");
        }
    }
}

#[async_trait]
impl Store for RedbStore {
    async fn get(&self, kind: Kind, name: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self.mirror.entry(kind, name))
    }

    async fn list(&self, kind: Kind, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        Ok(self.mirror.entries(kind, prefix))
    }

    async fn create(&self, kind: Kind, name: &str, document: Bytes) -> Result<Entry, StoreError> {
        self.submit_kept(kind, name, Operation::Create { document })
            .await
    }

    async fn update(
        &self,
        kind: Kind,
        name: &str,
        version: u64,
        document: Bytes,
    ) -> Result<Entry, StoreError> {
        self.submit_kept(kind, name, Operation::Update { version, document })
            .await
    }

    async fn mark_deleting(&self, kind: Kind, name: &str) -> Result<Entry, StoreError> {
        self.submit_kept(kind, name, Operation::MarkDeleting).await
    }

    async fn remove(&self, kind: Kind, name: &str) -> Result<(), StoreError> {
        self.submit(kind, name, Operation::Remove).await.map(drop)
    }

    fn changes(&self, kind: Kind) -> Changes {
        self.mirror.changes(kind)
    }
}

#[cfg(test)]
mod tests;
