//! Runs of records, and of inputs with their windows, that a program is asked for at once.

use eson_broker::{Chunk, Payload};
use eson_protocol::Record;
use prost::Message;

use super::proto::Input;
use crate::measure::{Measure, record_size};
use crate::partition::StillEncoded;

/// How many events, and how many bytes of them, a program is asked for at once.
const COUNT: usize = 256;
const BYTES: usize = 256 * 1024;

/// How many bytes of inputs that is with the events of their windows, unless one alone has more: less
/// than the 4 MiB that a gRPC server takes where nothing else is said.
const CALL_BYTES: usize = 3 << 20;

/// After how many inputs, or bytes of them, a turn at the windows ends.
const PART_COUNT: usize = 4_096;
const PART_BYTES: usize = 8 << 20;

/// Consecutive records of a partition.
pub(super) struct Batch {
    pub(super) partition: u32,
    pub(super) first: u64,
    /// What to read next.
    pub(super) next: u64,
    /// Behind the newest record that there is.
    pub(super) newest: u64,
    /// Under which leader the last record was written, where the source tells.
    pub(super) epoch: Option<i32>,
    pub(super) records: Vec<Record>,
}

impl Batch {
    pub(super) fn measure(&self) -> Measure {
        Measure {
            records: self.records.len() as u64,
            bytes: self.records.iter().map(record_size).sum(),
        }
    }

    /// When its first record was written; none where that does not say.
    pub(super) fn written_at(&self) -> Option<i64> {
        let timestamp = self.records.first()?.timestamp;
        (timestamp >= 0).then_some(timestamp)
    }
}

/// A chunk in such runs: at least one, since also a chunk without records says how far the source
/// is read.
pub(super) fn batches(chunk: Chunk) -> Result<Vec<Batch>, StillEncoded> {
    let Payload::Records(records) = chunk.payload else {
        return Err(StillEncoded);
    };
    let mut batches = vec![Batch {
        partition: chunk.partition,
        first: chunk.first,
        next: chunk.next,
        newest: chunk.high_watermark,
        epoch: chunk.epoch,
        records: Vec::new(),
    }];
    let mut bytes = 0;
    for record in records {
        let more = record_size(&record);
        let Some(last) = batches.last_mut() else {
            break;
        };
        let fits = last.records.len() < COUNT && bytes + more <= BYTES;
        if fits || last.records.is_empty() {
            bytes += more;
            last.records.push(record);
            continue;
        }
        last.next = record.offset;
        bytes = more;
        batches.push(Batch {
            partition: chunk.partition,
            first: record.offset,
            next: chunk.next,
            newest: chunk.high_watermark,
            epoch: chunk.epoch,
            records: vec![record],
        });
    }
    Ok(batches)
}

/// Inputs that a program is asked for at once.
#[derive(Default)]
pub(super) struct Call {
    inputs: Vec<Input>,
    bytes: usize,
}

impl Call {
    /// Takes one more input; gives back those before it where it is too much with them.
    pub(super) fn take(&mut self, input: Input) -> Option<Vec<Input>> {
        let more = input.encoded_len();
        let fits = self.inputs.len() < COUNT && self.bytes + more <= CALL_BYTES;
        let full = (!fits && !self.inputs.is_empty()).then(|| std::mem::take(self).inputs);
        self.bytes += more;
        self.inputs.push(input);
        full
    }

    /// Those that are left.
    pub(super) fn rest(self) -> Vec<Input> {
        self.inputs
    }
}

/// How much was taken in a turn at the windows.
#[derive(Default)]
pub(super) struct Part {
    count: usize,
    bytes: usize,
}

impl Part {
    /// Whether there is room for one more input; the last one may be larger than that.
    pub(super) fn has_room(&self) -> bool {
        self.count < PART_COUNT && self.bytes < PART_BYTES
    }

    /// Takes an input of so many bytes.
    pub(super) fn take(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::signal::proto::Event;

    fn input(size: usize) -> Input {
        let event = Event {
            flow: "x".repeat(size),
            ..Event::default()
        };
        Input {
            event: Some(event),
            window: None,
        }
    }

    fn chunk(sizes: &[usize]) -> Chunk {
        let record = |(offset, size): (u64, &usize)| Record {
            offset,
            timestamp: -1,
            key: None,
            value: Some(Bytes::from(vec![b'x'; *size])),
            headers: Vec::new(),
        };
        Chunk {
            partition: 3,
            first: 40,
            next: 41 + 2 * sizes.len() as u64,
            high_watermark: 9_999,
            epoch: None,
            payload: Payload::Records((40..).step_by(2).zip(sizes).map(record).collect()),
        }
    }

    #[test]
    fn a_chunk_without_records_is_a_batch_too() {
        let batches = batches(chunk(&[])).expect("records");
        let [batch] = &batches[..] else {
            panic!("one, and not {}", batches.len());
        };
        assert_eq!((batch.first, batch.next, batch.records.len()), (40, 41, 0));
    }

    proptest! {
        #[test]
        fn the_batches_joined_are_the_chunk(
            sizes in vec(prop_oneof![0..9_usize, 0..BYTES, BYTES..2 * BYTES], 0..700),
        ) {
            let whole = chunk(&sizes);
            let Payload::Records(records) = whole.payload.clone() else {
                panic!("these are records");
            };
            let mut next = whole.first;
            let mut joined = Vec::new();
            for batch in batches(whole.clone()).expect("records") {
                prop_assert_eq!(batch.first, next, "no gap between them");
                prop_assert!(batch.records.len() <= COUNT);
                prop_assert!(batch.measure().bytes <= BYTES || batch.records.len() == 1);
                next = batch.next;
                joined.extend(batch.records);
            }
            prop_assert_eq!(next, whole.next);
            prop_assert_eq!(joined, records);
        }

        #[test]
        fn the_calls_joined_are_the_inputs(
            sizes in vec(prop_oneof![199 => 0..9_usize, 1 => 0..2 * CALL_BYTES], 0..700),
        ) {
            let mut call = Call::default();
            let full = sizes.iter().filter_map(|size| call.take(input(*size)));
            let mut calls: Vec<_> = full.collect();
            calls.push(call.rest());
            for call in &calls {
                let bytes: usize = call.iter().map(Message::encoded_len).sum();
                prop_assert!(call.len() <= COUNT);
                prop_assert!(bytes <= CALL_BYTES || call.len() == 1);
            }
            let joined = calls.into_iter().flatten();
            prop_assert!(joined.eq(sizes.iter().map(|size| input(*size))));
        }
    }
}
