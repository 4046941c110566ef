//! Creating, describing, changing, trimming and deleting queues.

use eson_broker::{BrokerError, QueueId, QueueSpec, QueueUpdate};
use eson_protocol::Positions;

use super::{Fixture, created, soon, spec, write};

/// A queue is there with everything it was created with, and gone after its deletion.
pub(crate) async fn a_queue_is_created_described_and_deleted(fixture: &dyn Fixture) {
    let admin = fixture.admin();
    let (name, id) = created(fixture, 3).await;
    let found = admin.describe_queue(&name).await.expect("there");
    assert_eq!(found.id, id);
    assert_eq!(found.connection.kind, admin.kind());
    assert_eq!(found.connection.queue, name);
    assert!(!found.connection.servers.is_empty());
    let empty = [(0, (0, 0)), (1, (0, 0)), (2, (0, 0))];
    assert_eq!(found.partitions, empty.into());

    write(fixture, &name, 1, 0..4).await;
    let found = admin.describe_queue(&name).await.expect("there");
    assert_eq!(found.partitions[&1], (0, 4));

    admin.delete_queue(&name, &id).await.expect("deleted");
    let gone = admin.describe_queue(&name).await;
    assert!(matches!(gone, Err(BrokerError::NotFound(queue)) if queue == name));
    admin.delete_queue(&name, &id).await.expect("deleted again");
}

/// A second queue of the same name is refused.
pub(crate) async fn a_name_is_taken_once(fixture: &dyn Fixture) {
    let (name, id) = created(fixture, 1).await;
    let again = fixture.admin().create_queue(&spec(&name, 1)).await;
    assert!(matches!(again, Err(BrokerError::Exists(queue)) if queue == name));
    let found = fixture.admin().describe_queue(&name).await;
    assert_eq!(found.expect("there").id, id);
}

/// Every method that needs a queue says which one is missing.
pub(crate) async fn a_queue_that_is_not_there_is_named(fixture: &dyn Fixture) {
    let name = fixture.queue();
    let admin = fixture.admin();
    let update = QueueUpdate {
        partitions: Some(2),
        ..QueueUpdate::default()
    };
    let outcomes = [
        admin.describe_queue(&name).await.map(drop),
        admin.update_queue(&name, &update).await,
        admin.trim_queue(&name, &Positions::from([(0, 1)])).await,
        admin.list_consumers(&name).await.map(drop),
    ];
    for (index, outcome) in outcomes.into_iter().enumerate() {
        let named = matches!(&outcome, Err(BrokerError::NotFound(queue)) if *queue == name);
        assert!(named, "call {index}: {outcome:?}");
    }
    admin.revoke(&name, "nobody").await.expect("nothing to do");
}

/// A queue that was created again by others is left alone.
pub(crate) async fn only_the_queue_that_was_meant_is_deleted(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    let other = QueueId("another".to_owned());
    let refused = fixture.admin().delete_queue(&name, &other).await;
    assert!(matches!(refused, Err(BrokerError::Replaced { queue, .. }) if queue == name));
    let found = fixture.admin().describe_queue(&name).await;
    found.expect("still there");
}

/// Partitions are added; fewer are refused and change nothing.
pub(crate) async fn partitions_become_more_and_never_fewer(fixture: &dyn Fixture) {
    let admin = fixture.admin();
    let (name, _) = created(fixture, 2).await;
    let partitions = |count| QueueUpdate {
        partitions: Some(count),
        ..QueueUpdate::default()
    };
    admin
        .update_queue(&name, &partitions(4))
        .await
        .expect("more");
    admin
        .update_queue(&name, &partitions(4))
        .await
        .expect("as many");
    let fewer = admin.update_queue(&name, &partitions(3)).await;
    assert!(matches!(fewer, Err(BrokerError::Invalid { queue, .. }) if queue == name));
    let found = admin.describe_queue(&name).await.expect("there");
    assert_eq!(found.partitions.len(), 4);
    write(fixture, &name, 3, 0..2).await;
    let found = admin.describe_queue(&name).await.expect("there");
    assert_eq!(found.partitions[&3], (0, 2));
}

/// Retention is described as it was set, and changed alone.
pub(crate) async fn retention_is_kept_and_changed(fixture: &dyn Fixture) {
    let admin = fixture.admin();
    let name = fixture.queue();
    let hour = QueueSpec {
        retention: Some(3_600_000),
        ..spec(&name, 2)
    };
    admin.create_queue(&hour).await.expect("created");
    let found = admin.describe_queue(&name).await.expect("there");
    assert_eq!(found.retention, Some(3_600_000));
    let update = QueueUpdate {
        retention: Some(7_200_000),
        retention_bytes: Some(1 << 20),
        ..QueueUpdate::default()
    };
    admin.update_queue(&name, &update).await.expect("updated");
    let found = soon(async {
        loop {
            let found = admin.describe_queue(&name).await.expect("there");
            let both = (found.retention, found.retention_bytes);
            if both == (Some(7_200_000), Some(1 << 20)) {
                return found;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(found.await.partitions.len(), 2);
}

/// Trimming drops what is before an offset; offsets outside are pulled to the nearest end.
pub(crate) async fn trimming_moves_the_beginning_within_the_range(fixture: &dyn Fixture) {
    let admin = fixture.admin();
    let (name, _) = created(fixture, 2).await;
    write(fixture, &name, 0, 0..10).await;
    write(fixture, &name, 1, 0..3).await;
    for (before, range) in [(4, (4, 10)), (2, (4, 10)), (1_000, (10, 10))] {
        let trimmed = admin.trim_queue(&name, &[(0, before)].into()).await;
        trimmed.expect("trimmed");
        let found = admin.describe_queue(&name).await.expect("there");
        assert_eq!(found.partitions, [(0, range), (1, (0, 3))].into());
    }
    write(fixture, &name, 0, 10..12).await;
    let found = admin.describe_queue(&name).await.expect("there");
    assert_eq!(found.partitions[&0], (10, 12));
}

/// A broker that answers says so.
pub(crate) async fn checking_works(fixture: &dyn Fixture) {
    soon(fixture.broker().check()).await.expect("there");
    soon(fixture.admin().check()).await.expect("there");
}
