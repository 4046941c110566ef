//! Reading a topic: our own assignment of all partitions, no consumer group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::cluster::{Cluster, Topic};
use super::fetched::Fetched;
use super::fetcher::{Event, Fetcher};
use super::offsets;
use crate::backoff::Backoff;
use crate::{BrokerError, Chunk, QueueReader, ReaderOptions};

/// How many events the fetcher may be ahead; how many bytes it may be is bounded elsewhere.
const EVENTS: usize = 16;

/// Takes what a [`Fetcher`] brings in the background apart into chunks.
pub(crate) struct KafkaReader {
    server: String,
    partitions: Arc<AtomicU32>,
    events: mpsc::Receiver<Event>,
    current: Option<Fetched>,
    failure: Option<BrokerError>,
    task: AbortHandle,
}

impl KafkaReader {
    /// Finds out where every partition begins and starts to fetch.
    pub(crate) async fn open(
        cluster: Arc<Cluster>,
        queue: &str,
        options: ReaderOptions,
    ) -> Result<Self, BrokerError> {
        let patience = cluster.config().request_timeout;
        let begin = || begin(&cluster, queue, &options);
        let (topic, cursors) = Backoff::retry(patience, begin).await?;
        let server = cluster.config().server_list();
        let partitions = Arc::new(AtomicU32::new(topic.partitions()));
        let (sender, events) = mpsc::channel(EVENTS);
        let fetcher = Fetcher::new(
            cluster,
            topic,
            cursors,
            &options,
            partitions.clone(),
            sender,
        );
        Ok(Self {
            server,
            partitions,
            events,
            current: None,
            failure: None,
            task: tokio::spawn(fetcher.run()).abort_handle(),
        })
    }

    fn fail(&mut self, error: BrokerError) -> BrokerError {
        self.current = None;
        self.failure = Some(error.clone());
        error
    }
}

#[async_trait]
impl QueueReader for KafkaReader {
    fn partitions(&self) -> u32 {
        self.partitions.load(Ordering::Relaxed)
    }

    async fn next(&mut self) -> Result<Chunk, BrokerError> {
        loop {
            if let Some(failure) = &self.failure {
                return Err(failure.clone());
            }
            if let Some(fetched) = &mut self.current {
                match fetched.next() {
                    Ok(Some(chunk)) => return Ok(chunk),
                    Ok(None) => self.current = None,
                    Err(cause) => {
                        let server = self.server.clone();
                        let cause = cause.to_string();
                        return Err(self.fail(BrokerError::Protocol { server, cause }));
                    }
                }
            }
            match self.events.recv().await {
                Some(Event::Fetched(fetched)) => self.current = Some(fetched),
                Some(Event::Notice(notice)) => return Err(notice),
                Some(Event::Failed(error)) => return Err(self.fail(error)),
                None => {
                    let server = self.server.clone();
                    let cause = "the reader has ended".to_owned();
                    return Err(self.fail(BrokerError::Unreachable { server, cause }));
                }
            }
        }
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The topic, and where each of its partitions begins.
async fn begin(
    cluster: &Cluster,
    queue: &str,
    options: &ReaderOptions,
) -> Result<(Topic, BTreeMap<u32, u64>), BrokerError> {
    let topic = cluster.topic(queue).await?;
    let known = |partition: &u32| options.positions.contains_key(partition);
    let unknown = (0..topic.partitions()).filter(|partition| !known(partition));
    let mut cursors = offsets::resolve(cluster, &topic, unknown, options.start).await?;
    for (partition, position) in &options.positions {
        if *partition < topic.partitions() {
            cursors.insert(*partition, *position);
        }
    }
    Ok((topic, cursors))
}
