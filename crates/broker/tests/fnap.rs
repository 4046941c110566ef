//! Flows read and written through an FNAA: the contract, and connections that break off.

mod contract;
mod fnaa;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use eson_broker::{
    AppendTo, Broker, BrokerError, Chunk, Credential, Epochs, FnapBroker, FnapOptions, LocalBroker,
    LocalOptions, Payload, ProcessorSource, QueueReader, QueueSpec, QueueUpdate, ReaderOptions,
    WriterOptions,
};
use eson_client::{ConnectOptions, Credentials, Dialer, SystemLookup};
use eson_protocol::{AddressPolicy, Positions, Record, Server, Start};
use tempfile::TempDir;
use tokio::time::timeout;

use self::fnaa::{Fnaa, PROCESSOR, RECORD};

/// How long anything may take before it is taken for never.
const DEADLINE: Duration = Duration::from_secs(60);

const QUEUE: &str = "arrivals.flows.orange.example";

struct Fnap {
    local: LocalBroker,
    fnaa: Fnaa,
    broker: FnapBroker,
    queues: AtomicU32,
    _directory: TempDir,
}

#[async_trait]
impl contract::Fixture for Fnap {
    fn broker(&self) -> &dyn Broker {
        &self.broker
    }

    fn admin(&self) -> &dyn Broker {
        &self.local
    }

    fn queue(&self) -> String {
        let number = self.queues.fetch_add(1, Ordering::Relaxed);
        format!("queue-{number}.flows.orange.example")
    }

    async fn open_reader_as(
        &self,
        credential: &Credential,
        queue: &str,
        options: ReaderOptions,
    ) -> Result<Box<dyn QueueReader>, BrokerError> {
        let password = credential.password.expose();
        let broker = client(&self.fnaa, &credential.username, password);
        broker.open_reader(queue, options).await
    }
}

fn client(fnaa: &Fnaa, user: &str, password: &str) -> FnapBroker {
    let dialer = Dialer::new(Arc::new(SystemLookup), AddressPolicy::unrestricted());
    FnapBroker::new(FnapOptions {
        servers: vec![fnaa.address.clone()],
        connect: ConnectOptions::new(dialer),
        credentials: Some(Credentials::Plain {
            user: user.to_owned(),
            password: password.to_owned().into(),
        }),
    })
}

async fn fixture() -> Fnap {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server {
        host: "fnaa.orange.example".to_owned(),
        port: 61000,
    };
    let options = LocalOptions::new(directory.path().join("queues.redb"), server);
    let local = LocalBroker::open(&options).expect("opens");
    let fnaa = Fnaa::start(local.clone()).await;
    Fnap {
        broker: client(&fnaa, PROCESSOR, "its password"),
        local,
        fnaa,
        queues: AtomicU32::new(0),
        _directory: directory,
    }
}

// All promises but that a second writer takes over: here two writers of one processor don't harm
// each other, which is tested below.
contract::tests!(
    fixture:
    a_queue_is_created_described_and_deleted,
    partitions_become_more_and_never_fewer,
    trimming_moves_the_beginning_within_the_range,
    checking_works,
    records_are_kept_as_they_are,
    partitions_keep_their_order,
    chunks_move_source_positions,
    an_empty_chunk_moves_the_source_position,
    a_second_writer_goes_on_where_the_first_stored,
    positions_belong_to_processor_and_source,
    epochs_are_stored_with_positions,
    a_writer_goes_back_where_the_source_was_cut_off,
    a_partition_that_is_not_there_is_refused,
    an_event_too_large_is_refused_and_the_writer_goes_on,
    reading_begins_where_it_is_told,
    reading_begins_at_a_time,
    a_gap_is_told_once,
    a_position_beyond_the_end_is_told_once,
    a_reader_waits_and_wakes,
    a_reader_finds_new_partitions,
    a_cancelled_next_loses_nothing,
    a_reader_of_a_deleted_queue_ends,
    a_reader_takes_turns,
    a_credential_reads_its_queue_and_no_other,
    a_suspended_credential_reads_nothing_until_granted_again,
    a_revoked_credential_ends_its_readers,
);

async fn with_queue(partitions: u32) -> Fnap {
    let fnap = fixture().await;
    let spec = QueueSpec {
        name: QUEUE.to_owned(),
        partitions,
        retention: None,
        retention_bytes: None,
    };
    fnap.local.create_queue(&spec).await.expect("created");
    fnap
}

fn from_earliest() -> ReaderOptions {
    ReaderOptions {
        positions: Positions::new(),
        epochs: Epochs::new(),
        start: Start::Earliest,
        encoded: false,
        buffer: 1 << 20,
    }
}

fn of_processor() -> WriterOptions {
    WriterOptions::new(
        Some(ProcessorSource {
            processor: "bridge".to_owned(),
            source: "source-1".to_owned(),
        }),
        30_000,
    )
}

fn record(number: u64) -> Record {
    Record {
        offset: number,
        timestamp: 1_700_000_000_000,
        key: None,
        value: Some(Bytes::from(format!("{number:100}"))),
        headers: Vec::new(),
    }
}

/// The records `numbers` of a source's partition.
fn chunk(partition: u32, numbers: std::ops::Range<u64>) -> Chunk {
    Chunk {
        partition,
        first: numbers.start,
        next: numbers.end,
        high_watermark: numbers.end,
        epoch: None,
        payload: Payload::Records(numbers.map(record).collect()),
    }
}

/// Reads so many records of partition 0, and gives their numbers.
async fn numbers(broker: &dyn Broker, count: usize) -> Vec<u64> {
    let reader = broker.open_reader(QUEUE, from_earliest()).await;
    let mut reader = reader.expect("a reader");
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let chunk = timeout(DEADLINE, reader.next())
            .await
            .expect("comes in time");
        let Payload::Records(records) = chunk.expect("a chunk").payload else {
            panic!("encoded batches that nobody asked for");
        };
        numbers.extend(records.into_iter().map(|record| {
            let value = record.value.expect("a value");
            let text = std::str::from_utf8(&value).expect("a text");
            text.trim_start().parse::<u64>().expect("a number")
        }));
    }
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_off_lose_and_double_nothing() {
    let fnap = with_queue(1).await;
    let writer = fnap.broker.open_writer(QUEUE, of_processor()).await;
    let mut writer = writer.expect("a writer");
    let reader = fnap.broker.open_reader(QUEUE, from_earliest()).await;
    let mut reader = reader.expect("a reader");
    fnap.fnaa.cut_connections(0x2545_f491_4f6c_dd1d);
    let writing = async {
        for part in 0..60 {
            let numbers = part * 20..(part + 1) * 20;
            let written = writer.write(0, chunk(0, numbers)).await;
            written.expect("written");
        }
        writer.flush().await.expect("flushed");
    };
    let reading = async {
        let mut offsets = Vec::new();
        while offsets.len() < 1_200 {
            // Shorter than it takes to connect again: who gives up must not stop that.
            let Ok(chunk) = timeout(Duration::from_millis(5), reader.next()).await else {
                continue;
            };
            let Payload::Records(records) = chunk.expect("a chunk").payload else {
                panic!("encoded batches that nobody asked for");
            };
            offsets.extend(records.iter().map(|record| record.offset));
        }
        offsets
    };
    let both = async { tokio::join!(reading, writing) };
    let (offsets, ()) = timeout(DEADLINE, both).await.expect("gets through in time");
    assert!(offsets.into_iter().eq(0..1_200));
    assert!(numbers(&fnap.local, 1_200).await.into_iter().eq(0..1_200));
    let stored = fnap.local.reached(QUEUE, "bridge@source-1").await;
    let stored = stored.expect("positions").positions;
    assert_eq!(stored, [(0, 1_200)].into());
}

#[tokio::test]
async fn a_writer_sees_partitions_that_are_added() {
    let fnap = with_queue(1).await;
    // It looks with each new session.
    fnap.fnaa.cut_connections(0x2545_f491_4f6c_dd1d);
    let mut writer = loop {
        if let Ok(writer) = fnap.broker.open_writer(QUEUE, of_processor()).await {
            break writer;
        }
    };
    assert_eq!(writer.partitions(), 1);
    let update = QueueUpdate {
        partitions: Some(3),
        ..QueueUpdate::default()
    };
    let updated = fnap.local.update_queue(QUEUE, &update).await;
    updated.expect("more partitions");
    let writing = async {
        let mut number = 0;
        while writer.partitions() < 3 {
            let written = writer.write(0, chunk(0, number..number + 10)).await;
            written.expect("written");
            writer.flush().await.expect("flushed");
            number += 10;
        }
        writer.write(2, chunk(1, 0..1)).await.expect("written");
        writer.flush().await.expect("flushed");
    };
    timeout(DEADLINE, writing).await.expect("sees them in time");
    let found = fnap.local.describe_queue(QUEUE).await.expect("there");
    assert_eq!(found.partitions[&2], (0, 1));
}

#[tokio::test]
async fn two_writers_of_one_processor_write_each_event_once() {
    let fnap = with_queue(1).await;
    let open = || async {
        let writer = fnap.broker.open_writer(QUEUE, of_processor()).await;
        writer.expect("a writer")
    };
    let mut writers = [open().await, open().await];
    for (turn, numbers) in [(0, 0..10), (1, 0..15), (0, 10..20), (1, 15..25)] {
        let writer = &mut writers[turn];
        let written = writer.write(0, chunk(0, numbers)).await;
        written.expect("written");
        writer.flush().await.expect("flushed");
    }
    assert!(numbers(&fnap.local, 25).await.into_iter().eq(0..25));
}

#[tokio::test]
async fn a_chunk_larger_than_a_batch_goes_in_parts() {
    let fnap = with_queue(3).await;
    let writer = fnap.broker.open_writer(QUEUE, of_processor()).await;
    let mut writer = writer.expect("a writer");
    let large = |number| Record {
        value: Some(vec![b'x'; 900_000].into()),
        ..record(number)
    };
    let chunk = Chunk {
        payload: Payload::Records((5..12).map(large).collect()),
        next: 20,
        ..chunk(7, 5..12)
    };
    writer.write(2, chunk).await.expect("written");
    writer.flush().await.expect("flushed");
    assert_eq!(writer.acknowledged(), [(7, 20)].into());
    let found = fnap.local.describe_queue(QUEUE).await.expect("there");
    assert_eq!(found.partitions[&2], (0, 7));
}

#[tokio::test]
async fn a_source_spread_over_partitions_arrives_once_and_in_order() {
    let fnap = with_queue(3).await;
    let writer = fnap.broker.open_writer(QUEUE, of_processor()).await;
    let mut writer = writer.expect("a writer");
    for number in 0..300_u64 {
        let to = u32::try_from(number % 3).expect("small");
        let written = writer.write(to, chunk(0, number..number + 1)).await;
        written.expect("written");
    }
    writer.flush().await.expect("flushed");
    let found = fnap.local.describe_queue(QUEUE).await.expect("there");
    assert!(found.partitions.values().all(|range| *range == (0, 100)));
    let mut found = numbers(&fnap.local, 300).await;
    for partition in 0..3 {
        let of_partition = found.iter().filter(|number| **number % 3 == partition);
        assert!(of_partition.is_sorted());
    }
    found.sort_unstable();
    assert!(found.into_iter().eq(0..300));
}

#[tokio::test]
async fn nobody_at_the_address_is_told() {
    let fnap = with_queue(1).await;
    let appended = fnap
        .local
        .append(QUEUE, AppendTo::Key, vec![record(0)], None);
    appended.await.expect("appended");
    let broker = client(&fnap.fnaa, PROCESSOR, "its password");
    drop(fnap.fnaa);
    let unreachable = async {
        loop {
            match broker.open_reader(QUEUE, from_earliest()).await {
                Err(error) => return error,
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    };
    let error = timeout(DEADLINE, unreachable)
        .await
        .expect("is told in time");
    assert!(
        matches!(error, BrokerError::Unreachable { .. }),
        "{error:?}"
    );
}

/// One octet more than the queue takes; its line is far from too long.
fn too_large() -> Record {
    Record {
        value: Some(vec![b'x'; RECORD + 1].into()),
        ..record(1)
    }
}

/// Two events, of which the second is too large.
fn good_and_too_large() -> Chunk {
    Chunk {
        payload: Payload::Records(vec![record(0), too_large()]),
        ..chunk(0, 0..2)
    }
}

#[tokio::test]
async fn an_event_that_fits_a_line_but_not_the_queue_is_known_beforehand() {
    let fnap = with_queue(1).await;
    let writer = fnap.broker.open_writer(QUEUE, of_processor()).await;
    let mut writer = writer.expect("a writer");
    let refused = writer.refuses(&too_large());
    let named = matches!(refused, Some(BrokerError::TooLarge { size, .. }) if size == RECORD + 1);
    assert!(named, "{refused:?}");
    assert!(writer.refuses(&record(0)).is_none());
    let written = writer.write(0, good_and_too_large()).await;
    assert!(
        matches!(written, Err(BrokerError::TooLarge { .. })),
        "{written:?}"
    );
    writer.write(0, chunk(0, 0..2)).await.expect("goes on");
    writer.flush().await.expect("flushed");
    assert_eq!(writer.acknowledged(), [(0, 2)].into());
}

#[tokio::test]
async fn an_event_that_the_queue_refuses_is_told_as_that() {
    let fnap = with_queue(1).await;
    fnap.fnaa.hide_record_limit();
    let writer = fnap.broker.open_writer(QUEUE, of_processor()).await;
    let mut writer = writer.expect("a writer");
    assert!(writer.refuses(&too_large()).is_none(), "nobody has told");
    writer
        .write(0, good_and_too_large())
        .await
        .expect("handed over");
    let refused = writer.flush().await.expect_err("it is too large");
    assert!(refused.is_refusal(), "{refused:?}");
    let found = fnap.local.describe_queue(QUEUE).await.expect("there");
    assert_eq!(found.partitions[&0], (0, 0));
}
