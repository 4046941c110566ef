//! SUBSCRIBE flow: another participant's FNAA subscribes to a flow of ours, or renews.

use eson_processor::MAX_LEGS;
use eson_protocol::{Code, Mode, Name, Principal, RemoteSubscribe, Reply, Right, Status};

use super::{Answer, Request, wait};
use crate::authority::Caller;
use crate::resource::{
    Activity, Flow, Label, Lease, Quality, Subscriber, SubscriberSpec, SubscriberStatus,
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
        let subscriber = self.subscriber_settled(&found, &renewed).await?.resource;
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
        let alone = self.participant.subscribing.lock().await;
        if let Some(known) = subscribers.get(&name).await? {
            drop(alone);
            return self.renew(&known, flow, expires, options).await;
        }
        self.check_quota(&self.entitled(options).principal).await?;
        let spec = self.new_subscriber(flow, label, expires, options)?;
        if spec.mode == Mode::Copy {
            self.check_copies(flow).await?;
        }
        let status = SubscriberStatus::default();
        subscribers
            .create(&name, Subscriber { spec, status })
            .await?;
        Ok(Renewed {
            name,
            generation: 1,
            handed_over: true,
        })
    }

    fn new_subscriber(
        &self,
        flow: &Flow,
        label: Label,
        expires: u64,
        options: &RemoteSubscribe,
    ) -> Result<SubscriberSpec, Status> {
        let mode = super::terms::mode(flow, options.mode)?;
        let begin = super::terms::begin(flow, options, self.participant.now())?;
        Ok(SubscriberSpec {
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
        })
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

    async fn subscriber_settled(
        &self,
        flow: &Flow,
        renewed: &Renewed,
    ) -> Result<Stored<Subscriber>, Status> {
        let Renewed {
            name, generation, ..
        } = renewed;
        let subscribers = &self.participant.subscribers;
        let settled = wait::settled(subscribers, name, *generation, |it| &it.status.condition);
        let ended = || Status::new(Code::Busy, format!("the subscription to {name} was ended"));
        let subscriber = match settled.await {
            Ok(found) => found.ok_or_else(ended)?,
            Err(status) => return Err(self.told_of_trouble(&flow.spec.name, status).await),
        };
        check_renewable(&subscriber)?;
        Ok(subscriber)
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

pub(super) fn revoked(flow: &Name, notice: Option<&str>) -> Status {
    let text = match notice {
        Some(notice) => format!("the owner of {flow} has ended this subscription: {notice}"),
        None => format!("the owner of {flow} has ended this subscription"),
    };
    Status::new(Code::Revoked, text)
}
