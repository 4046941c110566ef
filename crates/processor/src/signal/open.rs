//! Opening a leg of a signal: its source, and a way to each destination.

use std::cmp::Reverse;
use std::sync::Arc;

use eson_broker::{QueueDescription, QueueId, Reached, ReaderOptions, WriterOptions};
use eson_protocol::{Positions, Start, StoredPosition};

use super::outlet::Outlet;
use super::place;
use super::program::Programs;
use super::run::{Processing, delivery};
use super::silence::Silence;
use super::spec::SignalSpec;
use super::windowed::{Delivered, Windowed};
use crate::brokers::BrokerFactory;
use crate::dead_letters::DeadLetters;
use crate::leg::{Opened, Succession, given, progress, store_positions};
use crate::report::{LegReport, Trouble};
use crate::source::{Feed, SharedReads};
use crate::spec::LegSpec;

/// What is needed to open a leg.
pub(crate) struct Opening<'a> {
    pub(crate) report: &'a Arc<LegReport>,
    pub(crate) spec: &'a LegSpec,
    pub(crate) signal: &'a Arc<SignalSpec>,
    /// How many bytes the reader, and as many the writers, may hold.
    pub(crate) buffer: usize,
    pub(crate) brokers: &'a Arc<dyn BrokerFactory>,
    pub(crate) reads: &'a Arc<SharedReads>,
    pub(crate) programs: &'a Programs,
    /// What the program has not answered before.
    pub(crate) silence: &'a Silence,
}

impl Opening<'_> {
    /// Opens the writers first: they take over from those that may still be there, and only then
    /// are the places what they stay.
    pub(crate) async fn open(self) -> Result<Opened<Processing>, Trouble> {
        let source = &self.spec.source;
        let broker = self.brokers.broker(source).await;
        let broker = broker.map_err(|e| Trouble::at_source(&e))?;
        let description = broker.describe_queue(&source.queue).await;
        let description = description.map_err(|e| Trouble::at_source(&e))?;
        let succession = Succession::find(self.spec, self.report, &description);
        let succession = succession.map_err(|e| Trouble::at_source(&e))?;
        let afresh = succession.as_ref().map(|_| Succession::afresh(self.spec));
        let spec = afresh.as_ref().unwrap_or(self.spec);
        let mut outlets = self.open_outlets(&description.id).await?;
        let delivered = outlets.iter().map(Delivered::by).collect();
        let windowed = self.open_windows(spec, &description, delivered).await?;
        let Reached { positions, epochs } = match &windowed {
            Some((_, read)) => read.clone(),
            None => begin(spec, &description, &mut outlets).await?,
        };
        let succession = succession.filter(|_| positions.is_empty());
        let succeeded = succession.map(|it| it.begin(spec.on_gap, self.report));
        let succeeded = succeeded.transpose()?;
        let options = ReaderOptions {
            start: match spec.start {
                // Stored by now; a partition without place is a new one.
                Start::Latest => Start::Earliest,
                other => other,
            },
            positions: positions.clone(),
            epochs,
            encoded: false,
            buffer: self.buffer,
        };
        let reads = self.reads.clone();
        let feed = Feed::open(reads, broker.clone(), &source.queue, options, &description);
        let feed = feed.await.map_err(|e| Trouble::at_source(&e))?;
        let delivery = delivery(&outlets);
        let mut passage = Processing {
            program: self.programs.open(&self.signal.program, self.silence),
            outlets,
            windowed: windowed.map(|(windowed, _)| windowed),
            dead_letters: self.dead_letters(),
            report: self.report.clone(),
            flow: source.flow.clone(),
            broker: broker.clone(),
            queue: source.queue.clone(),
            partitions: feed.partitions(),
            read: Reached::default(),
            dirty: false,
        };
        passage.write_backlog().await?;
        Ok(Opened {
            feed,
            passage,
            buffer: self.buffer,
            progress: progress(&description, &positions, spec.start),
            succeeded,
            source: description.id,
            destination_partitions: 0,
            delivery,
            stored: positions,
            _broker: broker,
        })
    }

    fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(
            self.signal.dead_letters.clone(),
            &self.spec.source,
            self.brokers.clone(),
            self.share(),
        )
    }

    /// The windows, and from where the source is to be read for them.
    async fn open_windows(
        &self,
        wanted: &LegSpec,
        source: &QueueDescription,
        outlets: Vec<Delivered>,
    ) -> Result<Option<(Windowed, Reached)>, Trouble> {
        let Some(spec) = &self.signal.window else {
            return Ok(None);
        };
        let windows = self.programs.windows(spec)?;
        let opened = Windowed::open(windows, self.report.id(), wanted, source, outlets);
        let opened = opened.await.map_err(|error| Trouble::of_windows(&error))?;
        Ok(Some(opened))
    }

    async fn open_outlets(&self, source: &QueueId) -> Result<Vec<Outlet>, Trouble> {
        let mut outlets = Vec::with_capacity(self.signal.destinations.len());
        for (number, destination) in self.signal.destinations.iter().enumerate() {
            let contract = self.signal.contracts.get(number).cloned();
            let options = WriterOptions {
                processor: Some(Outlet::author(self.report.id(), source)),
                buffer: self.share(),
                delivery: self.spec.delivery,
                commit_interval: self.spec.commit_interval,
            };
            let outlet = Outlet::open(&**self.brokers, destination, contract, source, options);
            outlets.push(outlet.await?);
        }
        Ok(outlets)
    }

    /// What one writer may hold.
    fn share(&self) -> usize {
        self.buffer / (self.signal.destinations.len() + 1)
    }
}

/// From where the source is to be read for the outlets.
async fn begin(
    spec: &LegSpec,
    source: &QueueDescription,
    outlets: &mut [Outlet],
) -> Result<Reached, Trouble> {
    let cursor = &spec.cursor;
    if spec.start == Start::Latest {
        begin_at_latest(source, cursor, outlets).await?;
    }
    let mut read = least_far(source, outlets);
    for (partition, (_, latest)) in &source.partitions {
        if let Some(offset) = given(cursor, *partition, *latest) {
            read.positions.entry(*partition).or_insert(offset);
        }
    }
    Ok(read)
}

/// Stores where the cursor is, or the newest record, before anything is read, so that a restart goes on
/// there and does not skip what has come since.
async fn begin_at_latest(
    source: &QueueDescription,
    cursor: &Positions,
    outlets: &mut [Outlet],
) -> Result<(), Trouble> {
    for outlet in outlets {
        let partitions = source.partitions.iter().rev();
        let missing = partitions.filter(|(partition, _)| !outlet.places().contains_key(partition));
        let missing = missing.map(|(partition, (_, latest))| {
            let offset = given(cursor, *partition, *latest).unwrap_or(*latest);
            (*partition, place::before(offset))
        });
        let missing: Vec<_> = missing.collect();
        // The first partition is stored last: with it, all were, and what is missing is new.
        let first = source.partitions.keys().next();
        if missing.last().map(|(partition, _)| partition) != first {
            continue;
        }
        let stored = store_positions(outlet.writer_mut(), &missing).await;
        stored.map_err(|e| Trouble::at_destination(&e))?;
        outlet.reach(missing);
    }
    Ok(())
}

/// Where the destination is that is least far; nothing for a partition that one has no place of.
fn least_far(source: &QueueDescription, outlets: &[Outlet]) -> Reached {
    let mut least = Reached::default();
    for partition in source.partitions.keys() {
        let reached: Option<Vec<_>> = outlets.iter().map(|it| it.reached(*partition)).collect();
        let lowest = |it: &StoredPosition| (it.next, Reverse(it.epoch));
        let Some(it) = reached.and_then(|all| all.into_iter().min_by_key(lowest)) else {
            continue;
        };
        least.advance(*partition, place::offset(it.next), it.epoch);
    }
    least
}
