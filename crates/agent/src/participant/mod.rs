//! What a participant has and runs on: one value that commands and reconcilers share.

mod brokers;
mod component;
mod contracts;
mod open;
mod peers;
mod processors;
mod records;
mod registries;
mod upstream;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eson_client::Dialer;
use eson_identity::StaticAccounts;
use eson_names::embedded::EmbeddedServer;
use eson_names::{Registrar, Resolver};
use eson_protocol::{Name, Status};

pub(crate) use brokers::{BrokerEntry, Brokers};
pub(crate) use contracts::{Contracts, Pinned, understood};
pub(crate) use open::OpenError;
pub(crate) use open::PROCESSOR_USER;
pub(crate) use peers::Peer;
pub(crate) use upstream::{Hop, Route};

use crate::config::{Config, Limits};
use crate::reconcile::{Controllers, FanOut};
use crate::resource::{
    Flow, Grant, Lease, Namespace, Processor, SchemaDocument, Subscriber, Subscription,
};
use crate::runtime::Runtime;
use crate::secrets::SubscriberKeys;
use crate::store::{Resources, StoreError, Stored};

/// What a participant has and runs on.
pub(crate) struct Participant {
    /// This FNAA's own name.
    pub fqdn: Name,
    /// The participant's domain.
    pub domain: Name,
    /// The namespaces hosted here.
    pub namespaces: Resources<Namespace>,
    /// The flows hosted here.
    pub flows: Resources<Flow>,
    /// The rights given on them.
    pub grants: Resources<Grant>,
    /// Others' subscriptions to them.
    pub subscribers: Resources<Subscriber>,
    /// Our subscriptions to others' flows.
    pub subscriptions: Resources<Subscription>,
    /// The processors that users run.
    pub processors: Resources<Processor>,
    /// The documents of flows' schemas.
    pub schemas: Resources<SchemaDocument>,
    /// What flows' events must be, ready to judge them.
    pub contracts: Contracts,
    /// The events brokers.
    pub brokers: Brokers,
    /// The name servers that records are registered in.
    pub nameservers: Nameservers,
    /// Finds others' flows.
    pub resolver: Arc<Resolver>,
    /// Connects to others.
    pub dialer: Dialer,
    /// Runs flow processors.
    pub runtime: Arc<dyn Runtime>,
    /// Derives what subscribers are given.
    pub keys: SubscriberKeys,
    /// Wakes reconcilers up.
    pub controllers: Controllers,
    /// Applies what the subscribers of a flow add up to.
    pub fan_out: FanOut,
    /// Held from the check that events don't go round until a processor is stored.
    pub routing: tokio::sync::Mutex<()>,
    /// Held from the check that somebody may have one more subscription here until it is stored.
    pub subscribing: tokio::sync::Mutex<()>,
    /// Those who may read a copy in the embedded queues.
    pub(crate) readers: Arc<StaticAccounts>,
    /// Where our processors reach us.
    pub(crate) socket: PathBuf,
    /// What our processors log in with, made anew at each start.
    pub(crate) processor_password: eson_broker::Secret,
    config: RwLock<Arc<Config>>,
}

/// The name servers by their names in the configuration.
#[derive(Default)]
pub(crate) struct Nameservers {
    registrars: BTreeMap<String, Box<dyn Registrar>>,
    embedded: Mutex<Vec<(String, EmbeddedServer)>>,
}

impl Nameservers {
    /// A name server by its name.
    #[must_use]
    pub(crate) fn get(&self, name: &str) -> Option<&dyn Registrar> {
        self.registrars.get(name).map(Box::as_ref)
    }

    /// A name server by its name, if it is an embedded one.
    pub(crate) fn embedded(&self, name: &str) -> Option<&dyn Registrar> {
        let is_embedded = self.servers().iter().any(|(known, _)| known == name);
        self.get(name).filter(|_| is_embedded)
    }

    /// Lets the embedded ones answer, once they have everything that they had before.
    pub(crate) fn serve(&self) {
        for (_, server) in self.servers().iter_mut() {
            server.serve();
        }
    }

    fn servers(&self) -> MutexGuard<'_, Vec<(String, EmbeddedServer)>> {
        self.embedded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.registrars.keys().map(String::as_str)
    }
}

impl Participant {
    /// The configuration as it is now; a reload replaces it.
    #[must_use]
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what a reload may change: users, peers, limits and what holds for
    /// subscriptions.
    pub(crate) fn reload(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// What one session may use.
    #[must_use]
    pub(crate) fn limits(&self) -> Limits {
        self.config().limits.clone()
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub(crate) fn now(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        milliseconds(since)
    }

    /// When a lease that is renewed now lapses.
    #[must_use]
    pub(crate) fn lease_end(&self) -> u64 {
        self.now() + milliseconds(self.config().subscriptions.lease)
    }

    /// How long a lapsed subscription's data is kept, in milliseconds.
    #[must_use]
    pub(crate) fn kept_after_lapse(&self) -> u64 {
        milliseconds(self.config().subscriptions.lapse_keep)
    }

    /// How long it is known thereafter where it was, in milliseconds.
    #[must_use]
    pub(crate) fn position_kept(&self) -> u64 {
        milliseconds(self.config().subscriptions.position_keep)
    }

    /// How many bytes each partition of a copy may keep.
    #[must_use]
    pub(crate) fn copy_quota(&self, partitions: u32) -> u64 {
        self.config().subscriptions.copy_quota / u64::from(partitions.max(1))
    }

    /// How many subscriptions to our flows one principal may have.
    #[must_use]
    pub(crate) fn subscriptions_per_peer(&self) -> usize {
        self.config().subscriptions.per_peer
    }

    /// The subscribers of one flow.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn subscribers_of(
        &self,
        flow: &Name,
    ) -> Result<Vec<Stored<Subscriber>>, StoreError> {
        self.subscribers.list_prefix(&format!("{flow} ")).await
    }

    /// Revokes the subscribers of a flow, or of every flow in a namespace, who may not read it, or
    /// not in their way, (any more).
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn revoke_unentitled(&self, on: &Name) -> Result<(), Status> {
        for flow in self.flows.list().await? {
            let name = &flow.resource.spec.name;
            if !name.is_within(on) {
                continue;
            }
            for subscriber in self.subscribers_of(name).await? {
                if !self
                    .is_entitled(&subscriber.resource, &flow.resource)
                    .await?
                {
                    self.revoke_subscriber(&subscriber.name).await?;
                }
            }
        }
        Ok(())
    }

    /// Looks at every processor and subscription again, since rights have changed.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn look_at_what_runs(&self) -> Result<(), StoreError> {
        for processor in self.processors.list().await? {
            self.controllers.processor.poke(&processor.name);
        }
        for subscription in self.subscriptions.list().await? {
            self.controllers.subscription.poke(&subscription.name);
        }
        Ok(())
    }

    /// Whether a subscriber may read the flow, and in its way.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn is_entitled(
        &self,
        subscriber: &Subscriber,
        flow: &Flow,
    ) -> Result<bool, Status> {
        if !flow.spec.modes.contains(&subscriber.spec.mode) {
            return Ok(false);
        }
        let reader = crate::authority::Caller::participant(subscriber.spec.reader().clone());
        Ok(self.rights_on_flow(&reader, flow).await?.read)
    }

    /// Ends a subscriber as its owner does.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn revoke_subscriber(&self, name: &str) -> Result<(), StoreError> {
        let revoke = |it: &mut Subscriber| {
            if it.spec.lease != Lease::Revoked {
                it.spec.lease = Lease::Revoked;
                it.spec.generation += 1;
            }
        };
        match self.subscribers.update(name, revoke).await {
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends what it started: name servers answer until the end, processors drain.
    pub(crate) async fn close(self: Arc<Self>) {
        self.runtime.shutdown().await;
        self.brokers.close().await;
        let Some(participant) = Arc::into_inner(self) else {
            tracing::warn!("something still runs: the embedded name servers end with the process");
            return;
        };
        let servers = participant.nameservers.embedded.into_inner();
        for (_, server) in servers.unwrap_or_else(PoisonError::into_inner) {
            if let Err(error) = server.shutdown().await {
                tracing::warn!(%error, "the embedded name server did not end in order");
            }
        }
    }
}

/// A duration as the protocol counts it.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
