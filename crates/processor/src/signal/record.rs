//! Records as programs get and give them.

use eson_protocol as stored;

use super::proto::{Header, Record};

/// A record that a broker stores.
pub(crate) fn from_stored(record: stored::Record) -> Record {
    let headers = record.headers.into_iter();
    let header = |stored::Header { name, value }| Header { name, value };
    Record {
        timestamp: (record.timestamp >= 0).then_some(record.timestamp),
        key: record.key,
        value: record.value,
        headers: headers.map(header).collect(),
    }
}

/// A record to store at `offset`.
pub(crate) fn to_stored(record: Record, offset: u64) -> stored::Record {
    let headers = record.headers.into_iter();
    let header = |Header { name, value }| stored::Header { name, value };
    stored::Record {
        offset,
        timestamp: record.timestamp.unwrap_or(-1),
        key: record.key,
        value: record.value,
        headers: headers.map(header).collect(),
    }
}
