use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use eson_broker::{
    Broker, Delivery, Epochs, LocalBroker, LocalOptions, Payload, QueueSpec, Rates, ReaderOptions,
    WriterOptions,
};
use eson_protocol::{Positions, Record, Start};
use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::budget::MemoryBudget;
use crate::source::SharedReads;

const AWAY: &str = "it is away";

/// Asks somebody who is away, and has something to store.
#[derive(Default)]
struct Unanswered {
    flushed: bool,
    /// Whether its destination stores by itself.
    stores: bool,
}

impl Passage for Unanswered {
    async fn pass_on(&mut self, _chunk: Chunk, _partitions: u32) -> Result<(), Ended> {
        Err(Trouble::of_program(AWAY.to_owned()).into())
    }

    fn is_dirty(&self) -> bool {
        !self.flushed
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        self.flushed = true;
        Ok(())
    }

    fn track(&mut self) -> bool {
        self.stores
    }

    async fn rewind(&mut self, _partition: u32, _to: u64) -> Result<(), Ended> {
        Ok(())
    }

    async fn close(&mut self) {}
}

fn broker(directory: &TempDir) -> Arc<dyn Broker> {
    let server = "orange.example:6150".parse().expect("a server");
    let options = LocalOptions::new(directory.path().join("events"), server);
    Arc::new(LocalBroker::open(&options).expect("a broker"))
}

/// A leg whose source has a record.
async fn leg(broker: &Arc<dyn Broker>, passage: Unanswered) -> Opened<Unanswered> {
    let queue = QueueSpec {
        name: "time".to_owned(),
        partitions: 1,
        retention: None,
        retention_bytes: None,
    };
    let source = broker.create_queue(&queue).await.expect("a queue");
    let writer = broker.open_writer("time", WriterOptions::new(None, 1 << 20));
    let mut writer = writer.await.expect("a writer");
    let record = Record {
        offset: 0,
        timestamp: 1,
        key: None,
        value: Some("now".into()),
        headers: Vec::new(),
    };
    let chunk = Chunk {
        partition: 0,
        first: 0,
        next: 1,
        high_watermark: 1,
        epoch: None,
        payload: Payload::Records(vec![record]),
    };
    writer.write(0, chunk).await.expect("room");
    writer.flush().await.expect("a record");
    let options = ReaderOptions {
        start: Start::Earliest,
        positions: Positions::new(),
        epochs: Epochs::new(),
        encoded: false,
        buffer: 1 << 20,
    };
    let described = broker.describe_queue("time").await.expect("the queue");
    let reads = Arc::new(SharedReads::default());
    let feed = Feed::open(reads, broker.clone(), "time", options, &described).await;
    Opened {
        feed: feed.expect("a reader"),
        passage,
        buffer: 0,
        source,
        destination_partitions: 1,
        delivery: Delivery::AtLeastOnce,
        stored: Positions::new(),
        progress: BTreeMap::new(),
        succeeded: None,
        _broker: broker.clone(),
    }
}

/// Where a leg has failed once.
struct Troubled {
    report: LegReport,
    share: Share,
    pace: Pace,
    backoff: Backoff,
    wishes: Wishes,
    _rates: watch::Sender<Rates>,
    _wish: watch::Sender<Wish>,
}

impl Troubled {
    fn once() -> Self {
        let (rates, receiver) = watch::channel(Rates::default());
        let (wish, wishes) = watch::channel(Wish::Run);
        let mut backoff = Backoff::soon();
        backoff.next();
        Self {
            report: LegReport::new("leg".to_owned(), Weak::new(), State::Starting),
            share: MemoryBudget::new(64 << 20).enter().expect("memory"),
            pace: Pace::new(receiver),
            backoff,
            wishes: Wishes(wishes),
            _rates: rates,
            _wish: wish,
        }
    }

    fn lent(&mut self) -> Lent<'_> {
        Lent {
            report: &self.report,
            share: &self.share,
            pace: &mut self.pace,
            backoff: &mut self.backoff,
            on_gap: OnGap::Stop,
        }
    }
}

#[tokio::test]
async fn a_trouble_that_stays_is_tried_less_and_less_often() {
    let directory = tempfile::tempdir().expect("a directory");
    let leg = leg(&broker(&directory), Unanswered::default()).await;
    let mut troubled = Troubled::once();
    let mut wishes = troubled.wishes.clone();
    let (ended, passage) = Drive::new(leg, troubled.lent()).run(&mut wishes).await;
    assert_eq!(ended.text(), AWAY);
    assert!(passage.flushed, "what was read before is stored");
    assert_eq!(troubled.backoff.attempts(), 1, "the trouble is not over");
}

#[tokio::test]
async fn a_destination_that_stores_by_itself_is_out_of_trouble() {
    for stores in [true, false] {
        let directory = tempfile::tempdir().expect("a directory");
        let passage = Unanswered {
            flushed: true,
            stores,
        };
        let leg = leg(&broker(&directory), passage).await;
        let mut troubled = Troubled::once();
        let wishes = troubled.wishes.clone();
        let mut drive = Drive::new(leg, troubled.lent());
        drive.tracked -= TRACK;
        let tracked = drive.track(&wishes).await;
        assert!(tracked.is_ok());
        drop(drive);
        assert_eq!(troubled.backoff.attempts(), u32::from(!stores));
    }
}
