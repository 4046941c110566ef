//! Opening both ends of a leg, and where reading begins.

use std::collections::BTreeMap;
use std::sync::Arc;

use eson_broker::{
    Broker, BrokerError, Chunk, Payload, ProcessorSource, QueueDescription, QueueId, QueueWriter,
    ReaderOptions, WriterOptions,
};
use eson_protocol::{Positions, Start};

use super::annotation::Annotation;
use super::copy::Copying;
use super::examination::Examination;
use super::passage::Opened;
use super::refusal::Search;
use super::succession::Succession;
use crate::brokers::BrokerFactory;
use crate::dead_letters::DeadLetters;
use crate::endpoint::Endpoint;
use crate::partition::Mapping;
use crate::report::{LegReport, Progress, Trouble};
use crate::schema_ids::SharedTranslation;
use crate::source::{Feed, SharedReads};
use crate::spec::LegSpec;
use crate::turns::Place;

/// What is needed to open both ends.
pub(super) struct Opening<'a> {
    pub(super) report: &'a Arc<LegReport>,
    pub(super) spec: &'a LegSpec,
    pub(super) destination: &'a Endpoint,
    /// How many bytes the reader, and as many the writer, may hold.
    pub(super) buffer: usize,
    pub(super) brokers: &'a Arc<dyn BrokerFactory>,
    pub(super) reads: &'a Arc<SharedReads>,
    pub(super) place: &'a Option<Arc<Place>>,
    /// What is looked for since the leg was open before.
    pub(super) search: &'a Search,
    /// Replaces ids of schemas, where that is asked for.
    pub(super) ids: &'a Option<SharedTranslation>,
}

impl Opening<'_> {
    /// Opens the writer first: it takes over from one that may still be there, and only then are
    /// the positions what they stay.
    pub(super) async fn open(self) -> Result<Opened<Copying>, Trouble> {
        if let Some(ids) = self.ids {
            ids.lock().await.check().await?;
        }
        let newcomer = self.reads.gathering.enter();
        let from = self.source_broker().await?;
        let description = self.describe_source(&*from).await?;
        let succession = Succession::find(self.spec, self.report, &description);
        let succession = succession.map_err(|e| Trouble::at_source(&e))?;
        let afresh = succession.as_ref().map(|_| Succession::afresh(self.spec));
        let spec = afresh.as_ref().unwrap_or(self.spec);
        let to = self.destination_broker(&description.id).await?;
        let mut writer = self.open_writer(&*to, &description.id).await?;
        let succession = succession.filter(|_| writer.stored().is_empty());
        let succeeded = succession.map(|it| it.begin(spec.on_gap, self.report));
        let succeeded = succeeded.transpose()?;
        let positions = begin(spec, &description, &mut *writer).await?;
        let epochs = writer.epochs();
        let passage = self.copying(writer, to, description.partitions.len() as u32)?;
        let options = ReaderOptions {
            start: match spec.start {
                // Resolved by now; a partition without position is a new one.
                Start::Latest => Start::Earliest,
                other => other,
            },
            positions: positions.clone(),
            epochs,
            encoded: passage.takes_encoded(),
            buffer: self.buffer,
        };
        let queue = &self.spec.source.queue;
        let reads = self.reads.clone();
        let feed = Feed::open(reads, from.clone(), queue, options, &description);
        let feed = feed.await.map_err(|e| Trouble::at_source(&e))?;
        if feed.is_behind() {
            newcomer.wait_for_others().await;
        }
        Ok(Opened {
            feed,
            buffer: self.buffer,
            progress: progress(&description, &positions, spec.start),
            succeeded,
            source: description.id,
            destination_partitions: passage.writer.partitions(),
            delivery: passage.writer.delivery(),
            stored: positions,
            passage,
            _broker: from,
        })
    }

    fn copying(
        &self,
        writer: Box<dyn QueueWriter>,
        broker: Arc<dyn Broker>,
        partitions: u32,
    ) -> Result<Copying, Trouble> {
        let source = &self.spec.source;
        let annotation = self.spec.annotate.then(|| Annotation::of(source));
        let dead_letters = self.spec.dead_letters.as_deref().map(|endpoint| {
            DeadLetters::new(endpoint.clone(), source, self.brokers.clone(), self.buffer)
        });
        let stored = writer.stored();
        let mut search = self.search.clone();
        search.settle(&stored);
        Ok(Copying {
            mapping: Mapping::between(partitions, writer.partitions()),
            annotation: annotation.transpose()?,
            examination: Examination {
                ids: self.ids.clone(),
                contract: self.spec.contract.clone(),
                report: self.report.clone(),
            },
            unfit: BTreeMap::new(),
            writer,
            dead_letters,
            search,
            report: self.report.clone(),
            place: self.place.clone(),
            dirty: false,
            handed_over: Positions::new(),
            stored,
            _broker: broker,
        })
    }

    async fn source_broker(&self) -> Result<Arc<dyn Broker>, Trouble> {
        let broker = self.brokers.broker(&self.spec.source).await;
        broker.map_err(|e| Trouble::at_source(&e))
    }

    async fn describe_source(&self, broker: &dyn Broker) -> Result<QueueDescription, Trouble> {
        let described = broker.describe_queue(&self.spec.source.queue).await;
        described.map_err(|e| Trouble::at_source(&e))
    }

    /// The destination's broker, once it is clear that the queue is the one that is meant.
    async fn destination_broker(&self, source: &QueueId) -> Result<Arc<dyn Broker>, Trouble> {
        let find = async {
            let broker = self.brokers.broker(self.destination).await?;
            let queue = broker.describe_queue(&self.destination.queue).await?;
            let expected = self.destination.queue_id.as_ref();
            check_identity(self.destination, expected, &queue)?;
            Ok((broker, queue))
        };
        let found: Result<_, BrokerError> = find.await;
        let (broker, queue) = found.map_err(|e| Trouble::at_destination(&e))?;
        if queue.id == *source {
            let name = &self.spec.source.queue;
            let text = format!("`{name}` is source and destination under two addresses");
            return Err(Trouble::own(text));
        }
        Ok(broker)
    }

    async fn open_writer(
        &self,
        broker: &dyn Broker,
        source: &QueueId,
    ) -> Result<Box<dyn QueueWriter>, Trouble> {
        let options = WriterOptions {
            processor: Some(ProcessorSource {
                processor: self.report.id().to_owned(),
                source: source.0.clone(),
            }),
            buffer: self.buffer,
            delivery: self.spec.delivery,
            commit_interval: self.spec.commit_interval,
        };
        let writer = broker.open_writer(&self.destination.queue, options).await;
        let writer = writer.map_err(|e| Trouble::at_destination(&e))?;
        let (told, known) = (self.destination.partitions, writer.partitions());
        if known < told {
            let queue = &self.destination.queue;
            let text = format!("only {known} of the {told} partitions of `{queue}` are there yet");
            return Err(Trouble::not_yet_at_destination(text));
        }
        Ok(writer)
    }
}

/// Where reading begins. A leg that starts at the latest record stores where that was before
/// it reads anything, so that a restart goes on there and does not skip what has come since.
async fn begin(
    spec: &LegSpec,
    source: &QueueDescription,
    writer: &mut dyn QueueWriter,
) -> Result<Positions, Trouble> {
    let mut positions = writer.stored();
    let Some(first) = source.partitions.keys().next() else {
        return Ok(positions);
    };
    let given = |partition: &u32, latest| given(&spec.cursor, *partition, latest);
    // The first partition is stored last: with it, all were.
    if spec.start != Start::Latest || positions.contains_key(first) {
        for (partition, (_, latest)) in &source.partitions {
            if let Some(offset) = given(partition, *latest) {
                positions.entry(*partition).or_insert(offset);
            }
        }
        return Ok(positions);
    }
    let missing = source
        .partitions
        .iter()
        .rev()
        .filter(|(partition, _)| !positions.contains_key(partition))
        .map(|(partition, (_, latest))| {
            let offset = given(partition, *latest).unwrap_or(*latest);
            (*partition, offset)
        });
    let missing: Vec<_> = missing.collect();
    store_positions(writer, &missing)
        .await
        .map_err(|e| Trouble::at_destination(&e))?;
    positions.extend(missing);
    Ok(positions)
}

/// Where a cursor says to begin in a partition, which is no later than at its end; none where it says
/// nothing.
pub(crate) fn given(cursor: &Positions, partition: u32, latest: u64) -> Option<u64> {
    let offset = cursor.get(&partition)?;
    Some(latest.min(*offset))
}

pub(crate) fn check_identity(
    endpoint: &Endpoint,
    expected: Option<&QueueId>,
    found: &QueueDescription,
) -> Result<(), BrokerError> {
    match expected {
        Some(expected) if *expected != found.id => Err(BrokerError::Replaced {
            queue: endpoint.queue.clone(),
            expected: expected.to_string(),
            found: found.id.to_string(),
        }),
        _ => Ok(()),
    }
}

/// Stores positions in the given order, the last one after all others.
pub(crate) async fn store_positions(
    writer: &mut dyn QueueWriter,
    positions: &[(u32, u64)],
) -> Result<(), BrokerError> {
    let partitions = writer.partitions().max(1);
    let Some((last, others)) = positions.split_last() else {
        return Ok(());
    };
    for (partition, next) in others {
        let chunk = position_only(*partition, *next, *next);
        writer.write(partition % partitions, chunk).await?;
    }
    writer.flush().await?;
    writer
        .write(last.0 % partitions, position_only(last.0, last.1, last.1))
        .await?;
    writer.flush().await
}

/// A chunk that says that there is nothing to copy from `first` to before `next`.
pub(super) fn position_only(partition: u32, first: u64, next: u64) -> Chunk {
    Chunk {
        partition,
        first,
        next,
        high_watermark: next,
        epoch: None,
        payload: Payload::Records(Vec::new()),
    }
}

pub(crate) fn progress(
    source: &QueueDescription,
    positions: &Positions,
    start: Start,
) -> BTreeMap<u32, Progress> {
    source
        .partitions
        .iter()
        .map(|(partition, (earliest, latest))| {
            let begin = match start {
                // The latest is stored by now: a partition without position is a new one.
                Start::Earliest | Start::Latest => *earliest,
                // What is before the time is not waited for; where that is, the reader finds out.
                Start::Timestamp(_) => *latest,
            };
            let progress = Progress {
                written: positions.get(partition).copied().unwrap_or(begin),
                high_watermark: *latest,
            };
            (*partition, progress)
        })
        .collect()
}
