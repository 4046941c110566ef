//! Copying chunk after chunk from a leg's reader to its writer.

use std::sync::Arc;

use eson_broker::{Broker, Chunk, QueueWriter};
use eson_protocol::Positions;

use super::annotation::Annotation;
use super::drive::Ended;
use super::passage::Passage;
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
    pub(super) report: Arc<LegReport>,
    /// Its place among those that take turns; none writes when it can.
    pub(super) place: Option<Arc<Place>>,
    /// Whether anything was written since the last flush.
    pub(super) dirty: bool,
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
        match mapping {
            Mapping::Same => self.write(chunk.partition, chunk).await?,
            Mapping::ByKey { partitions } => {
                let parts = split(chunk, partitions).map_err(|StillEncoded| Ended::Reopen)?;
                for (to, part) in parts {
                    self.write(to, part).await?;
                }
            }
        }
        Ok(())
    }

    fn is_dirty(&self) -> bool {
        self.dirty
    }

    async fn flush(&mut self) -> Result<(), Trouble> {
        let flushed = self.writer.flush().await;
        flushed.map_err(|error| Trouble::at_destination(&error))?;
        self.dirty = false;
        let stored = self.writer.acknowledged();
        self.report.stored(stored.clone(), stored);
        Ok(())
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
    async fn write(&mut self, partition: u32, chunk: Chunk) -> Result<(), Trouble> {
        self.dirty = true;
        let (source, high_watermark) = (chunk.partition, chunk.high_watermark);
        let measured = measure(&chunk.payload);
        let written_at = first_timestamp(&chunk.payload);
        let _turn = match &self.place {
            Some(place) => Some(place.turn(measured.bytes).await),
            None => None,
        };
        let written = self.writer.write(partition, chunk).await;
        written.map_err(|error| Trouble::at_destination(&error))?;
        self.report
            .copied(source, high_watermark, measured, written_at);
        Ok(())
    }
}
