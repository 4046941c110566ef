//! Running a leg of a signal: ask, write.

use std::sync::Arc;

use eson_broker::{Broker, Chunk, Delivery, Reached};
use eson_protocol::Record;
use futures::future::try_join_all;

use super::asked::{Asked, Verdict};
use super::batch::{Batch, Call, batches};
use super::outlet::{Outlet, Piece, Refused};
use super::place;
use super::proto::{Event, Input};
use super::record::from_stored;
use super::routing::route;
use super::windowed::Windowed;
use crate::dead_letters::{DeadLetter, DeadLetters};
use crate::leg::{Ended, Passage};
use crate::partition::StillEncoded;
use crate::report::{LegReport, Trouble};

/// Asks a program what to write.
pub(crate) struct Processing {
    pub(super) program: Asked,
    pub(super) outlets: Vec<Outlet>,
    pub(super) windowed: Option<Windowed>,
    pub(super) dead_letters: DeadLetters,
    pub(super) report: Arc<LegReport>,
    /// The name of the source.
    pub(super) flow: String,
    /// Where that is.
    pub(super) broker: Arc<dyn Broker>,
    pub(super) queue: String,
    /// How many partitions the source has.
    pub(super) partitions: u32,
    /// Up to which place each partition was read, and under which leaders that was written.
    pub(super) read: Reached,
    /// Whether anything was read since the last flush.
    pub(super) dirty: bool,
}

impl Passage for Processing {
    async fn pass_on(&mut self, chunk: Chunk, partitions: u32) -> Result<(), Ended> {
        self.partitions = partitions;
        let batches = batches(chunk).map_err(|StillEncoded| {
            let text = "the source sends batches where records were asked for";
            Trouble::own(text.to_owned())
        })?;
        for batch in batches {
            let (partition, next, newest) = (batch.partition, batch.next, batch.newest);
            let epoch = batch.epoch;
            let (measure, written_at) = (batch.measure(), batch.written_at());
            self.process(batch).await?;
            self.dirty = true;
            self.read.advance(partition, place::before(next), epoch);
            self.report.copied(partition, newest, measure, written_at);
        }
        Ok(())
    }

    fn is_dirty(&self) -> bool {
        self.dirty
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        // With windows, the places are numbers of outputs.
        let nothing = Reached::default();
        let read = match self.windowed {
            Some(_) => &nothing,
            None => &self.read,
        };
        let flushing = self.outlets.iter_mut().map(async |outlet| {
            outlet.catch_up(read).await?;
            outlet.writer_mut().flush().await
        });
        let flushed = try_join_all(flushing).await;
        flushed.map_err(|error| Trouble::at_destination(&error))?;
        self.forget_delivered().await?;
        self.dirty = false;
        let stored = self.read.positions.iter();
        let stored = stored.map(|(partition, at)| (*partition, place::offset(*at)));
        self.report.reached(stored.collect());
        Ok(())
    }

    async fn rewind(&mut self, partition: u32, to: u64) -> Result<(), Ended> {
        self.read.advance(partition, place::before(to), None);
        // Told, and past a gap stored, with the next flush.
        self.dirty = true;
        if self.windowed.is_some() {
            return Ok(self.rewind_windows(partition, to).await?);
        }
        for outlet in &mut self.outlets {
            let gone_back = outlet.rewind(partition, place::before(to)).await;
            gone_back.map_err(|error| Trouble::at_destination(&error))?;
        }
        Ok(())
    }

    fn is_waiting(&self) -> bool {
        let windowed = self.windowed.as_ref();
        windowed.is_some_and(|windowed| windowed.is_waiting || windowed.is_unsure)
    }

    async fn rest(&mut self) -> Result<(), Trouble> {
        self.look_again().await?;
        self.end_windows().await
    }

    fn stand_still(&mut self) {
        if let Some(windowed) = &mut self.windowed {
            windowed.stand_still();
        }
    }

    async fn close(&mut self) {
        for outlet in &mut self.outlets {
            outlet.writer_mut().close().await;
        }
    }
}

impl Processing {
    /// Asks the program about consecutive records of a partition, and writes what comes of them.
    async fn process(&mut self, batch: Batch) -> Result<(), Trouble> {
        if let Some(windowed) = &self.windowed {
            let windows = windowed.windows.clone();
            return self.process_in_windows(&windows, batch).await;
        }
        let Batch {
            partition,
            first,
            epoch,
            records,
            ..
        } = batch;
        let inputs = records.iter().map(|record| Input {
            event: Some(self.event(partition, record)),
            window: None,
        });
        let inputs = inputs.collect();
        let verdicts = ask(&mut self.program, &self.report, inputs).await?;
        let from = (partition, self.partitions);
        let routed = route(&self.outlets, from, &records, verdicts);
        self.bury(partition, &records, routed.failed).await?;
        for (outlet, records_there) in routed.written.into_iter().enumerate() {
            let mut piece = Piece {
                partition,
                first: place::before(first),
                epoch,
                records: records_there,
            };
            let refused = self.outlets[outlet].set_apart(&mut piece);
            let refused = refused.into_iter().map(|(record, reason)| Refused {
                place: record.offset,
                reason,
            });
            self.bury(partition, &records, refused.collect()).await?;
            let written = self.outlets[outlet].write(piece).await;
            written.map_err(|error| Trouble::at_destination(&error))?;
        }
        Ok(())
    }

    pub(super) fn event(&self, partition: u32, record: &Record) -> Event {
        Event {
            flow: self.flow.clone(),
            partition,
            offset: record.offset,
            record: Some(from_stored(record.clone())),
        }
    }

    /// Writes dead letters of events among `records`.
    async fn bury(
        &mut self,
        partition: u32,
        records: &[Record],
        refused: Vec<Refused>,
    ) -> Result<(), Trouble> {
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

    pub(super) async fn bury_all(&mut self, letters: Vec<DeadLetter>) -> Result<(), Trouble> {
        let Some(last) = letters.last() else {
            return Ok(());
        };
        let (count, reason) = (letters.len() as u64, last.reason.clone());
        let written = self.dead_letters.write(letters).await;
        written.map_err(|error| Trouble::at_destination(&error))?;
        self.report.buried(count, &reason);
        Ok(())
    }
}

/// What becomes of inputs, for which the program is asked for no more at once than it takes.
pub(super) async fn ask(
    program: &mut Asked,
    report: &LegReport,
    inputs: Vec<Input>,
) -> Result<Vec<Verdict>, Trouble> {
    let mut call = Call::default();
    let mut verdicts = Vec::with_capacity(inputs.len());
    for input in inputs {
        if let Some(full) = call.take(input) {
            verdicts.extend(ask_at_once(program, report, full).await?);
        }
    }
    verdicts.extend(ask_at_once(program, report, call.rest()).await?);
    Ok(verdicts)
}

async fn ask_at_once(
    program: &mut Asked,
    report: &LegReport,
    inputs: Vec<Input>,
) -> Result<Vec<Verdict>, Trouble> {
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    let asked = program.ask(inputs).await;
    let verdicts = asked.map_err(Trouble::of_program)?;
    report.answered();
    Ok(verdicts)
}

/// What all destinations together can promise.
pub(super) fn delivery(outlets: &[Outlet]) -> Delivery {
    let weakest = outlets
        .iter()
        .map(|outlet| outlet.writer().delivery())
        .find(|delivery| *delivery == Delivery::AtLeastOnce);
    weakest.unwrap_or(Delivery::ExactlyOnce)
}
