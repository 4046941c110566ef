//! The records inside a batch.
//!
//! Not kafka-protocol's: there, headers are a map, and of two headers with one name only one
//! would arrive.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use eson_protocol::{Header, Record};

use super::batch::{Batch, HEADER};
use super::compression::pack_lz4;

/// From this size on, records of ours are packed.
const PACK_FROM: usize = 4 << 10;

/// What a batch's attributes say of LZ4.
const LZ4: i16 = 3;

/// The records of a batch from offset `from` on, if it is sound.
pub(crate) fn decode(batch: &Batch, from: i64) -> io::Result<Vec<Record>> {
    batch.check()?;
    let mut bytes = batch.compression()?.unpack(&batch.records)?;
    let count = usize::try_from(batch.count).map_err(|_| invalid())?;
    // Each takes at least 7 bytes, whatever the header says.
    let mut records = Vec::with_capacity(count.min(bytes.len() / 7));
    for _ in 0..count {
        let size = length(varint(&mut bytes)?)?.ok_or_else(invalid)?;
        let record = decode_record(batch, &mut take(&mut bytes, size)?)?;
        if record.offset.cast_signed() >= from {
            records.push(record);
        }
    }
    Ok(records)
}

/// The kind of the marker in a control batch: whether the transaction was committed. None for
/// control records that are no transaction's.
pub(crate) fn transaction_committed(batch: &Batch) -> io::Result<Option<bool>> {
    let records = decode(batch, i64::MIN)?;
    let key = records.first().and_then(|record| record.key.as_deref());
    Ok(match key {
        // A version, which readers are to ignore, and a type.
        Some([_, _, 0, 0, ..]) => Some(false),
        Some([_, _, 0, 1, ..]) => Some(true),
        _ => None,
    })
}

/// How many bytes a record takes at most in a batch of its own.
pub(crate) fn size_alone(record: &Record) -> usize {
    HEADER + record_size(record) + 5
}

fn record_size(record: &Record) -> usize {
    let field = |bytes: &Option<Bytes>| 5 + bytes.as_ref().map_or(0, Bytes::len);
    let headers: usize = record
        .headers
        .iter()
        .map(|header| 5 + header.name.len() + field(&header.value))
        .sum();
    // Attributes, two deltas, the number of headers.
    1 + 10 + 5 + 5 + field(&record.key) + field(&record.value) + headers
}

/// Gathers records into a batch.
#[derive(Debug, Default)]
pub(crate) struct BatchBuilder {
    records: BytesMut,
    scratch: BytesMut,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The size of the batch so far, unpacked.
    pub(crate) fn size(&self) -> usize {
        HEADER + self.records.len()
    }

    pub(crate) fn push(&mut self, record: &Record) {
        if self.is_empty() {
            self.base_timestamp = record.timestamp;
            self.max_timestamp = record.timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.scratch.clear();
        let delta = record.timestamp.wrapping_sub(self.base_timestamp);
        encode_record(&mut self.scratch, record, delta, self.count);
        put_varint(&mut self.records, self.scratch.len() as i64);
        self.records.put_slice(&self.scratch);
        self.count += 1;
    }

    /// The batch of what was pushed, packed where that makes it smaller.
    pub(crate) fn finish(self) -> io::Result<Batch> {
        let unpacked = self.records.freeze();
        let mut attributes = 0;
        let mut records = unpacked;
        if records.len() >= PACK_FROM {
            let packed = pack_lz4(&records)?;
            if packed.len() < records.len() {
                attributes = LZ4;
                records = packed.into();
            }
        }
        let timestamps = (self.base_timestamp, self.max_timestamp);
        Ok(Batch::new(attributes, timestamps, self.count, records))
    }
}

fn decode_record(batch: &Batch, bytes: &mut Bytes) -> io::Result<Record> {
    take(bytes, 1)?;
    let timestamp_delta = varint(bytes)?;
    let offset_delta = varint(bytes)?;
    let offset = batch.base_offset.wrapping_add(offset_delta);
    let timestamp = if batch.has_append_time() {
        batch.max_timestamp
    } else {
        batch.base_timestamp.wrapping_add(timestamp_delta)
    };
    let key = field(bytes)?;
    let value = field(bytes)?;
    let count = length(varint(bytes)?)?.ok_or_else(invalid)?;
    let mut headers = Vec::with_capacity(count.min(bytes.len() / 2));
    for _ in 0..count {
        let name = field(bytes)?.ok_or_else(invalid)?;
        headers.push(Header {
            name: String::from_utf8(name.into()).map_err(|_| invalid())?,
            value: field(bytes)?,
        });
    }
    Ok(Record {
        offset: u64::try_from(offset).map_err(|_| invalid())?,
        timestamp,
        key,
        value,
        headers,
    })
}

fn encode_record(bytes: &mut BytesMut, record: &Record, timestamp_delta: i64, offset_delta: i32) {
    bytes.put_i8(0);
    put_varint(bytes, timestamp_delta);
    put_varint(bytes, offset_delta.into());
    put_field(bytes, record.key.as_deref());
    put_field(bytes, record.value.as_deref());
    put_varint(bytes, record.headers.len() as i64);
    for header in &record.headers {
        put_field(bytes, Some(header.name.as_bytes()));
        put_field(bytes, header.value.as_deref());
    }
}

fn field(bytes: &mut Bytes) -> io::Result<Option<Bytes>> {
    match length(varint(bytes)?)? {
        Some(size) => take(bytes, size).map(Some),
        None => Ok(None),
    }
}

fn put_field(bytes: &mut BytesMut, field: Option<&[u8]>) {
    match field {
        Some(field) => {
            put_varint(bytes, field.len() as i64);
            bytes.put_slice(field);
        }
        None => put_varint(bytes, -1),
    }
}

fn take(bytes: &mut Bytes, size: usize) -> io::Result<Bytes> {
    if bytes.len() < size {
        return Err(invalid());
    }
    Ok(bytes.split_to(size))
}

/// A length; none is -1, Kafka's null.
fn length(value: i64) -> io::Result<Option<usize>> {
    match value {
        -1 => Ok(None),
        other => usize::try_from(other).map(Some).map_err(|_| invalid()),
    }
}

/// A number in Protocol Buffers' zigzag encoding.
fn varint(bytes: &mut Bytes) -> io::Result<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.try_get_u8().map_err(|_| invalid())?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    Err(invalid())
}

fn put_varint(bytes: &mut BytesMut, value: i64) {
    let mut value = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while value >= 0x80 {
        bytes.put_u8((value as u8) | 0x80);
        value >>= 7;
    }
    bytes.put_u8(value as u8);
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a damaged record in a batch")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from))
    }

    fn header() -> impl Strategy<Value = Header> {
        ("[a-c]{0,3}", bytes()).prop_map(|(name, value)| Header { name, value })
    }

    fn records() -> impl Strategy<Value = Vec<Record>> {
        let headers = proptest::collection::vec(header(), 0..4);
        let record = (-1..i64::MAX / 2, bytes(), bytes(), headers);
        proptest::collection::vec(record, 1..60).prop_map(|records| {
            let number = |(offset, (timestamp, key, value, headers))| Record {
                offset: offset as u64,
                timestamp,
                key,
                value,
                headers,
            };
            records.into_iter().enumerate().map(number).collect()
        })
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(records in records()) {
            let mut builder = BatchBuilder::default();
            let mut bound = HEADER;
            for record in &records {
                builder.push(record);
                bound += size_alone(record) - HEADER;
            }
            prop_assert!(builder.size() <= bound);
            let batch = builder.finish().expect("a batch");
            prop_assert_eq!(decode(&batch, 0).expect("decodes"), records);
        }

        #[test]
        fn junk_is_an_error_and_no_panic(junk in proptest::collection::vec(any::<u8>(), 0..300)) {
            let batch = Batch::new(0, (0, 0), 3, junk.into());
            let _ = decode(&batch, 0);
        }
    }

    #[test]
    fn records_before_the_wanted_offset_are_left_out() {
        let mut builder = BatchBuilder::default();
        for offset in 0..5 {
            builder.push(&Record {
                offset,
                timestamp: 0,
                key: None,
                value: None,
                headers: vec![],
            });
        }
        let batch = builder.finish().expect("a batch");
        let offsets: Vec<_> = decode(&batch, 3)
            .expect("decodes")
            .iter()
            .map(|r| r.offset)
            .collect();
        assert_eq!(offsets, [3, 4]);
    }
}
