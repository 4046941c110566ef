//! Produce requests, written by hand: the codec's would copy every batch.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ProduceRequest, TopicName};
use uuid::Uuid;

use super::batch::{Batch, Producer};
use super::cluster::Topic;
use super::connection::Connection;
use super::coordinator::Style;
use super::frames::Frames;
use crate::BrokerError;

/// The first version with compact fields: the oldest that is written here.
const COMPACT: i16 = 9;

/// From this version on topics are named by id (KIP-516).
const BY_ID: i16 = 13;

/// The last version that leaves it to the client to add partitions to its transaction (KIP-890).
const EXPLICIT: i16 = 11;

/// All replicas in sync have to have the records.
const ACKS_ALL: i16 = -1;

/// One batch for one partition: Kafka takes no more in a request.
pub(crate) struct Outbound<'a> {
    pub(crate) partition: u32,
    pub(crate) batch: &'a Batch,
    pub(crate) sequence: i32,
}

/// As whom to write, and in which transaction.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    pub(crate) producer: Producer,
    /// The name under which the coordinator knows the transaction; none outside of one.
    pub(crate) transaction: Option<(Arc<str>, Style)>,
}

/// The version of Produce to use on a connection.
pub(crate) fn version(connection: &Connection, author: &Author) -> Result<i16, BrokerError> {
    let newest = match &author.transaction {
        Some((_, Style::Explicit)) => EXPLICIT,
        Some((_, Style::Implicit)) | None => BY_ID,
    };
    let version = connection.version::<ProduceRequest>(newest)?;
    if version < COMPACT {
        return Err(BrokerError::Unsupported {
            kind: "kafka".to_owned(),
            what: "be written to before Kafka 2.4".to_owned(),
        });
    }
    Ok(version)
}

/// The body of a Produce request (version 9 to 13), with the batches' records where they are.
pub(crate) fn encode(
    version: i16,
    topic: &Topic,
    author: &Author,
    timeout_ms: i32,
    batches: &[Outbound<'_>],
) -> Frames {
    let mut frames = Frames::default();
    let mut piece = BytesMut::with_capacity(128);
    let name = author.transaction.as_ref().map(|(name, _)| name.as_bytes());
    put_length(&mut piece, name.map(<[u8]>::len));
    piece.put_slice(name.unwrap_or_default());
    piece.put_i16(ACKS_ALL);
    piece.put_i32(timeout_ms);
    put_length(&mut piece, Some(1));
    put_topic(&mut piece, version, &topic.name, &topic.id);
    put_length(&mut piece, Some(batches.len()));
    for outbound in batches {
        piece.put_u32(outbound.partition);
        put_length(&mut piece, Some(outbound.batch.size()));
        piece.put_slice(&outbound.batch.header(author.producer, outbound.sequence));
        frames.push(piece.split().freeze());
        frames.push(outbound.batch.records.clone());
        put_no_tagged_fields(&mut piece);
    }
    // Of the topic, and of the request.
    put_no_tagged_fields(&mut piece);
    put_no_tagged_fields(&mut piece);
    frames.push(Bytes::from(piece));
    frames
}

fn put_topic(piece: &mut BytesMut, version: i16, name: &TopicName, id: &Uuid) {
    if version >= BY_ID {
        piece.put_slice(id.as_bytes());
    } else {
        put_length(piece, Some(name.0.len()));
        piece.put_slice(name.0.as_bytes());
    }
}

/// KIP-482: a length plus one, so that null is 0.
fn put_length(piece: &mut BytesMut, length: Option<usize>) {
    let mut value = length.map_or(0, |length| length as u64 + 1);
    while value >= 0x80 {
        piece.put_u8((value as u8) | 0x80);
        value >>= 7;
    }
    piece.put_u8(value as u8);
}

fn put_no_tagged_fields(piece: &mut BytesMut) {
    piece.put_u8(0);
}

#[cfg(test)]
mod tests {
    use bytes::Buf;
    use kafka_protocol::messages::TransactionalId;
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::protocol::{Encodable, StrBytes};

    use super::*;

    fn author(transaction: Option<&str>) -> Author {
        let producer = Producer {
            id: 5,
            epoch: 1,
            transactional: transaction.is_some(),
        };
        let transaction = transaction.map(|name| (Arc::from(name), Style::Implicit));
        Author {
            producer,
            transaction,
        }
    }

    fn check(version: i16, transaction: Option<&'static str>) {
        let author = author(transaction);
        let topic = Topic {
            name: TopicName(StrBytes::from_static_str("orders")),
            id: Uuid::from_u128(0x1234),
            leaders: vec![None; 3],
            epochs: vec![-1; 3],
        };
        let batch = Batch::new(0, (1, 2), 2, Bytes::from(vec![7; 300]));
        let wire = [&batch.header(author.producer, 9)[..], &batch.records[..]].concat();
        let outbound = [0, 2].map(|partition| Outbound {
            partition,
            batch: &batch,
            sequence: 9,
        });
        let mut ours = encode(version, &topic, &author, 30_000, &outbound);
        let partitions = [0, 2].map(|index| {
            PartitionProduceData::default()
                .with_index(index)
                .with_records(Some(wire.clone().into()))
        });
        let mut data = TopicProduceData::default().with_partition_data(partitions.into());
        data = if version >= BY_ID {
            data.with_topic_id(topic.id)
        } else {
            data.with_name(topic.name.clone())
        };
        let name = transaction.map(|name| TransactionalId(StrBytes::from_static_str(name)));
        let request = ProduceRequest::default()
            .with_transactional_id(name)
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![data]);
        let mut theirs = BytesMut::new();
        request.encode(&mut theirs, version).expect("encodes");
        assert_eq!(ours.copy_to_bytes(ours.len()), theirs, "version {version}");
    }

    #[test]
    fn the_same_bytes_as_the_codec_writes() {
        for version in COMPACT..=BY_ID {
            check(version, None);
            check(version, Some("eson/bridge"));
        }
    }
}
