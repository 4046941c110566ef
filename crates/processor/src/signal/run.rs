//! Running a leg of a signal: read, ask, write.

use std::future::pending;

use eson_broker::{BrokerError, Chunk, Delivery, Payload, partition_of_key};
use eson_protocol::{Positions, Record};
use futures::future::try_join_all;
use tokio::time::{Instant, sleep, timeout};

use super::dead_letters::DeadLetter;
use super::open::Opened;
use super::outlet::{Outlet, Piece, Refused};
use super::place::{self, MAX_OUTPUTS};
use super::program::Verdict;
use super::proto::output::Content;
use super::proto::{Event, Input, Output};
use super::record::{from_stored, size, to_stored};
use crate::backoff::Backoff;
use crate::budget::Share;
use crate::leg::{DRAIN, Ended, IDLE, TRACK, Wish, Wishes, meet, overdue};
use crate::measure::Measure;
use crate::report::{LegReport, State, Trouble};

/// How many events, and how many bytes of them, a program is asked for at once.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;

/// A leg of a signal that runs.
pub(crate) struct Running<'a> {
    pub(super) leg: Opened,
    pub(super) report: &'a LegReport,
    share: &'a Share,
    buffer: usize,
    backoff: &'a mut Backoff,
    /// Up to which place each partition was read.
    read: Positions,
    /// Whether anything was read since the last flush.
    pub(super) dirty: bool,
    flushed: Instant,
}

/// Consecutive records of a partition.
pub(super) struct Batch {
    pub(super) partition: u32,
    pub(super) first: u64,
    /// What to read next.
    pub(super) next: u64,
    /// Behind the newest record that there is.
    pub(super) newest: u64,
    pub(super) records: Vec<Record>,
}

/// What woke the loop.
enum Woken {
    Wish,
    Read(Result<Chunk, BrokerError>),
    Idle,
}

impl<'a> Running<'a> {
    pub(crate) fn new(
        leg: Opened,
        report: &'a LegReport,
        share: &'a Share,
        backoff: &'a mut Backoff,
    ) -> Self {
        Self {
            leg,
            report,
            share,
            buffer: share.bytes(),
            backoff,
            read: Positions::new(),
            dirty: false,
            flushed: Instant::now(),
        }
    }

    /// Runs until the wish or a trouble ends it.
    pub(crate) async fn run(mut self, wishes: &mut Wishes) -> Ended {
        let progress = std::mem::take(&mut self.leg.progress);
        let stored = std::mem::take(&mut self.leg.stored);
        if let Err(ended) = self.write_backlog().await {
            return ended;
        }
        let delivery = delivery(&self.leg.outlets);
        let source = self.leg.source.clone();
        self.report.opened(source, delivery, stored, progress);
        loop {
            let step = match self.next(wishes).await {
                Woken::Wish => self.follow(wishes).await,
                Woken::Read(Ok(chunk)) => self.pass_on(chunk, wishes).await,
                Woken::Read(Err(error)) => meet(self.report, self.leg.on_gap, &error),
                Woken::Idle => self.rest(wishes).await,
            };
            if let Err(ended) = step {
                let ended = self.end(ended).await;
                for outlet in &mut self.leg.outlets {
                    outlet.writer_mut().close().await;
                }
                return ended;
            }
        }
    }

    async fn next(&mut self, wishes: &mut Wishes) -> Woken {
        let windowed = self.leg.windowed.as_ref();
        let awake = self.dirty || windowed.is_some_and(|windowed| windowed.is_waiting);
        let idle = async {
            if !awake {
                pending::<()>().await;
            }
            sleep(IDLE).await;
        };
        tokio::select! {
            biased;
            () = wishes.changed() => Woken::Wish,
            read = self.leg.feed.next() => Woken::Read(read),
            () = idle => Woken::Idle,
        }
    }

    /// Does what there is to do while nothing is read.
    async fn rest(&mut self, wishes: &Wishes) -> Result<(), Ended> {
        tokio::select! {
            biased;
            ended = self.end_windows() => ended?,
            () = overdue(wishes) => return Err(self.cut_short()),
        }
        self.flush(wishes).await
    }

    /// Does what is wished: nothing, or drain and wait.
    async fn follow(&mut self, wishes: &mut Wishes) -> Result<(), Ended> {
        if wishes.current() == Wish::Run {
            return Ok(());
        }
        self.flush(wishes).await?;
        while wishes.current() == Wish::Pause {
            self.report.enter(State::Paused);
            wishes.changed().await;
        }
        if wishes.current() == Wish::Stop {
            return Err(Ended::Wish);
        }
        self.report.enter(State::Running);
        Ok(())
    }

    async fn pass_on(&mut self, chunk: Chunk, wishes: &Wishes) -> Result<(), Ended> {
        if self.share.bytes() < self.buffer {
            return Err(Ended::Reopen);
        }
        let Payload::Records(records) = chunk.payload else {
            let text = "the source sends batches where records were asked for".to_owned();
            return Err(Ended::Trouble(Trouble::own(text)));
        };
        self.dirty = true;
        let (partition, newest) = (chunk.partition, chunk.high_watermark);
        let mut first = chunk.first;
        let mut batches = batches(records).into_iter().peekable();
        while let Some(records) = batches.next() {
            let end = records.last().map(|last| last.offset + 1);
            let next = end
                .filter(|_| batches.peek().is_some())
                .unwrap_or(chunk.next);
            let timestamp = records.first().map(|first| first.timestamp);
            let written_at = timestamp.filter(|timestamp| *timestamp >= 0);
            let measure = Measure {
                records: records.len() as u64,
                bytes: records.iter().map(size).sum(),
            };
            let batch = Batch {
                partition,
                first,
                next,
                newest,
                records,
            };
            let processed = tokio::select! {
                biased;
                processed = self.process(batch) => processed,
                () = overdue(wishes) => Err(self.cut_short()),
            };
            processed?;
            first = next;
            self.read.insert(partition, place::before(next));
            self.report.copied(partition, newest, measure, written_at);
        }
        if self.flushed.elapsed() >= TRACK {
            self.flush(wishes).await?;
        }
        Ok(())
    }

    /// Asks the program about consecutive records of a partition, and writes what comes of them.
    async fn process(&mut self, batch: Batch) -> Result<(), Ended> {
        if let Some(windowed) = &self.leg.windowed {
            let windows = windowed.windows.clone();
            return self.process_in_windows(&windows, batch).await;
        }
        let Batch {
            partition,
            first,
            records,
            ..
        } = batch;
        let inputs = records.iter().map(|record| Input {
            event: Some(self.event(partition, record)),
            window: None,
        });
        let verdicts = self.ask(inputs.collect()).await?;
        let from = (partition, self.leg.feed.partitions());
        let routed = route(&self.leg.outlets, from, &records, verdicts);
        self.bury(partition, &records, routed.failed).await?;
        for (outlet, records_there) in routed.written.into_iter().enumerate() {
            let piece = Piece {
                partition,
                first: place::before(first),
                records: records_there,
            };
            let written = self.leg.outlets[outlet].write(piece).await;
            let refused = written.map_err(|e| Ended::Trouble(Trouble::at_destination(&e)))?;
            self.bury(partition, &records, refused).await?;
        }
        Ok(())
    }

    pub(super) async fn ask(&mut self, inputs: Vec<Input>) -> Result<Vec<Verdict>, Ended> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let asked = self.leg.program.ask(inputs).await;
        asked.map_err(|cause| Ended::Trouble(Trouble::of_program(cause)))
    }

    pub(super) fn event(&self, partition: u32, record: &Record) -> Event {
        Event {
            flow: self.leg.flow.clone(),
            partition,
            offset: record.offset,
            record: Some(from_stored(record.clone())),
        }
    }

    /// Writes dead letters of events among `records`.
    pub(super) async fn bury(
        &mut self,
        partition: u32,
        records: &[Record],
        refused: Vec<Refused>,
    ) -> Result<(), Ended> {
        let letter = |refused: Refused| {
            let offset = place::offset(refused.place);
            let record = records.iter().find(|record| record.offset == offset)?;
            Some(DeadLetter {
                partition,
                record: record.clone(),
                reason: refused.reason,
            })
        };
        self.bury_all(refused.into_iter().filter_map(letter).collect())
            .await
    }

    pub(super) async fn bury_all(&mut self, letters: Vec<DeadLetter>) -> Result<(), Ended> {
        let Some(last) = letters.last() else {
            return Ok(());
        };
        let (count, reason) = (letters.len() as u64, last.reason.clone());
        let written = self.leg.dead_letters.write(letters).await;
        written.map_err(|e| Ended::Trouble(Trouble::at_destination(&e)))?;
        self.report.buried(count, &reason);
        Ok(())
    }

    /// Waits until every destination has everything that was read, and stores how far that is.
    async fn flush(&mut self, wishes: &Wishes) -> Result<(), Ended> {
        if !self.dirty {
            return Ok(());
        }
        tokio::select! {
            biased;
            flushed = self.flush_outlets() => flushed?,
            () = overdue(wishes) => return Err(self.cut_short()),
        }
        self.backoff.reset();
        Ok(())
    }

    async fn flush_outlets(&mut self) -> Result<(), Ended> {
        // With windows, the places are numbers of outputs.
        let nothing = Positions::new();
        let read = match self.leg.windowed {
            Some(_) => &nothing,
            None => &self.read,
        };
        let flushing = self.leg.outlets.iter_mut().map(async |outlet| {
            outlet.catch_up(read).await?;
            outlet.writer_mut().flush().await
        });
        let flushed = try_join_all(flushing).await;
        flushed.map_err(|e| Ended::Trouble(Trouble::at_destination(&e)))?;
        self.forget_delivered().await?;
        self.dirty = false;
        self.flushed = Instant::now();
        let stored = self.read.iter();
        let stored = stored.map(|(partition, at)| (*partition, place::offset(*at)));
        self.report.reached(stored.collect());
        Ok(())
    }

    fn cut_short(&self) -> Ended {
        tracing::warn!(
            leg = self.report.id(),
            "a destination or the program takes too long; what was read will be read again"
        );
        self.report.cut_short();
        Ended::Wish
    }

    /// Whatever ended it, what was read before is worth storing if the destinations still work.
    async fn end(&mut self, ended: Ended) -> Ended {
        match &ended {
            Ended::Wish => return ended,
            Ended::Trouble(trouble) if !trouble.leaves_destination() => return ended,
            // Told before the destinations take their time.
            Ended::Trouble(trouble) => self.report.met(trouble.clone()),
            Ended::Reopen => {}
        }
        if self.dirty && !matches!(timeout(DRAIN, self.flush_outlets()).await, Ok(Ok(()))) {
            // The first trouble is the one to tell; what is not stored is read again.
            tracing::warn!(leg = self.report.id(), "not all is written");
        }
        ended
    }
}

/// What all destinations together can promise.
fn delivery(outlets: &[Outlet]) -> Delivery {
    let weakest = outlets
        .iter()
        .map(|outlet| outlet.writer().delivery())
        .find(|delivery| *delivery == Delivery::AtLeastOnce);
    weakest.unwrap_or(Delivery::ExactlyOnce)
}

/// Records in runs that a program is asked for at once.
fn batches(records: Vec<Record>) -> Vec<Vec<Record>> {
    let mut batches: Vec<Vec<Record>> = Vec::new();
    let mut bytes = 0;
    for record in records {
        let more = size(&record);
        match batches.last_mut() {
            Some(last) if last.len() < BATCH && bytes + more <= BATCH_BYTES => {
                bytes += more;
                last.push(record);
            }
            _ => {
                bytes = more;
                batches.push(vec![record]);
            }
        }
    }
    batches
}

/// What goes to which outlet.
pub(super) struct Routed {
    /// For each outlet: partition there and record, whose offset is its place.
    pub(super) written: Vec<Vec<(u32, Record)>>,
    pub(super) failed: Vec<Refused>,
}

/// Sorts the outcomes of consecutive records by destination. An event of which an output can't be
/// sent anywhere has failed as a whole.
pub(super) fn route(
    outlets: &[Outlet],
    from: (u32, u32),
    records: &[Record],
    verdicts: Vec<Verdict>,
) -> Routed {
    let names: Vec<_> = outlets.iter().map(|it| it.endpoint.flow.as_str()).collect();
    let mut routed = Routed {
        written: outlets.iter().map(|_| Vec::new()).collect(),
        failed: Vec::new(),
    };
    for (record, verdict) in records.iter().zip(verdicts) {
        match verdict.and_then(|outputs| aims(&names, outputs)) {
            Ok(aims) => routed.take(outlets, from, record, aims),
            Err(reason) => routed.failed.push(Refused {
                place: place::before(record.offset),
                reason,
            }),
        }
    }
    routed
}

impl Routed {
    fn take(
        &mut self,
        outlets: &[Outlet],
        from: (u32, u32),
        record: &Record,
        aims: Vec<(Vec<usize>, Content)>,
    ) {
        let mut numbers = vec![0; outlets.len()];
        for (destinations, content) in aims {
            let new = content_of(content, record);
            for outlet in destinations {
                let partitions = outlets[outlet].partitions();
                let to = partition_for(&new, record, from, partitions);
                let mut new = new.clone();
                new.offset = place::of(record.offset, numbers[outlet]);
                numbers[outlet] += 1;
                self.written[outlet].push((to, new));
            }
        }
    }
}

/// Each output with the outlets that it goes to.
fn aims(names: &[&str], outputs: Vec<Output>) -> Result<Vec<(Vec<usize>, Content)>, String> {
    if outputs.len() > MAX_OUTPUTS {
        return Err(format!("more than {MAX_OUTPUTS} outputs of one event"));
    }
    let aim = |output: Output| {
        let content = output
            .content
            .ok_or("an output is neither unchanged nor a record")?;
        Ok((destinations(names, &output.flow)?, content))
    };
    outputs.into_iter().map(aim).collect()
}

/// The destinations of a name: all for the empty one, else one, by its name or first label.
fn destinations(names: &[&str], flow: &str) -> Result<Vec<usize>, String> {
    if flow.is_empty() {
        return Ok((0..names.len()).collect());
    }
    if let Some(at) = names.iter().position(|name| *name == flow) {
        return Ok(vec![at]);
    }
    let has_label = |name: &str| name.split('.').next() == Some(flow);
    let mut found = (0..names.len()).filter(|at| has_label(names[*at]));
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(vec![at]),
        (None, _) => Err(format!(
            "`{flow}` is no destination; there are {}",
            names.join(", ")
        )),
        (Some(one), Some(other)) => Err(format!(
            "`{flow}` may be {} or {}; give the whole name",
            names[one], names[other]
        )),
    }
}

fn content_of(content: Content, record: &Record) -> Record {
    match content {
        Content::Unchanged(_) => record.clone(),
        Content::Record(new) => {
            let timestamp = new.timestamp.unwrap_or(record.timestamp);
            Record {
                timestamp,
                ..to_stored(new, record.offset)
            }
        }
    }
}

/// Where counts are equal an event stays in its partition, unless it got another key. `from` is the
/// partition that it was in, and how many there are.
fn partition_for(new: &Record, record: &Record, from: (u32, u32), partitions: u32) -> u32 {
    let (partition, of) = from;
    match &new.key {
        Some(key) if new.key != record.key || of != partitions => partition_of_key(key, partitions),
        _ => partition % partitions,
    }
}
