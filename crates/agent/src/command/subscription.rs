//! UNSUBSCRIBE, PAUSE, RESUME, STOP and DESCRIBE SUBSCRIPTION, GET SUBSCRIPTIONS.

use eson_protocol::{Name, Reply, Status, Validate};

use super::leg_status::{leg_error, leg_lines, leg_words};
use super::lines::{attribute, attributes, entry, optional};
use super::processor_advice::LegOwner;
use super::{Answer, Request, wait};
use crate::resource::{Activity, Subscription};
use crate::store::{StoreError, Stored};

impl Request<'_> {
    /// Ends the subscription on both sides. The local flow and its events stay.
    pub(super) async fn unsubscribe(&self, local: Name) -> Answer {
        self.own_subscription(&local).await?;
        let subscriptions = &self.participant.subscriptions;
        match subscriptions.mark_deleting(local.as_str()).await {
            Ok(_) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        wait::gone(subscriptions, local.as_str(), |it| &it.status.condition).await?;
        Ok(Status::done_with(&local).into())
    }

    pub(super) async fn pause_subscription(&self, local: Name) -> Answer {
        self.set_subscription_activity(local, Activity::Paused)
            .await
    }

    pub(super) async fn resume_subscription(&self, local: Name) -> Answer {
        self.set_subscription_activity(local, Activity::Running)
            .await
    }

    pub(super) async fn stop_subscription(&self, local: Name) -> Answer {
        self.set_subscription_activity(local, Activity::Stopped)
            .await
    }

    /// Resuming also tries again what the publisher had refused, and starts a bridge that has failed
    /// anew.
    async fn set_subscription_activity(&self, local: Name, activity: Activity) -> Answer {
        self.own_subscription(&local).await?;
        let change = |subscription: &mut Subscription| {
            let failed = subscription.status.condition.failure.is_some();
            let again = failed || activity == Activity::Running;
            if subscription.spec.activity != activity || again {
                subscription.spec.activity = activity;
                subscription.spec.generation += 1;
                subscription.status.condition.failure = None;
            }
        };
        let subscriptions = &self.participant.subscriptions;
        let stored = subscriptions.update(local.as_str(), change).await?;
        let generation = stored.resource.spec.generation;
        wait::settled(subscriptions, local.as_str(), generation, |it| {
            &it.status.condition
        })
        .await?;
        Ok(Status::done_with(&local).into())
    }

    pub(super) async fn describe_subscription(&self, local: Name) -> Answer {
        let found = self.own_subscription(&local).await?;
        let spec = &found.resource.spec;
        let status = &found.resource.status;
        let mut lines = vec![
            attribute("subscription", &spec.local),
            attribute("remote", &spec.remote),
            attribute("owner", &spec.owner),
            attribute("state", state(&found)),
        ];
        lines.extend(optional("copy", status.copy.as_ref()));
        lines.extend(attributes(super::delivery::words(spec.delivery)));
        if spec.validate != Validate::Off {
            lines.push(attribute("validate", spec.validate.as_str()));
        }
        let registry = spec.registry.iter();
        lines.extend(registry.flat_map(|registry| attributes(registry.words())));
        let granted = status.terms.granted.iter();
        lines.extend(granted.map(|(key, value)| attribute(&format!("granted-{key}"), value)));
        lines.extend(optional("notice", status.terms.notice.as_ref()));
        let failure = status.condition.failure.as_ref();
        let error = failure.map(|failure| &failure.text);
        lines.extend(optional("error", error.or(status.halted.as_ref())));
        if let Some(bridge) = self.participant.bridge_status(&spec.local) {
            let dead_letters = spec.dead_letters();
            let legs = std::slice::from_ref(&bridge);
            lines.extend(self.dead_letter_lines(dead_letters.as_ref(), legs).await?);
            let now = self.participant.now();
            lines.extend(leg_lines(LegOwner::Subscription, &bridge, now));
        }
        Ok(Reply::data(lines))
    }

    pub(super) async fn list_subscriptions(&self) -> Answer {
        let mut lines = Vec::new();
        for found in self.participant.subscriptions.list().await? {
            if self
                .own_subscription(&found.resource.spec.local)
                .await
                .is_err()
            {
                continue;
            }
            let spec = &found.resource.spec;
            let mut values = vec![
                ("remote", spec.remote.to_string()),
                ("state", state(&found).to_owned()),
            ];
            if let Some(copy) = &found.resource.status.copy {
                values.push(("copy", copy.to_string()));
            }
            let notice = found.resource.status.terms.notice.iter();
            values.extend(notice.map(|notice| ("notice", notice.clone())));
            let bridge = self.participant.bridge_status(&spec.local);
            let leg = bridge.iter();
            let now = self.participant.now();
            values.extend(leg.flat_map(|leg| leg_words(leg, now)));
            let status = &found.resource.status;
            let failure = status.condition.failure.as_ref();
            let error = failure.map(|failure| &failure.text);
            match error.or(status.halted.as_ref()) {
                Some(error) => values.push(("error", error.clone())),
                None => values.extend(leg_error(LegOwner::Subscription, bridge.as_ref(), now)),
            }
            lines.push(entry(spec.local.as_str(), &values));
        }
        Ok(Reply::data(lines))
    }
}

fn state(found: &Stored<Subscription>) -> &'static str {
    if found.deleting {
        "ending"
    } else {
        found.resource.status.state.as_str()
    }
}
