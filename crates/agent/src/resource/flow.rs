//! Flows: named queues with records in DNS.

use eson_protocol::{Access, Mode, Name, PayloadAttributes, Principal};
use serde::{Deserialize, Serialize};

use super::{Activity, Condition, Quality, QueueState, Reconciled};
use crate::store::{Kind, Resource};

/// The first label of flows that take dead letters.
pub(crate) const DEAD_LETTERS: &str = "dlq";

/// A flow that this FNAA hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flow {
    /// What is wanted.
    pub spec: FlowSpec,
    /// What is.
    #[serde(default)]
    pub status: FlowStatus,
}

/// What a flow is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlowSpec {
    /// Its name.
    pub name: Name,
    /// The namespace that hosts it.
    pub namespace: Name,
    /// Who may do everything with it.
    pub owner: Principal,
    /// The broker, by its name in the configuration.
    pub broker: String,
    /// The queue's name at the broker.
    pub queue: String,
    /// Whether the queue was there before and stays when the flow goes.
    pub adopted: bool,
    /// The wanted number of partitions; none where an adopted queue decides.
    pub partitions: Option<u32>,
    /// How long events are kept, in milliseconds; none is the broker's default.
    pub retention: Option<u64>,
    /// Who may read it without a grant.
    pub access: Access,
    /// What its events' content is; a schema has its digest.
    #[serde(flatten)]
    pub payload: PayloadAttributes,
    /// How subscribers may be served; the first is for those who don't say.
    #[serde(default = "copies_only")]
    pub modes: Vec<Mode>,
    /// How far back a subscriber may begin, in milliseconds; none is as far as events are kept.
    #[serde(default)]
    pub history: Option<u64>,
    /// What each subscriber gets that has nothing else.
    #[serde(default)]
    pub quality: Quality,
    /// Whether the processors that read it are to run.
    #[serde(default)]
    pub activity: Activity,
    /// Counts changes of this spec.
    pub generation: u64,
}

/// What a flow is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlowStatus {
    /// How far it matches.
    pub condition: Condition,
    /// Its queue.
    pub queue: QueueState,
    /// The number of partitions found.
    pub partitions: u32,
    /// The records that were last registered, by view, so that removal takes exactly those.
    #[serde(default)]
    pub registered: Vec<RegisteredView>,
    /// What has happened to its queue that its owner has to know.
    #[serde(default)]
    pub notice: Option<String>,
}

impl FlowStatus {
    /// Goes on with this queue, which has the name of the one before.
    pub(crate) fn take_queue(&mut self, name: &str, next: QueueState) {
        if let QueueState::Ready(before) = &self.queue {
            let what = match &next {
                QueueState::Ready(now) => {
                    format!("deleted and created again (was {before}, is {now})")
                }
                _ => format!("deleted (it was {before}), and is made again"),
            };
            let notice =
                format!("the queue {name} was {what}: the events of the one before are gone");
            tracing::warn!(notice, "a flow goes on with another queue");
            self.notice = Some(notice);
        }
        self.queue = next;
    }
}

/// The records of a flow in one name server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegisteredView {
    /// The name server, by its name in the configuration.
    pub nameserver: String,
    /// What was (or was about to be) registered there.
    pub records: eson_names::FlowRecords,
    /// Whether the name server has confirmed it.
    pub confirmed: bool,
}

/// What subscribers are served by where the owner says nothing else.
pub(crate) fn copies_only() -> Vec<Mode> {
    vec![Mode::Copy]
}

impl Flow {
    /// The records in each view.
    pub(crate) fn views(&mut self) -> &mut Vec<RegisteredView> {
        &mut self.status.registered
    }
}

impl FlowSpec {
    /// A private flow with a queue of its own, and with all else as it is where nobody has said
    /// anything.
    pub(crate) fn private(
        name: Name,
        namespace: Name,
        owner: Principal,
        broker: String,
        queue: String,
    ) -> Self {
        Self {
            name,
            namespace,
            owner,
            broker,
            queue,
            adopted: false,
            partitions: None,
            retention: None,
            access: Access::Private,
            payload: PayloadAttributes::default(),
            modes: copies_only(),
            history: None,
            quality: Quality::default(),
            activity: Activity::Running,
            generation: 1,
        }
    }
}

#[cfg(test)]
impl FlowSpec {
    /// A private flow of alice's at the broker `main`, for tests.
    pub(crate) fn named(name: &str) -> Self {
        let name = Name::parse(name).expect("a name");
        let namespace = name.parent().expect("a namespace");
        let owner = Principal::parse("alice@example").expect("a principal");
        let queue = name.to_string();
        Self::private(name, namespace, owner, "main".to_owned(), queue)
    }
}

impl Resource for Flow {
    const KIND: Kind = Kind::Flow;
}

impl Reconciled for Flow {
    fn generation(&self) -> u64 {
        self.spec.generation
    }

    fn condition(&mut self) -> &mut Condition {
        &mut self.status.condition
    }
}
