//! Waiting until the reconcilers have made a spec true, or have said why not.

use std::time::Duration;

use eson_protocol::Status;

use crate::resource::{Condition, Failure, Reconciled};
use crate::store::{Resource, Resources, StoreError, Stored};

/// How long a command waits before it answers 451; what it asked for is kept and tried again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` of the resource is settled for `generation`. What has held it up so far is
/// looked at again at once: who asks again may have mended it.
///
/// Gives the resource; none when it is gone.
///
/// # Errors
/// The failure that settled it. 451 with the last passing failure after thirty seconds, or at once
/// where that is one which somebody has to mend.
pub(super) async fn settled<R: Reconciled>(
    resources: &Resources<R>,
    name: &str,
    generation: u64,
    condition: fn(&R) -> &Condition,
) -> Result<Option<Stored<R>>, Status> {
    try_again(resources, name, generation, condition).await?;
    let mut last = None;
    let wait = until(resources, name, |found: Option<&Stored<R>>| {
        let Some(found) = found else { return true };
        let condition = condition(&found.resource);
        last.clone_from(&condition.failure);
        condition.is_settled(generation)
    });
    let found = match tokio::time::timeout(PATIENCE, wait).await {
        Ok(found) => found?,
        Err(_) => return Err(still_pending(name, last)),
    };
    let Some(found) = found else { return Ok(None) };
    let condition = condition(&found.resource);
    match &condition.failure {
        Some(failure) if !failure.is_transient() => Err(failure.to_status()),
        Some(_) if condition.is_held_up(generation) => Err(still_pending(name, last)),
        _ => Ok(Some(found)),
    }
}

/// Wakes up the reconciler of what waits for its next attempt.
async fn try_again<R: Reconciled>(
    resources: &Resources<R>,
    name: &str,
    generation: u64,
    condition: fn(&R) -> &Condition,
) -> Result<(), Status> {
    let found = resources.get(name).await?;
    if !found.is_some_and(|found| condition(&found.resource).is_held_up(generation)) {
        return Ok(());
    }
    let forget = |resource: &mut R| resource.condition().failure = None;
    match resources.update(name, forget).await {
        Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Waits until the resource is gone.
///
/// # Errors
/// 451 after thirty seconds, with the last failure that its reconciler met.
pub(super) async fn gone<R: Resource>(
    resources: &Resources<R>,
    name: &str,
    condition: fn(&R) -> &Condition,
) -> Result<(), Status> {
    let mut last = None;
    let wait = until(resources, name, |found: Option<&Stored<R>>| {
        // By now another one may have the name.
        let Some(found) = found.filter(|found| found.deleting) else {
            return true;
        };
        last.clone_from(&condition(&found.resource).failure);
        false
    });
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(ended) => ended.map(|_| ()),
        Err(_) => Err(still_pending(name, last)),
    }
}

/// Looks at the resource now and after each of its changes until `done` says so.
async fn until<R: Resource>(
    resources: &Resources<R>,
    name: &str,
    mut done: impl FnMut(Option<&Stored<R>>) -> bool + Send,
) -> Result<Option<Stored<R>>, Status> {
    let mut changes = resources.changes_of(name);
    loop {
        let found = resources.get(name).await?;
        if done(found.as_ref()) {
            return Ok(found);
        }
        if !changes.changed().await {
            return Err(Status::closing("this FNAA is shutting down"));
        }
    }
}

fn still_pending(name: &str, last: Option<Failure>) -> Status {
    let why = last.map_or_else(|| "it takes long".to_owned(), |failure| failure.text);
    Status::backend(format!("{name} is kept as pending and tried again: {why}"))
}
