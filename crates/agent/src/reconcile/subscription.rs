//! Subscriptions: the remote side's copy, the local flow, the bridge between them, and renewal.

mod bridge;
mod growth;
mod payload;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use eson_broker::QueueId;
use eson_protocol::{Code, Name, RemoteSubscribe, Right};

use self::bridge::is_direct;
use super::{Outcome, Reconciler, settle};
use crate::authority::{Caller, lost_right};
use crate::origin;
use crate::participant::Participant;
use crate::remote::{self, Copy, Trouble};
use crate::resource::{
    Activity, Failure, Flow, FlowStatus, Subscription, SubscriptionSpec, SubscriptionState,
};
use crate::store::{StoreError, Stored};

/// Reconciles subscriptions. What the publisher answered is kept in memory only: a password is
/// not stored, and after a restart the publisher is asked again.
pub(super) struct SubscriptionReconciler {
    participant: Arc<Participant>,
    held: Mutex<HashMap<String, Held>>,
}

/// What the publisher has granted, and until when that need not be asked for again.
#[derive(Clone)]
struct Held {
    copy: Copy,
    renew_at: Instant,
    generation: u64,
}

/// The instance's id at the runtime.
pub(crate) fn instance(local: &Name) -> String {
    format!("subscription/{local}")
}

impl Reconciler for SubscriptionReconciler {
    async fn reconcile(&self, name: &str) -> Outcome {
        let steps = async {
            let result = self.step(name).await;
            if result
                .as_ref()
                .is_err_and(|failure| !failure.is_transient())
            {
                self.forget(name);
                // With the failure stored, the next look removes the bridge.
                self.participant.controllers.subscription.poke(name);
            }
            result
        };
        settle(&self.participant.subscriptions, name, steps).await
    }
}

impl SubscriptionReconciler {
    pub(super) fn new(participant: Arc<Participant>) -> Self {
        Self {
            participant,
            held: Mutex::default(),
        }
    }

    async fn step(&self, name: &str) -> Result<Outcome, Failure> {
        let Some(stored) = self.participant.subscriptions.get(name).await? else {
            self.forget(name);
            return Ok(Outcome::Settled);
        };
        if stored.deleting {
            return self.tear_down(&stored).await;
        }
        if is_final(&stored.resource) {
            self.remove_bridge(&stored.resource.spec).await?;
            return Ok(Outcome::Settled);
        }
        match stored.resource.spec.activity {
            Activity::Running | Activity::Paused => self.keep(&stored).await,
            Activity::Stopped => self.stop(&stored).await,
        }
    }

    async fn keep(&self, stored: &Stored<Subscription>) -> Result<Outcome, Failure> {
        let held = match self.granted(stored).await {
            Err(failure) if failure.is_transient() => {
                self.keep_as_known(stored).await?;
                return Err(failure);
            }
            granted => granted?,
        };
        let spec = &stored.resource.spec;
        let circle = self.closes_circle(&stored.resource, &held.copy).await?;
        self.ensure_local(stored, &held.copy).await?;
        self.follow_payload(stored, &held.copy).await?;
        self.follow_growth(stored, &held.copy).await?;
        let Some(local) = self.local_flow(spec).await? else {
            return Ok(Outcome::Settled);
        };
        let halted = match circle {
            Some(circle) => Some(circle),
            None => self.denied(spec, &local).await?,
        };
        self.run_bridge(stored, &held.copy, &local, halted.is_some())
            .await?;
        self.restart_failed(stored).await?;
        if let Some(waiting) = self.wait_for_bridge(stored)? {
            return Ok(waiting);
        }
        self.succeed(stored, Some(&held.copy), halted).await?;
        Ok(Outcome::Again(
            held.renew_at.saturating_duration_since(Instant::now()),
        ))
    }

    /// While the publisher can't be asked, a pause and a right that is lost hold all the same.
    async fn keep_as_known(&self, stored: &Stored<Subscription>) -> Result<(), Failure> {
        let spec = &stored.resource.spec;
        let Some(held) = self.held(&stored.name) else {
            return Ok(());
        };
        let Some(local) = self.local_flow(spec).await? else {
            return Ok(());
        };
        let denied = self.denied(spec, &local).await?;
        let held_still = denied.is_some() || stored.resource.status.halted.is_some();
        self.run_bridge(stored, &held.copy, &local, held_still)
            .await
    }

    /// What the publisher has granted: what is held, or its answer now, when it is time to renew
    /// or the source has turned the credential down.
    async fn granted(&self, stored: &Stored<Subscription>) -> Result<Held, Failure> {
        let known = self.held(&stored.name);
        let turned_down = self.source_refuses(&stored.resource.spec);
        let current = known.clone().filter(|held| {
            Instant::now() < held.renew_at
                && held.generation == stored.resource.spec.generation
                && !turned_down
        });
        if let Some(held) = current {
            return Ok(held);
        }
        let mut copy = self.ask(stored, known.is_none() || turned_down).await?;
        if let Some(known) = known.filter(|_| !turned_down) {
            copy.remember(&known.copy);
        }
        if copy.lacks_password() {
            copy = self.ask(stored, true).await?;
        }
        let held = Held {
            renew_at: Instant::now() + copy.lease / 3,
            copy,
            generation: stored.resource.spec.generation,
        };
        self.lock().insert(stored.name.clone(), held.clone());
        Ok(held)
    }

    async fn ask(
        &self,
        stored: &Stored<Subscription>,
        credential_again: bool,
    ) -> Result<Copy, Failure> {
        let spec = &stored.resource.spec;
        let position = self
            .bridge(spec)
            .map(|leg| leg.stored.into_iter().collect());
        let options = RemoteSubscribe {
            id: Some(spec.id.clone()),
            on_behalf_of: self.participant.on_behalf_of(&spec.remote, &spec.owner),
            from: Some(spec.start),
            cursor: (!spec.cursor.is_empty()).then(|| spec.cursor.clone()),
            mode: spec.mode,
            on_gap: Some(spec.on_gap),
            delivery: spec.delivery,
            position,
            credential_again,
        };
        let answer = remote::subscribe(&self.participant, &spec.remote, options).await;
        answer.map_err(|trouble| match trouble {
            // What was agreed holds until the publisher says otherwise, whatever DNS says meanwhile.
            Trouble::Unheard(failure) if stored.resource.status.condition.ready > 0 => {
                Failure::backend(failure.text)
            }
            trouble => trouble.into(),
        })
    }

    /// Why events of this subscription would go round, if it is the newest of a circle. The older
    /// ones go on; all participants see the same order. One that has not moved events yet is
    /// refused.
    async fn closes_circle(
        &self,
        subscription: &Subscription,
        copy: &Copy,
    ) -> Result<Option<String>, Failure> {
        let spec = &subscription.spec;
        let told = origin::youngest_since(&copy.origins, &spec.local);
        let known = self.participant.youngest_between(&spec.local, &spec.remote);
        let youngest = told.into_iter().chain(known.await?).min();
        if youngest.is_none_or(|youngest| spec.born < youngest) {
            return Ok(None);
        }
        let text = format!(
            "{} is fed by {}: events would go round",
            spec.remote, spec.local
        );
        if subscription.status.condition.ready == 0 {
            return Err(Failure::refused(Code::Loop, text));
        }
        Ok(Some(format!(
            "{text}; this is the newest subscription of the circle, and goes on when another one of it is ended"
        )))
    }

    /// Why the bridge may not write, if its owner has lost the right to.
    async fn denied(
        &self,
        spec: &SubscriptionSpec,
        local: &Flow,
    ) -> Result<Option<String>, Failure> {
        let owner = Caller::participant(spec.owner.clone());
        let rights = self.participant.rights_on_flow(&owner, local).await?;
        let denied = !rights.include(Right::Write);
        Ok(denied.then(|| lost_right(&spec.owner, Right::Write, &spec.local)))
    }

    async fn ensure_local(
        &self,
        stored: &Stored<Subscription>,
        copy: &Copy,
    ) -> Result<(), Failure> {
        let spec = &stored.resource.spec;
        let Some(creates) = &spec.creates else {
            return Ok(());
        };
        if self
            .participant
            .flows
            .get(spec.local.as_str())
            .await?
            .is_some()
        {
            return Ok(());
        }
        let mut wanted = creates.as_ref().clone();
        wanted.partitions = Some(copy.partitions_to_create(&spec.local)?);
        wanted.payload = payload::wanted(spec, copy);
        self.note_told(stored, &wanted.payload).await?;
        let flow = Flow {
            spec: wanted,
            status: FlowStatus::default(),
        };
        match self
            .participant
            .flows
            .create(spec.local.as_str(), flow)
            .await
        {
            Ok(_) | Err(StoreError::Exists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// None while the flow is being made; its becoming ready wakes this up again.
    async fn local_flow(&self, spec: &SubscriptionSpec) -> Result<Option<Flow>, Failure> {
        let flow = self.participant.flows.get(spec.local.as_str()).await?;
        let flow = flow.filter(|flow| !flow.deleting).ok_or_else(|| {
            Failure::refused(Code::NotFound, format!("the flow {} is gone", spec.local))
        })?;
        let condition = &flow.resource.status.condition;
        if condition.ready > 0 {
            return Ok(Some(flow.resource));
        }
        condition.failure.clone().map_or(Ok(None), Err)
    }

    async fn succeed(
        &self,
        stored: &Stored<Subscription>,
        copy: Option<&Copy>,
        halted: Option<String>,
    ) -> Result<(), Failure> {
        let spec = &stored.resource.spec;
        let seen = self.bridge(spec).map(|leg| leg.source_id);
        let seen = seen.filter(|id| !id.is_empty()).map(QueueId);
        let change = |it: &mut Subscription| {
            it.status.halted.clone_from(&halted);
            it.status.state = match spec.activity {
                _ if halted.is_some() => SubscriptionState::Paused,
                Activity::Running => SubscriptionState::Active,
                Activity::Paused => SubscriptionState::Paused,
                Activity::Stopped => SubscriptionState::Stopped,
            };
            if let Some(copy) = copy {
                it.status.copy = Some(copy.name.clone());
                it.status.origins.clone_from(&copy.origins);
                it.status.terms.clone_from(&copy.terms);
                it.status.begun = match is_direct(&copy.terms) {
                    true => it.status.begun.take().or(seen.clone()),
                    false => None,
                };
            }
            it.status.condition.succeed(spec.generation);
        };
        self.participant
            .subscriptions
            .update(&stored.name, change)
            .await?;
        Ok(())
    }

    /// Releases the processor and lets the lease lapse; the position is kept where the events
    /// are.
    async fn stop(&self, stored: &Stored<Subscription>) -> Result<Outcome, Failure> {
        self.remove_bridge(&stored.resource.spec).await?;
        self.forget(&stored.name);
        self.succeed(stored, None, None).await?;
        Ok(Outcome::Settled)
    }

    async fn tear_down(&self, stored: &Stored<Subscription>) -> Result<Outcome, Failure> {
        let spec = &stored.resource.spec;
        self.remove_bridge(spec).await?;
        self.forget(&stored.name);
        let now = self.participant.now();
        let note = |it: &mut Subscription| {
            it.status.deleting_since.get_or_insert(now);
        };
        let noted = self
            .participant
            .subscriptions
            .update(&stored.name, note)
            .await?;
        let since = noted.resource.status.deleting_since.unwrap_or(now);
        self.forget_positions(spec, since).await?;
        let ended = remote::unsubscribe(&self.participant, &spec.remote, &spec.id).await;
        match ended.map_err(Failure::from) {
            Err(failure)
                if failure.is_transient() && now < since + self.participant.kept_after_lapse() =>
            {
                return Err(failure);
            }
            Err(failure) => {
                tracing::warn!(subscription = %stored.name, error = failure.text,
                    "the publisher was not told; the lease there lapses by itself");
            }
            Ok(()) => {}
        }
        self.participant.subscriptions.remove(&stored.name).await?;
        self.participant.controllers.flow.poke(&stored.name);
        Ok(Outcome::Settled)
    }

    fn held(&self, name: &str) -> Option<Held> {
        self.lock().get(name).cloned()
    }

    fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the publisher's refusal has settled this generation.
fn is_final(subscription: &Subscription) -> bool {
    let condition = &subscription.status.condition;
    condition
        .failure
        .as_ref()
        .is_some_and(|failure| !failure.is_transient())
}
