use bytes::{BufMut, BytesMut};

use super::super::batch::Producer;
use super::super::records::BatchBuilder;
use super::*;

const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// A log as a broker keeps it: batches with their offsets, attributes and producers.
#[derive(Default)]
struct Log {
    bytes: BytesMut,
    next: i64,
}

impl Log {
    fn append(&mut self, count: u64, producer: i64, attributes: i16, key: &'static [u8]) {
        let mut builder = BatchBuilder::default();
        for offset in 0..count {
            builder.push(&Record {
                offset,
                timestamp: 5,
                key: Some(Bytes::from_static(key)),
                value: None,
                headers: vec![],
            });
        }
        let batch = builder.finish().expect("a batch");
        let mut bytes = BytesMut::from(
            &batch.header(
                Producer {
                    id: producer,
                    epoch: 0,
                    transactional: false,
                },
                0,
            )[..],
        );
        bytes.put_slice(&batch.records);
        bytes[..8].copy_from_slice(&self.next.to_be_bytes());
        bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        self.put(bytes, count as i64);
    }

    /// A batch as it has been compacted: of so many offsets, one record is left.
    fn append_compacted(&mut self, offsets: i32) {
        let before = self.bytes.len();
        self.append(1, -1, 0, b"left");
        let mut bytes = self.bytes.split_off(before);
        self.next -= 1;
        bytes[23..27].copy_from_slice(&(offsets - 1).to_be_bytes());
        self.put(bytes, offsets.into());
    }

    fn put(&mut self, mut bytes: BytesMut, offsets: i64) {
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        self.bytes.put_slice(&bytes);
        self.next += offsets;
    }

    fn fetched(&self, position: u64) -> Fetched {
        Fetched::new(0, position, self.next as u64, self.bytes.clone().freeze())
    }
}

fn chunks(mut fetched: Fetched) -> Vec<(u64, u64, &'static str, u64)> {
    let mut chunks = vec![];
    while let Some(chunk) = fetched.next().expect("valid") {
        let (kind, count) = match &chunk.payload {
            Payload::Records(records) => ("records", records.len() as u64),
            Payload::Encoded(batches) => ("encoded", batches.records),
        };
        chunks.push((chunk.first, chunk.next, kind, count));
    }
    chunks
}

#[test]
fn whole_batches_pass_together() {
    let mut log = Log::default();
    (0..3).for_each(|_| log.append(10, -1, 0, b"k"));
    assert_eq!(Extent::of(&log.bytes).map(|extent| extent.next), Some(30));
    assert_eq!(
        chunks(log.fetched(0).with_encoded(true)),
        [(0, 30, "encoded", 30)]
    );
    let by_batch = [
        (0, 10, "records", 10),
        (10, 20, "records", 10),
        (20, 30, "records", 10),
    ];
    assert_eq!(chunks(log.fetched(0)), by_batch);
}

#[test]
fn a_batch_that_begins_before_the_position_is_cut() {
    let mut log = Log::default();
    (0..3).for_each(|_| log.append(10, -1, 0, b"k"));
    let expected = [(14, 20, "records", 6), (20, 30, "encoded", 10)];
    assert_eq!(chunks(log.fetched(14).with_encoded(true)), expected);
}

#[test]
fn aborted_records_and_markers_only_move_the_position() {
    let mut log = Log::default();
    log.append(5, 1, TRANSACTIONAL, b"kept");
    log.append(5, 2, TRANSACTIONAL, b"aborted");
    log.append(1, 2, TRANSACTIONAL | CONTROL, b"\0\0\0\0");
    log.append(1, 1, TRANSACTIONAL | CONTROL, b"\0\0\0\x01");
    log.append(2, 2, TRANSACTIONAL, b"kept");
    log.append(1, 2, TRANSACTIONAL | CONTROL, b"\0\0\0\x01");
    let aborted = AbortedTransaction::default()
        .with_producer_id(2.into())
        .with_first_offset(5);
    let fetched = log.fetched(0).with_encoded(true).with_aborted(&[aborted]);
    let expected = [
        (0, 5, "encoded", 5),
        (5, 14, "encoded", 2),
        (14, 15, "records", 0),
    ];
    assert_eq!(chunks(fetched), expected);
}

#[test]
fn gaps_of_compaction_are_passed_over() {
    let mut log = Log::default();
    log.append(10, -1, 0, b"k");
    log.append_compacted(5);
    log.append(10, -1, 0, b"k");
    assert_eq!(Extent::of(&log.bytes).map(|extent| extent.next), Some(25));
    let expected = [
        (0, 10, "encoded", 10),
        (10, 15, "records", 1),
        (15, 25, "encoded", 10),
    ];
    assert_eq!(chunks(log.fetched(0).with_encoded(true)), expected);
}

#[test]
fn a_batch_that_is_cut_off_is_left_for_the_next_fetch() {
    let mut log = Log::default();
    (0..2).for_each(|_| log.append(10, -1, 0, b"k"));
    log.bytes.truncate(log.bytes.len() - 1);
    assert_eq!(Extent::of(&log.bytes).map(|extent| extent.next), Some(10));
    assert_eq!(
        chunks(log.fetched(0).with_encoded(true)),
        [(0, 10, "encoded", 10)]
    );
}
