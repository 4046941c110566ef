//! WRITE FLOW and GET POSITIONS: events from a session into a queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use eson_broker::{
    AppendTo, BrokerError, Chunk, LocalBroker, Partitioner, Payload, QueueWriter, WriterOptions,
};
use eson_protocol::event::WrittenEvent;
use eson_protocol::{Name, Reason, Record, Reply, Right, Status, StorePosition};
use eson_schema::Contract;

use super::lines::attribute;
use super::{Answer, Request};
use crate::authority::Role;
use crate::participant::BrokerEntry;
use crate::reconcile::queue::failure;

/// How many bytes a writer may hold that are not yet acknowledged.
const BUFFER: usize = 8 << 20;

/// A queue that the caller may write.
pub(crate) struct Writable<'a> {
    entry: &'a BrokerEntry,
    queue: String,
    /// What events must be. What a processor copies was judged where it was written.
    pub(crate) contract: Arc<Contract>,
}

impl Request<'_> {
    /// The queue of a flow, or of a copy for our own processors.
    pub(crate) async fn writable(
        &self,
        name: &Name,
        position: Option<&StorePosition>,
    ) -> Result<Writable<'_>, Status> {
        let is_processor = self.caller.role == Role::Processor;
        if position.is_some() && !is_processor {
            return Err(Status::denied(
                "only this FNAA's own processors store positions",
            ));
        }
        if is_processor && let Some(subscriber) = self.readable_copy(name).await? {
            let entry = self
                .participant
                .brokers
                .require(&subscriber.status.broker)?;
            let queue = entry
                .subscriber_queue(&subscriber)
                .map_err(|failure| failure.to_status())?;
            let contract = Arc::default();
            return Ok(Writable {
                entry,
                queue,
                contract,
            });
        }
        let flow = self
            .participant
            .authorized_flow(self.caller, Right::Write, name)
            .await?;
        let spec = flow.resource.spec;
        let entry = self.participant.brokers.require(&spec.broker)?;
        let contract = match is_processor {
            true => Arc::default(),
            false => self.participant.contract(&spec).await?,
        };
        Ok(Writable {
            entry,
            queue: spec.queue,
            contract,
        })
    }

    /// GET POSITIONS: up to where a processor of ours has written into the flow.
    pub(super) async fn list_positions(&self, flow: Name, processor: String) -> Answer {
        if self.caller.role != Role::Processor {
            return Err(Status::denied(
                "only this FNAA's own processors store positions",
            ));
        }
        let writable = self.writable(&flow, None).await?;
        let Some(local) = &writable.entry.local else {
            return Err(Status::unsupported(format!(
                "{flow} keeps its positions at its broker"
            )));
        };
        let reached = local.reached(&writable.queue, &processor).await;
        let reached = reached.map_err(|error| failure(&error).to_status())?;
        let lines = reached
            .iter()
            .map(|(partition, position)| attribute(&partition.to_string(), position));
        Ok(Reply::data(lines.collect()))
    }
}

impl Writable<'_> {
    /// Writes the events and waits until the broker has acknowledged all.
    pub(crate) async fn write(
        &self,
        mut events: Vec<WrittenEvent>,
        position: Option<StorePosition>,
        now: u64,
    ) -> Answer {
        for event in events.iter_mut().filter(|event| event.record.timestamp < 0) {
            event.record.timestamp = i64::try_from(now).unwrap_or(i64::MAX);
        }
        let written = match &self.entry.local {
            Some(local) => append(local, &self.queue, events, position).await,
            None => self.produce(events).await,
        };
        written
            .map(|count| Status::done_with(count).into())
            .map_err(|failed| failed.status())
    }

    async fn produce(&self, events: Vec<WrittenEvent>) -> Result<u64, Failed> {
        let options = WriterOptions::new(None, BUFFER);
        let writer = self.entry.broker.open_writer(&self.queue, options).await;
        let mut writer = writer.map_err(Failed::nothing_written)?;
        let result = hand_over(writer.as_mut(), &self.queue, events).await;
        let written = writer.acknowledged().values().sum();
        result
            .map(|()| written)
            .map_err(|error| Failed { error, written })
    }
}

/// A batch that was not written as a whole.
struct Failed {
    error: BrokerError,
    written: u64,
}

impl Failed {
    fn nothing_written(error: BrokerError) -> Self {
        Self { error, written: 0 }
    }

    fn status(&self) -> Status {
        let mut status = failure(&self.error).to_status();
        if matches!(self.error, BrokerError::TooLarge { .. }) {
            status.reason = Some(Reason("TOOLARGE".to_owned()));
        }
        if self.written > 0 {
            status.text = format!(
                "{} events were acknowledged, then: {}",
                self.written, status.text
            );
        }
        status
    }
}

/// All or nothing. What a processor writes goes where each of its lines says.
async fn append(
    local: &LocalBroker,
    queue: &str,
    events: Vec<WrittenEvent>,
    position: Option<StorePosition>,
) -> Result<u64, Failed> {
    let default = position.as_ref().map(|position| position.to);
    let partitions = events.iter().map(|event| event.partition.or(default));
    let to = AppendTo::Each(partitions.collect());
    let records = events.into_iter().map(|event| event.record).collect();
    let written = local.append(queue, to, records, position).await;
    written.map_err(Failed::nothing_written)
}

async fn hand_over(
    writer: &mut dyn QueueWriter,
    queue: &str,
    events: Vec<WrittenEvent>,
) -> Result<(), BrokerError> {
    let partitions = writer.partitions();
    let by_key = Partitioner::new().batch(partitions);
    let mut groups: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
    for event in events {
        let key = event.record.key.as_deref();
        let partition = event.partition.unwrap_or_else(|| by_key.partition(key));
        if partition >= partitions {
            let cause = format!("there is no partition {partition}, but {partitions}");
            return Err(BrokerError::Invalid {
                queue: queue.to_owned(),
                cause,
            });
        }
        groups.entry(partition).or_default().push(event.record);
    }
    for (partition, records) in groups {
        let next = records.len() as u64;
        let payload = Payload::Records(records);
        let chunk = Chunk {
            partition,
            first: 0,
            next,
            high_watermark: next,
            epoch: None,
            payload,
        };
        writer.write(partition, chunk).await?;
    }
    writer.flush().await
}
