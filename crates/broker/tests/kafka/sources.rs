//! Sources as their producers and brokers leave them.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::{Buf, Bytes};
use eson_broker::{Broker, Payload, QueueReader};
use eson_tests::records::{Sample, compare, plain_client, produce, read_topic};
use eson_tests::wait::check;
use tokio::task::spawn_blocking;

use crate::support::{admin, copy_all, created, from_earliest, kafka, samples, soon};
use crate::topics::{PARTITIONS, topic};

/// A batch without its header: the compression's number, the count and the records' bytes.
type Payloads = BTreeMap<u32, Vec<(i16, i32, Bytes)>>;

async fn fill(queue: &str, records: &[Sample]) {
    let (topic, records) = (queue.to_owned(), records.to_vec());
    let filled = spawn_blocking(move || {
        let mut client = plain_client(&kafka().plaintext());
        client.set("linger.ms", "200").set("batch.size", "16384");
        produce(&client, &topic, &records);
    });
    filled.await.expect("filled");
}

async fn contents(queue: &str) -> Vec<Sample> {
    let topic = queue.to_owned();
    let read = spawn_blocking(move || {
        let client = plain_client(&kafka().plaintext());
        read_topic(&client, &topic).expect("readable")
    });
    read.await.expect("read")
}

/// Batches of 16 KiB, as a broker keeps them that packs what it is sent: with librdkafka's
/// compressions and with the one that it was built without.
#[tokio::test(flavor = "multi_thread")]
async fn payloads_pass_byte_for_byte() {
    let records = samples(3_000, PARTITIONS);
    for settings in [
        &[("compression.type", "uncompressed")],
        &[("compression.type", "gzip")],
        &[("compression.type", "snappy")],
        &[("compression.type", "lz4")],
        &[("compression.type", "zstd")],
    ] {
        let from = topic(settings).await;
        fill(&from, &records).await;
        let to = created(&admin(), PARTITIONS.cast_unsigned()).await;
        let ways = copy_all(&admin(), &from, &to, true).await;
        assert_eq!((ways.encoded, ways.decoded), (3_000, 0), "{settings:?}");
        let sent = payloads(&from, 3_000).await;
        let codec = sent[&0][0].0;
        assert!(sent.values().flatten().all(|batch| batch.0 == codec));
        assert_eq!(codec != 0, settings[0].1 != "uncompressed");
        assert_eq!(sent, payloads(&to, 3_000).await, "{settings:?}");
    }
}

async fn payloads(queue: &str, records: u64) -> Payloads {
    let reader = admin().open_reader(queue, from_earliest(true)).await;
    let mut reader = reader.expect("a reader");
    let (mut seen, mut payloads) = (0, Payloads::new());
    while seen < records {
        let chunk = soon(QueueReader::next(&mut *reader))
            .await
            .expect("a chunk");
        if let Payload::Encoded(batches) = chunk.payload {
            seen += batches.records;
            let of_partition = payloads.entry(chunk.partition).or_default();
            let mut bytes = batches.bytes;
            while !bytes.is_empty() {
                of_partition.push(take_payload(&mut bytes));
            }
        }
    }
    payloads
}

/// Takes one batch off (KIP-98).
fn take_payload(bytes: &mut Bytes) -> (i16, i32, Bytes) {
    let size = 12 + (&bytes[8..]).get_u32() as usize;
    let batch = bytes.split_to(size);
    let codec = (&batch[21..]).get_i16() & 7;
    (codec, (&batch[57..]).get_i32(), batch.slice(61..))
}

/// What compaction has taken out is no gap; what it has left comes once and in its order. It may
/// go on while the topic is copied.
#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_is_copied_as_far_as_it_is_there() {
    let from = topic(&[
        ("cleanup.policy", "compact"),
        ("segment.ms", "500"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ])
    .await;
    let keyed = |(number, sample): (usize, Sample)| Sample {
        key: Some(format!("key-{}", number % 50).into_bytes()),
        ..sample
    };
    let all = samples(3_000, PARTITIONS).into_iter().enumerate();
    fill(&from, &all.map(keyed).collect::<Vec<_>>()).await;
    let before = until_compacted(&from, 1_500).await;
    let to = created(&admin(), PARTITIONS.cast_unsigned()).await;
    copy_all(&admin(), &from, &to, true).await;
    let after = contents(&from).await;
    let copied = contents(&to).await;
    let known: HashSet<_> = before.iter().collect();
    assert!(copied.iter().all(|sample| known.contains(sample)));
    let left: HashSet<_> = after.iter().collect();
    let copied: Vec<_> = copied.into_iter().filter(|it| left.contains(it)).collect();
    assert_eq!(compare(&after, &copied), Ok(0));
}

/// Waits until the broker has taken so many records out, and reads the rest.
async fn until_compacted(queue: &str, fewer_than: usize) -> Vec<Sample> {
    let topic = queue.to_owned();
    let waiting = spawn_blocking(move || {
        let client = plain_client(&kafka().plaintext());
        eson_tests::until("the compaction", Duration::from_secs(120), || {
            let left = read_topic(&client, &topic)?;
            check(left.len() < fewer_than, || {
                format!("{} are left", left.len())
            })
            .map(|()| left)
        })
    });
    waiting.await.expect("compacted")
}
