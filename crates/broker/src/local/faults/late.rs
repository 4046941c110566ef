//! A commit that is durable though the disk said that it had failed.

use super::*;

/// How many syncs creating a queue takes.
async fn syncs_of_a_change(bench: &Bench) -> u64 {
    let before = bench.disk.syncs.load(Ordering::Acquire);
    let created = bench.broker.create_queue(&spec("first")).await;
    created.expect("created");
    bench.disk.syncs.load(Ordering::Acquire) - before
}

/// Lets the last sync of the next change fail when its work is done.
async fn fail_late(bench: &Bench) {
    let syncs = syncs_of_a_change(bench).await;
    let number = bench.disk.syncs.load(Ordering::Acquire) + syncs;
    bench.disk.late_failure.store(number, Ordering::Release);
}

fn is_storage<T: fmt::Debug>(outcome: &Result<T, BrokerError>) -> bool {
    matches!(outcome, Err(BrokerError::Storage { .. }))
}

#[tokio::test]
async fn a_queue_that_was_created_all_the_same_is_there() {
    let bench = bench().await;
    fail_late(&bench).await;
    let created = bench.broker.create_queue(&spec("late")).await;
    assert!(is_storage(&created), "{created:?}");
    let again = async {
        loop {
            let created = bench.broker.create_queue(&spec("late")).await;
            if !is_storage(&created) {
                return created;
            }
            tokio::task::yield_now().await;
        }
    };
    let again = timeout(DEADLINE, again).await.expect("is well in time");
    assert!(matches!(&again, Err(BrokerError::Exists(_))), "{again:?}");
    let found = bench.broker.describe_queue("late").await.expect("there");
    assert_eq!(found.partitions, [(0, (0, 0))].into());
}

#[tokio::test]
async fn a_queue_that_was_deleted_all_the_same_lets_its_readers_go() {
    let bench = bench().await;
    let id = bench.broker.create_queue(&spec("doomed")).await;
    let id = id.expect("created");
    let mut reader = bench.reader("doomed").await;
    fail_late(&bench).await;
    let deleted = bench.broker.delete_queue("doomed", &id).await;
    assert!(is_storage(&deleted), "{deleted:?}");
    let end = timeout(DEADLINE, reader.next())
        .await
        .expect("ends in time");
    assert!(matches!(&end, Err(BrokerError::NotFound(_))), "{end:?}");
    let found = bench.broker.describe_queue("doomed").await;
    assert!(matches!(&found, Err(BrokerError::NotFound(_))), "{found:?}");
}

#[tokio::test]
async fn records_that_were_written_all_the_same_are_read() {
    let bench = bench().await;
    let mut reader = bench.reader(QUEUE).await;
    fail_late(&bench).await;
    let appended = append(&bench.broker, 0..1).await;
    assert!(is_storage(&appended), "{appended:?}");
    let chunk = timeout(DEADLINE, reader.next()).await;
    let chunk = chunk.expect("comes in time").expect("a chunk");
    assert_eq!((chunk.first, chunk.next), (0, 1));
}
