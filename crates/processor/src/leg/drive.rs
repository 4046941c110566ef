//! The loop of a leg: reads, hands over, flushes at rest, and does what is wished.

#[cfg(test)]
mod tests;

use std::future::pending;
use std::time::Duration;

use eson_broker::{BrokerError, Chunk};
use eson_protocol::OnGap;
use tokio::time::{Instant, sleep, timeout};

use super::pace::Pace;
use super::passage::{Opened, Passage};
use super::{DRAIN, Wish, Wishes};
use crate::backoff::Backoff;
use crate::budget::Share;
use crate::measure::{first_timestamp, measure};
use crate::report::{LegReport, State, Trouble};
use crate::source::Feed;

/// How long after the last record everything is flushed, so that positions are stored and a
/// broken destination is noticed.
const IDLE: Duration = Duration::from_millis(100);

/// How often positions are looked at while records keep coming.
const TRACK: Duration = Duration::from_secs(1);

/// Why a leg's loop ended.
pub(crate) enum Ended {
    /// The leg shall do something else.
    Wish,
    /// The ends have to be opened anew: partitions were added, or the memory share is smaller.
    Reopen,
    /// The destination has refused something of what it was given: opened anew, the leg looks for it.
    Refused,
    /// Something went wrong.
    Trouble(Trouble),
}

impl From<Trouble> for Ended {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl Ended {
    fn text(&self) -> &str {
        match self {
            Self::Wish | Self::Reopen => "",
            Self::Refused => "the destination refuses an event",
            Self::Trouble(trouble) => trouble.text(),
        }
    }
}

/// What a leg's task lends to the loop.
pub(super) struct Lent<'a> {
    pub(super) report: &'a LegReport,
    pub(super) share: &'a Share,
    pub(super) pace: &'a mut Pace,
    pub(super) backoff: &'a mut Backoff,
    pub(super) on_gap: OnGap,
}

/// A leg that runs.
pub(super) struct Drive<'a, P> {
    leg: Opened<P>,
    lent: Lent<'a>,
    /// What was read and may not be passed on yet.
    held: Option<Chunk>,
    tracked: Instant,
}

/// What woke the loop.
enum Woken {
    Wish,
    Read(Result<Chunk, BrokerError>),
    Idle,
}

impl<'a, P: Passage> Drive<'a, P> {
    pub(super) fn new(leg: Opened<P>, lent: Lent<'a>) -> Self {
        Self {
            leg,
            lent,
            held: None,
            tracked: Instant::now(),
        }
    }

    /// Runs until the wish or a trouble ends it. Gives back the passage, which is closed.
    pub(super) async fn run(mut self, wishes: &mut Wishes) -> (Ended, P) {
        let progress = std::mem::take(&mut self.leg.progress);
        let stored = std::mem::take(&mut self.leg.stored);
        let (source, delivery) = (self.leg.source.clone(), self.leg.delivery);
        let report = self.lent.report;
        report.has_partitions(self.leg.destination_partitions);
        report.opened(source, delivery, stored, progress);
        if let Some(it) = self.leg.succeeded.take() {
            report.lost(it.lost, it.trouble);
        }
        loop {
            let step = match self.next(wishes).await {
                Woken::Wish => self.follow(wishes).await,
                Woken::Read(Ok(chunk)) => self.pass_on(chunk, wishes).await,
                Woken::Read(Err(error)) => self.meet(&error, wishes).await,
                Woken::Idle => self.rest(wishes).await,
            };
            if let Err(ended) = step {
                let ended = self.end(ended).await;
                self.leg.passage.close().await;
                return (ended, self.leg.passage);
            }
        }
    }

    async fn next(&mut self, wishes: &mut Wishes) -> Woken {
        let passage = &mut self.leg.passage;
        let awake = passage.is_dirty() || passage.is_waiting();
        let held = Held {
            feed: &mut self.leg.feed,
            passage,
            pace: self.lent.pace,
            report: self.lent.report,
            chunk: &mut self.held,
        };
        let idle = async {
            if !awake {
                pending::<()>().await;
            }
            sleep(IDLE).await;
        };
        tokio::select! {
            biased;
            () = wishes.changed() => Woken::Wish,
            read = held.next() => Woken::Read(read),
            () = idle => Woken::Idle,
        }
    }

    /// Does what is wished: nothing, or drain and wait.
    async fn follow(&mut self, wishes: &mut Wishes) -> Result<(), Ended> {
        if wishes.current() == Wish::Run {
            return Ok(());
        }
        self.leg.passage.stand_still();
        self.flush(wishes).await?;
        while wishes.current() == Wish::Pause {
            self.lent.report.enter(State::Paused);
            wishes.changed().await;
        }
        if wishes.current() == Wish::Stop {
            return Err(Ended::Wish);
        }
        self.lent.report.enter(State::Running);
        Ok(())
    }

    async fn pass_on(&mut self, chunk: Chunk, wishes: &Wishes) -> Result<(), Ended> {
        if self.lent.share.bytes() < self.leg.buffer {
            return Err(Ended::Reopen);
        }
        let is_limited = self.lent.pace.is_limited();
        let measured = is_limited.then(|| measure(&chunk.payload));
        let partitions = self.leg.feed.partitions();
        let passed = tokio::select! {
            biased;
            passed = self.leg.passage.pass_on(chunk, partitions) => passed,
            () = overdue(wishes) => Err(self.cut_short()),
        };
        passed?;
        if let Some(measured) = measured {
            self.lent.pace.passed(measured);
        }
        self.track(wishes).await
    }

    /// Reports positions from time to time, also when the source never rests. Some writers say
    /// what they have stored by themselves, others have to be flushed for that.
    async fn track(&mut self, wishes: &Wishes) -> Result<(), Ended> {
        if self.tracked.elapsed() < TRACK {
            return Ok(());
        }
        self.tracked = Instant::now();
        if self.leg.passage.track() {
            self.lent.backoff.reset();
            return Ok(());
        }
        self.flush(wishes).await
    }

    async fn rest(&mut self, wishes: &Wishes) -> Result<(), Ended> {
        // There is more to read, and nothing to do beside that.
        if self.held.is_some() {
            return self.flush(wishes).await;
        }
        let rested = tokio::select! {
            biased;
            rested = self.leg.passage.rest() => rested,
            () = overdue(wishes) => return Err(self.cut_short()),
        };
        rested?;
        self.flush(wishes).await
    }

    async fn rewind(&mut self, partition: u32, to: u64, wishes: &Wishes) -> Result<(), Ended> {
        self.lent.report.rewound(partition, to);
        tokio::select! {
            biased;
            gone_back = self.leg.passage.rewind(partition, to) => gone_back,
            () = overdue(wishes) => Err(self.cut_short()),
        }
    }

    async fn flush(&mut self, wishes: &Wishes) -> Result<(), Ended> {
        if !self.leg.passage.is_dirty() {
            return Ok(());
        }
        let flushed = tokio::select! {
            biased;
            flushed = self.leg.passage.flush() => flushed,
            () = overdue(wishes) => return Err(self.cut_short()),
        };
        flushed?;
        self.lent.backoff.reset();
        Ok(())
    }

    /// Meets an error of the reader: a gap is told and gone past, or back, unless the leg shall stop
    /// there, and what is hidden is told.
    async fn meet(&mut self, error: &BrokerError, wishes: &Wishes) -> Result<(), Ended> {
        let report = self.lent.report;
        let trouble = Trouble::at_source(error);
        match error {
            BrokerError::OutOfRange {
                partition,
                wanted,
                earliest,
                ..
            } if self.lent.on_gap == OnGap::Earliest => {
                tracing::warn!(leg = report.id(), %error, "records are gone");
                report.lost(earliest.saturating_sub(*wanted), trouble);
                self.rewind(*partition, *earliest, wishes).await
            }
            BrokerError::Truncated { partition, end, .. }
                if self.lent.on_gap == OnGap::Earliest =>
            {
                tracing::warn!(leg = report.id(), %error, "the source has lost records");
                report.lost(0, trouble);
                self.rewind(*partition, *end, wishes).await
            }
            BrokerError::Hanging { .. } => {
                tracing::warn!(leg = report.id(), %error, "records are hidden");
                report.hidden(trouble);
                Ok(())
            }
            _ => Err(Ended::Trouble(trouble)),
        }
    }

    fn cut_short(&self) -> Ended {
        tracing::warn!(
            leg = self.lent.report.id(),
            "what was read is not taken in time; it will be read again"
        );
        self.lent.report.cut_short();
        Ended::Wish
    }

    /// Whatever ended it, what was read before is worth storing if the destinations still work. That
    /// they do is no reason to try again soon: the trouble is still there.
    async fn end(&mut self, ended: Ended) -> Ended {
        let report = self.lent.report;
        match &ended {
            Ended::Wish | Ended::Refused => return ended,
            Ended::Trouble(trouble) if !trouble.leaves_destination() => return ended,
            // Told before the destinations take their time.
            Ended::Trouble(trouble) => report.met(trouble.clone()),
            Ended::Reopen => {}
        }
        if !self.leg.passage.is_dirty() {
            return ended;
        }
        match timeout(DRAIN, self.leg.passage.flush()).await {
            Ok(Ok(())) => {}
            // The first trouble is the one to tell; what is not stored is read again.
            Ok(Err(second)) => {
                let error = second.text();
                tracing::warn!(leg = report.id(), error, "not all is written");
            }
            Err(_) => tracing::warn!(leg = report.id(), "a destination takes too long"),
        }
        ended
    }
}

/// Reading no faster than the leg may go. What was read too early is held, so that the leg's lag is
/// known while it waits.
struct Held<'a, P> {
    feed: &'a mut Feed,
    passage: &'a mut P,
    pace: &'a mut Pace,
    report: &'a LegReport,
    chunk: &'a mut Option<Chunk>,
}

impl<P: Passage> Held<'_, P> {
    /// The next chunk that may be passed on. Cancel-safe.
    async fn next(self) -> Result<Chunk, BrokerError> {
        if self.chunk.is_none() {
            let chunk = self.feed.next().await?;
            if self.pace.is_free() {
                return Ok(chunk);
            }
            let written_at = first_timestamp(&chunk.payload);
            self.passage.stand_still();
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

/// Waits until the leg shall no longer run, and then as long as it may take to drain.
async fn overdue(wishes: &Wishes) {
    wishes.clone().until(|wish| wish != Wish::Run).await;
    sleep(DRAIN).await;
}
