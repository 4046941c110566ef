//! A disk that is full while writers go on trying.

use std::sync::atomic::AtomicU32;

use super::*;

const OTHER: &str = "departures.flows.orange.example";

/// Fills the disk with records of [`QUEUE`], and says how many it took.
async fn fill(bench: &Bench) -> u64 {
    bench.disk.size.store(8 << 20, Ordering::Release);
    let mut written = 0;
    while append(&bench.broker, written..written + 10).await.is_ok() {
        written += 10;
    }
    assert!(written > 0);
    written
}

/// Tries again and again to write a megabyte; counts the attempts, and ends when it is written.
async fn insist(broker: LocalBroker, attempts: Arc<AtomicU32>) {
    let records = || (0..52).map(record).collect();
    while let Err(error) = broker
        .append(OTHER, AppendTo::Partition(0), records(), None)
        .await
    {
        assert!(matches!(error, BrokerError::Storage { .. }), "{error:?}");
        attempts.fetch_add(1, Ordering::AcqRel);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_does_not_notice_that_writers_insist() {
    let bench = bench().await;
    bench
        .broker
        .create_queue(&spec(OTHER))
        .await
        .expect("created");
    let written = fill(&bench).await;
    let attempts = Arc::new(AtomicU32::new(0));
    let insisting = tokio::spawn(insist(bench.broker.clone(), attempts.clone()));
    let reading = async {
        // As often as it takes for some of the attempts to come in between.
        while attempts.load(Ordering::Acquire) < 1_000 {
            assert!(numbers(&bench.broker).await.into_iter().eq(0..written));
        }
    };
    timeout(DEADLINE, reading).await.expect("reads in time");
    insisting.abort();
}
