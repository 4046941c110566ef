//! READ FLOW: what is read, from where, and by whom.

use std::collections::BTreeMap;

use eson_broker::{BrokerError, Epochs, QueueDescription, QueueReader, ReaderOptions};
use eson_protocol::{EventFormat, Name, Positions, ReadOptions, Right, Start, Status};

use super::Request;
use crate::authority::Role;
use crate::participant::BrokerEntry;
use crate::reconcile::queue::failure;
use crate::resource::{Grant, Lease, Subscriber};
use crate::store::{NameChanges, ResourceChanges};

/// How many bytes one reading session may hold.
const BUFFER: usize = 1 << 20;

/// A queue that the caller may read.
struct Readable<'a> {
    entry: &'a BrokerEntry,
    queue: String,
    /// The credential's user name, which the embedded broker checks by itself.
    credential: Option<&'a str>,
}

/// An open reading.
pub(crate) struct Reading {
    /// Reads.
    pub(crate) reader: Box<dyn QueueReader>,
    /// Where each partition begins.
    pub(crate) begin: Positions,
    /// Where each partition ended when the reading began.
    pub(crate) end: Positions,
    /// Of these partitions, records before this time are left out, until the first that is not.
    pub(crate) since: BTreeMap<u32, i64>,
    /// What may end it.
    pub(crate) right: RightWatch,
}

/// Tells when a reader's right may have changed: the owner takes grants away, closes the flow or
/// deletes it.
pub(crate) struct RightWatch(Option<(ResourceChanges<Grant>, NameChanges)>);

impl RightWatch {
    /// Waits until the right is to be judged again; for ever where others see to it. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        let Some((grants, flow)) = &mut self.0 else {
            return std::future::pending().await;
        };
        // What there was can't always be read; that something was is what counts.
        tokio::select! {
            _ = grants.next() => {}
            _ = flow.changed() => {}
        }
    }
}

impl Request<'_> {
    /// Opens a flow, or a copy for whoever holds its credential.
    pub(crate) async fn open_reading(
        &self,
        name: &Name,
        options: &ReadOptions,
    ) -> Result<Reading, Status> {
        // Before the right is judged, so that nothing is missed behind that.
        let right = self.watch_right(name, options);
        let readable = self.readable(name).await?;
        let broker = &readable.entry.broker;
        let found = broker.describe_queue(&readable.queue).await;
        let found = match found {
            Ok(found) => found,
            Err(error) => return Err(self.read_failure(name, &error).await),
        };
        let since = since(&found, options);
        let begin = begin(&found, options);
        let reader = readable.open(begin.clone()).await;
        let reader = match reader {
            Ok(reader) => reader,
            Err(error) => return Err(self.read_failure(name, &error).await),
        };
        let end = found
            .partitions
            .iter()
            .map(|(number, (_, latest))| (*number, *latest));
        Ok(Reading {
            reader,
            begin,
            end: end.collect(),
            since,
            right,
        })
    }

    /// The broker sees to credentials, and the reconcilers to processors.
    fn watch_right(&self, name: &Name, options: &ReadOptions) -> RightWatch {
        let watched = options.follow && self.caller.role == Role::Participant;
        RightWatch(watched.then(|| {
            let flow = self.participant.flows.changes_of(name.as_str());
            (self.participant.grants.changes(), flow)
        }))
    }

    /// Judges the right of a reading that goes on.
    ///
    /// # Errors
    /// As for whoever begins to read now.
    pub(crate) async fn check_reading(&self, name: &Name) -> Result<(), Status> {
        self.readable(name).await.map(|_| ())
    }

    async fn readable(&self, name: &Name) -> Result<Readable<'_>, Status> {
        if let Some(subscriber) = self.readable_copy(name).await? {
            let entry = self
                .participant
                .brokers
                .require(&subscriber.status.broker)?;
            let queue = entry
                .subscriber_queue(&subscriber)
                .map_err(|failure| failure.to_status())?;
            let credential = match &self.caller.role {
                Role::Reader { username } => Some(username.as_str()),
                _ => None,
            };
            return Ok(Readable {
                entry,
                queue,
                credential,
            });
        }
        let flow = self
            .participant
            .authorized_flow(self.caller, Right::Read, name)
            .await?;
        let spec = flow.resource.spec;
        let entry = self.participant.brokers.require(&spec.broker)?;
        Ok(Readable {
            entry,
            queue: spec.queue,
            credential: None,
        })
    }

    /// The copy of that name, if the caller holds its credential or is a processor of ours.
    ///
    /// # Errors
    /// 557 when the owner has ended it, 552 while its lease has lapsed, 550 when the credential
    /// is for another copy.
    pub(super) async fn readable_copy(&self, name: &Name) -> Result<Option<Subscriber>, Status> {
        let is_processor = self.caller.role == Role::Processor;
        let holds = match &self.caller.role {
            Role::Reader { username } => name.first_label() == username,
            _ => is_processor,
        };
        let direct = match &self.caller.role {
            Role::Reader { username } => Some(format!("{name} {username}")),
            _ => None,
        };
        let stored = Subscriber::stored_name(name).filter(|_| holds);
        let found = match stored.or(direct) {
            Some(stored) => self.participant.subscribers.get(&stored).await?,
            None => None,
        };
        // Whoever has a copy reads that, and not the flow.
        let found = found.filter(|found| found.resource.read_name().is_ok_and(|it| it == *name));
        let subscriber = match found {
            Some(found) => found.resource,
            None if is_processor => return Ok(None),
            None if matches!(self.caller.role, Role::Participant) => return Ok(None),
            None => return Err(Status::not_found(format!("there is no copy {name}"))),
        };
        match subscriber.spec.lease {
            _ if is_processor => Ok(Some(subscriber)),
            Lease::Held => Ok(Some(subscriber)),
            Lease::Revoked => Err(Status::revoked(format!("the owner has ended {name}"))),
            Lease::Lapsed | Lease::Expired => Err(Status::denied(format!(
                "the lease of {name} has lapsed; renew it"
            ))),
        }
    }

    /// What a reader whose queue refuses is told: the lease says why.
    pub(crate) async fn read_failure(&self, name: &Name, error: &BrokerError) -> Status {
        match (error, self.readable_copy(name).await) {
            (BrokerError::Denied { .. }, Err(status)) => status,
            _ => self.told_of_trouble(name, failure(error).to_status()).await,
        }
    }
}

impl Readable<'_> {
    async fn open(&self, positions: Positions) -> Result<Box<dyn QueueReader>, BrokerError> {
        let options = ReaderOptions {
            positions,
            epochs: Epochs::new(),
            start: Start::Earliest,
            encoded: false,
            buffer: BUFFER,
        };
        match (&self.entry.local, self.credential) {
            (Some(local), Some(username)) => {
                local.open_reader_as(username, &self.queue, options).await
            }
            (_, None) => self.entry.broker.open_reader(&self.queue, options).await,
            // A broker of its own checks its credentials itself, and is read over its own
            // protocol.
            (None, Some(_)) => Err(BrokerError::Unsupported {
                kind: self.entry.kind.to_string(),
                what: format!(
                    "be read with a subscriber's credential over FNAP ({})",
                    self.queue
                ),
            }),
        }
    }
}

/// From which time on each partition is read that the cursor does not name.
fn since(found: &QueueDescription, options: &ReadOptions) -> BTreeMap<u32, i64> {
    let Some(Start::Timestamp(since)) = options.from else {
        return BTreeMap::new();
    };
    let named = |partition| {
        let cursor = options.cursor.as_ref();
        cursor.is_some_and(|cursor| cursor.contains_key(partition))
    };
    let partitions = found.partitions.keys();
    let from_time_on = partitions.filter(|partition| !named(partition));
    from_time_on.map(|partition| (*partition, since)).collect()
}

/// Where each partition begins: the cursor goes before `from`. Behind the end is at the end, as in
/// SUBSCRIBE; but who has the positions of a processor is told that they are behind it.
fn begin(found: &QueueDescription, options: &ReadOptions) -> Positions {
    let from = options.from.unwrap_or_default();
    let default = |earliest: u64, latest: u64| match from {
        Start::Latest => latest,
        Start::Earliest | Start::Timestamp(_) => earliest,
    };
    let cursor = options.cursor.as_ref();
    let partitions = found.partitions.iter().map(|(number, (earliest, latest))| {
        let given = cursor.and_then(|cursor| cursor.get(number)).copied();
        let given = given.map(|offset| match options.format {
            EventFormat::Record => offset,
            EventFormat::CloudEvents | EventFormat::Protobuf => offset.min(*latest),
        });
        (
            *number,
            given.unwrap_or_else(|| default(*earliest, *latest)),
        )
    });
    partitions.collect()
}
