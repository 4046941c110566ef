//! How a run of records is laid out in one value of the database.
//!
//! ```text
//! value     = version(1) count(u32 LE) timestamp(i64 LE) *record
//! record    = timestamp-delta(zigzag) key value header-count(varint) *header
//! header    = length(varint) name value
//! key,value = 0, or length + 1 (varint) and that many bytes
//! ```
//! Offsets are not stored: they count up from the one in the database's key. Numbers are
//! LEB128 varints.

use bytes::{Buf, Bytes};
use eson_protocol::{Header, Record};

/// The version of this layout, the first byte of every value.
const VERSION: u8 = 1;

/// The octets in front of the first record.
const PREFIX: usize = 1 + 4 + 8;

/// The longest varint of 64 bits.
const MAX_VARINT: usize = 10;

/// A value that this layout does not explain: the file is damaged, or a newer version wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored run of records is damaged: {0}")]
pub(super) struct Damaged(&'static str);

/// Lays out records that follow each other.
#[derive(Debug)]
pub(super) struct RunBuilder {
    bytes: Vec<u8>,
    count: u32,
    first_timestamp: i64,
    newest_timestamp: i64,
}

impl Default for RunBuilder {
    fn default() -> Self {
        Self {
            bytes: vec![0; PREFIX],
            count: 0,
            first_timestamp: 0,
            newest_timestamp: i64::MIN,
        }
    }
}

impl RunBuilder {
    /// Puts a record behind those that are there.
    pub(super) fn push(&mut self, record: &Record) {
        if self.count == 0 {
            self.first_timestamp = record.timestamp;
        }
        self.count += 1;
        self.newest_timestamp = self.newest_timestamp.max(record.timestamp);
        let delta = record.timestamp.wrapping_sub(self.first_timestamp);
        put_varint(&mut self.bytes, zigzag(delta));
        put_optional(&mut self.bytes, record.key.as_deref());
        put_optional(&mut self.bytes, record.value.as_deref());
        put_varint(&mut self.bytes, record.headers.len() as u64);
        for header in &record.headers {
            put_varint(&mut self.bytes, header.name.len() as u64);
            self.bytes.extend_from_slice(header.name.as_bytes());
            put_optional(&mut self.bytes, header.value.as_deref());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// How long the value is so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The latest timestamp among the records.
    pub(super) fn newest_timestamp(&self) -> i64 {
        self.newest_timestamp
    }

    /// The finished value.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes[0] = VERSION;
        self.bytes[1..5].copy_from_slice(&self.count.to_le_bytes());
        self.bytes[5..PREFIX].copy_from_slice(&self.first_timestamp.to_le_bytes());
        self.bytes
    }
}

/// How many octets a record takes at most.
pub(super) fn size_bound(record: &Record) -> usize {
    let optional = |part: &Option<Bytes>| MAX_VARINT + part.as_ref().map_or(0, Bytes::len);
    let header = |header: &Header| MAX_VARINT + header.name.len() + optional(&header.value);
    2 * MAX_VARINT
        + optional(&record.key)
        + optional(&record.value)
        + record.headers.iter().map(header).sum::<usize>()
}

/// Takes a value apart; the records share its memory. `first` is the offset of its first record.
pub(super) fn decode(mut value: Bytes, first: u64) -> Result<Vec<Record>, Damaged> {
    if value.len() < PREFIX {
        return Err(Damaged("it is shorter than its prefix"));
    }
    if value.get_u8() != VERSION {
        return Err(Damaged("its version is unknown"));
    }
    let count = value.get_u32_le();
    let first_timestamp = value.get_i64_le();
    let mut records = Vec::with_capacity((count as usize).min(value.len()));
    for index in 0..u64::from(count) {
        let offset = first.wrapping_add(index);
        records.push(take_record(&mut value, offset, first_timestamp)?);
    }
    if value.is_empty() {
        Ok(records)
    } else {
        Err(Damaged("something stands behind the last record"))
    }
}

fn take_record(bytes: &mut Bytes, offset: u64, first_timestamp: i64) -> Result<Record, Damaged> {
    let timestamp = first_timestamp.wrapping_add(unzigzag(take_varint(bytes)?));
    let key = take_optional(bytes)?;
    let value = take_optional(bytes)?;
    let count = take_length(bytes)?;
    // Every header takes two octets at least: a damaged count reserves no more than there is.
    let mut headers = Vec::with_capacity(count.min(bytes.len() / 2));
    for _ in 0..count {
        headers.push(take_header(bytes)?);
    }
    Ok(Record {
        offset,
        timestamp,
        key,
        value,
        headers,
    })
}

fn take_header(bytes: &mut Bytes) -> Result<Header, Damaged> {
    let length = take_length(bytes)?;
    let name = take(bytes, length)?;
    Ok(Header {
        name: std::str::from_utf8(&name)
            .map_err(|_| Damaged("a header's name is not UTF-8"))?
            .to_owned(),
        value: take_optional(bytes)?,
    })
}

fn put_optional(bytes: &mut Vec<u8>, part: Option<&[u8]>) {
    match part {
        None => put_varint(bytes, 0),
        Some(part) => {
            put_varint(bytes, part.len() as u64 + 1);
            bytes.extend_from_slice(part);
        }
    }
}

fn take_optional(bytes: &mut Bytes) -> Result<Option<Bytes>, Damaged> {
    match take_length(bytes)? {
        0 => Ok(None),
        length => take(bytes, length - 1).map(Some),
    }
}

fn take(bytes: &mut Bytes, length: usize) -> Result<Bytes, Damaged> {
    if length > bytes.len() {
        return Err(Damaged("it ends within a record"));
    }
    Ok(bytes.split_to(length))
}

fn take_length(bytes: &mut Bytes) -> Result<usize, Damaged> {
    usize::try_from(take_varint(bytes)?).map_err(|_| Damaged("a length is too large"))
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_varint(bytes: &mut Bytes) -> Result<u64, Damaged> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let octet = bytes
            .try_get_u8()
            .map_err(|_| Damaged("it ends within a number"))?;
        number |= u64::from(octet & 0x7f) << shift;
        if octet < 0x80 {
            return Ok(number);
        }
    }
    Err(Damaged("a number is too long"))
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn part() -> impl Strategy<Value = Option<Bytes>> {
        option::of(vec(any::<u8>(), 0..200).prop_map(Bytes::from))
    }

    fn header() -> impl Strategy<Value = Header> {
        (any::<String>(), part()).prop_map(|(name, value)| Header { name, value })
    }

    fn record() -> impl Strategy<Value = Record> {
        (any::<i64>(), part(), part(), vec(header(), 0..4)).prop_map(
            |(timestamp, key, value, headers)| Record {
                offset: 0,
                timestamp,
                key,
                value,
                headers,
            },
        )
    }

    fn encoded(records: &[Record]) -> Vec<u8> {
        let mut builder = RunBuilder::default();
        for record in records {
            let before = builder.len();
            builder.push(record);
            assert!(builder.len() - before <= size_bound(record));
        }
        builder.finish()
    }

    proptest! {
        #[test]
        fn what_is_laid_out_is_taken_apart(mut records in vec(record(), 0..20), first: u32) {
            let first = u64::from(first);
            for (record, offset) in records.iter_mut().zip(first..) {
                record.offset = offset;
            }
            prop_assert_eq!(decode(encoded(&records).into(), first), Ok(records));
        }

        #[test]
        fn damage_is_an_error_or_other_records_but_never_a_panic(
            records in vec(record(), 0..5),
            place: prop::sample::Index,
            octet: u8,
            end: prop::sample::Index,
        ) {
            let mut bytes = encoded(&records);
            let place = place.index(bytes.len());
            bytes[place] = octet;
            let _ = decode(bytes.clone().into(), 0);
            let cut = bytes[..end.index(bytes.len())].to_vec();
            let _ = decode(cut.into(), 0);
        }

        #[test]
        fn a_shortened_value_is_refused(records in vec(record(), 1..5)) {
            let bytes = encoded(&records);
            let cut = bytes[..bytes.len() - 1].to_vec();
            prop_assert!(decode(cut.into(), 0).is_err());
        }
    }

    #[test]
    fn an_unknown_version_and_trailing_octets_are_refused() {
        let mut bytes = encoded(&[]);
        bytes.push(0);
        assert!(decode(bytes.clone().into(), 0).is_err());
        bytes.pop();
        bytes[0] = VERSION + 1;
        assert!(decode(bytes.into(), 0).is_err());
    }
}
