//! The steps that bring a queue into being and take it away again.

use eson_broker::{Broker, BrokerError, QueueDescription, QueueId, QueueSpec, QueueUpdate};
use eson_protocol::Code;

use crate::resource::{Failure, QueueState};

/// What one step found out.
pub(super) enum Advance {
    /// Store this state, then take the next step.
    Store(QueueState),
    /// The queue is there.
    There(QueueDescription),
}

/// Takes one step towards a queue of our own.
pub(super) async fn advance(
    broker: &dyn Broker,
    spec: &QueueSpec,
    state: &QueueState,
) -> Result<Advance, Failure> {
    match state {
        QueueState::Unchecked => check_absent(broker, spec).await,
        QueueState::Creating => create(broker, spec).await,
        QueueState::Ready(id) => keep(broker, spec, id).await,
    }
}

async fn check_absent(broker: &dyn Broker, spec: &QueueSpec) -> Result<Advance, Failure> {
    match broker.describe_queue(&spec.name).await {
        Err(BrokerError::NotFound(_)) => Ok(Advance::Store(QueueState::Creating)),
        Err(error) => Err(failure(&error)),
        Ok(_) => Err(failure(&BrokerError::Exists(spec.name.clone()))),
    }
}

/// A queue that is there already was created by us just before we were interrupted: it was
/// absent when [`QueueState::Creating`] was stored.
async fn create(broker: &dyn Broker, spec: &QueueSpec) -> Result<Advance, Failure> {
    let id = match broker.create_queue(spec).await {
        Ok(id) => id,
        Err(BrokerError::Exists(_)) => describe(broker, &spec.name).await?.id,
        Err(error) => return Err(failure(&error)),
    };
    Ok(Advance::Store(QueueState::Ready(id)))
}

async fn keep(broker: &dyn Broker, spec: &QueueSpec, id: &QueueId) -> Result<Advance, Failure> {
    let found = describe_same(broker, &spec.name, id).await?;
    let changed = |wanted: Option<u64>, found_limit: Option<u64>| {
        wanted.filter(|wanted| !found.limits_hold || found_limit != Some(*wanted))
    };
    let update = QueueUpdate {
        partitions: (spec.partitions as usize > found.partitions.len()).then_some(spec.partitions),
        retention: changed(spec.retention, found.retention),
        retention_bytes: changed(spec.retention_bytes, found.retention_bytes),
    };
    if update == QueueUpdate::default() {
        return Ok(Advance::There(found));
    }
    broker
        .update_queue(&spec.name, &update)
        .await
        .map_err(|error| failure(&error))?;
    describe_same(broker, &spec.name, id)
        .await
        .map(Advance::There)
}

/// Takes one step towards adopting a queue that others created, and may create again.
pub(super) async fn adopt(
    broker: &dyn Broker,
    queue: &str,
    state: &QueueState,
) -> Result<Advance, Failure> {
    let found = describe(broker, queue).await?;
    Ok(match state {
        QueueState::Ready(id) if *id == found.id => Advance::There(found),
        _ => Advance::Store(QueueState::Ready(found.id)),
    })
}

/// Deletes the queue if it is ours.
pub(super) async fn delete(
    broker: &dyn Broker,
    queue: &str,
    state: &QueueState,
) -> Result<(), Failure> {
    let id = match state {
        QueueState::Unchecked => return Ok(()),
        QueueState::Ready(id) => id.clone(),
        QueueState::Creating => match broker.describe_queue(queue).await {
            Ok(found) => found.id,
            Err(BrokerError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(failure(&error)),
        },
    };
    match broker.delete_queue(queue, &id).await {
        Err(error @ BrokerError::Replaced { .. }) => {
            tracing::warn!(%queue, %error, "the queue is another's by now and stays");
            Ok(())
        }
        other => other.map_err(|error| failure(&error)),
    }
}

async fn describe(broker: &dyn Broker, queue: &str) -> Result<QueueDescription, Failure> {
    broker
        .describe_queue(queue)
        .await
        .map_err(|error| failure(&error))
}

async fn describe_same(
    broker: &dyn Broker,
    queue: &str,
    id: &QueueId,
) -> Result<QueueDescription, Failure> {
    let found = describe(broker, queue).await?;
    if found.id == *id {
        return Ok(found);
    }
    Err(failure(&BrokerError::Replaced {
        queue: queue.to_owned(),
        expected: id.to_string(),
        found: found.id.to_string(),
    }))
}

/// What a waiting command is told of a broker's error.
pub(crate) fn failure(error: &BrokerError) -> Failure {
    if let BrokerError::Unauthenticated { .. } | BrokerError::Denied { .. } = error {
        return Failure::refused_by_backend(error);
    }
    let code = match error {
        BrokerError::NotFound(_) => Code::NotFound,
        BrokerError::Exists(_) | BrokerError::Replaced { .. } => Code::Exists,
        BrokerError::BadName { .. } => Code::Name,
        BrokerError::Invalid { .. } | BrokerError::TooLarge { .. } => Code::Argument,
        BrokerError::Unsupported { .. } => Code::Unsupported,
        _ => Code::Backend,
    };
    Failure::refused(code, error)
}
