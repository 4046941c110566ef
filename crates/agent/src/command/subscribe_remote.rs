//! SUBSCRIBE flow: another participant's FNAA subscribes to a flow of ours, or renews.

use eson_broker::Credential;
use eson_processor::MAX_LEGS;
use eson_processor::proto::error::Kind;
use eson_processor::proto::{Error, State};
use eson_protocol::{
    BrokerKind, Code, DataLine, Delivery, Mode, Name, Principal, RemoteSubscribe, Reply, Right,
    Status,
};

use super::lines::{attribute, attributes, optional, seconds_until};
use super::{Answer, Request, wait};
use crate::authority::Caller;
use crate::participant::BrokerEntry;
use crate::reconcile::queue::failure;
use crate::resource::{
    Activity, Flow, Label, Lease, NOTICE, Quality, Subscriber, SubscriberSpec, SubscriberStatus,
};
use crate::store::{StoreError, Stored};

impl Request<'_> {
    /// Makes a copy of the flow for the caller, with a credential that reads it. The same `id`
    /// from the same principal renews the lease and gives the same answer.
    pub(super) async fn subscribe_remote(&self, flow: Name, options: RemoteSubscribe) -> Answer {
        super::delivery::check_interval(options.delivery)?;
        self.check_on_behalf(options.on_behalf_of.as_ref())?;
        self.check_confidential(&flow)?;
        let label = self.label(&flow, &options)?;
        self.check_tombstone(&flow, &label).await?;
        let found = self
            .participant
            .authorized_flow(&self.entitled(&options), Right::Read, &flow)
            .await?;
        let found = found.resource;
        flow.prefixed(label.as_str())
            .map_err(|error| Status::new(Code::Name, format!("a copy of {flow}: {error}")))?;
        let renewed = self.renew_or_create(&found, label, &options).await?;
        let subscriber = self.subscriber_settled(&renewed).await?.resource;
        let password = renewed.handed_over || options.credential_again;
        let lines = self.subscribed(&found, &subscriber, password).await?;
        Ok(Reply::data(lines))
    }

    /// Who was revoked is told so, also when he may know of the flow no more.
    async fn check_tombstone(&self, flow: &Name, label: &Label) -> Result<(), Status> {
        let known = self
            .participant
            .subscribers
            .get(&format!("{flow} {label}"))
            .await?;
        match known {
            Some(known) if known.resource.spec.lease == Lease::Revoked => {
                Err(revoked(flow, known.resource.status.notice.as_deref()))
            }
            _ => Ok(()),
        }
    }

    /// Only a participant's own FNAA may ask for a user of that participant.
    fn check_on_behalf(&self, user: Option<&Principal>) -> Result<(), Status> {
        let allowed = match (user, &self.caller.principal) {
            (None, _) => true,
            (Some(Principal::User { domain, .. }), Principal::Domain(own)) => domain == own,
            _ => false,
        };
        if allowed {
            return Ok(());
        }
        let text = format!("{} may not ask for another's user", self.caller.principal);
        Err(Status::new(Code::Denied, text))
    }

    fn check_confidential(&self, flow: &Name) -> Result<(), Status> {
        if self.confidential || !self.attributes {
            return Ok(());
        }
        let text = format!("the credential for a copy of {flow} is handed over under TLS only");
        Err(Status::new(Code::Privacy, text))
    }

    /// Whose right counts: the user's on whose behalf an FNAA asks, or the caller's own.
    fn entitled(&self, options: &RemoteSubscribe) -> Caller {
        let principal = options
            .on_behalf_of
            .as_ref()
            .unwrap_or(&self.caller.principal);
        Caller {
            principal: principal.clone(),
            ..self.caller.clone()
        }
    }

    /// The same for the same principal, flow and id. Without an id, an anonymous caller is a new
    /// one each time, since nothing tells two of them apart.
    fn label(&self, flow: &Name, options: &RemoteSubscribe) -> Result<Label, Status> {
        let id = match (&options.id, &self.caller.principal) {
            (Some(id), _) => id.clone(),
            (None, Principal::Anonymous) => crate::secrets::random_token()?,
            (None, _) => String::new(),
        };
        Ok(self
            .participant
            .keys
            .label(flow, &self.caller.principal, &id))
    }

    async fn renew_or_create(
        &self,
        flow: &Flow,
        label: Label,
        options: &RemoteSubscribe,
    ) -> Result<Renewed, Status> {
        let expires = self.participant.lease_end();
        let subscribers = &self.participant.subscribers;
        let name = format!("{} {label}", flow.spec.name);
        if let Some(known) = subscribers.get(&name).await? {
            return self.renew(&known, flow, expires, options).await;
        }
        self.check_quota(&self.entitled(options).principal).await?;
        let mode = super::terms::mode(flow, options.mode)?;
        if mode == Mode::Copy {
            self.check_copies(flow).await?;
        }
        let begin = super::terms::begin(flow, options, self.participant.now())?;
        let spec = SubscriberSpec {
            flow: flow.spec.name.clone(),
            label,
            principal: self.caller.principal.clone(),
            on_behalf_of: options.on_behalf_of.clone(),
            network: self.network,
            start: begin.start,
            cursor: begin.cursor,
            mode,
            on_gap: options.on_gap.unwrap_or_default(),
            delivery: options.delivery,
            quality: Quality::default(),
            credential: 1,
            generation: 1,
            activity: Activity::Running,
            lease: Lease::Held,
            expires,
            acknowledged: positions(options, flow).collect(),
        };
        let subscriber = Subscriber {
            spec,
            status: SubscriberStatus::default(),
        };
        match subscribers.create(&name, subscriber).await {
            Ok(_) => Ok(Renewed {
                name,
                generation: 1,
                handed_over: true,
            }),
            Err(StoreError::Exists { .. }) => {
                let known = subscribers.require(&name).await?;
                self.renew(&known, flow, expires, options).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn renew(
        &self,
        known: &Stored<Subscriber>,
        flow: &Flow,
        expires: u64,
        options: &RemoteSubscribe,
    ) -> Result<Renewed, Status> {
        check_renewable(known)?;
        let mut handed_over = false;
        let change = |subscriber: &mut Subscriber| {
            let spec = &mut subscriber.spec;
            spec.expires = expires;
            spec.network = self.network;
            for (partition, next) in positions(options, flow) {
                let held = spec.acknowledged.entry(partition).or_default();
                // A queue that was created again begins with offset 0, but a copy is trimmed.
                *held = match spec.mode {
                    Mode::Direct => next,
                    Mode::Copy => (*held).max(next),
                };
            }
            if let Some(on_gap) = options.on_gap.filter(|wanted| *wanted != spec.on_gap) {
                spec.on_gap = on_gap;
                spec.generation += 1;
            }
            handed_over = subscriber.status.condition.ready == 0;
            if [Lease::Lapsed, Lease::Expired].contains(&spec.lease) {
                subscriber.status.resuming = spec.lease == Lease::Expired;
                spec.lease = Lease::Held;
                spec.credential += 1;
                spec.generation += 1;
                subscriber.status.condition.failure = None;
                handed_over = true;
            } else if options.credential_again {
                // Who asks again may have been turned down by the broker: it is granted anew.
                spec.generation += 1;
                subscriber.status.credential = Some((0, spec.lease));
            }
        };
        let stored = self
            .participant
            .subscribers
            .update(&known.name, change)
            .await?;
        check_renewable(&stored)?;
        let generation = stored.resource.spec.generation;
        Ok(Renewed {
            name: stored.name,
            generation,
            handed_over,
        })
    }

    /// One more copy than a fan-out can have would hold up all of them.
    async fn check_copies(&self, flow: &Flow) -> Result<(), Status> {
        let flow = &flow.spec.name;
        let subscribers = self.participant.subscribers_of(flow).await?;
        let filled = subscribers
            .iter()
            .map(|known| &known.resource.spec)
            .filter(|spec| spec.mode == Mode::Copy)
            .filter(|spec| [Lease::Held, Lease::Lapsed].contains(&spec.lease));
        if filled.count() < MAX_LEGS {
            return Ok(());
        }
        let text = format!(
            "{flow} has {MAX_LEGS} copies, the most that one flow may have; ask its owner for mode=direct, or subscribe to a flow that relays it"
        );
        Err(Status::new(Code::Quota, text))
    }

    async fn subscriber_settled(&self, renewed: &Renewed) -> Result<Stored<Subscriber>, Status> {
        let Renewed {
            name, generation, ..
        } = renewed;
        let subscribers = &self.participant.subscribers;
        let settled = wait::settled(subscribers, name, *generation, |it| &it.status.condition);
        let ended = || Status::new(Code::Busy, format!("the subscription to {name} was ended"));
        let subscriber = settled.await?.ok_or_else(ended)?;
        check_renewable(&subscriber)?;
        Ok(subscriber)
    }

    /// The name of what is read, and, after ENABLE attributes, all that is needed for that.
    async fn subscribed(
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

    /// UNSUBSCRIBE flow id=…: the other side has ended it. One that is gone is no error.
    pub(super) async fn unsubscribe_remote(&self, flow: Name, id: String) -> Answer {
        let label = self
            .participant
            .keys
            .label(&flow, &self.caller.principal, &id);
        let done = Status::done_with(&flow);
        let name = format!("{flow} {label}");
        let subscribers = &self.participant.subscribers;
        match subscribers.get(&name).await? {
            None => return Ok(done.into()),
            // The tombstone stays until the owner clears it.
            Some(known) if known.resource.spec.lease == Lease::Revoked => return Ok(done.into()),
            Some(_) => {}
        }
        match subscribers.mark_deleting(&name).await {
            Ok(_) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        wait::gone(subscribers, &name, |it| &it.status.condition).await?;
        Ok(done.into())
    }
}

struct Renewed {
    name: String,
    generation: u64,
    handed_over: bool,
}

/// Up to where the subscriber says to have each partition, of those that there can be: who could
/// name others could have as much stored as he likes.
fn positions(options: &RemoteSubscribe, flow: &Flow) -> impl Iterator<Item = (u32, u64)> {
    let positions = options.position.iter().flatten();
    let there = |(partition, _): &(u32, u64)| *partition < flow.status.partitions;
    positions
        .map(|(partition, next)| (*partition, *next))
        .filter(there)
}

fn check_renewable(known: &Stored<Subscriber>) -> Result<(), Status> {
    if known.resource.spec.lease == Lease::Revoked {
        let notice = known.resource.status.notice.as_deref();
        return Err(revoked(&known.resource.spec.flow, notice));
    }
    if known.deleting {
        let text = format!("{} is being ended; try again when that is done", known.name);
        return Err(Status::new(Code::Busy, text));
    }
    Ok(())
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

fn revoked(flow: &Name, notice: Option<&str>) -> Status {
    let text = match notice {
        Some(notice) => format!("the owner of {flow} has ended this subscription: {notice}"),
        None => format!("the owner of {flow} has ended this subscription"),
    };
    Status::new(Code::Revoked, text)
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
