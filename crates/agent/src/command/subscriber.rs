//! GET SUBSCRIBERS, DESCRIBE, UPDATE, REMOVE, PAUSE and RESUME SUBSCRIBER: the owner's side.

use eson_protocol::text::format_positions;
use eson_protocol::{Code, DataLine, Mode, Name, QualityOptions, Reply, Right, Status};

use super::leg_status::{leg_error, leg_lines, leg_words};
use super::lines::{attribute, attributes, entry, optional, seconds_until};
use super::processor_advice::LegOwner;
use super::{Answer, Request, wait};
use crate::reconcile::queue::failure;
use crate::resource::{Activity, Lease, Subscriber};
use crate::store::Stored;

impl Request<'_> {
    /// Those of one flow by their labels, or those of all that the caller administers by the names of
    /// their copies.
    pub(super) async fn list_subscribers(&self, flow: Option<Name>) -> Answer {
        let Some(flow) = flow else {
            return self.list_all_subscribers().await;
        };
        self.participant
            .authorized_flow(self.caller, Right::Admin, &flow)
            .await?;
        let found = self.participant.subscribers_of(&flow).await?;
        let lines = found.iter().map(|subscriber| {
            let label = subscriber.resource.spec.label.as_str();
            entry(label, &self.subscriber_words(subscriber))
        });
        Ok(Reply::data(lines.collect()))
    }

    async fn list_all_subscribers(&self) -> Answer {
        let mut lines = Vec::new();
        for flow in self.participant.flows.list().await? {
            let rights = self
                .participant
                .rights_on_flow(self.caller, &flow.resource)
                .await?;
            if !rights.include(Right::Admin) {
                continue;
            }
            let name = &flow.resource.spec.name;
            for subscriber in self.participant.subscribers_of(name).await? {
                let copy = format!("{}.{name}", subscriber.resource.spec.label);
                let mut values = vec![("flow", name.to_string())];
                values.extend(self.subscriber_words(&subscriber));
                lines.push(entry(&copy, &values));
            }
        }
        Ok(Reply::data(lines))
    }

    fn subscriber_words(&self, subscriber: &Stored<Subscriber>) -> Vec<(&'static str, String)> {
        let spec = &subscriber.resource.spec;
        let mut values = vec![
            ("principal", spec.reader().to_string()),
            ("state", state(subscriber).to_owned()),
        ];
        if spec.mode == Mode::Direct {
            values.push(("mode", spec.mode.as_str().to_owned()));
        }
        if spec.lease == Lease::Held {
            let left = seconds_until(spec.expires, self.participant.now());
            values.push(("expires", format!("{left}s")));
        }
        let leg = self.participant.copy_status(subscriber);
        let now = self.participant.now();
        values.extend(leg.iter().flat_map(|leg| leg_words(leg, now)));
        let status = &subscriber.resource.status;
        values.extend(status.notice.iter().map(|it| ("notice", it.clone())));
        let failure = status.condition.failure.as_ref();
        match failure {
            Some(failure) => values.push(("error", failure.text.clone())),
            None => values.extend(leg_error(LegOwner::Subscriber, leg.as_ref(), now)),
        }
        values
    }

    /// What one subscriber has, and may have.
    pub(super) async fn describe_subscriber(&self, flow: Name, label: String) -> Answer {
        let found = self.owned_subscriber(&flow, &label).await?;
        let owner = self.participant.flows.require(flow.as_str()).await?;
        let Subscriber { spec, status } = &found.resource;
        let mut lines = vec![
            attribute("subscriber", &spec.label),
            attribute("flow", &spec.flow),
            attribute("principal", spec.reader()),
            attribute("asked-by", &spec.principal),
            attribute("state", state(&found)),
            attribute("mode", spec.mode.as_str()),
        ];
        lines.extend(super::terms::from_lines(spec));
        lines.extend(attributes(super::delivery::words(spec.delivery)));
        let left = seconds_until(spec.expires, self.participant.now());
        lines.push(attribute("expires", format!("{left}s")));
        if !spec.acknowledged.is_empty() {
            let acknowledged = format_positions(&spec.acknowledged);
            lines.push(attribute("acknowledged", acknowledged));
        }
        let quality = spec.quality.or(owner.resource.spec.quality);
        lines.extend(attributes(quality.words()));
        lines.extend(optional("notice", status.notice.as_ref()));
        let failure = status.condition.failure.as_ref();
        lines.extend(optional("error", failure.map(|failure| &failure.text)));
        lines.extend(self.direct_lag(&found.resource).await?);
        let leg = self.participant.copy_status(&found);
        let now = self.participant.now();
        let leg = leg.map(|leg| leg_lines(LegOwner::Subscriber, &leg, now));
        lines.extend(leg.unwrap_or_default());
        Ok(Reply::data(lines))
    }

    /// How far behind one is who reads the flow itself, as far as its renewals tell.
    async fn direct_lag(&self, subscriber: &Subscriber) -> Result<Option<DataLine>, Status> {
        if subscriber.spec.mode == Mode::Copy || subscriber.spec.lease != Lease::Held {
            return Ok(None);
        }
        let broker = &subscriber.status.broker;
        let entry = self.participant.brokers.require(broker)?;
        let queue = entry.subscriber_queue(subscriber);
        let queue = queue.map_err(|failure| failure.to_status())?;
        let found = entry.broker.describe_queue(&queue).await;
        let found = found.map_err(|error| failure(&error).to_status())?;
        let lag = subscriber.unread(&found.partitions);
        Ok(Some(attribute("lag", lag)))
    }

    /// Changes what one subscriber may have; it holds at once.
    pub(super) async fn update_subscriber(
        &self,
        flow: Name,
        label: String,
        options: QualityOptions,
    ) -> Answer {
        self.change_subscriber(&flow, &label, |subscriber| {
            let before = subscriber.spec.quality;
            subscriber.spec.quality.apply(&options);
            if subscriber.spec.quality != before {
                subscriber.spec.generation += 1;
                subscriber.status.condition.failure = None;
            }
        })
        .await
    }

    /// Revokes: stops the copy, takes the credential back, deletes the copy. What is left is a
    /// tombstone that answers 557, until RESUME SUBSCRIBER clears it.
    pub(super) async fn remove_subscriber(&self, flow: Name, label: String) -> Answer {
        self.change_subscriber(&flow, &label, |subscriber| {
            if subscriber.spec.lease != Lease::Revoked {
                subscriber.spec.lease = Lease::Revoked;
                subscriber.spec.generation += 1;
                subscriber.status.condition.failure = None;
            }
        })
        .await
    }

    pub(super) async fn pause_subscriber(&self, flow: Name, label: String) -> Answer {
        self.change_subscriber(&flow, &label, |subscriber| {
            set_activity(subscriber, Activity::Paused);
        })
        .await
    }

    /// Goes on after a pause, and starts the leg to the copy anew if it has failed; clears a
    /// revocation, so that the subscriber may ask anew.
    pub(super) async fn resume_subscriber(&self, flow: Name, label: String) -> Answer {
        let found = self.owned_subscriber(&flow, &label).await?;
        if found.resource.spec.lease != Lease::Revoked {
            let resume = |subscriber: &mut Subscriber| set_activity(subscriber, Activity::Running);
            return self.change_subscriber(&flow, &label, resume).await;
        }
        let subscribers = &self.participant.subscribers;
        subscribers.mark_deleting(&found.name).await?;
        wait::gone(subscribers, &found.name, |it| &it.status.condition).await?;
        Ok(Status::done_with(&found.name).into())
    }

    async fn change_subscriber(
        &self,
        flow: &Name,
        label: &str,
        change: impl FnMut(&mut Subscriber) + Send,
    ) -> Answer {
        let found = self.owned_subscriber(flow, label).await?;
        let subscribers = &self.participant.subscribers;
        let stored = subscribers.update(&found.name, change).await?;
        let generation = stored.resource.spec.generation;
        wait::settled(subscribers, &found.name, generation, |it| {
            &it.status.condition
        })
        .await?;
        Ok(Status::done_with(&found.name).into())
    }

    /// The subscriber, named by its label or by its copy's full name.
    async fn owned_subscriber(
        &self,
        flow: &Name,
        label: &str,
    ) -> Result<Stored<Subscriber>, Status> {
        self.participant
            .authorized_flow(self.caller, Right::Admin, flow)
            .await?;
        let label = label.to_ascii_lowercase();
        let label = label.strip_suffix(&format!(".{flow}")).unwrap_or(&label);
        let found = self
            .participant
            .subscribers
            .get(&format!("{flow} {label}"))
            .await?;
        found.ok_or_else(|| {
            let text =
                format!("{flow} has no subscriber {label}; GET SUBSCRIBERS {flow} lists them");
            Status::new(Code::NotFound, text)
        })
    }
}

fn set_activity(subscriber: &mut Subscriber, activity: Activity) {
    if subscriber.spec.activity != activity || activity == Activity::Running {
        subscriber.spec.activity = activity;
        subscriber.spec.generation += 1;
        subscriber.status.condition.failure = None;
    }
}

fn state(subscriber: &Stored<Subscriber>) -> &'static str {
    let resource = &subscriber.resource;
    match (resource.spec.lease, resource.spec.activity) {
        (Lease::Revoked, _) => "revoked",
        _ if subscriber.deleting => "ending",
        (Lease::Lapsed, _) => "lapsed",
        (Lease::Expired, _) => "expired",
        _ if resource.status.overlagging => "paused",
        (Lease::Held, Activity::Paused | Activity::Stopped) => "paused",
        _ if resource.status.condition.failure.is_some() => "failed",
        _ if resource.status.condition.ready == 0 => "pending",
        (Lease::Held, Activity::Running) => "active",
    }
}
