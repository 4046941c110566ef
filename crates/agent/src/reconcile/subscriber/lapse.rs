//! The life of a lease: how it lapses, what is kept then, and how it goes on.

use eson_broker::QueueId;
use eson_protocol::text::format_positions;
use eson_protocol::{Mode, Positions, Start};

use super::SubscriberReconciler;
use crate::reconcile::{Outcome, queue};
use crate::resource::{Failure, Flow, Lease, Mark, Marks, Subscriber};
use crate::store::Stored;

impl SubscriberReconciler {
    /// A lease that was not renewed turns the credential off and keeps the data; after the
    /// configured time the data goes too, and where it was in the source is kept.
    pub(super) async fn lapse(
        &self,
        stored: &Stored<Subscriber>,
    ) -> Result<Option<Outcome>, Failure> {
        let now = self.0.now();
        let spec = &stored.resource.spec;
        if spec.lease == Lease::Lapsed && now >= spec.expires + self.0.kept_after_lapse() {
            match spec.mode {
                // Who reads the flow itself knows where it is.
                Mode::Direct => self.0.subscribers.mark_deleting(&stored.name).await?,
                Mode::Copy => self.give_up_copy(&stored.name).await?,
            };
            return Ok(Some(Outcome::Settled));
        }
        if spec.lease == Lease::Lapsed || now < spec.expires {
            return Ok(None);
        }
        if let Err(failure) = self.mark(&stored.name).await {
            let error = failure.text;
            tracing::warn!(subscriber = %stored.name, error, "how far the copy goes is not known");
        }
        let lapse = |it: &mut Subscriber| {
            if it.spec.lease == Lease::Held && now >= it.spec.expires {
                it.spec.lease = Lease::Lapsed;
                it.spec.generation += 1;
            }
        };
        self.0.subscribers.update(&stored.name, lapse).await?;
        tracing::info!(subscriber = %stored.name, "the lease has lapsed");
        Ok(Some(Outcome::Settled))
    }

    /// What was acknowledged of the copy is turned into where that is in the source.
    async fn give_up_copy(&self, name: &str) -> Result<Stored<Subscriber>, Failure> {
        let give_up = |it: &mut Subscriber| {
            let Subscriber { spec, status } = it;
            if spec.lease != Lease::Lapsed {
                return;
            }
            spec.lease = Lease::Expired;
            spec.generation += 1;
            if let Some(resume) = status.marks.resume(&spec.acknowledged) {
                spec.cursor.clone_from(&resume.source);
                spec.start = Start::Earliest;
                status.begun = resume.queue.clone().or(status.begun.take());
            }
            spec.acknowledged.clear();
            status.trimmed.clear();
            status.marks = Marks::default();
            status.overlagging = false;
            status.notice = Some("the lease lapsed, and the copy is gone; a renewal goes on where the subscriber was".to_owned());
        };
        tracing::info!(subscriber = name, "the copy of a lapsed lease is dropped");
        Ok(self.0.subscribers.update(name, give_up).await?)
    }

    /// Keeps where the subscriber was, and nothing else of it, for the configured time.
    pub(super) async fn expire(&self, stored: &Stored<Subscriber>) -> Result<Outcome, Failure> {
        let end = stored.resource.spec.expires + self.0.kept_after_lapse() + self.0.position_kept();
        if self.0.now() >= end {
            self.0.subscribers.mark_deleting(&stored.name).await?;
            return Ok(Outcome::Settled);
        }
        self.release(stored).await?;
        let generation = stored.resource.spec.generation;
        let succeed = |it: &mut Subscriber| it.status.condition.succeed(generation);
        let stored = self.0.subscribers.update(&stored.name, succeed).await?;
        Ok(Outcome::Again(self.until_next_end(&stored.resource)))
    }

    /// A copy that is made anew behind one that is gone says from where, and what the source does
    /// not have any more.
    pub(super) async fn resume(&self, name: &str, flow: &Flow) -> Result<(), Failure> {
        let stored = self.0.subscribers.require(name).await?;
        let Subscriber { spec, status } = &stored.resource;
        if !status.resuming || spec.lease != Lease::Held {
            return Ok(());
        }
        let entry = self.entry(&stored.resource)?;
        let source = entry.broker.describe_queue(&flow.spec.queue).await;
        let source = source.map_err(|error| queue::failure(&error))?;
        let is_another = stored.resource.began_with_another(Some(&source.id));
        // Where one was in another queue says nothing of this one.
        let cursor = match is_another {
            true => Positions::new(),
            false => spec.cursor.clone(),
        };
        let lost = cursor.iter().map(|(partition, next)| {
            let earliest = source
                .partitions
                .get(partition)
                .map(|(earliest, _)| *earliest);
            earliest.unwrap_or_default().saturating_sub(*next)
        });
        let lost: u64 = lost.sum();
        let from = match cursor.is_empty() {
            true if is_another => {
                "from the beginning of the flow's queue, which was deleted and created again"
                    .to_owned()
            }
            true => "from its beginning".to_owned(),
            false => format!("from {} of the flow", format_positions(&cursor)),
        };
        let notice = match lost {
            0 => format!("the lease had lapsed and the copy was gone; a new one goes on {from}"),
            lost => format!(
                "the lease had lapsed and the copy was gone; a new one goes on {from}, and {lost} events from there on are gone"
            ),
        };
        tracing::warn!(subscriber = name, notice, "resumed");
        let note = |it: &mut Subscriber| {
            it.status.resuming = false;
            it.status.notice = Some(notice.clone());
        };
        self.0.subscribers.update(name, note).await?;
        Ok(())
    }

    /// Notes how far the copy goes into its source. What the leg has stored is asked for first: all
    /// of that is in the copy by the time its end is looked at.
    pub(super) async fn mark(&self, name: &str) -> Result<(), Failure> {
        let stored = self.0.subscribers.require(name).await?;
        let subscriber = &stored.resource;
        let leg = self
            .0
            .copy_status(&stored)
            .filter(|leg| !leg.stored.is_empty());
        let Some(leg) = leg.filter(|_| subscriber.spec.mode == Mode::Copy) else {
            return Ok(());
        };
        let entry = self.entry(subscriber)?;
        let queue = entry.subscriber_queue(subscriber)?;
        let found = entry.broker.describe_queue(&queue).await;
        let found = found.map_err(|error| queue::failure(&error))?;
        let ends = found.partitions.iter();
        let mark = Mark {
            queue: Some(QueueId(leg.source_id)),
            source: leg.stored.into_iter().collect(),
            copy: ends
                .map(|(partition, (_, latest))| (*partition, *latest))
                .collect(),
        };
        let note = |it: &mut Subscriber| it.status.marks.add(mark.clone(), &it.spec.acknowledged);
        self.0.subscribers.update(name, note).await?;
        Ok(())
    }
}
