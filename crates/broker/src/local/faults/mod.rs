//! What happens when the disk is full or fails, and how often it is synced: tests with a disk
//! that does as it is told.

mod full;
mod late;
mod unreadable;

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use eson_protocol::{Positions, Record, Server, Start};
use futures::future::join_all;
use redb::StorageBackend;
use redb::backends::FileBackend;
use tempfile::TempDir;
use tokio::time::timeout;

use super::store::Failure;
use super::{AppendTo, LocalBroker, LocalOptions};
use crate::{
    Broker, BrokerError, Chunk, Epochs, Payload, ProcessorSource, QueueReader, QueueSpec,
    ReaderOptions, WriterOptions,
};

const QUEUE: &str = "arrivals.flows.orange.example";

/// How long anything may take before it is taken for never.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the disk is told, and what it tells.
#[derive(Debug, Default)]
struct Disk {
    /// The number of bytes from which on the file can't grow; 0 is no limit.
    size: AtomicU64,
    /// Whether every write fails.
    broken: AtomicBool,
    /// Whether what has [`BAD_SECTOR`] in it can't be read.
    unreadable: AtomicBool,
    /// Whether the file is being opened. In a test build the database then reads all of it, so sectors are good
    /// for as long as that takes.
    opening: AtomicBool,
    syncs: AtomicU64,
    /// The number of the sync that does its work and then says that it has failed; 0 is none.
    late_failure: AtomicU64,
}

/// What lies on the sectors that can't be read when the disk is told so.
const BAD_SECTOR: &[u8] = b"on a bad sector";

/// A file on such a disk.
struct FaultyFile {
    file: FileBackend,
    disk: Arc<Disk>,
}

impl fmt::Debug for FaultyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultyFile").field(&self.disk).finish()
    }
}

impl FaultyFile {
    fn permit(&self, end: u64) -> io::Result<()> {
        let size = self.disk.size.load(Ordering::Acquire);
        if self.disk.broken.load(Ordering::Acquire) {
            return Err(io::Error::other("the disk is broken"));
        }
        if size != 0 && end > size {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl StorageBackend for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)?;
        let bad = |part: &[u8]| part == BAD_SECTOR;
        if self.disk.unreadable.load(Ordering::Acquire)
            && !self.disk.opening.load(Ordering::Acquire)
            && out.windows(BAD_SECTOR.len()).any(bad)
        {
            return Err(io::Error::other("the sector can't be read"));
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.permit(0)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.permit(0)?;
        let number = self.disk.syncs.fetch_add(1, Ordering::AcqRel) + 1;
        self.file.sync_data()?;
        if number == self.disk.late_failure.load(Ordering::Acquire) {
            return Err(io::Error::other("the disk has failed"));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.permit(offset + data.len() as u64)?;
        self.file.write(offset, data)
    }
}

struct Bench {
    broker: LocalBroker,
    disk: Arc<Disk>,
    directory: TempDir,
}

impl Bench {
    fn file(&self) -> PathBuf {
        self.directory.path().join("queues.redb")
    }

    /// How many runs the file has.
    fn runs(&self) -> Result<u64, Failure> {
        self.broker.shared.store.read(|transaction| {
            let runs = transaction.open_table(super::store::RUNS)?;
            Ok(redb::ReadableTableMetadata::len(&runs)?)
        })
    }

    async fn reader(&self, queue: &str) -> Box<dyn QueueReader> {
        let options = ReaderOptions {
            positions: Positions::new(),
            epochs: Epochs::new(),
            start: Start::Earliest,
            encoded: false,
            buffer: 1 << 20,
        };
        let reader = self.broker.open_reader(queue, options).await;
        reader.expect("a reader")
    }
}

fn spec(name: &str) -> QueueSpec {
    QueueSpec {
        name: name.to_owned(),
        partitions: 1,
        retention: None,
        retention_bytes: None,
    }
}

async fn bench() -> Bench {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(Disk::default());
    let broker = open(&directory.path().join("queues.redb"), &disk);
    let spec = QueueSpec {
        name: QUEUE.to_owned(),
        partitions: 2,
        retention: None,
        retention_bytes: None,
    };
    broker.create_queue(&spec).await.expect("created");
    Bench {
        broker,
        disk,
        directory,
    }
}

fn open(path: &Path, disk: &Arc<Disk>) -> LocalBroker {
    let server = Server {
        host: "fnaa.orange.example".to_owned(),
        port: 61000,
    };
    let options = LocalOptions {
        cache: 0,
        ..LocalOptions::new(path, server)
    };
    let (kept, path, disk) = (options.clone(), PathBuf::from(path), disk.clone());
    let opener = move || {
        let mut file = OpenOptions::new();
        file.read(true).write(true).create(true).truncate(false);
        let file = FaultyFile {
            file: FileBackend::new(file.open(&path)?)?,
            disk: disk.clone(),
        };
        disk.opening.store(true, Ordering::Release);
        let opened = kept.builder().create_with_backend(file);
        disk.opening.store(false, Ordering::Release);
        opened
    };
    LocalBroker::open_with(&options, Box::new(opener)).expect("opens")
}

fn record(number: u64) -> Record {
    Record {
        offset: number,
        timestamp: 1_700_000_000_000,
        key: None,
        value: Some(Bytes::from(format!("{number:20000}"))),
        headers: Vec::new(),
    }
}

async fn append(broker: &LocalBroker, numbers: std::ops::Range<u64>) -> Result<u64, BrokerError> {
    let records = numbers.map(record).collect();
    broker
        .append(QUEUE, AppendTo::Partition(0), records, None)
        .await
}

/// The numbers in partition 0.
async fn numbers(broker: &LocalBroker) -> Vec<u64> {
    let (_, latest) = broker
        .describe_queue(QUEUE)
        .await
        .expect("there")
        .partitions[&0];
    let options = ReaderOptions {
        positions: Positions::new(),
        epochs: Epochs::new(),
        start: Start::Earliest,
        encoded: false,
        buffer: 1 << 20,
    };
    let mut reader = broker.open_reader(QUEUE, options).await.expect("a reader");
    let mut numbers = Vec::new();
    while (numbers.len() as u64) < latest {
        let chunk = timeout(DEADLINE, reader.next())
            .await
            .expect("comes in time");
        let Payload::Records(records) = chunk.expect("a chunk").payload else {
            panic!("encoded batches that nobody asked for");
        };
        numbers.extend(records.into_iter().map(|record| {
            let value = record.value.expect("a value");
            let text = std::str::from_utf8(&value).expect("a text");
            text.trim_start().parse::<u64>().expect("a number")
        }));
    }
    numbers
}

/// Tries until the storage answers again.
async fn append_when_well(broker: &LocalBroker, numbers: std::ops::Range<u64>) {
    let appended = async {
        while let Err(error) = append(broker, numbers.clone()).await {
            assert!(matches!(error, BrokerError::Storage { .. }), "{error:?}");
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, appended).await.expect("is well in time");
}

#[tokio::test]
async fn a_full_disk_is_told_loses_nothing_and_is_over_when_there_is_space() {
    let bench = bench().await;
    bench.disk.size.store(8 << 20, Ordering::Release);
    let mut written = 0;
    let full = loop {
        match append(&bench.broker, written..written + 10).await {
            Ok(_) => written += 10,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&full, BrokerError::Storage { queue, .. } if queue == QUEUE),
        "{full:?}"
    );
    assert!(written > 0);
    // Nothing of the refused batch is there, and what was written can be read meanwhile.
    let ranges = bench.broker.describe_queue(QUEUE).await.expect("there");
    assert_eq!(ranges.partitions[&0], (0, written));

    bench.disk.size.store(0, Ordering::Release);
    append_when_well(&bench.broker, written..written + 10).await;
    let expected: Vec<u64> = (0..written + 10).collect();
    assert_eq!(numbers(&bench.broker).await, expected);
}

#[tokio::test]
async fn a_writer_that_met_a_broken_disk_writes_no_more() {
    let bench = bench().await;
    let options = || {
        WriterOptions::new(
            Some(ProcessorSource {
                processor: "bridge".to_owned(),
                source: "source-1".to_owned(),
            }),
            1 << 20,
        )
    };
    let chunk = |number| Chunk {
        partition: 0,
        first: number,
        next: number + 1,
        high_watermark: number + 1,
        epoch: None,
        payload: Payload::Records(vec![record(number)]),
    };
    let mut old = bench
        .broker
        .open_writer(QUEUE, options())
        .await
        .expect("a writer");
    old.write(0, chunk(0)).await.expect("written");
    old.flush().await.expect("flushed");
    bench.disk.broken.store(true, Ordering::Release);
    old.write(0, chunk(1)).await.expect("handed over");
    let lost = old.flush().await;
    assert!(matches!(lost, Err(BrokerError::Storage { .. })), "{lost:?}");
    bench.disk.broken.store(false, Ordering::Release);
    // Chunk 2 behind the lost chunk 1 would be a hole.
    let refused = old.write(0, chunk(2)).await;
    assert!(
        matches!(refused, Err(BrokerError::Storage { .. })),
        "{refused:?}"
    );
    assert_eq!(old.acknowledged(), [(0, 1)].into());

    let reopened = async {
        loop {
            match bench.broker.open_writer(QUEUE, options()).await {
                Ok(writer) => return writer,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let mut new = timeout(DEADLINE, reopened).await.expect("is well in time");
    assert_eq!(new.stored(), [(0, 1)].into());
    new.write(0, chunk(1)).await.expect("written");
    new.write(0, chunk(2)).await.expect("written");
    new.flush().await.expect("flushed");
    assert_eq!(numbers(&bench.broker).await, [0, 1, 2]);
}

#[tokio::test]
async fn writers_share_the_sync_of_a_group() {
    let bench = bench().await;
    let before = bench.disk.syncs.load(Ordering::Acquire);
    let appended = join_all((0..1_000).map(|number| append(&bench.broker, number..number + 1)));
    for outcome in appended.await {
        outcome.expect("appended");
    }
    let syncs = bench.disk.syncs.load(Ordering::Acquire) - before;
    assert!((1..=200).contains(&syncs), "{syncs} syncs for 1000 writers");
    let mut found = numbers(&bench.broker).await;
    found.sort_unstable();
    assert!(found.into_iter().eq(0..1_000));
}

#[tokio::test]
async fn nothing_is_synced_while_nothing_happens() {
    let bench = bench().await;
    append(&bench.broker, 0..1).await.expect("appended");
    let before = bench.disk.syncs.load(Ordering::Acquire);
    for _ in 0..100 {
        bench.broker.check().await.expect("well");
    }
    assert_eq!(bench.disk.syncs.load(Ordering::Acquire), before);
}

#[tokio::test]
async fn the_space_of_a_deleted_queue_is_used_again() {
    let bench = bench().await;
    let id = bench
        .broker
        .create_queue(&spec("doomed"))
        .await
        .expect("created");
    let to = AppendTo::Partition(0);
    for part in 0..50 {
        let records = (part * 20..(part + 1) * 20).map(record).collect();
        let appended = bench.broker.append("doomed", to.clone(), records, None);
        appended.await.expect("appended");
    }
    assert!(bench.runs().expect("a number") >= 300);
    bench
        .broker
        .delete_queue("doomed", &id)
        .await
        .expect("deleted");
    let swept = async {
        while bench.runs().expect("a number") > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, swept).await.expect("swept in time");
}
