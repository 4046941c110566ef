//! What a subscriber is told of its copy: where it is, what reads it, on which terms.

use eson_broker::Credential;
use eson_processor::proto::error::Kind;
use eson_processor::proto::{Error, State};
use eson_protocol::{BrokerKind, DataLine, Delivery, Mode, Name, Right, Status};

use super::Request;
use super::lines::{attribute, attributes, optional, seconds_until};
use super::subscribe_remote::revoked;
use crate::participant::BrokerEntry;
use crate::reconcile::queue::failure;
use crate::resource::{Flow, Lease, NOTICE, Subscriber};

impl Request<'_> {
    /// The name of what is read, and, after ENABLE attributes, all that is needed for that.
    pub(super) async fn subscribed(
        &self,
        flow: &Flow,
        subscriber: &Subscriber,
        password: bool,
    ) -> Result<Vec<DataLine>, Status> {
        let copy = &subscriber
            .read_name()
            .map_err(|error| Status::name(error.to_string()))?;
        let mut lines = vec![DataLine::Text(copy.to_string())];
        if !self.attributes {
            return Ok(lines);
        }
        lines.extend(self.copy_lines(copy, subscriber).await?);
        let credential = self.participant.keys.credential(&subscriber.spec);
        lines.extend(credential_lines(&credential, password));
        let left = seconds_until(subscriber.spec.expires, self.participant.now());
        lines.push(attribute("expires", format!("{left}s")));
        lines.extend(self.terms(flow, subscriber)?);
        let origins = self.participant.origins(&subscriber.spec.flow).await?;
        lines.extend(origins.iter().map(|origin| attribute("origin", origin)));
        Ok(lines)
    }

    /// What the subscriber was granted, and what has happened to it.
    fn terms(&self, flow: &Flow, subscriber: &Subscriber) -> Result<Vec<DataLine>, Status> {
        let spec = &subscriber.spec;
        let mut lines = vec![attribute("mode", spec.mode.as_str())];
        lines.extend(super::terms::from_lines(spec));
        if spec.mode == Mode::Copy {
            let entry = self
                .participant
                .brokers
                .require(&subscriber.status.broker)?;
            let asked = match entry.kind {
                // It can't do worse.
                BrokerKind::Local => None,
                BrokerKind::Kafka => spec.delivery.delivery,
            };
            let delivery = asked.unwrap_or(Delivery::ExactlyOnce);
            lines.push(attribute("on-gap", spec.on_gap.as_str()));
            lines.push(attribute("delivery", delivery.as_str()));
        }
        lines.extend(attributes(spec.quality.or(flow.spec.quality).words()));
        let notice = subscriber.status.notice.clone();
        let notice = notice.or_else(|| self.gap_notice(flow, subscriber));
        lines.extend(optional(NOTICE, notice));
        Ok(lines)
    }

    /// What the subscriber has to know of events that were gone before they were copied.
    fn gap_notice(&self, source: &Flow, subscriber: &Subscriber) -> Option<String> {
        let flow = &subscriber.spec.flow;
        let is_another = subscriber.began_with_another(source.status.queue.id());
        let instance = crate::reconcile::fan_out::instance(flow);
        let leg = self
            .participant
            .leg_status(&instance, &subscriber.leg_id())
            .unwrap_or_default();
        let error = leg.error.as_ref();
        let gap = |it: &&Error| matches!(it.kind(), Kind::OutOfRange | Kind::Replaced);
        let stopped = error.filter(gap);
        match stopped.filter(|_| leg.state() == State::Failed) {
            Some(error) => Some(format!(
                "events of {flow} were gone before they were copied ({}); on-gap=earliest goes on",
                error.text
            )),
            None if is_another => Some(format!(
                "the queue of {flow} was deleted and created again, and the events of the one before are gone"
            )),
            None => (leg.lost > 0).then(|| {
                format!(
                    "{} events of {flow} were gone before they were copied",
                    leg.lost
                )
            }),
        }
    }

    /// Where a copy is, as DESCRIBE FLOW tells it.
    pub(super) async fn copy_lines(
        &self,
        copy: &Name,
        subscriber: &Subscriber,
    ) -> Result<Vec<DataLine>, Status> {
        let entry = self
            .participant
            .brokers
            .require(&subscriber.status.broker)?;
        let mut lines = vec![
            attribute("flow", copy),
            attribute("type", entry.kind),
            attribute("topic", topic(entry, copy, subscriber)?),
        ];
        let servers = entry.public();
        lines.extend(
            servers
                .servers
                .iter()
                .map(|server| attribute("server", server)),
        );
        lines.extend(servers.tls.then(|| attribute("tls", "yes")));
        lines.push(attribute("partitions", subscriber.status.partitions));
        let flow = subscriber.spec.flow.as_str();
        if let Some(flow) = self.participant.flows.get(flow).await? {
            lines.extend(flow.resource.spec.payload.lines());
        }
        Ok(lines)
    }

    /// DESCRIBE FLOW of a copy, for its holder and for those who run the flow.
    pub(super) async fn describe_copy(&self, name: &Name) -> Result<Option<Vec<DataLine>>, Status> {
        if let Some(subscriber) = self.readable_copy(name).await? {
            return self.copy_details(name, &subscriber).await.map(Some);
        }
        let Some(stored_name) = Subscriber::stored_name(name) else {
            return Ok(None);
        };
        let Some(subscriber) = self.participant.subscribers.get(&stored_name).await? else {
            return Ok(None);
        };
        let spec = &subscriber.resource.spec;
        if *spec.reader() != self.caller.principal {
            self.participant
                .authorized_flow(self.caller, Right::Admin, &spec.flow)
                .await?;
        }
        if spec.lease == Lease::Revoked {
            let notice = subscriber.resource.status.notice.as_deref();
            return Err(revoked(name, notice));
        }
        self.copy_lines(name, &subscriber.resource).await.map(Some)
    }

    /// What a reader over FNAP needs, too: which queue it is, and what it has.
    async fn copy_details(
        &self,
        name: &Name,
        subscriber: &Subscriber,
    ) -> Result<Vec<DataLine>, Status> {
        let mut lines = self.copy_lines(name, subscriber).await?;
        let entry = self
            .participant
            .brokers
            .require(&subscriber.status.broker)?;
        let queue = entry
            .subscriber_queue(subscriber)
            .map_err(|failure| failure.to_status())?;
        lines.extend(queue_lines(entry, &queue).await?);
        Ok(lines)
    }
}

/// What the queue is called where it is read: the embedded broker's are by the flow's name.
fn topic(entry: &BrokerEntry, name: &Name, subscriber: &Subscriber) -> Result<String, Status> {
    match entry.kind {
        BrokerKind::Local => Ok(name.to_string()),
        BrokerKind::Kafka => entry
            .subscriber_queue(subscriber)
            .map_err(|failure| failure.to_status()),
    }
}

/// A queue's identity and the range of each of its partitions.
pub(super) async fn queue_lines(entry: &BrokerEntry, queue: &str) -> Result<Vec<DataLine>, Status> {
    let found = entry.broker.describe_queue(queue).await;
    let found = found.map_err(|error| failure(&error).to_status())?;
    let mut lines = vec![attribute("queue-id", &found.id)];
    lines.extend(
        found
            .partitions
            .iter()
            .map(|(partition, (earliest, latest))| {
                attribute("range", format!("{partition}:{earliest}-{latest}"))
            }),
    );
    Ok(lines)
}

fn credential_lines(credential: &Credential, password: bool) -> Vec<DataLine> {
    let mut lines = vec![
        attribute("sasl", &credential.mechanism),
        attribute("username", &credential.username),
    ];
    lines.extend(password.then(|| attribute("password", credential.password.expose())));
    lines
}
