//! Copying chunk after chunk from a leg's reader to its writer.

use std::collections::BTreeMap;
use std::sync::Arc;

use eson_broker::{Broker, BrokerError, Chunk, Payload, QueueWriter};
use eson_protocol::{Positions, Record};

use super::annotation::Annotation;
use super::drive::Ended;
use super::examination::{Examination, Examined};
use super::open::position_only;
use super::passage::Passage;
use super::refusal::{Piece, Search, set_apart, take_run};
use crate::dead_letters::{DeadLetter, DeadLetters};
use crate::measure::{first_timestamp, measure};
use crate::partition::{Mapping, StillEncoded, split};
use crate::report::{LegReport, Trouble};
use crate::turns::Place;

/// Copies what is read to one destination.
pub(super) struct Copying {
    pub(super) writer: Box<dyn QueueWriter>,
    pub(super) mapping: Mapping,
    /// What is written on each record.
    pub(super) annotation: Option<Annotation>,
    pub(super) examination: Examination,
    /// What is not fit to be written of the chunk in hand, by its offset, and why.
    pub(super) unfit: BTreeMap<u64, String>,
    /// Where those go that the destination does not take; without it they end the copying.
    pub(super) dead_letters: Option<DeadLetters>,
    pub(super) search: Search,
    pub(super) report: Arc<LegReport>,
    /// Its place among those that take turns; none writes when it can.
    pub(super) place: Option<Arc<Place>>,
    /// Whether anything was written since the last flush.
    pub(super) dirty: bool,
    /// Up to where each partition of the source was handed over.
    pub(super) handed_over: Positions,
    /// What the writer said to have stored when it was last asked.
    pub(super) stored: Positions,
    /// Held so that other legs find it, with its connections.
    pub(super) _broker: Arc<dyn Broker>,
}

impl Passage for Copying {
    async fn pass_on(&mut self, chunk: Chunk, partitions: u32) -> Result<(), Ended> {
        let mapping = Mapping::between(partitions, self.writer.partitions());
        if mapping != self.mapping {
            return Err(Ended::Reopen);
        }
        let chunk = match &self.annotation {
            Some(annotation) => annotation.put_on(chunk),
            None => chunk,
        };
        let Examined { chunk, unfit, stop } = self.examination.examine(chunk).await?;
        self.set_aside(unfit)?;
        match self.search.is_on() {
            false => self.hand_over(chunk).await?,
            true => self.search_through(chunk).await?,
        }
        stop.map_or(Ok(()), |trouble| Err(trouble.into()))
    }

    fn is_dirty(&self) -> bool {
        self.dirty
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        let flushed = self.writer.flush().await;
        flushed.map_err(|error| self.give_up(&error))?;
        self.dirty = false;
        let stored = self.writer.acknowledged();
        self.report.stored(stored.clone(), stored);
        Ok(())
    }

    async fn rewind(&mut self, partition: u32, to: u64) -> Result<(), Ended> {
        self.handed_over.insert(partition, to);
        self.search.rewound(partition, to);
        // Told with the next flush.
        self.dirty = true;
        let stored = self.store_exactly(partition, to).await;
        stored.map_err(|error| self.give_up(&error))
    }

    fn track(&mut self) -> bool {
        let stored = self.writer.stored();
        if stored == self.stored {
            return false;
        }
        self.stored.clone_from(&stored);
        self.report.stored(stored, self.writer.acknowledged());
        true
    }

    async fn close(&mut self) {
        self.writer.close().await;
    }
}

impl Copying {
    /// Whether record batches may pass as they are.
    pub(super) fn takes_encoded(&self) -> bool {
        let looks = self.annotation.is_some() || !self.examination.is_idle();
        !looks
            && self.mapping.keeps_batches()
            && self.writer.takes_encoded()
            && !self.search.is_on()
    }

    /// Notes what is for the dead letters. Where there is no flow of them yet, one is made for who
    /// has failed for want of it.
    fn set_aside(&mut self, unfit: BTreeMap<u64, String>) -> Result<(), Trouble> {
        if self.dead_letters.is_none()
            && let Some(why) = unfit.values().next()
        {
            return Err(Trouble::unfit(why));
        }
        self.unfit = unfit;
        Ok(())
    }

    /// Has the destination store that the source is read from `to` on: back, or past a gap, behind which
    /// there may be nothing that would tell.
    async fn store_exactly(&mut self, partition: u32, to: u64) -> Result<(), BrokerError> {
        self.writer.rewind(partition, to).await?;
        let stored = self.writer.acknowledged().get(&partition).copied();
        let stored = stored.unwrap_or_default();
        if stored >= to {
            return Ok(());
        }
        let destination = partition % self.writer.partitions().max(1);
        let gap = position_only(partition, stored, to);
        self.writer.write(destination, gap).await
    }

    /// Hands a chunk over, but for records that the writer knows the destination not to take.
    async fn hand_over(&mut self, chunk: Chunk) -> Result<(), Ended> {
        self.handed_over.insert(chunk.partition, chunk.next);
        let chunk = match &chunk.payload {
            Payload::Encoded(_) if self.mapping.keeps_batches() => {
                match self.forward(chunk).await? {
                    Some(chunk) => chunk,
                    None => return Ok(()),
                }
            }
            _ => chunk,
        };
        if !self.has_refused(&chunk) {
            return self.distribute(chunk).await;
        }
        let partition = chunk.partition;
        for piece in set_apart(chunk, |record| self.reason(partition, record)) {
            match piece {
                Piece::Taken(chunk) => self.distribute(chunk).await?,
                Piece::Refused(letter) => self.bury(letter).await?,
            }
        }
        Ok(())
    }

    /// Writes record batches as they are. Gives them back one by one if one record is too large.
    async fn forward(&mut self, chunk: Chunk) -> Result<Option<Chunk>, Ended> {
        // What is encoded is shared, and not copied.
        let spare = self.dead_letters.is_some().then(|| chunk.clone());
        match (self.write(chunk.partition, chunk).await, spare) {
            (Ok(()), _) => Ok(None),
            (Err(BrokerError::TooLarge { .. }), Some(spare)) => {
                let unpacked = self.writer.unpack(spare);
                unpacked.map(Some).map_err(|error| self.give_up(&error))
            }
            (Err(error), _) => Err(self.give_up(&error)),
        }
    }

    /// Writes records to the partitions that they go to.
    async fn distribute(&mut self, chunk: Chunk) -> Result<(), Ended> {
        let Mapping::ByKey { partitions } = self.mapping else {
            return self.write_or_give_up(chunk.partition, chunk).await;
        };
        let parts = split(chunk, partitions).map_err(|StillEncoded| Ended::Reopen)?;
        for (to, part) in parts {
            self.write_or_give_up(to, part).await?;
        }
        Ok(())
    }

    async fn write_or_give_up(&mut self, partition: u32, chunk: Chunk) -> Result<(), Ended> {
        let written = self.write(partition, chunk).await;
        written.map_err(|error| self.give_up(&error))
    }

    async fn write(&mut self, partition: u32, chunk: Chunk) -> Result<(), BrokerError> {
        self.dirty = true;
        let (source, high_watermark) = (chunk.partition, chunk.high_watermark);
        let measured = measure(&chunk.payload);
        let written_at = first_timestamp(&chunk.payload);
        let _turn = match &self.place {
            Some(place) => Some(place.turn(measured.bytes).await),
            None => None,
        };
        self.writer.write(partition, chunk).await?;
        self.report
            .copied(source, high_watermark, measured, written_at);
        Ok(())
    }

    fn has_refused(&self, chunk: &Chunk) -> bool {
        let Payload::Records(records) = &chunk.payload else {
            return false;
        };
        let is_refused = |record| self.reason(chunk.partition, record).is_some();
        records.iter().any(is_refused)
    }

    /// Why a record is a dead letter, if it is one.
    fn reason(&self, partition: u32, record: &Record) -> Option<String> {
        self.dead_letters.as_ref()?;
        if let Some(reason) = self.unfit.get(&record.offset) {
            return Some(reason.clone());
        }
        if let Some(reason) = self.search.reason_for(partition, record) {
            return Some(reason.to_owned());
        }
        Some(self.writer.refuses(record)?.to_string())
    }

    async fn bury(&mut self, letter: DeadLetter) -> Result<(), Trouble> {
        let Some(dead_letters) = &mut self.dead_letters else {
            return Err(Trouble::own(letter.reason));
        };
        let reason = letter.reason.clone();
        let written = dead_letters.write(vec![letter]).await;
        written.map_err(|error| Trouble::at_destination(&error))?;
        self.report.buried(1, &reason);
        Ok(())
    }

    /// Hands over run after run, and waits for each.
    async fn search_through(&mut self, chunk: Chunk) -> Result<(), Ended> {
        let mut rest = Some(chunk);
        while let Some(run) = take_run(&mut rest, self.search.run()) {
            let (partition, next) = (run.partition, run.next);
            let (first, count) = self.suspects(&run);
            let taken = match self.hand_over(run).await {
                Ok(()) => self.flush().await,
                refused => refused,
            };
            match (taken, first) {
                (Ok(()), _) => self.search.taken(partition, next),
                (Err(Ended::Refused), None) => {
                    let text = "the destination refuses what has no event in it".to_owned();
                    return Err(Ended::Trouble(Trouble::own(text)));
                }
                (Err(Ended::Refused), Some(first)) => {
                    self.search.narrow(partition, first, count);
                    return Err(Ended::Refused);
                }
                (Err(ended), _) => return Err(ended),
            }
        }
        match self.takes_encoded() {
            true => Err(Ended::Reopen),
            false => Ok(()),
        }
    }

    /// The first of the records of a run that may be refused, and how many there are.
    fn suspects(&self, run: &Chunk) -> (Option<u64>, usize) {
        let Payload::Records(records) = &run.payload else {
            return (None, 0);
        };
        let is_suspect = |it: &&Record| self.reason(run.partition, it).is_none();
        let mut suspects = records.iter().filter(is_suspect);
        let first = suspects.next().map(|record| record.offset);
        (first, first.map_or(0, |_| 1 + suspects.count()))
    }

    /// What an error of the writer leads to.
    fn give_up(&mut self, error: &BrokerError) -> Ended {
        if self.dead_letters.is_none() || !error.is_refusal() {
            return Ended::Trouble(Trouble::at_destination(error));
        }
        tracing::warn!(leg = self.report.id(), %error, "looking for what is refused");
        self.search.refused(&self.handed_over, error.to_string());
        Ended::Refused
    }
}
