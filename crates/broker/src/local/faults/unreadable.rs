//! A sector that can't be read.

use super::*;

const OTHER: &str = "departures.flows.orange.example";

/// Appends records that are long enough for pages of their own.
async fn append_to(
    broker: &LocalBroker,
    queue: &str,
    records: Vec<Record>,
) -> Result<u64, BrokerError> {
    let to = AppendTo::Partition(0);
    broker.append(queue, to, records, None).await
}

/// A queue with a record on a bad sector, and another one, of which nothing is in memory.
async fn with_bad_sector() -> Bench {
    let mut bench = bench().await;
    let created = bench.broker.create_queue(&spec(OTHER)).await;
    created.expect("created");
    let bad = Record {
        value: Some(Bytes::from(BAD_SECTOR.repeat(2_000))),
        ..record(0)
    };
    for (queue, record) in [(QUEUE, bad), (OTHER, record(0))] {
        let appended = append_to(&bench.broker, queue, vec![record]).await;
        appended.expect("appended");
    }
    bench.broker.close().await;
    bench.disk.unreadable.store(true, Ordering::Release);
    bench.broker = open(&bench.file(), &bench.disk);
    bench
}

/// A reader that meets the sector over and over again hurts nobody who reads or writes another queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_sector_hurts_its_own_queue_only() {
    let bench = with_bad_sector().await;
    let rounds = 30;
    let mut failed = 0;
    for number in 1..=rounds {
        let met = bench
            .reader(QUEUE)
            .await
            .next()
            .await
            .map(|chunk| chunk.next);
        assert!(
            matches!(met, Err(BrokerError::Storage { .. })),
            "{number}: {met:?}"
        );
        let appended = append_to(&bench.broker, OTHER, vec![record(number)]).await;
        let read = bench.reader(OTHER).await.next().await;
        if appended.is_err() || read.is_err() {
            failed += 1;
        }
    }
    assert!(failed <= 3, "{failed} of {rounds} rounds failed");
}
