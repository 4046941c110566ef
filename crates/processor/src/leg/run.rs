//! The life of a leg: open, copy, and begin again after a trouble.

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::sleep;

use super::drive::{Drive, Ended, Lent};
use super::open::Opening;
use super::pace::Pace;
use super::passage::{Opened, Passage};
use super::refusal::Search;
use super::{Shared, Wish, Wishes};
use crate::backoff::Backoff;
use crate::brokers::BrokerFactory;
use crate::budget::Share;
use crate::endpoint::Endpoint;
use crate::report::{LegReport, State, Trouble};
use crate::schema_ids::SharedTranslation;
use crate::signal::{self, Programs, SignalSpec, Silence};
use crate::spec::{LegSpec, Work};

/// How often a queue, right or user that seems not to be there is looked for again while a leg
/// opens: clusters tell their members of a new one a moment later. Together below one second.
const SETTLING_ATTEMPTS: u32 = 3;

/// A leg's task.
pub(super) struct Task {
    pub(super) spec: LegSpec,
    pub(super) brokers: Arc<dyn BrokerFactory>,
    pub(super) programs: Programs,
    pub(super) share: Share,
    pub(super) shared: Shared,
    pub(super) wishes: Wishes,
    pub(super) pace: Pace,
    /// What a destination has refused and is looked for.
    pub(super) search: Search,
    /// What a program has not answered.
    pub(super) silence: Silence,
    /// Replaces ids of schemas, where that is asked for.
    pub(super) ids: Option<SharedTranslation>,
    pub(super) report: Arc<LegReport>,
}

impl Task {
    /// Runs until the wish is to stop.
    pub(super) async fn run(mut self) {
        let report = self.report.clone();
        let mut wishes = self.wishes.clone();
        let living = AssertUnwindSafe(self.live()).catch_unwind();
        if living.await.is_err() {
            let text = "this leg met a bug of the processor; see the processor's log".to_owned();
            report.enter_with(State::Failed, Trouble::own(text));
            wishes.until(|wish| wish == Wish::Stop).await;
        }
    }

    async fn live(&mut self) {
        let mut backoff = Backoff::soon();
        let mut settling = Backoff::soon();
        let mut mending = Backoff::seldom();
        while self.wait_to_run().await.is_continue() {
            let trouble = match self.attempt(&mut backoff).await {
                Ended::Wish | Ended::Refused => continue,
                Ended::Reopen => {
                    // Ends that don't agree for longer must not keep the machine busy.
                    self.rest(backoff.next()).await;
                    continue;
                }
                Ended::Trouble(trouble) => trouble,
            };
            if trouble.is_transient() {
                settling.reset();
                self.wait_to_retry(trouble, backoff.next()).await;
            } else if self.may_follow(&trouble) {
                self.wait_to_retry(trouble, Duration::ZERO).await;
            } else if self.may_settle(&trouble) && settling.attempts() < SETTLING_ATTEMPTS {
                self.wait_to_retry(trouble, settling.next()).await;
            } else {
                self.fail(trouble, &mut mending).await;
            }
        }
    }

    /// Waits while the wish is to pause; breaks when it is to stop.
    async fn wait_to_run(&mut self) -> ControlFlow<()> {
        loop {
            match self.wishes.current() {
                Wish::Run => return ControlFlow::Continue(()),
                Wish::Stop => return ControlFlow::Break(()),
                Wish::Pause => self.report.enter(State::Paused),
            }
            self.wishes.changed().await;
        }
    }

    async fn attempt(&mut self, backoff: &mut Backoff) -> Ended {
        // What was wrong last is told until it is seen to be over.
        if !matches!(self.report.state(), State::Retrying | State::Failed) {
            self.report.enter(State::Starting);
        }
        match &self.spec.work {
            Work::Copy(destination) => self.copy(&destination.clone(), backoff).await,
            // A leg that copies keeps no room for what a signal needs.
            Work::Signal(signal) => Box::pin(self.signal(&signal.clone(), backoff)).await,
        }
    }

    async fn copy(&mut self, destination: &Endpoint, backoff: &mut Backoff) -> Ended {
        let opening = Opening {
            report: &self.report,
            spec: &self.spec,
            destination,
            buffer: self.share.bytes(),
            brokers: &self.brokers,
            reads: &self.shared.reads,
            place: &self.shared.place,
            search: &self.search,
            ids: &self.ids,
        };
        let opened = match unless_changed(&self.wishes, Box::pin(opening.open())).await {
            Ok(opened) => opened,
            Err(ended) => return ended,
        };
        let (from, to) = (&self.spec.source.flow, &destination.flow);
        tracing::info!(leg = self.report.id(), %from, %to, "copying");
        let (ended, copying) = self.drive(opened, backoff).await;
        self.search = copying.search;
        ended
    }

    async fn signal(&mut self, signal: &Arc<SignalSpec>, backoff: &mut Backoff) -> Ended {
        let opening = signal::Opening {
            report: &self.report,
            spec: &self.spec,
            signal,
            buffer: self.share.bytes(),
            brokers: &self.brokers,
            reads: &self.shared.reads,
            programs: &self.programs,
            silence: &self.silence,
        };
        let opened = match unless_changed(&self.wishes, Box::pin(opening.open())).await {
            Ok(opened) => opened,
            Err(ended) => return ended,
        };
        let from = &self.spec.source.flow;
        tracing::info!(leg = self.report.id(), %from, "processing");
        self.drive(opened, backoff).await.0
    }

    async fn drive<P: Passage>(&mut self, opened: Opened<P>, backoff: &mut Backoff) -> (Ended, P) {
        let lent = Lent {
            report: &self.report,
            share: &self.share,
            pace: &mut self.pace,
            backoff,
            on_gap: self.spec.on_gap,
        };
        Drive::new(opened, lent).run(&mut self.wishes).await
    }

    /// Whether the trouble may be that a cluster has not told all its members yet.
    fn may_settle(&self, trouble: &Trouble) -> bool {
        let opening = matches!(self.report.state(), State::Starting | State::Retrying);
        opening && trouble.may_be_given_back()
    }

    /// Whether to look what is there instead of a source that is gone: opening it decides.
    fn may_follow(&self, trouble: &Trouble) -> bool {
        let reading = self.report.state() == State::Running;
        reading && self.spec.follows && trouble.is_of_another_source()
    }

    async fn wait_to_retry(&mut self, trouble: Trouble, wait: Duration) {
        tracing::warn!(
            leg = self.report.id(),
            error = trouble.text(),
            ?wait,
            "trying again"
        );
        self.report.enter_with(State::Retrying, trouble);
        self.rest(wait).await;
    }

    /// Waits, unless the wish changes.
    async fn rest(&mut self, wait: Duration) {
        tokio::select! {
            () = self.wishes.changed() => {}
            () = sleep(wait) => {}
        }
    }

    /// Stays failed until somebody stops the leg; a right, user or queue that is missing is
    /// looked for again from time to time, since somebody may give it back.
    async fn fail(&mut self, trouble: Trouble, mending: &mut Backoff) {
        if self.report.state() == State::Running {
            mending.reset();
        }
        let error = trouble.text().to_owned();
        let again = trouble.may_be_given_back().then(|| mending.next());
        tracing::error!(leg = self.report.id(), error, ?again, "failed");
        self.report.enter_with(State::Failed, trouble);
        match again {
            Some(wait) => self.rest(wait).await,
            None => self.wishes.until(|wish| wish == Wish::Stop).await,
        }
    }
}

/// What opening a leg gives, unless another wish comes first. Boxed, so that a leg that copies keeps no
/// room for being opened.
async fn unless_changed<T>(
    wishes: &Wishes,
    opening: Pin<Box<impl Future<Output = Result<T, Trouble>>>>,
) -> Result<T, Ended> {
    let mut wishes = wishes.clone();
    tokio::select! {
        biased;
        () = wishes.changed() => Err(Ended::Wish),
        opened = opening => opened.map_err(Ended::Trouble),
    }
}
