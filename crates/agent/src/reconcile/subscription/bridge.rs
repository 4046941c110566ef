//! The bridge of a subscription, which moves the events, as the runtime is to run it.

use std::collections::BTreeSet;

use eson_processor::proto;
use eson_protocol::text::{parse_positions, parse_size, parse_start};
use eson_protocol::{Mode, Positions, Start};

use super::{SubscriptionReconciler, instance};
use crate::reconcile::{Outcome, begun, delivering, first_run, on_gap, start};
use crate::remote::Copy;
use crate::resource::{Activity, Failure, Flow, Subscription, SubscriptionSpec, Terms};
use crate::store::Stored;

impl SubscriptionReconciler {
    pub(super) async fn run_bridge(
        &self,
        stored: &Stored<Subscription>,
        copy: &Copy,
        local: &Flow,
        held_still: bool,
    ) -> Result<(), Failure> {
        let spec = &stored.resource.spec;
        let (from, cursor) = begin(spec, &copy.terms);
        // A copy is filled at its rates by who owns it.
        let direct = is_direct(&copy.terms);
        let rate = |key| {
            let rate = copy.terms.get(key).filter(|_| direct);
            rate.and_then(|rate| parse_size(rate).ok())
        };
        let leg = proto::Leg {
            id: leg_id(spec),
            destination: Some(self.participant.destination_endpoint(local)?),
            start: Some(start(from, &cursor)),
            paused: held_still || spec.activity == Activity::Paused,
            events_per_second: rate("events-rate").unwrap_or_default(),
            bytes_per_second: rate("bytes-rate").unwrap_or_default(),
            on_gap: on_gap(spec.on_gap).into(),
            contract: self
                .participant
                .leg_contract(&local.spec, spec.validate)
                .await?,
            // Whose copy another one takes the place of is the publisher's to say.
            follows: direct,
            begun: begun(stored.resource.status.begun.as_ref()),
            schema_ids: self.participant.schema_ids(
                spec.registry.as_ref(),
                copy.payload.schema_registry.as_deref(),
            )?,
            ..delivering(spec.delivery)
        };
        let dead_letters = spec.dead_letters();
        let letters = self
            .participant
            .dead_letters(dead_letters.as_ref(), &spec.owner);
        let bridge = proto::Spec {
            dead_letters: letters.await?,
            id: instance(&spec.local),
            r#type: proto::ProcessorType::Bridge.into(),
            sources: vec![copy.endpoint()],
            legs: vec![leg],
            ..Default::default()
        };
        let lacks_dead_letters = bridge.dead_letters.is_none();
        let runtime = &self.participant.runtime;
        runtime.ensure(&self.shard(spec), bridge).await?;
        if lacks_dead_letters {
            let legs: Vec<_> = self.bridge(spec).into_iter().collect();
            let name = dead_letters.as_ref();
            let making = self
                .participant
                .make_dead_letters(name, &spec.owner, &local.spec, &legs);
            // Its becoming ready wakes this up again.
            making.await?;
        }
        Ok(())
    }

    pub(super) async fn restart_failed(
        &self,
        stored: &Stored<Subscription>,
    ) -> Result<(), Failure> {
        let Subscription { spec, status } = &stored.resource;
        let generation = spec.generation;
        if !status.condition.wants_restart(generation) || !self.has_failed(spec) {
            return Ok(());
        }
        let runtime = &self.participant.runtime;
        let (shard, instance) = (self.shard(spec), instance(&spec.local));
        if runtime.restart_failed(&shard, &instance).await? {
            let note = |it: &mut Subscription| it.status.condition.restarted = generation;
            let subscriptions = &self.participant.subscriptions;
            subscriptions.update(&stored.name, note).await?;
        }
        Ok(())
    }

    fn has_failed(&self, spec: &SubscriptionSpec) -> bool {
        self.bridge(spec)
            .is_some_and(|leg| leg.state() == proto::State::Failed)
    }

    /// The first answer waits until the bridge runs.
    pub(super) fn wait_for_bridge(
        &self,
        stored: &Stored<Subscription>,
    ) -> Result<Option<Outcome>, Failure> {
        let spec = &stored.resource.spec;
        if stored.resource.status.condition.ready > 0 || spec.activity != Activity::Running {
            return Ok(None);
        }
        first_run(self.bridge(spec), "events can't be moved")
    }

    /// Those of the bridge, at the local flow's broker.
    pub(super) async fn forget_positions(
        &self,
        spec: &SubscriptionSpec,
        since: u64,
    ) -> Result<(), Failure> {
        let participant = &self.participant;
        let Some(local) = participant.flows.get(spec.local.as_str()).await? else {
            return Ok(());
        };
        let brokers = BTreeSet::from([local.resource.spec.broker]);
        let leg = leg_id(spec);
        participant.forget_positions(brokers, &leg, since).await
    }

    pub(super) async fn remove_bridge(&self, spec: &SubscriptionSpec) -> Result<(), Failure> {
        let runtime = &self.participant.runtime;
        Ok(runtime.remove(&instance(&spec.local)).await?)
    }

    /// Peers are kept apart, so that one's trouble is its own.
    fn shard(&self, spec: &SubscriptionSpec) -> String {
        self.participant.shard_of(&spec.remote)
    }

    pub(super) fn bridge(&self, spec: &SubscriptionSpec) -> Option<proto::LegStatus> {
        self.participant
            .leg_status(&instance(&spec.local), &leg_id(spec))
    }

    /// Whether the bridge failed because the copy or the credential is gone.
    pub(super) fn source_refuses(&self, spec: &SubscriptionSpec) -> bool {
        self.bridge(spec).is_some_and(|leg| {
            let error = leg.error.as_ref();
            leg.state() == proto::State::Failed && error.is_some_and(is_of_source)
        })
    }
}

/// Whether an error is of the copy itself, and neither of what is in it nor of its registry.
fn is_of_source(error: &proto::Error) -> bool {
    use proto::error::{Kind, Side};
    error.side() == Side::Source && !matches!(error.kind(), Kind::Content | Kind::Registry)
}

/// Whether the bridge reads the flow's own queue.
pub(super) fn is_direct(terms: &Terms) -> bool {
    terms.get("mode") == Some(Mode::Direct.as_str())
}

/// Where the bridge begins. A copy begins where the subscription does; the flow itself is read from
/// where the publisher has granted.
fn begin(spec: &SubscriptionSpec, terms: &Terms) -> (Start, Positions) {
    if !is_direct(terms) {
        return (Start::Earliest, Positions::new());
    }
    let from = terms.granted.iter().filter(|(key, _)| key == "from");
    let (mut start, mut cursor) = (spec.start, spec.cursor.clone());
    for (_, value) in from {
        match value.strip_prefix("cursor:").map(parse_positions) {
            Some(Ok(positions)) => cursor = positions,
            Some(Err(_)) => {}
            None => start = parse_start(value).unwrap_or(start),
        }
    }
    (start, cursor)
}

/// Names the positions at the destination. The subscription's own id is a secret.
fn leg_id(spec: &SubscriptionSpec) -> String {
    format!("{}.{}", crate::secrets::fingerprint(&spec.id), spec.remote)
}
