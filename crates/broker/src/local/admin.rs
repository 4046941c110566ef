//! Creating, changing, trimming and deleting queues, and who may read them: the steps that the
//! committer does.

use std::sync::Arc;

use eson_protocol::Positions;

use super::group::{Effect, Group};
use super::registry::{OffsetRange, Queue, QueueRow};
use super::store::Failure;
use super::tables::PartitionRow;
use crate::{BrokerError, Lease, QueueId, QueueSpec, QueueUpdate, Rates};

/// How many partitions a queue may have: each costs memory also while nobody uses it.
pub(crate) const MAX_PARTITIONS: u32 = 10_000;

/// How many octets a queue's name may have.
const MAX_NAME: usize = 255;

/// Refuses a queue that can't be.
pub(super) fn check_spec(spec: &QueueSpec) -> Result<(), BrokerError> {
    let cause = match spec.name.len() {
        0 => "the name is empty",
        length if length > MAX_NAME => "the name is longer than 255 octets",
        _ if spec.name.chars().any(char::is_control) => "the name has a control character",
        _ => return check_partitions(&spec.name, spec.partitions),
    };
    Err(BrokerError::BadName {
        queue: spec.name.clone(),
        cause: cause.to_owned(),
    })
}

fn check_partitions(queue: &str, partitions: u32) -> Result<(), BrokerError> {
    if (1..=MAX_PARTITIONS).contains(&partitions) {
        return Ok(());
    }
    Err(BrokerError::Invalid {
        queue: queue.to_owned(),
        cause: format!("{partitions} partitions; a queue has 1 to {MAX_PARTITIONS}"),
    })
}

/// Creates a queue.
pub(super) fn create_queue(
    group: &mut Group<'_>,
    spec: &QueueSpec,
    id: QueueId,
) -> Result<QueueId, Failure> {
    if group.tables.queue(&spec.name)?.is_some() {
        return Err(BrokerError::Exists(spec.name.clone()).into());
    }
    let row = QueueRow {
        number: group.tables.next_queue_number()?,
        id: id.clone(),
        partitions: spec.partitions,
        retention: spec.retention,
        retention_bytes: spec.retention_bytes,
    };
    group.touch();
    group.tables.put_queue(&spec.name, &row)?;
    add_partitions(group, &row, 0)?;
    let ranges = vec![OffsetRange::default(); row.partitions as usize];
    let queue = Queue::new(&spec.name, row, ranges);
    group.effects.push(Effect::Created(queue));
    Ok(id)
}

fn add_partitions(group: &mut Group<'_>, row: &QueueRow, from: u32) -> Result<(), Failure> {
    (from..row.partitions).try_for_each(|partition| {
        let key = (row.number, partition);
        group.tables.put_partition(key, PartitionRow::default())
    })
}

/// Changes a queue.
pub(super) fn update_queue(
    group: &mut Group<'_>,
    queue: &Arc<Queue>,
    update: &QueueUpdate,
) -> Result<(), Failure> {
    let mut row = current_row(group, queue)?;
    let before = row.partitions;
    row.partitions = update.partitions.unwrap_or(before);
    row.retention = update.retention.or(row.retention);
    row.retention_bytes = update.retention_bytes.or(row.retention_bytes);
    check_partitions(&queue.name, row.partitions)?;
    if row.partitions < before {
        return Err(Failure::Refused(BrokerError::Invalid {
            queue: queue.name.to_string(),
            cause: format!("it has {before} partitions and can't have fewer"),
        }));
    }
    group.touch();
    group.tables.put_queue(&queue.name, &row)?;
    add_partitions(group, &row, before)?;
    group
        .effects
        .push(Effect::Updated(queue.clone(), update.clone()));
    Ok(())
}

/// The queue's row, if the queue is still there.
fn current_row(group: &Group<'_>, queue: &Queue) -> Result<QueueRow, Failure> {
    let row = group.tables.queue(&queue.name)?;
    row.filter(|row| row.number == queue.number)
        .ok_or_else(|| BrokerError::NotFound(queue.name.to_string()).into())
}

/// Deletes a queue if it is still that one.
pub(super) fn delete_queue(
    group: &mut Group<'_>,
    queue: &Arc<Queue>,
    id: &QueueId,
) -> Result<(), Failure> {
    let Some(row) = group.tables.queue(&queue.name)? else {
        return Ok(());
    };
    if row.id != *id {
        return Err(Failure::Refused(BrokerError::Replaced {
            queue: queue.name.to_string(),
            expected: id.0.clone(),
            found: row.id.0,
        }));
    }
    group.flush()?;
    group.touch();
    group.tables.delete_queue(&queue.name, &row)?;
    group.effects.push(Effect::Deleted(queue.clone()));
    Ok(())
}

/// Moves the beginning of each named partition. The records are removed by housekeeping.
pub(super) fn trim_queue(
    group: &mut Group<'_>,
    queue: &Arc<Queue>,
    before: &Positions,
) -> Result<(), Failure> {
    current_row(group, queue)?;
    group.flush()?;
    for (&partition, &offset) in before {
        let key = (queue.number, partition);
        let Some(mut row) = group.tables.partition(key)? else {
            continue;
        };
        let earliest = offset.clamp(row.range.earliest, row.range.latest);
        if earliest == row.range.earliest {
            continue;
        }
        row.range.earliest = earliest;
        group.touch();
        group.tables.put_partition(key, row)?;
        let moved = Effect::Moved(queue.clone(), partition, row.range);
        group.effects.push(moved);
        group
            .effects
            .push(Effect::Trimmed(queue.clone(), partition));
    }
    Ok(())
}

/// Takes away the positions that processors of a family have stored.
pub(super) fn forget_positions(
    group: &mut Group<'_>,
    queues: &[Arc<Queue>],
    family: &str,
) -> Result<(), Failure> {
    for queue in queues {
        if group.tables.forget_positions(queue.number, family)? {
            group.touch();
        }
    }
    Ok(())
}

/// Lets a user read the queue, or suspends that.
pub(super) fn grant(
    group: &mut Group<'_>,
    queue: &Arc<Queue>,
    username: String,
    lease: Lease,
) -> Result<(), Failure> {
    current_row(group, queue)?;
    let granted = lease == Lease::Granted;
    if group.tables.put_lease(queue.number, &username, granted)? {
        group.touch();
    }
    let leased = Effect::Leased(queue.clone(), username, lease);
    group.effects.push(leased);
    Ok(())
}

/// Holds a user who may read the queue to rates.
pub(super) fn limit(
    group: &mut Group<'_>,
    queue: &Arc<Queue>,
    username: String,
    rates: Rates,
) -> Result<(), Failure> {
    if !group.tables.has_lease(queue.number, &username)? {
        return Ok(());
    }
    if group.tables.put_rates(queue.number, &username, rates)? {
        group.touch();
    }
    let limited = Effect::Limited(queue.clone(), username, rates);
    group.effects.push(limited);
    Ok(())
}

/// Takes a user's right away.
pub(super) fn revoke(
    group: &mut Group<'_>,
    queue: &Arc<Queue>,
    username: String,
) -> Result<(), Failure> {
    if group.tables.remove_lease(queue.number, &username)? {
        group.touch();
    }
    let revoked = Effect::Revoked(queue.clone(), username);
    group.effects.push(revoked);
    Ok(())
}
