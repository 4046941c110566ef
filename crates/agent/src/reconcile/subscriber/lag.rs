//! What becomes of a copy whose subscriber lags.

use eson_protocol::{Mode, Overlag};

use super::{SubscriberReconciler, quality};
use crate::reconcile::queue;
use crate::resource::{Failure, Flow, Lease, Subscriber, limited};

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Kept,
    Dropped,
}

/// What is to become of a copy, with what its owner and its subscriber are told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Judgement {
    Nothing,
    Pause(String),
    GoOn,
    Drop(String),
}

impl SubscriberReconciler {
    /// What becomes of a copy whose subscriber has not fetched more of it than it may. Its renewals
    /// tell how far it is, so that this is looked at with each.
    pub(super) async fn judge_lag(&self, name: &str, flow: &Flow) -> Result<Judged, Failure> {
        let stored = self.0.subscribers.require(name).await?;
        let subscriber = &stored.resource;
        if subscriber.spec.mode == Mode::Direct {
            return Ok(Judged::Kept);
        }
        let quality = quality(subscriber, flow);
        let limit = limited(quality.max_lag);
        let unread = match limit {
            Some(_) => self.unread(subscriber).await?,
            None => 0,
        };
        let overlag = quality.overlag.unwrap_or_default();
        match judge(limit, overlag, unread, subscriber.status.overlagging) {
            Judgement::Nothing => {}
            Judgement::Pause(notice) => self.note_overlag(name, Some(notice)).await?,
            Judgement::GoOn => self.note_overlag(name, None).await?,
            Judgement::Drop(notice) => {
                self.drop_copy(name, notice).await?;
                return Ok(Judged::Dropped);
            }
        }
        Ok(Judged::Kept)
    }

    /// How many events of its copy a subscriber has not said to have.
    async fn unread(&self, subscriber: &Subscriber) -> Result<u64, Failure> {
        let entry = self.entry(subscriber)?;
        let queue = entry.subscriber_queue(subscriber)?;
        let found = entry.broker.describe_queue(&queue).await;
        let found = found.map_err(|error| queue::failure(&error))?;
        Ok(subscriber.unread(&found.partitions))
    }

    async fn note_overlag(&self, name: &str, notice: Option<String>) -> Result<(), Failure> {
        match &notice {
            Some(notice) => tracing::warn!(subscriber = name, notice, "paused"),
            None => tracing::info!(subscriber = name, "it has caught up with its copy"),
        }
        let note = |it: &mut Subscriber| {
            it.status.overlagging = notice.is_some();
            it.status.notice.clone_from(&notice);
        };
        self.0.subscribers.update(name, note).await?;
        Ok(())
    }

    /// Ends the subscription as a revocation does.
    async fn drop_copy(&self, name: &str, notice: String) -> Result<(), Failure> {
        tracing::warn!(subscriber = name, notice, "dropped");
        let end = |it: &mut Subscriber| {
            it.spec.lease = Lease::Revoked;
            it.spec.generation += 1;
            it.status.overlagging = false;
            it.status.notice = Some(notice.clone());
        };
        self.0.subscribers.update(name, end).await?;
        Ok(())
    }
}

/// What becomes of a copy of which so many events were not fetched. A paused one goes on at half of
/// the limit, so that it does not pause again with the next event.
fn judge(limit: Option<u64>, overlag: Overlag, unread: u64, overlagging: bool) -> Judgement {
    let caught_up = limit.is_none_or(|limit| unread <= limit / 2);
    let over = limit.filter(|limit| unread > *limit);
    match (over, overlag) {
        (Some(limit), Overlag::Drop) => Judgement::Drop(format!(
            "the copy was dropped: {unread} events of it were not fetched, and max-lag is {limit}"
        )),
        (Some(limit), Overlag::Pause) if !overlagging => Judgement::Pause(format!(
            "the copy gets no more events until it has caught up: {unread} were not fetched, and max-lag is {limit}"
        )),
        _ if overlagging && caught_up => Judgement::GoOn,
        _ => Judgement::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_pauses_above_the_limit_and_goes_on_at_half_of_it() {
        let paused = |unread, overlagging| judge(Some(20), Overlag::Pause, unread, overlagging);
        assert_eq!(paused(20, false), Judgement::Nothing);
        assert!(matches!(paused(21, false), Judgement::Pause(notice) if notice.contains("is 20")));
        assert_eq!(paused(21, true), Judgement::Nothing);
        assert_eq!(paused(11, true), Judgement::Nothing);
        assert_eq!(paused(10, true), Judgement::GoOn);
        assert_eq!(judge(None, Overlag::Pause, 0, true), Judgement::GoOn);
    }

    #[test]
    fn a_copy_is_dropped_above_the_limit_also_when_it_was_paused() {
        let dropped = |unread, overlagging| judge(Some(20), Overlag::Drop, unread, overlagging);
        assert_eq!(dropped(20, false), Judgement::Nothing);
        for overlagging in [false, true] {
            let judgement = dropped(21, overlagging);
            assert!(matches!(judgement, Judgement::Drop(notice) if notice.contains("21 events")));
        }
    }
}
