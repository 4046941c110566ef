//! SUBSCRIBE remote LOCAL local: a user subscribes a flow of ours to a flow elsewhere.

use eson_protocol::{
    Access, Code, DataLine, FlowOptions, Name, Reply, Right, Status, SubscribeOptions,
};

use super::lines::attribute;
use super::{Answer, Request, wait};
use crate::authority::Caller;
use crate::resource::{
    Activity, FlowSpec, RegistryTerms, Subscription, SubscriptionSpec, SubscriptionStatus,
};
use crate::store::{StoreError, Stored};

impl Request<'_> {
    /// Stores the subscription and waits until events move. The same once more changes nothing.
    /// One that can't be made is taken back; one that meets a passing failure is kept.
    pub(super) async fn subscribe_local(
        &self,
        remote: Name,
        local: Name,
        options: SubscribeOptions,
    ) -> Answer {
        let target = self.local_name(&remote, &local).await?;
        if target == remote {
            let text = format!("{remote} can't be subscribed to itself");
            return Err(Status::new(Code::Loop, text));
        }
        let (creates, broker) = self.local_flow(&target).await?;
        self.check_delivery(options.delivery, &target, &broker)?;
        let options = self.completed(&target, options).await?;
        let spec = self.subscription_spec(remote, target, creates, options)?;
        let subscription = self.ensure_subscription(spec).await?;
        Ok(Reply::data(
            self.subscribed_lines(&local, &subscription.resource),
        ))
    }

    /// The draft's one line, and, after ENABLE attributes, the local flow's full name.
    fn subscribed_lines(&self, local: &Name, subscription: &Subscription) -> Vec<DataLine> {
        let copy = subscription
            .status
            .copy
            .as_ref()
            .unwrap_or(&subscription.spec.remote);
        let mut lines = vec![DataLine::Text(format!("{local} SUBSCRIBED TO {copy}"))];
        lines.extend(
            self.attributes
                .then(|| attribute("local", &subscription.spec.local)),
        );
        lines
    }

    /// LOCAL takes a full name in a hosted namespace, or a name that ends in the remote flow's
    /// full name, which is taken as a flow name in the caller's own namespace.
    async fn local_name(&self, remote: &Name, local: &Name) -> Result<Name, Status> {
        if self.participant.find_namespace(local).await?.is_some() {
            return Ok(local.clone());
        }
        if !local.as_str().ends_with(remote.as_str()) {
            return Err(
                match self.participant.hosting_namespace(self.caller, local).await {
                    Err(elsewhere) => elsewhere,
                    Ok(_) => Status::new(Code::Busy, format!("{local}: try again")),
                },
            );
        }
        let namespace = self.own_namespace().await?;
        namespace.prefixed(local.as_str()).map_err(|error| {
            let text = format!("{local} in {namespace}: {error}; give LOCAL a shorter name");
            Status::new(Code::Name, text)
        })
    }

    async fn own_namespace(&self) -> Result<Name, Status> {
        let namespaces = self.participant.namespaces.list().await?;
        let own = namespaces
            .into_iter()
            .filter(|found| !found.deleting)
            .find(|found| found.resource.spec.owners.contains(&self.caller.principal));
        let none = || {
            let text = format!(
                "{} owns no namespace; give LOCAL a full name",
                self.caller.principal
            );
            Status::new(Code::Argument, text)
        };
        own.map(|found| found.resource.spec.name).ok_or_else(none)
    }

    /// None when the caller may write the flow that is there; else the flow to create. With it,
    /// the flow's broker.
    async fn local_flow(&self, local: &Name) -> Result<(Option<FlowSpec>, String), Status> {
        if self.participant.flows.get(local.as_str()).await?.is_some() {
            let flow = self
                .participant
                .authorized_flow(self.caller, Right::Write, local)
                .await?;
            return Ok((None, flow.resource.spec.broker));
        }
        let options = FlowOptions {
            access: Some(Access::Private),
            ..FlowOptions::default()
        };
        let mut spec = self.new_flow(local, options).await?;
        // As many as the copy has, which the publisher tells.
        spec.partitions = None;
        let broker = spec.broker.clone();
        Ok((Some(spec), broker))
    }

    /// The options laid over what a subscription that is there has; and what they say of
    /// registries.
    async fn completed(
        &self,
        local: &Name,
        mut options: SubscribeOptions,
    ) -> Result<(SubscribeOptions, Option<RegistryTerms>), Status> {
        let found = self.participant.subscriptions.get(local.as_str()).await?;
        let before = found.map(|found| found.resource.spec);
        let before = before.as_ref();
        options.on_gap = options.on_gap.or(before.map(|spec| spec.on_gap));
        options.validate = options.validate.or(before.map(|spec| spec.validate));
        let registry = before.and_then(|spec| spec.registry.as_ref());
        let registry = super::registry::changed(registry, &options.registry)?;
        Ok((options, registry))
    }

    fn subscription_spec(
        &self,
        remote: Name,
        local: Name,
        creates: Option<FlowSpec>,
        (options, registry): (SubscribeOptions, Option<RegistryTerms>),
    ) -> Result<SubscriptionSpec, Status> {
        Ok(SubscriptionSpec {
            remote,
            local,
            creates: creates.map(Box::new),
            owner: self.caller.principal.clone(),
            id: crate::secrets::random_token()?,
            start: options.from.unwrap_or_default(),
            on_gap: options.on_gap.unwrap_or_default(),
            cursor: options.cursor.unwrap_or_default(),
            mode: options.mode,
            delivery: options.delivery,
            validate: options.validate.unwrap_or_default(),
            registry,
            activity: Activity::Running,
            born: crate::secrets::birth(self.participant.now())?,
            generation: 1,
        })
    }

    async fn ensure_subscription(
        &self,
        spec: SubscriptionSpec,
    ) -> Result<Stored<Subscription>, Status> {
        let subscriptions = &self.participant.subscriptions;
        let name = spec.local.to_string();
        let wanted = Subscription {
            spec: spec.clone(),
            status: SubscriptionStatus::default(),
        };
        let (created, generation) = match subscriptions.create(&name, wanted).await {
            Ok(_) => (true, spec.generation),
            Err(StoreError::Exists { .. }) => (false, self.same_subscription(&spec).await?),
            Err(error) => return Err(error.into()),
        };
        let settled = wait::settled(subscriptions, &name, generation, |it| &it.status.condition);
        match settled.await {
            Ok(Some(subscription)) => Ok(subscription),
            Ok(None) => Err(Status::new(
                Code::Busy,
                format!("{name} was ended meanwhile"),
            )),
            Err(status) if created && !status.is_transient() => {
                subscriptions.mark_deleting(&name).await?;
                Err(status)
            }
            Err(status) => Err(status),
        }
    }

    /// The generation of the subscription that is there, with what may change as it is wanted now.
    async fn same_subscription(&self, wanted: &SubscriptionSpec) -> Result<u64, Status> {
        let local = &wanted.local;
        let found = self.participant.subscriptions.get(local.as_str()).await?;
        let ended = || {
            Status::new(
                Code::Busy,
                format!("{local} was ended meanwhile; try again"),
            )
        };
        let found = found.ok_or_else(ended)?;
        if found.deleting {
            let text = format!("the subscription of {local} is being ended; try again then");
            return Err(Status::new(Code::Busy, text));
        }
        let spec = &found.resource.spec;
        if spec.remote != wanted.remote || spec.owner != wanted.owner {
            let text = format!(
                "{local} is fed by {} already; choose another LOCAL",
                spec.remote
            );
            return Err(Status::new(Code::Exists, text));
        }
        if wanted.mode.is_some() && spec.mode != wanted.mode {
            let text = format!("{local} is fed in another mode already; UNSUBSCRIBE {local} first");
            return Err(Status::new(Code::Exists, text));
        }
        self.change_subscription(spec, wanted).await
    }

    /// Another delivery, other registries, other judging and another answer to gaps are what may
    /// change; gives the generation of the spec.
    async fn change_subscription(
        &self,
        spec: &SubscriptionSpec,
        wanted: &SubscriptionSpec,
    ) -> Result<u64, Status> {
        let changed = SubscriptionSpec {
            delivery: super::delivery::changed(spec.delivery, wanted.delivery),
            on_gap: wanted.on_gap,
            validate: wanted.validate,
            registry: wanted.registry.clone(),
            ..spec.clone()
        };
        if changed == *spec {
            return Ok(spec.generation);
        }
        let change = |it: &mut Subscription| {
            it.spec.delivery = changed.delivery;
            it.spec.on_gap = changed.on_gap;
            it.spec.validate = changed.validate;
            it.spec.registry.clone_from(&changed.registry);
            it.spec.generation += 1;
            it.status.condition.failure = None;
        };
        let subscriptions = &self.participant.subscriptions;
        let stored = subscriptions.update(spec.local.as_str(), change).await?;
        Ok(stored.resource.spec.generation)
    }

    /// The caller's own subscription of the local flow, or one that feeds a flow he administers.
    pub(super) async fn own_subscription(
        &self,
        local: &Name,
    ) -> Result<Stored<Subscription>, Status> {
        let none = || {
            let text = format!("there is no subscription of {local} that you may know of");
            Status::new(Code::NotFound, text)
        };
        let found = self
            .participant
            .subscriptions
            .get(local.as_str())
            .await?
            .ok_or_else(none)?;
        let administers = match self.participant.flows.get(local.as_str()).await? {
            None => false,
            Some(flow) => {
                let caller: &Caller = self.caller;
                let rights = self
                    .participant
                    .rights_on_flow(caller, &flow.resource)
                    .await?;
                rights.include(Right::Admin)
            }
        };
        if found.resource.spec.owner == self.caller.principal || administers {
            return Ok(found);
        }
        Err(none())
    }
}
