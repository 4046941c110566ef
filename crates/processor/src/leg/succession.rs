//! A source that was deleted and created again since its leg has begun.

use eson_broker::{BrokerError, QueueDescription, QueueId};
use eson_protocol::{OnGap, Positions, Start};

use super::open::check_identity;
use crate::report::{LegReport, Trouble};
use crate::spec::LegSpec;

/// A queue that has taken the name of the one that a leg began to read.
#[derive(Debug)]
pub(crate) struct Succession {
    queue: String,
    before: QueueId,
    now: QueueId,
}

/// What a leg has to tell that goes on with such a queue.
#[derive(Debug)]
pub(crate) struct Succeeded {
    /// How many events are known to be gone.
    pub(crate) lost: u64,
    pub(crate) trouble: Trouble,
}

impl Succession {
    /// Whether `found` is another queue than the leg began with.
    ///
    /// # Errors
    /// [`BrokerError::Replaced`] when the leg may not read that.
    pub(crate) fn find(
        spec: &LegSpec,
        report: &LegReport,
        found: &QueueDescription,
    ) -> Result<Option<Self>, BrokerError> {
        let wanted = spec.source.queue_id.as_ref();
        let seen = report.begun();
        if !spec.follows {
            check_identity(&spec.source, wanted.or(seen.as_ref()), found)?;
            return Ok(None);
        }
        check_identity(&spec.source, wanted, found)?;
        let before = spec.begun.clone().or(seen);
        let before = before.filter(|before| *before != found.id);
        Ok(before.map(|before| Self {
            queue: spec.source.queue.clone(),
            before,
            now: found.id.clone(),
        }))
    }

    /// What of the leg's spec holds for the new queue: where to begin was said of the old one.
    pub(crate) fn afresh(spec: &LegSpec) -> LegSpec {
        LegSpec {
            start: Start::Earliest,
            cursor: Positions::new(),
            ..spec.clone()
        }
    }

    /// Begins to read the new queue, of which nothing is written yet.
    ///
    /// # Errors
    /// With [`OnGap::Stop`].
    pub(crate) fn begin(&self, on_gap: OnGap, report: &LegReport) -> Result<Succeeded, Trouble> {
        let Self { queue, before, now } = self;
        let lost = report.left_behind(before);
        let what = match lost {
            Some(0) => "all that was seen of the one before had been read".to_owned(),
            Some(lost) => format!("at least {lost} events of the one before are lost"),
            None => "how many events of the one before are lost is not known".to_owned(),
        };
        let text = format!(
            "queue `{queue}` was deleted and created again (was {before}, is {now}): {what}"
        );
        tracing::warn!(leg = report.id(), text, "the source is another one");
        if on_gap == OnGap::Stop {
            return Err(Trouble::gap(text));
        }
        Ok(Succeeded {
            lost: lost.unwrap_or_default(),
            trouble: Trouble::succeeded(format!(
                "{text}; reading goes on with the oldest of the new one"
            )),
        })
    }
}
