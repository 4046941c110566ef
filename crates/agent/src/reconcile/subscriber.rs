//! Subscribers: copy queue, credential, records, leg, and the life of the lease.

mod lag;
mod lapse;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use eson_broker::{Lease as BrokerLease, QueueSpec, Rates};
use eson_processor::proto;
use eson_protocol::{Code, Mode, Positions};

use self::lag::Judged;
use super::queue::{self, Advance};
use super::{Outcome, Reconciler, first_run, records, settle};
use crate::participant::{BrokerEntry, Participant};
use crate::resource::{
    Activity, Failure, Flow, FlowSpec, Lease, Quality, QueueState, Subscriber, limited,
};
use crate::store::Stored;

/// Reconciles subscribers.
pub(super) struct SubscriberReconciler(pub(super) Arc<Participant>);

impl Reconciler for SubscriberReconciler {
    async fn reconcile(&self, name: &str) -> Outcome {
        settle(&self.0.subscribers, name, self.step(name)).await
    }
}

impl SubscriberReconciler {
    async fn step(&self, name: &str) -> Result<Outcome, Failure> {
        let Some(stored) = self.0.subscribers.get(name).await? else {
            return Ok(Outcome::Settled);
        };
        let flow = self.0.flows.get(stored.resource.spec.flow.as_str()).await?;
        let flow = flow.filter(|flow| !flow.deleting);
        match flow {
            Some(flow) if !stored.deleting => match stored.resource.spec.lease {
                Lease::Revoked => self.entomb(&stored).await,
                Lease::Expired => self.expire(&stored).await,
                Lease::Held | Lease::Lapsed => self.keep(&stored, &flow.resource).await,
            },
            _ => self.tear_down(&stored).await,
        }
    }

    async fn keep(&self, stored: &Stored<Subscriber>, flow: &Flow) -> Result<Outcome, Failure> {
        // Before anything is given: the right may have gone since the command judged it.
        if !self.0.is_entitled(&stored.resource, flow).await? {
            self.0.revoke_subscriber(&stored.name).await?;
            // That is a change, which wakes this up again.
            return Ok(Outcome::Settled);
        }
        if let Some(outcome) = self.lapse(stored).await? {
            return Ok(outcome);
        }
        if flow.status.partitions == 0 {
            // The flow's becoming ready wakes this up again.
            return Ok(Outcome::Settled);
        }
        self.note_broker(stored, flow).await?;
        self.resume(&stored.name, flow).await?;
        self.ensure_queue(&stored.name, flow).await?;
        self.ensure_credential(&stored.name).await?;
        self.ensure_rates(&stored.name, flow).await?;
        self.register(&stored.name).await?;
        if self.judge_lag(&stored.name, flow).await? == Judged::Dropped {
            return Ok(Outcome::Settled);
        }
        self.0.fan_out.apply(&self.0, &flow.spec.name).await?;
        self.restart_failed(stored).await?;
        if let Some(waiting) = self.wait_for_leg(stored, flow).await? {
            return Ok(waiting);
        }
        self.trim(&stored.name).await?;
        let generation = stored.resource.spec.generation;
        let succeed = |it: &mut Subscriber| it.status.condition.succeed(generation);
        let stored = self.0.subscribers.update(&stored.name, succeed).await?;
        Ok(Outcome::Again(self.until_next_end(&stored.resource)))
    }

    fn until_next_end(&self, subscriber: &Subscriber) -> Duration {
        let spec = &subscriber.spec;
        let kept = self.0.kept_after_lapse();
        let end = match spec.lease {
            Lease::Held => spec.expires,
            Lease::Lapsed | Lease::Revoked => spec.expires + kept,
            Lease::Expired => spec.expires + kept + self.0.position_kept(),
        };
        Duration::from_millis(end.saturating_sub(self.0.now()) + 1)
    }

    async fn note_broker(&self, stored: &Stored<Subscriber>, flow: &Flow) -> Result<(), Failure> {
        let FlowSpec { broker, queue, .. } = &flow.spec;
        let note = |it: &mut Subscriber| {
            it.status.broker.clone_from(broker);
            if it.status.begun.is_none() || it.status.condition.ready == 0 {
                it.status.begun = flow.status.queue.id().cloned();
            }
            if it.spec.mode == Mode::Direct {
                it.status.source = Some(queue.clone());
                it.status.partitions = flow.status.partitions;
            }
        };
        self.0.subscribers.update(&stored.name, note).await?;
        Ok(())
    }

    async fn ensure_queue(&self, name: &str, flow: &Flow) -> Result<(), Failure> {
        loop {
            let stored = self.0.subscribers.require(name).await?;
            if stored.resource.spec.mode == Mode::Direct {
                return Ok(());
            }
            let entry = self.entry(&stored.resource)?;
            let quality = quality(&stored.resource, flow);
            let partitions = u64::from(flow.status.partitions.max(1));
            let bytes = quality.copy_bytes.map(|bytes| match limited(Some(bytes)) {
                Some(bytes) => bytes.div_ceil(partitions),
                None => QueueSpec::FOREVER,
            });
            let spec = QueueSpec {
                name: entry.subscriber_queue(&stored.resource)?,
                partitions: flow.status.partitions,
                retention: Some(quality.copy_retention.unwrap_or(QueueSpec::FOREVER)),
                retention_bytes: Some(
                    bytes.unwrap_or_else(|| self.0.copy_quota(flow.status.partitions)),
                ),
            };
            let state = &stored.resource.status.queue;
            let next = match queue::advance(entry.broker.as_ref(), &spec, state).await? {
                Advance::Store(next) => next,
                Advance::There(found) => {
                    let count = u32::try_from(found.partitions.len()).unwrap_or(u32::MAX);
                    let note = |it: &mut Subscriber| it.status.partitions = count;
                    self.0.subscribers.update(name, note).await?;
                    return Ok(());
                }
            };
            let store = |it: &mut Subscriber| it.status.queue = next.clone();
            self.0.subscribers.update(name, store).await?;
        }
    }

    async fn ensure_credential(&self, name: &str) -> Result<(), Failure> {
        let stored = self.0.subscribers.require(name).await?;
        let spec = &stored.resource.spec;
        let wanted = Some((spec.credential, spec.lease));
        self.0.admit_reader(&stored.resource);
        if stored.resource.status.credential == wanted {
            return Ok(());
        }
        let entry = self.entry(&stored.resource)?;
        let lease = match spec.lease {
            Lease::Held => BrokerLease::Granted,
            Lease::Lapsed | Lease::Expired | Lease::Revoked => BrokerLease::Suspended,
        };
        // Stored first: whatever happens, teardown knows that there may be one.
        let begin = |it: &mut Subscriber| it.status.credential = Some((0, spec.lease));
        self.0.subscribers.update(name, begin).await?;
        let queue = entry.subscriber_queue(&stored.resource)?;
        let credential = self.0.keys.credential(spec);
        let granted = entry.broker.grant(&queue, &credential, lease).await;
        granted.map_err(|error| queue::failure(&error))?;
        let done = |it: &mut Subscriber| it.status.credential = wanted;
        self.0.subscribers.update(name, done).await?;
        Ok(())
    }

    /// What the broker itself holds the user to: it holds also who reads by other means than our
    /// processors.
    async fn ensure_rates(&self, name: &str, flow: &Flow) -> Result<(), Failure> {
        let stored = self.0.subscribers.require(name).await?;
        let quality = quality(&stored.resource, flow);
        let entry = self.entry(&stored.resource)?;
        // Nothing else is asked of a broker, which may not let us ask for it.
        let wanted = entry.broker.enforces(Rates {
            events: limited(quality.events_rate).unwrap_or_default(),
            bytes: limited(quality.bytes_rate).unwrap_or_default(),
        });
        if stored.resource.status.rates == wanted {
            return Ok(());
        }
        let queue = entry.subscriber_queue(&stored.resource)?;
        let username = stored.resource.spec.label.as_str();
        let limited = entry.broker.limit_reader(&queue, username, wanted).await;
        limited.map_err(|error| queue::failure(&error))?;
        let note = |it: &mut Subscriber| it.status.rates = wanted;
        self.0.subscribers.update(name, note).await?;
        Ok(())
    }

    async fn register(&self, name: &str) -> Result<(), Failure> {
        let stored = self.0.subscribers.require(name).await?;
        if stored.resource.spec.mode == Mode::Direct {
            return Ok(());
        }
        let wanted = self.0.copy_views(&stored.resource).await?;
        records::converge(
            &self.0,
            &self.0.subscribers,
            name,
            &wanted,
            Subscriber::views,
        )
        .await
    }

    async fn restart_failed(&self, stored: &Stored<Subscriber>) -> Result<(), Failure> {
        let generation = stored.resource.spec.generation;
        let condition = &stored.resource.status.condition;
        let leg = self.0.copy_status(stored);
        let has_failed = leg.is_some_and(|leg| leg.state() == proto::State::Failed);
        if !condition.wants_restart(generation) || !has_failed {
            return Ok(());
        }
        let flow = &stored.resource.spec.flow;
        if self.0.fan_out.restart_failed(&self.0, flow).await? {
            let note = |it: &mut Subscriber| it.status.condition.restarted = generation;
            self.0.subscribers.update(&stored.name, note).await?;
        }
        Ok(())
    }

    /// The first answer waits until the leg has its position, so that an event written right
    /// behind the answer is not behind the copy's beginning.
    async fn wait_for_leg(
        &self,
        stored: &Stored<Subscriber>,
        flow: &Flow,
    ) -> Result<Option<Outcome>, Failure> {
        let subscriber = &stored.resource;
        let runs = subscriber.spec.lease == Lease::Held
            && subscriber.spec.mode == Mode::Copy
            && !subscriber.status.overlagging
            && subscriber.spec.activity == Activity::Running
            && flow.spec.activity == Activity::Running;
        if !runs || subscriber.status.condition.ready > 0 {
            return Ok(None);
        }
        let leg = self.0.leg_status(
            &super::fan_out::instance(&flow.spec.name),
            &subscriber.leg_id(),
        );
        first_run(leg, "the copy can't be filled")
    }

    /// Drops what the subscriber says it has.
    async fn trim(&self, name: &str) -> Result<(), Failure> {
        let stored = self.0.subscribers.require(name).await?;
        let Subscriber { spec, status } = &stored.resource;
        let ahead: Positions = spec
            .acknowledged
            .iter()
            .filter(|(partition, next)| status.trimmed.get(partition) < Some(next))
            .map(|(partition, next)| (*partition, *next))
            .collect();
        if ahead.is_empty() || spec.mode == Mode::Direct {
            return Ok(());
        }
        let entry = self.entry(&stored.resource)?;
        let queue = entry.subscriber_queue(&stored.resource)?;
        let trimmed = entry.broker.trim_queue(&queue, &ahead).await;
        trimmed.map_err(|error| queue::failure(&error))?;
        self.mark(name).await?;
        let note = |it: &mut Subscriber| it.status.trimmed.extend(&ahead);
        self.0.subscribers.update(name, note).await?;
        Ok(())
    }

    /// Takes everything away but the tombstone.
    async fn entomb(&self, stored: &Stored<Subscriber>) -> Result<Outcome, Failure> {
        self.release(stored).await?;
        let generation = stored.resource.spec.generation;
        let succeed = |it: &mut Subscriber| it.status.condition.succeed(generation);
        self.0.subscribers.update(&stored.name, succeed).await?;
        Ok(Outcome::Settled)
    }

    async fn tear_down(&self, stored: &Stored<Subscriber>) -> Result<Outcome, Failure> {
        self.release(stored).await?;
        self.0.subscribers.mark_deleting(&stored.name).await?;
        self.0.subscribers.remove(&stored.name).await?;
        self.0
            .controllers
            .flow
            .poke(stored.resource.spec.flow.as_str());
        Ok(Outcome::Settled)
    }

    /// Backwards: credential first, since that is what ends the reading; then leg, records and
    /// queue.
    async fn release(&self, stored: &Stored<Subscriber>) -> Result<(), Failure> {
        let name = &stored.name;
        if stored.resource.status.credential.is_some() {
            let entry = self.entry(&stored.resource)?;
            let queue = entry.subscriber_queue(&stored.resource)?;
            let username = stored.resource.spec.label.as_str();
            let revoked = entry.broker.revoke(&queue, username).await;
            revoked.map_err(|error| queue::failure(&error))?;
            if stored.resource.status.rates.is_limited() {
                let unlimited = Rates::default();
                let lifted = entry.broker.limit_reader(&queue, username, unlimited).await;
                lifted.map_err(|error| queue::failure(&error))?;
            }
            self.0.readers.remove(username);
            let note = |it: &mut Subscriber| {
                it.status.credential = None;
                it.status.rates = Rates::default();
            };
            self.0.subscribers.update(name, note).await?;
        }
        self.0
            .fan_out
            .apply(&self.0, &stored.resource.spec.flow)
            .await?;
        records::converge(&self.0, &self.0.subscribers, name, &[], Subscriber::views).await?;
        if stored.resource.status.queue != QueueState::Unchecked {
            let entry = self.entry(&stored.resource)?;
            let queue = entry.subscriber_queue(&stored.resource)?;
            queue::delete(entry.broker.as_ref(), &queue, &stored.resource.status.queue).await?;
            self.forget_positions(stored).await?;
            let note = |it: &mut Subscriber| it.status.queue = QueueState::Unchecked;
            self.0.subscribers.update(name, note).await?;
        }
        Ok(())
    }

    /// Those of the leg that has filled the copy, tried once: the broker has just deleted that, so it is
    /// there.
    async fn forget_positions(&self, stored: &Stored<Subscriber>) -> Result<(), Failure> {
        let subscriber = &stored.resource;
        let brokers = BTreeSet::from([subscriber.status.broker.clone()]);
        let leg = subscriber.leg_id();
        self.0.forget_positions(brokers, &leg, 0).await
    }

    fn entry(&self, subscriber: &Subscriber) -> Result<&BrokerEntry, Failure> {
        let broker = &subscriber.status.broker;
        self.0.brokers.get(broker).ok_or_else(|| {
            let text = format!("the configuration has no broker {broker} any more");
            Failure::refused(Code::Backend, text)
        })
    }
}

/// What holds for a subscriber of the flow.
fn quality(subscriber: &Subscriber, flow: &Flow) -> Quality {
    subscriber.spec.quality.or(flow.spec.quality)
}
