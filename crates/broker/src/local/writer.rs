//! Writing on behalf of a processor: chunks in order, several on their way at once.

use std::collections::VecDeque;
use std::slice;
use std::sync::Arc;

use async_trait::async_trait;
use eson_protocol::{Positions, Record, StorePosition};

use super::append::{append_of_session, check_sizes, held};
use super::committer::{Outcome, Subject};
use super::group::check_session;
use super::registry::{Queue, WriterSession};
use super::{Shared, store::storage_error};
use crate::{BrokerError, Chunk, Delivery, Epochs, Payload, QueueWriter, Reached, WriterOptions};

/// Writes a queue of this process.
pub(super) struct LocalWriter {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    session: Arc<WriterSession>,
    /// Processor and source; empty where no positions are stored.
    processor: String,
    stored: Reached,
    buffer: usize,
    /// What is handed over and not yet acknowledged, in order.
    pending: VecDeque<Pending>,
    pending_bytes: usize,
}

struct Pending {
    outcome: Outcome<()>,
    bytes: usize,
}

impl LocalWriter {
    pub(super) async fn open(
        shared: Arc<Shared>,
        queue: Arc<Queue>,
        options: WriterOptions,
    ) -> Result<Self, BrokerError> {
        let processor = options.processor.map(|it| it.to_string());
        // From here on, whatever becomes of the caller, the session is closed in the end.
        let mut writer = Self {
            shared,
            queue,
            session: Arc::new(WriterSession::default()),
            processor: processor.unwrap_or_default(),
            stored: Reached::default(),
            buffer: options.buffer,
            pending: VecDeque::new(),
            pending_bytes: 0,
        };
        if !writer.processor.is_empty() {
            writer.take_over().await?;
        }
        Ok(writer)
    }

    /// Becomes the one writer of its processor, and goes on where that had come.
    async fn take_over(&mut self) -> Result<(), BrokerError> {
        let (queue, session) = (self.queue.clone(), self.session.clone());
        let processor = self.processor.clone();
        let subject = Subject::queue(&queue.name);
        let step =
            move |group: &mut super::group::Group<'_>| group.take_over(&queue, &processor, session);
        self.stored = self.shared.committer.run(subject, step).await?;
        for (&partition, &next) in &self.stored.positions {
            self.session.acknowledge(partition, next);
        }
        Ok(())
    }

    /// Takes off what is acknowledged by now.
    fn take_acknowledged(&mut self) -> Result<(), BrokerError> {
        while let Some(outcome) = self.pending.front_mut().and_then(|it| it.outcome.poll()) {
            self.forget_oldest();
            outcome?;
        }
        Ok(())
    }

    async fn submit(
        &mut self,
        position: StorePosition,
        records: Vec<Record>,
        bytes: usize,
    ) -> Result<(), BrokerError> {
        let subject = Subject {
            queue: self.queue.name.clone(),
            session: Some(self.session.clone()),
            bytes,
        };
        let (queue, session) = (self.queue.clone(), self.session.clone());
        let step = move |group: &mut super::group::Group<'_>| {
            append_of_session(group, &queue, session, &position, &records)
        };
        let outcome = self.shared.committer.submit(subject, step).await?;
        self.pending.push_back(Pending { outcome, bytes });
        self.pending_bytes += bytes;
        Ok(())
    }

    async fn wait_for_oldest(&mut self) -> Result<(), BrokerError> {
        let Some(oldest) = self.pending.front_mut() else {
            return Ok(());
        };
        let outcome = oldest.outcome.wait().await;
        self.forget_oldest();
        outcome
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.pending.pop_front() {
            self.pending_bytes -= oldest.bytes;
        }
    }
}

#[async_trait]
impl QueueWriter for LocalWriter {
    fn partitions(&self) -> u32 {
        self.queue.partitions()
    }

    fn delivery(&self) -> Delivery {
        // Where positions are stored, it is in one step with the records.
        match self.processor.is_empty() {
            true => Delivery::AtLeastOnce,
            false => Delivery::ExactlyOnce,
        }
    }

    fn takes_encoded(&self) -> bool {
        false
    }

    fn stored(&self) -> Positions {
        self.stored.positions.clone()
    }

    fn epochs(&self) -> Epochs {
        self.stored.epochs.clone()
    }

    fn refuses(&self, record: &Record) -> Option<BrokerError> {
        check_sizes(
            &self.queue.name,
            slice::from_ref(record),
            self.shared.max_event,
        )
        .err()
    }

    async fn write(&mut self, partition: u32, chunk: Chunk) -> Result<(), BrokerError> {
        check_session(&self.queue, &self.session)?;
        self.take_acknowledged()?;
        let Payload::Records(records) = chunk.payload else {
            let cause = "encoded batches were handed to a queue that takes records only";
            return Err(storage_error(&self.queue.name, &cause));
        };
        check_sizes(&self.queue.name, &records, self.shared.max_event)?;
        let bytes = records.iter().map(held).sum();
        while !self.pending.is_empty() && self.pending_bytes + bytes > self.buffer {
            self.wait_for_oldest().await?;
        }
        let position = StorePosition {
            processor: self.processor.clone(),
            partition: chunk.partition,
            first: chunk.first,
            next: chunk.next,
            to: partition,
            epoch: chunk.epoch,
        };
        self.submit(position, records, bytes).await
    }

    async fn store_back(&mut self, partition: u32, from: u64, to: u64) -> Result<(), BrokerError> {
        let position = StorePosition {
            processor: self.processor.clone(),
            partition,
            first: from,
            next: to,
            to: 0,
            epoch: None,
        };
        self.submit(position, Vec::new(), 0).await
    }

    async fn flush(&mut self) -> Result<(), BrokerError> {
        while !self.pending.is_empty() {
            self.wait_for_oldest().await?;
        }
        check_session(&self.queue, &self.session)
    }

    fn acknowledged(&self) -> Positions {
        self.session.acknowledged()
    }
}

impl Drop for LocalWriter {
    fn drop(&mut self) {
        self.session.close();
    }
}
