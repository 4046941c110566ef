//! The events brokers that a participant runs, and how its processors and others reach them.

use std::collections::BTreeMap;
use std::sync::Arc;

use eson_broker::{Broker, LocalBroker};
use eson_identity::{Account, Identity, Proof};
use eson_processor::proto;
use eson_protocol::{BrokerKind, Mode, Name, Server, Status, TransportSecurity};

use super::Participant;
use crate::config;
use crate::resource::{Failure, Flow, QueueState, Subscriber};

/// A broker and what the configuration says of it.
pub(crate) struct BrokerEntry {
    /// Its kind.
    pub kind: BrokerKind,
    /// The broker itself.
    pub broker: Arc<dyn Broker>,
    /// The same, where it is the embedded one.
    pub local: Option<LocalBroker>,
    pub(super) config: config::Broker,
    /// How our processors reach it; queue and flow are filled in.
    pub(super) endpoint: proto::Endpoint,
    /// How others reach it.
    pub(super) public: PublicServers,
}

/// Where others reach a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicServers {
    /// The servers.
    pub servers: Vec<Server>,
    /// Whether they speak TLS.
    pub tls: bool,
}

impl PublicServers {
    pub(super) fn new(servers: Vec<Server>, security: TransportSecurity) -> Self {
        Self {
            servers,
            tls: security == TransportSecurity::Tls,
        }
    }
}

impl BrokerEntry {
    /// Whether others reach it over TLS.
    #[must_use]
    pub(crate) fn is_tls(&self) -> bool {
        self.public.tls
    }

    /// Where others reach it.
    #[must_use]
    pub(crate) fn public(&self) -> &PublicServers {
        &self.public
    }

    /// How many partitions a new flow has where nobody says.
    #[must_use]
    pub(crate) fn default_partitions(&self) -> u32 {
        self.config.partitions
    }

    /// The queue of a flow that adopts none.
    #[must_use]
    pub(crate) fn queue_name(&self, flow: &Name) -> String {
        self.config.queue_name(flow)
    }

    /// The queue that a subscriber reads: its copy, or, in direct mode, the flow's own.
    ///
    /// # Errors
    /// When label and flow are too long together, which SUBSCRIBE has checked, and before the
    /// reconciler has noted the flow's queue.
    pub(crate) fn subscriber_queue(&self, subscriber: &Subscriber) -> Result<String, Failure> {
        if subscriber.spec.mode == Mode::Direct {
            let flow = &subscriber.spec.flow;
            let source = subscriber.status.source.clone();
            return source.ok_or_else(|| Failure::backend(format!("{flow} is not ready yet")));
        }
        match subscriber.copy() {
            Ok(copy) => Ok(self.queue_name(&copy)),
            Err(error) => Err(Failure::refused(eson_protocol::Code::Name, error)),
        }
    }

    /// Whether a flow may adopt the queue.
    ///
    /// # Errors
    /// 552 when the configuration does not allow it.
    pub(crate) fn check_adoption(&self, queue: &str) -> Result<(), Status> {
        if self.config.may_adopt(queue) {
            return Ok(());
        }
        Err(Status::denied(format!(
            "the queue {queue} may not be adopted; the operator allows it by `adopt` of broker {}",
            self.config.name
        )))
    }

    fn endpoint(&self, flow: &Name, queue: String) -> proto::Endpoint {
        let queue = match self.kind {
            // Processors reach the embedded queues by the flow's name, over FNAP.
            BrokerKind::Local => flow.to_string(),
            BrokerKind::Kafka => queue,
        };
        proto::Endpoint {
            flow: flow.to_string(),
            queue,
            ..self.endpoint.clone()
        }
    }
}

/// The brokers by their names in the configuration.
#[derive(Default)]
pub(crate) struct Brokers(pub(super) BTreeMap<String, BrokerEntry>);

impl Brokers {
    /// A broker by its name.
    #[must_use]
    pub(crate) fn get(&self, name: &str) -> Option<&BrokerEntry> {
        self.0.get(name)
    }

    /// A broker that must be there.
    ///
    /// # Errors
    /// 501 that lists those there are.
    pub(crate) fn require(&self, name: &str) -> Result<&BrokerEntry, Status> {
        self.get(name).ok_or_else(|| {
            let names: Vec<_> = self.names().collect();
            Status::argument(format!(
                "there is no broker {name} here, but {}",
                names.join(", ")
            ))
        })
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &BrokerEntry> {
        self.0.values()
    }

    pub(super) async fn close(&self) {
        for local in self.0.values().filter_map(|entry| entry.local.as_ref()) {
            local.close().await;
        }
    }
}

impl Participant {
    /// How a processor of ours reaches a flow of ours, and no other queue of that name.
    ///
    /// # Errors
    /// When the configuration has lost the flow's broker.
    pub(crate) fn flow_endpoint(&self, flow: &Flow) -> Result<proto::Endpoint, Failure> {
        let spec = &flow.spec;
        let endpoint = self
            .entry(&spec.broker)?
            .endpoint(&spec.name, spec.queue.clone());
        Ok(with_identity(endpoint, &flow.status.queue))
    }

    /// How a processor of ours writes a flow of ours.
    ///
    /// # Errors
    /// As [`Participant::flow_endpoint`].
    pub(crate) fn destination_endpoint(&self, flow: &Flow) -> Result<proto::Endpoint, Failure> {
        Ok(proto::Endpoint {
            partitions: flow.status.partitions,
            ..self.flow_endpoint(flow)?
        })
    }

    /// How a processor of ours writes a subscriber's copy.
    ///
    /// # Errors
    /// As [`Participant::flow_endpoint`].
    pub(crate) fn copy_endpoint(
        &self,
        subscriber: &Subscriber,
    ) -> Result<proto::Endpoint, Failure> {
        let entry = self.entry(&subscriber.status.broker)?;
        let copy = subscriber.copy();
        let copy = copy.map_err(|error| Failure::refused(eson_protocol::Code::Name, error))?;
        let endpoint = entry.endpoint(&copy, entry.subscriber_queue(subscriber)?);
        Ok(proto::Endpoint {
            partitions: subscriber.status.partitions,
            ..with_identity(endpoint, &subscriber.status.queue)
        })
    }

    /// Lets a subscriber's credential log in here, where its copy is in the embedded queues. What
    /// it may read is the broker's to say.
    pub(crate) fn admit_reader(&self, subscriber: &Subscriber) {
        let embedded = self.brokers.get(&subscriber.status.broker);
        if embedded.is_none_or(|entry| entry.local.is_none()) {
            return;
        }
        let credential = self.keys.credential(&subscriber.spec);
        let identity = Identity::Subscriber {
            username: credential.username.clone(),
        };
        let account = Account {
            identity,
            proof: Proof::Password(credential.password),
        };
        self.readers.insert(credential.username, account);
    }

    fn entry(&self, broker: &str) -> Result<&BrokerEntry, Failure> {
        self.brokers.get(broker).ok_or_else(|| {
            Failure::backend(format!("the configuration has no broker {broker} any more"))
        })
    }
}

/// A queue of that name that was created again by somebody else is not taken for ours.
fn with_identity(endpoint: proto::Endpoint, queue: &QueueState) -> proto::Endpoint {
    proto::Endpoint {
        queue_id: queue.id().map(ToString::to_string).unwrap_or_default(),
        ..endpoint
    }
}
