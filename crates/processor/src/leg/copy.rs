//! Copying chunk after chunk from a leg's reader to its writer.

use std::future::pending;
use std::time::Duration;

use eson_broker::{BrokerError, Chunk};
use eson_protocol::{OnGap, Positions};
use tokio::time::{Instant, sleep, timeout};

use super::open::Ends;
use super::pace::Pace;
use super::run::overdue;
use super::{DRAIN, Wish, Wishes};
use crate::backoff::Backoff;
use crate::budget::Share;
use crate::measure::{first_timestamp, measure};
use crate::partition::{Mapping, StillEncoded, split};
use crate::report::{LegReport, State, Trouble};
use crate::source::Feed;
use crate::turns::Place;

/// How long after the last record everything is flushed, so that positions are stored and a
/// broken destination is noticed.
pub(crate) const IDLE: Duration = Duration::from_millis(100);

/// How often positions are looked at while records keep coming.
pub(crate) const TRACK: Duration = Duration::from_secs(1);

/// Why copying ended.
pub(crate) enum Ended {
    /// The leg shall do something else.
    Wish,
    /// The ends have to be opened anew: partitions were added, or the memory share is smaller.
    Reopen,
    /// Something went wrong.
    Trouble(Trouble),
}

/// Copies from one end to the other.
pub(super) struct Copying<'a> {
    ends: Ends,
    report: &'a LegReport,
    share: &'a Share,
    place: &'a Option<Place>,
    pace: &'a mut Pace,
    backoff: &'a mut Backoff,
    /// What was read and may not be written yet.
    held: Option<Chunk>,
    /// Whether anything was written since the last flush.
    dirty: bool,
    tracked: Instant,
    /// What the writer said to have stored when it was last asked.
    stored: Positions,
}

/// Reading no faster than the leg may go. What was read too early is held, so that the leg's lag is
/// known while it waits.
struct Held<'a> {
    feed: &'a mut Feed,
    pace: &'a mut Pace,
    report: &'a LegReport,
    chunk: &'a mut Option<Chunk>,
}

impl Held<'_> {
    /// The next chunk that may be written. Cancel-safe.
    async fn next(self) -> Result<Chunk, BrokerError> {
        if self.chunk.is_none() {
            let chunk = self.feed.next().await?;
            if self.pace.is_free() {
                return Ok(chunk);
            }
            let written_at = first_timestamp(&chunk.payload);
            self.report
                .held_back(chunk.partition, chunk.high_watermark, written_at);
            *self.chunk = Some(chunk);
        }
        self.pace.until_free().await;
        match self.chunk.take() {
            Some(chunk) => Ok(chunk),
            None => self.feed.next().await,
        }
    }
}

/// What woke the loop.
enum Event {
    Wish,
    Read(Result<Chunk, BrokerError>),
    Idle,
}

impl<'a> Copying<'a> {
    pub(super) fn new(
        ends: Ends,
        report: &'a LegReport,
        share: &'a Share,
        place: &'a Option<Place>,
        pace: &'a mut Pace,
        backoff: &'a mut Backoff,
    ) -> Self {
        let stored = ends.writer.stored();
        Self {
            ends,
            report,
            share,
            place,
            pace,
            backoff,
            held: None,
            dirty: false,
            tracked: Instant::now(),
            stored,
        }
    }

    /// Copies until the wish or a trouble ends it.
    pub(super) async fn run(mut self, wishes: &mut Wishes) -> Ended {
        let progress = std::mem::take(&mut self.ends.progress);
        let source = self.ends.source.clone();
        let stored = std::mem::take(&mut self.ends.stored);
        let delivery = self.ends.writer.delivery();
        self.report.opened(source, delivery, stored, progress);
        loop {
            let step = match self.next_event(wishes).await {
                Event::Wish => self.follow(wishes).await,
                Event::Read(Ok(chunk)) => self.pass_on(chunk, wishes).await,
                Event::Read(Err(error)) => meet(self.report, self.ends.on_gap, &error),
                Event::Idle => self.flush(wishes).await,
            };
            if let Err(ended) = step {
                let ended = self.end(ended).await;
                self.ends.writer.close().await;
                return ended;
            }
        }
    }

    async fn next_event(&mut self, wishes: &mut Wishes) -> Event {
        let held = Held {
            feed: &mut self.ends.feed,
            pace: self.pace,
            report: self.report,
            chunk: &mut self.held,
        };
        let dirty = self.dirty;
        let idle = async {
            if !dirty {
                pending::<()>().await;
            }
            sleep(IDLE).await;
        };
        tokio::select! {
            biased;
            () = wishes.changed() => Event::Wish,
            read = held.next() => Event::Read(read),
            () = idle => Event::Idle,
        }
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
        let (feed, writer) = (&self.ends.feed, &self.ends.writer);
        let mapping = Mapping::between(feed.partitions(), writer.partitions());
        if mapping != self.ends.mapping || self.share.bytes() < self.ends.buffer {
            return Err(Ended::Reopen);
        }
        let chunk = match &self.ends.annotation {
            Some(annotation) => annotation.put_on(chunk),
            None => chunk,
        };
        let measured = measure(&chunk.payload);
        match mapping {
            Mapping::Same => self.write(chunk.partition, chunk, wishes).await?,
            Mapping::ByKey { partitions } => {
                let parts = split(chunk, partitions).map_err(|StillEncoded| Ended::Reopen)?;
                for (to, part) in parts {
                    self.write(to, part, wishes).await?;
                }
            }
        }
        self.pace.passed(measured);
        self.track(wishes).await
    }

    /// Reports positions from time to time, also when the source never rests. Some writers say
    /// what they have stored by themselves, others have to be flushed for that.
    async fn track(&mut self, wishes: &Wishes) -> Result<(), Ended> {
        if self.tracked.elapsed() < TRACK {
            return Ok(());
        }
        self.tracked = Instant::now();
        let stored = self.ends.writer.stored();
        if stored == self.stored {
            return self.flush(wishes).await;
        }
        self.stored.clone_from(&stored);
        self.report.stored(stored, self.ends.writer.acknowledged());
        Ok(())
    }

    async fn write(&mut self, partition: u32, chunk: Chunk, wishes: &Wishes) -> Result<(), Ended> {
        self.dirty = true;
        let (source, high_watermark) = (chunk.partition, chunk.high_watermark);
        let measured = measure(&chunk.payload);
        let written_at = first_timestamp(&chunk.payload);
        let (place, writer) = (self.place, &mut self.ends.writer);
        let write_in_turn = async {
            let _turn = match place {
                Some(place) => Some(place.turn(measured.bytes).await),
                None => None,
            };
            writer.write(partition, chunk).await
        };
        let written = tokio::select! {
            biased;
            written = write_in_turn => written,
            () = overdue(wishes) => return Err(self.cut_short()),
        };
        written.map_err(|error| Ended::Trouble(Trouble::at_destination(&error)))?;
        self.report
            .copied(source, high_watermark, measured, written_at);
        Ok(())
    }

    async fn flush(&mut self, wishes: &Wishes) -> Result<(), Ended> {
        if !self.dirty {
            return Ok(());
        }
        let flushed = tokio::select! {
            biased;
            flushed = self.ends.writer.flush() => flushed,
            () = overdue(wishes) => return Err(self.cut_short()),
        };
        flushed.map_err(|error| Ended::Trouble(Trouble::at_destination(&error)))?;
        self.flushed();
        Ok(())
    }

    fn flushed(&mut self) {
        self.dirty = false;
        self.backoff.reset();
        let stored = self.ends.writer.acknowledged();
        self.report.stored(stored.clone(), stored);
    }

    fn cut_short(&self) -> Ended {
        tracing::warn!(
            leg = self.report.id(),
            "the destination does not take what was read; it will be read again"
        );
        self.report.cut_short();
        Ended::Wish
    }

    /// Whatever ended it, what was read before is worth storing if the destination still works.
    async fn end(&mut self, ended: Ended) -> Ended {
        match &ended {
            Ended::Wish => return ended,
            Ended::Trouble(trouble) if !trouble.leaves_destination() => return ended,
            // Told before the destination takes its time.
            Ended::Trouble(trouble) => self.report.met(trouble.clone()),
            Ended::Reopen => {}
        }
        if !self.dirty {
            return ended;
        }
        match timeout(DRAIN, self.ends.writer.flush()).await {
            Ok(Ok(())) => self.flushed(),
            // The first trouble is the one to tell; what is not stored is read again.
            Ok(Err(error)) => tracing::warn!(leg = self.report.id(), %error, "not all is written"),
            Err(_) => tracing::warn!(leg = self.report.id(), "the destination takes too long"),
        }
        ended
    }
}

/// Meets an error of a reader: a gap is told and gone past, unless the leg shall stop there, and
/// what is hidden is told.
pub(crate) fn meet(report: &LegReport, on_gap: OnGap, error: &BrokerError) -> Result<(), Ended> {
    let trouble = Trouble::at_source(error);
    match error {
        BrokerError::OutOfRange {
            wanted, earliest, ..
        } if on_gap == OnGap::Earliest => {
            tracing::warn!(leg = report.id(), %error, "records are gone");
            report.lost(earliest.saturating_sub(*wanted), trouble);
            Ok(())
        }
        BrokerError::Truncated { .. } if on_gap == OnGap::Earliest => {
            tracing::warn!(leg = report.id(), %error, "the source has lost records");
            report.lost(0, trouble);
            Ok(())
        }
        BrokerError::Hanging { .. } => {
            tracing::warn!(leg = report.id(), %error, "records are hidden");
            report.hidden(trouble);
            Ok(())
        }
        _ => Err(Ended::Trouble(trouble)),
    }
}
