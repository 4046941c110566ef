//! Writing a topic: chunks become batches, and go to a sender in the background.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use eson_protocol::{Positions, Record};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::batch::Batch;
use super::cluster::{Cluster, Topic};
use super::lane::{self, Content};
use super::positions::PositionStore;
use super::produce::Author;
use super::records::{self, BatchBuilder};
use super::sender::{Command, Commits, Sender, Shared, lock};
use super::{producer, settings};
use crate::backoff::Backoff;
use crate::{BrokerError, Chunk, Delivery, Epochs, Payload, QueueWriter, Reached, WriterOptions};

/// How many times larger than the limit an event may be that fits when it is packed: readers
/// have to unpack it.
const MAX_PACKING: usize = 4;

/// Chunks that may wait for the sender to look at them.
const COMMANDS: usize = 256;

/// What a chunk takes of the room beside its records.
const OVERHEAD: usize = 64;

/// Hands chunks to a [`Sender`].
pub(crate) struct KafkaWriter {
    queue: String,
    delivery: Delivery,
    limit: usize,
    buffer: usize,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    /// The sender ends when this is gone.
    alive: Option<oneshot::Sender<Infallible>>,
    task: JoinHandle<()>,
}

impl KafkaWriter {
    /// Takes over from the processor's former writer, and reads what that has stored.
    pub(crate) async fn open(
        cluster: Arc<Cluster>,
        queue: &str,
        options: WriterOptions,
    ) -> Result<Self, BrokerError> {
        check_interval(&cluster, queue, &options)?;
        let patience = cluster.config().request_timeout;
        let (topic, limit) = Backoff::retry(patience, || begin(&cluster, queue)).await?;
        let Opened {
            author,
            store,
            commits,
            reached,
        } = take_over(&cluster, &topic, &options).await?;
        let delivery = match commits {
            Some(_) => Delivery::ExactlyOnce,
            None => Delivery::AtLeastOnce,
        };
        // A permit for each byte; the semaphore counts in 32 bits.
        let buffer = options
            .buffer
            .clamp(OVERHEAD, Semaphore::MAX_PERMITS.min(1 << 30));
        let Reached { positions, epochs } = reached;
        let shared = Arc::new(Shared {
            acknowledged: Mutex::new(positions.clone()),
            stored: Mutex::new(positions),
            epochs,
            failure: OnceLock::new(),
            partitions: AtomicU32::new(topic.partitions()),
            room: Arc::new(Semaphore::new(buffer)),
        });
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (alive, gone) = oneshot::channel();
        let sender = Sender::new(
            cluster,
            topic,
            author,
            store,
            commits,
            limit,
            shared.clone(),
        );
        Ok(Self {
            queue: queue.to_owned(),
            delivery,
            limit,
            buffer,
            shared,
            commands,
            alive: Some(alive),
            task: tokio::spawn(sender.run(receiver, gone)),
        })
    }

    fn failure(&self) -> BrokerError {
        let failure = self.shared.failure.get().cloned();
        failure.unwrap_or_else(|| BrokerError::Unreachable {
            server: self.queue.clone(),
            cause: "the writer has ended".to_owned(),
        })
    }

    fn check_partition(&self, partition: u32) -> Result<(), BrokerError> {
        if partition < self.partitions() {
            return Ok(());
        }
        Err(BrokerError::Invalid {
            queue: self.queue.clone(),
            cause: format!("it has no partition {partition}"),
        })
    }

    /// Parts that fit into one batch each.
    fn contents(&self, payload: Payload) -> Result<Vec<Content>, BrokerError> {
        let mut contents = vec![];
        match payload {
            Payload::Records(records) => self.divide(records, &mut contents)?,
            Payload::Encoded(batches) => {
                let mut bytes = batches.bytes;
                while let Some(batch) =
                    Batch::take(&mut bytes).map_err(|cause| self.damaged(&cause))?
                {
                    if batch.is_forwardable() && batch.size() <= self.limit {
                        contents.push(Content::Batch(batch));
                    } else {
                        let records = records::decode(&batch, i64::MIN);
                        let records = records.map_err(|cause| self.damaged(&cause))?;
                        self.divide(records, &mut contents)?;
                    }
                }
            }
        }
        Ok(contents)
    }

    fn divide(&self, records: Vec<Record>, contents: &mut Vec<Content>) -> Result<(), BrokerError> {
        let bound = self.limit.min(lane::TARGET);
        let mut part = vec![];
        let mut size = 0;
        for record in records {
            let alone = records::size_alone(&record);
            if size + alone > bound && !part.is_empty() {
                contents.push(Content::Records(std::mem::take(&mut part)));
                size = 0;
            }
            if alone > self.limit {
                contents.push(self.pack_large(&record)?);
                continue;
            }
            size += alone;
            part.push(record);
        }
        if !part.is_empty() {
            contents.push(Content::Records(part));
        }
        Ok(())
    }

    /// A record that only fits when it is packed.
    fn pack_large(&self, record: &Record) -> Result<Content, BrokerError> {
        let mut builder = BatchBuilder::default();
        builder.push(record);
        let size = builder.size();
        let batch = builder.finish().map_err(|cause| self.damaged(&cause))?;
        if batch.size() > self.limit || size > MAX_PACKING * self.limit {
            return Err(BrokerError::TooLarge {
                queue: self.queue.clone(),
                size,
            });
        }
        Ok(Content::Batch(batch))
    }

    fn damaged(&self, cause: &io::Error) -> BrokerError {
        BrokerError::Invalid {
            queue: self.queue.clone(),
            cause: format!("the records can't be read: {cause}"),
        }
    }
}

#[async_trait]
impl QueueWriter for KafkaWriter {
    fn partitions(&self) -> u32 {
        self.shared.partitions.load(Ordering::Relaxed)
    }

    fn takes_encoded(&self) -> bool {
        true
    }

    fn delivery(&self) -> Delivery {
        self.delivery
    }

    fn stored(&self) -> Positions {
        lock(&self.shared.stored).clone()
    }

    fn epochs(&self) -> Epochs {
        self.shared.epochs.clone()
    }

    fn refuses(&self, record: &Record) -> Option<BrokerError> {
        let fits = records::size_alone(record) <= self.limit;
        (!fits).then(|| self.pack_large(record).err()).flatten()
    }

    fn unpack(&self, chunk: Chunk) -> Result<Chunk, BrokerError> {
        let Payload::Encoded(batches) = chunk.payload else {
            return Ok(chunk);
        };
        let from = i64::try_from(chunk.first).unwrap_or(i64::MAX);
        let mut bytes = batches.bytes;
        let mut all = Vec::new();
        while let Some(batch) = Batch::take(&mut bytes).map_err(|cause| self.damaged(&cause))? {
            let records = records::decode(&batch, from);
            all.extend(records.map_err(|cause| self.damaged(&cause))?);
        }
        Ok(Chunk {
            payload: Payload::Records(all),
            ..chunk
        })
    }

    async fn write(&mut self, partition: u32, chunk: Chunk) -> Result<(), BrokerError> {
        if let Some(failure) = self.shared.failure.get() {
            return Err(failure.clone());
        }
        self.check_partition(partition)?;
        let size = OVERHEAD + size(&chunk.payload);
        let contents = self.contents(chunk.payload)?;
        // Larger than all the room: alone, then.
        let permits = u32::try_from(size.min(self.buffer)).unwrap_or(u32::MAX);
        let room = self.shared.room.clone().acquire_many_owned(permits).await;
        let command = Command::Chunk {
            partition,
            source: chunk.partition,
            first: chunk.first,
            next: chunk.next,
            epoch: chunk.epoch,
            contents,
            room: room.map_err(|_| self.failure())?,
        };
        let sent = self.commands.send(command).await;
        sent.map_err(|_| self.failure())
    }

    async fn flush(&mut self) -> Result<(), BrokerError> {
        let (done, flushed) = oneshot::channel();
        let sent = self.commands.send(Command::Flush(done)).await;
        sent.map_err(|_| self.failure())?;
        flushed.await.map_err(|_| self.failure())
    }

    async fn store_back(&mut self, partition: u32, _: u64, to: u64) -> Result<(), BrokerError> {
        let back = Command::StoreBack {
            source: partition,
            to,
        };
        let sent = self.commands.send(back).await;
        sent.map_err(|_| self.failure())
    }

    fn acknowledged(&self) -> Positions {
        lock(&self.shared.acknowledged).clone()
    }

    async fn close(&mut self) {
        if self.alive.take().is_some()
            && let Err(error) = (&mut self.task).await
        {
            tracing::error!(queue = self.queue, %error, "the sender's task broke");
        }
    }
}

/// As whom a writer writes, and what it goes on from.
struct Opened {
    author: Author,
    store: Option<PositionStore>,
    commits: Option<Commits>,
    reached: Reached,
}

async fn take_over(
    cluster: &Arc<Cluster>,
    topic: &Topic,
    options: &WriterOptions,
) -> Result<Opened, BrokerError> {
    let Some(source) = &options.processor else {
        let producer = producer::anonymous(cluster, &topic.name.0).await?;
        return Ok(Opened {
            author: Author {
                producer,
                transaction: None,
            },
            store: None,
            commits: None,
            reached: Reached::default(),
        });
    };
    let opened = PositionStore::open(cluster.clone(), source, topic, options.delivery);
    let (store, reached) = opened.await?;
    Ok(Opened {
        author: store.author(),
        commits: (options.delivery == Delivery::ExactlyOnce)
            .then(|| Commits::new(&store, options.commit_interval)),
        store: Some(store),
        reached,
    })
}

/// A transaction that is aborted before it may be committed would never end well.
fn check_interval(
    cluster: &Cluster,
    queue: &str,
    options: &WriterOptions,
) -> Result<(), BrokerError> {
    let (interval, timeout) = (
        options.commit_interval,
        cluster.config().transaction_timeout,
    );
    if options.delivery == Delivery::AtLeastOnce || interval < timeout {
        return Ok(());
    }
    Err(BrokerError::Invalid {
        queue: queue.to_owned(),
        cause: format!(
            "a commit interval of {interval:?} needs a longer transaction timeout than {timeout:?}"
        ),
    })
}

async fn begin(cluster: &Cluster, queue: &str) -> Result<(Topic, usize), BrokerError> {
    let topic = cluster.topic(queue).await?;
    let limit = settings::max_message_bytes(cluster, queue).await?;
    Ok((topic, limit.unwrap_or(settings::DEFAULT_MAX_MESSAGE)))
}

fn size(payload: &Payload) -> usize {
    match payload {
        Payload::Records(records) => lane::size(records),
        Payload::Encoded(batches) => batches.bytes.len(),
    }
}
