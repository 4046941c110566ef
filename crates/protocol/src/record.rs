//! One event as a broker stores it.

use std::collections::BTreeMap;

use bytes::Bytes;

/// How far each partition has been read: partition number to the offset of the next record.
pub type Positions = BTreeMap<u32, u64>;

/// One header of a record. Names may repeat; a value may be absent, which is not the same as
/// empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The header's name.
    pub name: String,
    /// The header's value; none is Kafka's null.
    pub value: Option<Bytes>,
}

/// One event as a broker stores it: everything that a bridge has to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The offset within its partition, the record's place in the order.
    pub offset: u64,
    /// Milliseconds since the Unix epoch; -1 where the broker has none.
    pub timestamp: i64,
    /// The key, by which records are spread over partitions.
    pub key: Option<Bytes>,
    /// The content; none is a tombstone.
    pub value: Option<Bytes>,
    /// The headers in their order.
    pub headers: Vec<Header>,
}
