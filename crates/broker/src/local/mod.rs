//! The kind `local`: an append-only queue embedded in the FNAA, in one file that one process
//! owns. Nothing to install, nothing to run beside it.
//!
//! - Every acknowledged record is on the disk: one thread makes one synced transaction of what
//!   all writers handed over while the last one was being synced ([`committer`], group commit).
//! - Records, source positions, queues and rights change together or not at all; kill the
//!   process at any instruction, and what was acknowledged is there, and no half of anything.
//! - What is in memory follows the file, also where a commit is durable though the disk said that it had failed.
//! - A processor's chunk is written exactly once: its source position is stored with it.
//! - Readers are woken by commits; a queue that nobody writes costs no work.
//! - Records are kept in runs of up to 64 KiB, one value each ([`encoding`]).
//! - While the disk is full, or fails, whoever meets that is answered [`BrokerError::Storage`]: reading goes
//!   on as far as the disk does, and when it is well again all goes on where it was.
//!
//! Retention counts from when a record was written here, not from its own timestamp: old events
//! that a bridge brings keep their timestamps and are kept as long as new ones.

mod admin;
mod append;
mod committer;
mod encoding;
#[cfg(test)]
mod faults;
mod group;
mod housekeeping;
mod opening;
mod options;
mod reader;
mod registry;
mod store;
mod tables;
mod unreadable;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use eson_protocol::TransportSecurity;
use eson_protocol::{BrokerKind, Connection, Positions, Record, Server, StorePosition};

use self::append::Target;
use self::committer::{Committer, Subject};
use self::group::Group;
use self::reader::{LocalReader, Right};
use self::registry::{Queue, Registry};
use self::store::{EPOCHS, Failure, Opener, POSITIONS, Store, existing};
use self::writer::LocalWriter;
use crate::{
    Broker, BrokerError, Consumer, Credential, Lease, QueueDescription, QueueId, QueueReader,
    QueueSpec, QueueUpdate, QueueWriter, Rates, Reached, ReaderOptions, WriterOptions,
};

pub(crate) use self::admin::MAX_PARTITIONS;
pub(crate) use self::append::{held as held_by, size as size_of};
pub use self::options::{LocalOptions, OpenError};

/// The embedded queues of one file. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct LocalBroker {
    shared: Arc<Shared>,
}

/// What readers, writers and the broker itself have in common.
struct Shared {
    store: Arc<Store>,
    registry: Arc<Registry>,
    committer: Committer,
    server: Server,
    security: TransportSecurity,
    retention: Option<u64>,
    max_event: usize,
}

/// Where [`LocalBroker::append`] puts records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendTo {
    /// Into this partition.
    Partition(u32),
    /// By the hash of their keys; those without a key together, into a partition that changes
    /// from call to call.
    Key,
    /// Each record into the partition of the same index here, or by its key where there is none.
    Each(Vec<Option<u32>>),
}

impl LocalBroker {
    /// Opens the file, or creates it. Blocks: after a crash the whole file may have to be read.
    ///
    /// # Errors
    /// [`OpenError`]; a second process gets [`OpenError::InUse`].
    pub fn open(options: &LocalOptions) -> Result<Self, OpenError> {
        let (path, builder) = (options.path.clone(), options.clone());
        let opener = Box::new(move || builder.builder().create(&path));
        Self::open_with(options, opener)
    }

    fn open_with(options: &LocalOptions, opener: Opener) -> Result<Self, OpenError> {
        let path = &options.path;
        let store = Store::open(path.clone(), opener);
        let store = Arc::new(store.map_err(|error| OpenError::of(path, error))?);
        opening::keep_name(path)?;
        opening::prepare(&store, path)?;
        let (registry, housekeeping) = opening::load(&store, path)?;
        let registry = Arc::new(registry);
        let committer = Committer::start(store.clone(), registry.clone(), housekeeping);
        let shared = Shared {
            committer: committer.map_err(OpenError::Thread)?,
            store,
            registry,
            server: options.server.clone(),
            security: options.security,
            retention: options.retention,
            max_event: options.max_event,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Makes everything durable that was handed over, and closes the file, so that another
    /// process can open it. Every later call answers [`BrokerError::Storage`].
    pub async fn close(&self) {
        self.shared.committer.close().await;
    }

    /// How many bytes the key, the value and the headers of one event may have together.
    #[must_use]
    pub fn max_event(&self) -> usize {
        self.shared.max_event
    }

    /// Appends records, all of them or none, and returns how many were written once they are
    /// durable. Timestamps are kept; the records' offsets are chosen here.
    ///
    /// With a `position`, the records' offsets are those of the source, in rising order: what
    /// the processor has written already is left out (exactly once).
    ///
    /// # Errors
    /// [`BrokerError::NotFound`], [`BrokerError::TooLarge`], [`BrokerError::Invalid`] for a
    /// partition that isn't there, [`BrokerError::Storage`].
    pub async fn append(
        &self,
        queue: &str,
        to: AppendTo,
        records: Vec<Record>,
        position: Option<StorePosition>,
    ) -> Result<u64, BrokerError> {
        let queue = self.shared.registry.find(queue)?;
        append::check_sizes(&queue.name, &records, self.shared.max_event)?;
        let target = Target::of(to, &queue, &records);
        let subject = Subject {
            queue: queue.name.clone(),
            session: None,
            bytes: records.iter().map(append::held).sum(),
        };
        let step = move |group: &mut Group<'_>| match &position {
            None => append::append(group, &queue, &target, &records),
            Some(position) => append::append_at(group, &queue, &target, position, &records),
        };
        self.shared.committer.run(subject, step).await
    }

    /// How far a processor has copied its source into the queue. `processor` names processor and
    /// source, as [`crate::ProcessorSource`] is written.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`], [`BrokerError::Storage`].
    pub async fn reached(&self, queue: &str, processor: &str) -> Result<Reached, BrokerError> {
        let queue = self.shared.registry.find(queue)?;
        let processor = processor.to_owned();
        let number = queue.number;
        reader::blocking(&self.shared, &queue, move |store| {
            store.read(|transaction| {
                let positions = transaction.open_table(POSITIONS)?;
                let epochs = existing(transaction.open_table(EPOCHS))?;
                tables::read_reached(&positions, epochs.as_ref(), number, &processor)
            })
        })
        .await
    }

    /// Whether a user who has shown his password may read the queue.
    #[must_use]
    pub fn may_read(&self, username: &str, queue: &str) -> bool {
        let queue = self.shared.registry.find(queue);
        queue.is_ok_and(|queue| Right::of(&queue, username).is_ok())
    }

    /// Opens a reader for a user who has shown his password. When his right is suspended or
    /// revoked, the reader's [`QueueReader::next`], also one that is waiting, answers
    /// [`BrokerError::Denied`] at once. All his readers of the queue together are held to what
    /// [`Broker::limit_reader`] has said.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`], [`BrokerError::Denied`].
    pub async fn open_reader_as(
        &self,
        username: &str,
        queue: &str,
        options: ReaderOptions,
    ) -> Result<Box<dyn QueueReader>, BrokerError> {
        let queue = self.shared.registry.find(queue)?;
        let right = Right::of(&queue, username)?;
        let reader = LocalReader::open(self.shared.clone(), queue, options, Some(right));
        Ok(Box::new(reader.await?))
    }

    /// Does a step that needs no room.
    async fn step<T: Send + 'static>(
        &self,
        queue: &str,
        step: impl FnOnce(&mut Group<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, BrokerError> {
        self.shared.committer.run(Subject::queue(queue), step).await
    }
}

#[async_trait]
impl Broker for LocalBroker {
    fn kind(&self) -> BrokerKind {
        BrokerKind::Local
    }

    /// Passes a step through the committer, which opens a transaction on the file.
    async fn check(&self) -> Result<(), BrokerError> {
        self.step("(all)", |_| Ok(())).await
    }

    async fn create_queue(&self, spec: &QueueSpec) -> Result<QueueId, BrokerError> {
        admin::check_spec(spec)?;
        let id = random_id(&spec.name)?;
        let mut spec = spec.clone();
        spec.retention = spec.retention.or(self.shared.retention);
        let name = spec.name.clone();
        self.step(&name, move |group| admin::create_queue(group, &spec, id))
            .await
    }

    async fn describe_queue(&self, queue: &str) -> Result<QueueDescription, BrokerError> {
        let queue = self.shared.registry.find(queue)?;
        Ok(self.shared.describe(&queue))
    }

    async fn update_queue(&self, queue: &str, update: &QueueUpdate) -> Result<(), BrokerError> {
        let found = self.shared.registry.find(queue)?;
        let update = update.clone();
        self.step(queue, move |group| {
            admin::update_queue(group, &found, &update)
        })
        .await
    }

    async fn delete_queue(&self, queue: &str, id: &QueueId) -> Result<(), BrokerError> {
        let Ok(found) = self.shared.registry.find(queue) else {
            return Ok(());
        };
        let id = id.clone();
        self.step(queue, move |group| admin::delete_queue(group, &found, &id))
            .await
    }

    async fn trim_queue(&self, queue: &str, before: &Positions) -> Result<(), BrokerError> {
        let found = self.shared.registry.find(queue)?;
        let before = before.clone();
        self.step(queue, move |group| {
            admin::trim_queue(group, &found, &before)
        })
        .await
    }

    async fn forget_positions(&self, family: &str) -> Result<(), BrokerError> {
        let queues = self.shared.registry.all();
        let family = family.to_owned();
        self.step("(all)", move |group| {
            admin::forget_positions(group, &queues, &family)
        })
        .await
    }

    async fn list_consumers(&self, queue: &str) -> Result<Vec<Consumer>, BrokerError> {
        Ok(self.shared.registry.find(queue)?.consumers())
    }

    /// Keeps the user's name and the state of his right; whoever opens a reader for him has
    /// checked his password.
    async fn grant(
        &self,
        queue: &str,
        credential: &Credential,
        lease: Lease,
    ) -> Result<(), BrokerError> {
        let found = self.shared.registry.find(queue)?;
        let username = credential.username.clone();
        self.step(queue, move |group| {
            admin::grant(group, &found, username, lease)
        })
        .await
    }

    async fn revoke(&self, queue: &str, username: &str) -> Result<(), BrokerError> {
        let Ok(found) = self.shared.registry.find(queue) else {
            return Ok(());
        };
        let username = username.to_owned();
        self.step(queue, move |group| admin::revoke(group, &found, username))
            .await
    }

    fn enforces(&self, rates: Rates) -> Rates {
        rates
    }

    async fn limit_reader(
        &self,
        queue: &str,
        username: &str,
        rates: Rates,
    ) -> Result<(), BrokerError> {
        let Ok(found) = self.shared.registry.find(queue) else {
            return Ok(());
        };
        let username = username.to_owned();
        self.step(queue, move |group| {
            admin::limit(group, &found, username, rates)
        })
        .await
    }

    async fn open_reader(
        &self,
        queue: &str,
        options: ReaderOptions,
    ) -> Result<Box<dyn QueueReader>, BrokerError> {
        let queue = self.shared.registry.find(queue)?;
        let reader = LocalReader::open(self.shared.clone(), queue, options, None);
        Ok(Box::new(reader.await?))
    }

    async fn open_writer(
        &self,
        queue: &str,
        options: WriterOptions,
    ) -> Result<Box<dyn QueueWriter>, BrokerError> {
        let queue = self.shared.registry.find(queue)?;
        let writer = LocalWriter::open(self.shared.clone(), queue, options);
        Ok(Box::new(writer.await?))
    }
}

impl Shared {
    fn describe(&self, queue: &Queue) -> QueueDescription {
        let state = queue.state.borrow();
        let ranges = state.partitions.iter();
        QueueDescription {
            id: queue.id.clone(),
            connection: Connection {
                kind: BrokerKind::Local,
                queue: queue.name.to_string(),
                servers: vec![self.server.clone()],
                security: self.security,
            },
            partitions: (0..)
                .zip(ranges.map(|range| (range.earliest, range.latest)))
                .collect(),
            retention: state.retention,
            retention_bytes: state.retention_bytes,
            limits_hold: true,
        }
    }
}

fn random_id(queue: &str) -> Result<QueueId, BrokerError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| store::storage_error(queue, &error))?;
    Ok(QueueId(format!("{:032x}", u128::from_be_bytes(id))))
}
