use std::fs::OpenOptions;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{Database, StorageBackend};
use tempfile::TempDir;

use super::*;
use crate::store::{Change, contract};

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract() {
    let directory = TempDir::new().unwrap();
    let store = RedbStore::open(directory.path()).unwrap();
    contract::holds(Arc::new(store)).await;
}

#[tokio::test]
async fn keeps_everything_over_a_restart() {
    let directory = TempDir::new().unwrap();
    let store = RedbStore::open(directory.path()).unwrap();
    for i in 0..100 {
        let name = format!("f{i:03}");
        store
            .create(Kind::Flow, &name, name.clone().into())
            .await
            .unwrap();
    }
    store.mark_deleting(Kind::Flow, "f007").await.unwrap();
    let highest = store.mark_deleting(Kind::Flow, "f008").await.unwrap();
    store.remove(Kind::Flow, "f008").await.unwrap();
    let before = store.list(Kind::Flow, "").await.unwrap();
    drop(store);

    let store = RedbStore::open(directory.path()).unwrap();
    assert_eq!(store.list(Kind::Flow, "").await.unwrap(), before);
    let next = store.create(Kind::Flow, "f008", "".into()).await.unwrap();
    assert!(next.version > highest.version);
}

#[tokio::test]
async fn refuses_a_second_owner_by_the_directory_s_name() {
    let directory = TempDir::new().unwrap();
    let _first = RedbStore::open(directory.path()).unwrap();
    let error = RedbStore::open(directory.path()).unwrap_err();
    let wanted = StoreError::InUse {
        directory: directory.path().to_owned(),
    };
    assert_eq!(error, wanted);
    assert!(
        error
            .to_string()
            .contains(&directory.path().display().to_string())
    );
}

#[tokio::test]
async fn commits_what_queues_up_together() {
    let directory = TempDir::new().unwrap();
    let store = RedbStore::open(directory.path()).unwrap();
    let names = (0..10_000).map(|i| format!("flow-{i}.flows.orange.example"));
    let made = names.map(|name| {
        let store = &store;
        async move { store.create(Kind::Flow, &name, "{}".into()).await.unwrap() }
    });
    futures::future::join_all(made).await;
    assert_eq!(store.list(Kind::Flow, "").await.unwrap().len(), 10_000);
}

/// A file on a disk that can fill up.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    full: Arc<AtomicBool>,
}

impl Disk {
    fn room(&self) -> io::Result<()> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.room()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.room()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

#[tokio::test]
async fn loses_nothing_to_a_full_disk() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("disk");
    let full = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&full);
    let open = move || {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .unwrap();
        Database::builder().create_with_backend(Disk {
            file: FileBackend::new(file)?,
            full: Arc::clone(&full),
        })
    };
    let store = RedbStore::start(File::with(directory.path(), Box::new(open))).unwrap();
    let kept = store.create(Kind::Flow, "kept", "1".into()).await.unwrap();
    let mut changes = store.changes(Kind::Flow);
    assert_eq!(changes.next().await, Some(Change::Resync));

    switch.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let refused = store.create(Kind::Flow, "refused", "1".into()).await;
        let wanted = StoreError::DiskFull {
            directory: directory.path().to_owned(),
        };
        assert_eq!(refused, Err(wanted));
        assert_eq!(
            store.list(Kind::Flow, "").await.unwrap(),
            std::slice::from_ref(&kept)
        );
    }

    switch.store(false, Ordering::SeqCst);
    let made = store.create(Kind::Flow, "made", "1".into()).await.unwrap();
    // Nothing else has changed, however often the file was read again.
    assert_eq!(changes.next().await, Some(Change::Put(made.clone())));
    assert_eq!(store.list(Kind::Flow, "").await.unwrap(), [kept, made]);
}
