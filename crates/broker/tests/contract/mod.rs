//! The contract test: every promise of [`eson_broker::Broker`], [`QueueReader`] and
//! [`QueueWriter`], asked of each kind in the same words.
//!
//! A kind calls it so, with an asynchronous function that makes a fixture:
//!
//! ```text
//! mod contract;
//!
//! async fn fixture() -> MyFixture { … }
//!
//! contract::tests!(fixture);
//! ```
//! Each promise becomes a test of its own, with a fixture of its own; fixtures may share one
//! server, since each takes other queue names.

#![allow(
    dead_code,
    reason = "a kind may leave a promise out, where it says why"
)]

mod access;
mod administration;
mod reading;
mod writing;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use eson_broker::{
    Broker, BrokerError, Chunk, Credential, Epochs, Payload, ProcessorSource, QueueId, QueueReader,
    QueueSpec, QueueWriter, ReaderOptions, WriterOptions,
};
use eson_protocol::{Header, Positions, Record, Start};
use tokio::time::timeout;

pub(crate) use access::*;
pub(crate) use administration::*;
pub(crate) use reading::*;
pub(crate) use writing::*;

/// How long anything may take before it is taken for never.
const DEADLINE: Duration = Duration::from_secs(60);

/// One broker to ask.
#[async_trait]
pub(crate) trait Fixture: Send + Sync {
    /// The broker that reads and writes.
    fn broker(&self) -> &dyn Broker;

    /// The broker that creates and deletes, where that is another one.
    fn admin(&self) -> &dyn Broker {
        self.broker()
    }

    /// A queue name that no other fixture on the same server has.
    fn queue(&self) -> String;

    /// Opens a reader as the user of a credential that [`Broker::grant`] has made.
    async fn open_reader_as(
        &self,
        credential: &Credential,
        queue: &str,
        options: ReaderOptions,
    ) -> Result<Box<dyn QueueReader>, BrokerError>;
}

/// Makes a test of each promise.
macro_rules! tests {
    ($fixture:path) => {
        $crate::contract::tests!(
            $fixture:
            a_queue_is_created_described_and_deleted,
            a_name_is_taken_once,
            a_queue_that_is_not_there_is_named,
            only_the_queue_that_was_meant_is_deleted,
            partitions_become_more_and_never_fewer,
            retention_is_kept_and_changed,
            trimming_moves_the_beginning_within_the_range,
            checking_works,
            records_are_kept_as_they_are,
            partitions_keep_their_order,
            chunks_move_source_positions,
            an_empty_chunk_moves_the_source_position,
            a_second_writer_goes_on_where_the_first_stored,
            positions_belong_to_processor_and_source,
            positions_are_forgotten,
            epochs_are_stored_with_positions,
            a_writer_goes_back_where_the_source_was_cut_off,
            a_second_writer_takes_over,
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
            a_reader_is_limited,
            a_suspended_credential_reads_nothing_until_granted_again,
            a_revoked_credential_ends_its_readers,
            consumers_are_listed,
        );
    };
    ($fixture:path: $($promise:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                $crate::contract::$promise(&$fixture().await).await;
            }
        )*
    };
}
pub(crate) use tests;

/// Waits for what must come.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("comes in time")
}

/// A queue with so many partitions that keeps everything.
fn spec(name: &str, partitions: u32) -> QueueSpec {
    QueueSpec {
        name: name.to_owned(),
        partitions,
        retention: Some(QueueSpec::FOREVER),
        retention_bytes: None,
    }
}

/// Creates a queue of a new name.
async fn created(fixture: &dyn Fixture, partitions: u32) -> (String, QueueId) {
    let name = fixture.queue();
    let id = soon(fixture.admin().create_queue(&spec(&name, partitions))).await;
    (name, id.expect("created"))
}

fn from(start: Start) -> ReaderOptions {
    ReaderOptions {
        positions: Positions::new(),
        epochs: Epochs::new(),
        start,
        encoded: false,
        buffer: 1 << 20,
    }
}

fn at(positions: impl Into<Positions>) -> ReaderOptions {
    ReaderOptions {
        positions: positions.into(),
        ..from(Start::Earliest)
    }
}

async fn reader(
    fixture: &dyn Fixture,
    queue: &str,
    options: ReaderOptions,
) -> Box<dyn QueueReader> {
    let reader = soon(fixture.broker().open_reader(queue, options)).await;
    reader.expect("a reader")
}

/// A writer for a processor; positions are kept where it has a name.
async fn writer(
    fixture: &dyn Fixture,
    queue: &str,
    processor: Option<&str>,
) -> Box<dyn QueueWriter> {
    let options = WriterOptions::new(
        processor.map(|processor| ProcessorSource {
            processor: processor.to_owned(),
            source: "source-1".to_owned(),
        }),
        1 << 20,
    );
    let writer = soon(fixture.broker().open_writer(queue, options)).await;
    writer.expect("a writer")
}

/// A record with a text as its value, and its number as key and time.
fn numbered(number: u64) -> Record {
    Record {
        offset: number,
        timestamp: 1_700_000_000_000 + i64::try_from(number).expect("a small number"),
        key: Some(Bytes::from(format!("key-{number}"))),
        value: Some(Bytes::from(format!("value-{number}"))),
        headers: vec![Header {
            name: "number".to_owned(),
            value: Some(Bytes::from(number.to_string())),
        }],
    }
}

/// Records `numbers` of partition 0 of a source.
fn chunk(numbers: std::ops::Range<u64>) -> Chunk {
    Chunk {
        partition: 0,
        first: numbers.start,
        next: numbers.end,
        high_watermark: numbers.end,
        epoch: None,
        payload: Payload::Records(numbers.map(numbered).collect()),
    }
}

/// Writes numbered records into a partition.
async fn write(fixture: &dyn Fixture, queue: &str, partition: u32, numbers: std::ops::Range<u64>) {
    let mut writer = writer(fixture, queue, None).await;
    soon(writer.write(partition, chunk(numbers)))
        .await
        .expect("written");
    soon(writer.flush()).await.expect("flushed");
}

/// Reads so many records, with their partitions, and checks what every chunk promises.
async fn read(reader: &mut Box<dyn QueueReader>, count: usize) -> Vec<(u32, Record)> {
    let mut records = Vec::new();
    while records.len() < count {
        let chunk = soon(reader.next()).await.expect("a chunk");
        let partition = chunk.partition;
        assert!(chunk.first <= chunk.next && chunk.next <= chunk.high_watermark);
        let Payload::Records(part) = chunk.payload else {
            panic!("encoded batches that nobody asked for");
        };
        for record in part {
            assert!((chunk.first..chunk.next).contains(&record.offset));
            records.push((partition, record));
        }
    }
    assert_eq!(records.len(), count, "more than was written");
    records
}

/// The numbers in the values of records.
fn values(records: &[(u32, Record)]) -> Vec<String> {
    let text = |record: &Record| {
        let value = record.value.as_deref().expect("a value");
        String::from_utf8(value.to_vec()).expect("a text")
    };
    records.iter().map(|(_, record)| text(record)).collect()
}

fn expected(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("value-{number}")).collect()
}

/// Reads until an error comes; what still arrives before is let through.
async fn end_of(reader: &mut Box<dyn QueueReader>) -> BrokerError {
    soon(async {
        loop {
            if let Err(error) = reader.next().await {
                return error;
            }
        }
    })
    .await
}
