//! A real broker that fails where a test wants it to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use eson_broker::{
    Broker, BrokerError, Chunk, Consumer, Credential, Delivery, Epochs, Lease, Payload,
    QueueDescription, QueueId, QueueReader, QueueSpec, QueueUpdate, QueueWriter, Rates,
    ReaderOptions, WriterOptions,
};
use eson_protocol::{BrokerKind, Positions, Record};
use tokio::sync::{Notify, watch};

/// What goes wrong. Everything works by default.
#[derive(Default)]
pub(crate) struct Faults {
    /// Every so many writes one fails before anything is written; 0: none.
    pub(crate) fail_writes: AtomicU64,
    /// Every so many writes one is written and reported as failed; 0: none.
    pub(crate) lose_acknowledgements: AtomicU64,
    /// Nobody answers.
    pub(crate) down: AtomicBool,
    /// Writes to this queue never end, while it is set.
    pub(crate) stuck: Mutex<Option<String>>,
    /// Opening a writer of this queue takes as long as it is set.
    pub(crate) slow_to_open: watch::Sender<Option<String>>,
    /// How often opening a writer of each queue has begun.
    openings: watch::Sender<BTreeMap<String, u64>>,
    /// What readers meet, once.
    pub(crate) read_error: Mutex<Option<BrokerError>>,
    /// What writers meet, once.
    pub(crate) write_error: Mutex<Option<BrokerError>>,
    /// The offsets in the source of records that writers take, and then say to be refused; nothing
    /// behind such a record is written.
    pub(crate) refused: Mutex<BTreeSet<u64>>,
    /// What opening a reader meets, until it is taken away.
    pub(crate) open_error: Mutex<Option<BrokerError>>,
    /// Under which leader everything that is read was written, as a source with leaders tells it.
    pub(crate) epoch: Mutex<Option<i32>>,
    /// What readers were told when they were opened, the last one of each queue.
    known_epochs: Mutex<BTreeMap<String, Epochs>>,
    read_error_set: Notify,
    writes: AtomicU64,
    chunks: AtomicU64,
}

impl Faults {
    /// Readers, also those that wait, meet this.
    pub(crate) fn fail_reading(&self, error: BrokerError) {
        *self.read_error.lock().expect("no panic") = Some(error);
        self.read_error_set.notify_one();
    }

    /// Readers meet that the log of partition 0 was cut off at `end`, behind which they are.
    pub(crate) fn cut_off(&self, queue: &str, read: u64, end: u64) {
        self.fail_reading(BrokerError::Truncated {
            queue: queue.to_owned(),
            partition: 0,
            read,
            end,
        });
    }

    /// How many chunks were read.
    pub(crate) fn chunks(&self) -> u64 {
        self.chunks.load(Ordering::Relaxed)
    }

    /// What the queue's last reader was told of its leaders; none where there was no reader.
    pub(crate) fn known_epochs(&self, queue: &str) -> Option<Epochs> {
        self.known_epochs
            .lock()
            .expect("no panic")
            .get(queue)
            .cloned()
    }

    /// How often opening a writer of a queue has begun, once it has.
    pub(crate) async fn openings(&self, queue: &str) -> u64 {
        let mut openings = self.openings.subscribe();
        let begun = openings.wait_for(|openings| openings.contains_key(queue));
        // Its sender lives as long as this.
        begun.await.expect("a sender")[queue]
    }

    async fn begin_to_open(&self, queue: &str) {
        self.openings.send_modify(|openings| {
            *openings.entry(queue.to_owned()).or_default() += 1;
        });
        let mut slow = self.slow_to_open.subscribe();
        let open = slow.wait_for(|slow| slow.as_deref() != Some(queue));
        open.await.expect("a sender");
    }

    fn note_epochs(&self, queue: &str, epochs: &Epochs) {
        self.known_epochs
            .lock()
            .expect("no panic")
            .insert(queue.to_owned(), epochs.clone());
    }

    fn check_up(&self) -> Result<(), BrokerError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(unreachable("it is down"));
        }
        Ok(())
    }

    fn is_stuck(&self, queue: &str) -> bool {
        let stuck = self.stuck.lock().expect("no panic");
        stuck.as_deref() == Some(queue)
    }

    fn turn(&self, every: &AtomicU64) -> bool {
        let every = every.load(Ordering::Relaxed);
        every > 0 && self.writes.load(Ordering::Relaxed).is_multiple_of(every)
    }
}

fn unreachable(cause: &str) -> BrokerError {
    BrokerError::Unreachable {
        server: "faulty".to_owned(),
        cause: cause.to_owned(),
    }
}

fn take(error: &Mutex<Option<BrokerError>>) -> Result<(), BrokerError> {
    error.lock().expect("no panic").take().map_or(Ok(()), Err)
}

/// A real broker that fails where a test wants it to.
pub(crate) struct Faulty {
    broker: Arc<dyn Broker>,
    faults: Arc<Faults>,
}

impl Faulty {
    pub(crate) fn new(broker: Arc<dyn Broker>, faults: Arc<Faults>) -> Self {
        Self { broker, faults }
    }
}

#[async_trait]
impl Broker for Faulty {
    fn kind(&self) -> BrokerKind {
        self.broker.kind()
    }

    async fn check(&self) -> Result<(), BrokerError> {
        self.broker.check().await
    }

    async fn create_queue(&self, spec: &QueueSpec) -> Result<QueueId, BrokerError> {
        self.broker.create_queue(spec).await
    }

    async fn describe_queue(&self, queue: &str) -> Result<QueueDescription, BrokerError> {
        self.faults.check_up()?;
        self.broker.describe_queue(queue).await
    }

    async fn update_queue(&self, queue: &str, update: &QueueUpdate) -> Result<(), BrokerError> {
        self.broker.update_queue(queue, update).await
    }

    async fn delete_queue(&self, queue: &str, id: &QueueId) -> Result<(), BrokerError> {
        self.broker.delete_queue(queue, id).await
    }

    async fn trim_queue(&self, queue: &str, before: &Positions) -> Result<(), BrokerError> {
        self.broker.trim_queue(queue, before).await
    }

    async fn forget_positions(&self, family: &str) -> Result<(), BrokerError> {
        self.broker.forget_positions(family).await
    }

    async fn list_consumers(&self, queue: &str) -> Result<Vec<Consumer>, BrokerError> {
        self.broker.list_consumers(queue).await
    }

    async fn grant(
        &self,
        queue: &str,
        credential: &Credential,
        lease: Lease,
    ) -> Result<(), BrokerError> {
        self.broker.grant(queue, credential, lease).await
    }

    async fn revoke(&self, queue: &str, username: &str) -> Result<(), BrokerError> {
        self.broker.revoke(queue, username).await
    }

    fn enforces(&self, rates: Rates) -> Rates {
        self.broker.enforces(rates)
    }

    async fn limit_reader(
        &self,
        queue: &str,
        username: &str,
        rates: Rates,
    ) -> Result<(), BrokerError> {
        self.broker.limit_reader(queue, username, rates).await
    }

    async fn open_reader(
        &self,
        queue: &str,
        options: ReaderOptions,
    ) -> Result<Box<dyn QueueReader>, BrokerError> {
        self.faults.check_up()?;
        if let Some(error) = &*self.faults.open_error.lock().expect("no panic") {
            return Err(error.clone());
        }
        self.faults.note_epochs(queue, &options.epochs);
        let reader = self.broker.open_reader(queue, options.clone()).await?;
        Ok(Box::new(FaultyReader {
            broker: self.broker.clone(),
            queue: queue.to_owned(),
            options,
            reader,
            faults: self.faults.clone(),
        }))
    }

    async fn open_writer(
        &self,
        queue: &str,
        options: WriterOptions,
    ) -> Result<Box<dyn QueueWriter>, BrokerError> {
        self.faults.check_up()?;
        self.faults.begin_to_open(queue).await;
        let writer = self.broker.open_writer(queue, options).await?;
        let faults = self.faults.clone();
        Ok(Box::new(FaultyWriter {
            queue: queue.to_owned(),
            writer,
            faults,
            refused: false,
        }))
    }
}

struct FaultyReader {
    broker: Arc<dyn Broker>,
    queue: String,
    options: ReaderOptions,
    reader: Box<dyn QueueReader>,
    faults: Arc<Faults>,
}

impl FaultyReader {
    /// Meets an error as a reader does: after a log was cut off it goes on there.
    async fn meet(&mut self) -> Result<(), BrokerError> {
        let met = take(&self.faults.read_error);
        if let Err(BrokerError::Truncated { partition, end, .. }) = &met {
            self.options.positions.insert(*partition, *end);
            let options = self.options.clone();
            self.reader = self.broker.open_reader(&self.queue, options).await?;
        }
        met
    }
}

#[async_trait]
impl QueueReader for FaultyReader {
    fn partitions(&self) -> u32 {
        self.reader.partitions()
    }

    async fn next(&mut self) -> Result<Chunk, BrokerError> {
        loop {
            self.meet().await?;
            tokio::select! {
                chunk = self.reader.next() => {
                    self.faults.chunks.fetch_add(1, Ordering::Relaxed);
                    let epoch = *self.faults.epoch.lock().expect("no panic");
                    return chunk.map(|chunk| Chunk { epoch, ..chunk });
                }
                () = self.faults.read_error_set.notified() => {}
            }
        }
    }
}

struct FaultyWriter {
    queue: String,
    writer: Box<dyn QueueWriter>,
    faults: Arc<Faults>,
    /// Whether it has something to say of what it took before.
    refused: bool,
}

impl FaultyWriter {
    fn check_taken(&self) -> Result<(), BrokerError> {
        match self.refused {
            false => Ok(()),
            true => Err(BrokerError::Refused {
                queue: self.queue.clone(),
                cause: "it is not liked".to_owned(),
            }),
        }
    }
}

#[async_trait]
impl QueueWriter for FaultyWriter {
    fn partitions(&self) -> u32 {
        self.writer.partitions()
    }

    fn takes_encoded(&self) -> bool {
        self.writer.takes_encoded()
    }

    fn delivery(&self) -> Delivery {
        self.writer.delivery()
    }

    fn stored(&self) -> Positions {
        self.writer.stored()
    }

    fn epochs(&self) -> Epochs {
        self.writer.epochs()
    }

    fn refuses(&self, record: &Record) -> Option<BrokerError> {
        self.writer.refuses(record)
    }

    async fn write(&mut self, partition: u32, chunk: Chunk) -> Result<(), BrokerError> {
        self.faults.check_up()?;
        self.check_taken()?;
        let refused = self.faults.refused.lock().expect("no panic").clone();
        if let Payload::Records(records) = &chunk.payload
            && records.iter().any(|it| refused.contains(&it.offset))
        {
            self.refused = true;
            return Ok(());
        }
        take(&self.faults.write_error)?;
        if self.faults.is_stuck(&self.queue) {
            std::future::pending::<()>().await;
        }
        self.faults.writes.fetch_add(1, Ordering::Relaxed);
        if self.faults.turn(&self.faults.fail_writes) {
            return Err(unreachable("the connection broke before the write"));
        }
        self.writer.write(partition, chunk).await?;
        if self.faults.turn(&self.faults.lose_acknowledgements) {
            return Err(unreachable("the connection broke after the write"));
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), BrokerError> {
        self.faults.check_up()?;
        self.check_taken()?;
        self.writer.flush().await
    }

    async fn store_back(&mut self, partition: u32, from: u64, to: u64) -> Result<(), BrokerError> {
        self.faults.check_up()?;
        self.writer.store_back(partition, from, to).await
    }

    fn acknowledged(&self) -> Positions {
        self.writer.acknowledged()
    }

    async fn close(&mut self) {
        self.writer.close().await;
    }
}
