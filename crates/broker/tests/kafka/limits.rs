//! Limits of what a topic keeps: Kafka drops whole segments only.

use bytes::Bytes;
use eson_broker::{
    Broker, BrokerError, Chunk, Payload, QueueDescription, QueueSpec, QueueUpdate, WriterOptions,
};
use eson_protocol::{Positions, Record};
use eson_tests::records::noise;

use crate::support::{admin, kafka, queue, soon, until};
use crate::topics::topic;

const MIB: u64 = 1 << 20;

/// What nearly fills a batch: brokers take a mebibyte and twelve bytes.
const LARGE: usize = 1_048_000;

fn update(retention_bytes: u64) -> QueueUpdate {
    QueueUpdate {
        retention_bytes: Some(retention_bytes),
        ..QueueUpdate::default()
    }
}

/// A queue of one partition.
async fn created(retention_bytes: Option<u64>) -> String {
    let spec = QueueSpec {
        name: queue(),
        partitions: 1,
        retention: Some(QueueSpec::FOREVER),
        retention_bytes,
    };
    admin().create_queue(&spec).await.expect("created");
    spec.name
}

/// Writes one batch for each of these numbers.
async fn write(
    queue: &str,
    numbers: std::ops::Range<u64>,
    value: &[u8],
) -> Result<(), BrokerError> {
    let options = WriterOptions::new(None, 4 << 20);
    let mut writer = admin().open_writer(queue, options).await?;
    let value = Bytes::copy_from_slice(value);
    for number in numbers {
        let record = Record {
            offset: number,
            timestamp: 1_700_000_000_000,
            key: None,
            value: Some(value.clone()),
            headers: vec![],
        };
        let chunk = Chunk {
            partition: 0,
            first: number,
            next: number + 1,
            high_watermark: number + 1,
            epoch: None,
            payload: Payload::Records(vec![record]),
        };
        writer.write(0, chunk).await?;
    }
    writer.flush().await
}

async fn shrinks_to(queue: &str, most: u64) {
    soon(until(|| kafka().log_size(queue, 0) <= most)).await;
}

async fn described(queue: &str, wanted: impl Fn(&QueueDescription) -> bool) {
    soon(async {
        while !wanted(&admin().describe_queue(queue).await.expect("there")) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// However large the brokers make segments that are told nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_bytes_holds() {
    let queue = created(Some(4 * MIB)).await;
    write(&queue, 0..16, &noise(LARGE)).await.expect("written");
    assert!(kafka().log_size(&queue, 0) > 4 * MIB);
    shrinks_to(&queue, 5 * MIB).await;
    let found = admin().describe_queue(&queue).await.expect("there");
    assert!(
        found.partitions[&0].0 >= 11,
        "the oldest go: {:?}",
        found.partitions
    );
}

/// What is trimmed is gone from the disk but for a part of the quota.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_trimmed_frees_the_disk() {
    let queue = created(Some(32 * MIB)).await;
    write(&queue, 0..20, &noise(LARGE)).await.expect("written");
    let all = Positions::from([(0, 20)]);
    admin().trim_queue(&queue, &all).await.expect("trimmed");
    shrinks_to(&queue, 8 * MIB).await;
}

/// A quota that comes later holds for what is written from then on, and one that is lifted is no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_changed_and_lifted() {
    let queue = created(None).await;
    let has =
        |bytes| move |found: &QueueDescription| found.retention_bytes == bytes && found.limits_hold;
    write(&queue, 0..2, &noise(LARGE)).await.expect("written");
    let updated = admin().update_queue(&queue, &update(4 * MIB)).await;
    updated.expect("limited");
    described(&queue, has(Some(4 * MIB))).await;
    write(&queue, 2..16, &noise(LARGE)).await.expect("written");
    shrinks_to(&queue, 5 * MIB).await;

    let lifted = admin()
        .update_queue(&queue, &update(QueueSpec::FOREVER))
        .await;
    lifted.expect("lifted");
    described(&queue, has(Some(QueueSpec::FOREVER))).await;
    let before = kafka().log_segments(&queue, 0).len();
    write(&queue, 16..24, &noise(LARGE)).await.expect("written");
    assert!(
        kafka().log_segments(&queue, 0).len() <= before + 1,
        "segments as the broker makes them"
    );
}

/// Kafka refuses a batch that is larger than a segment.
#[tokio::test(flavor = "multi_thread")]
async fn a_segment_has_room_for_the_largest_batch() {
    let small = created(Some(1)).await;
    write(&small, 0..3, &noise(LARGE)).await.expect("written");

    let settings = &[
        ("retention.bytes", "4194304"),
        ("segment.bytes", "1048576"),
        ("max.message.bytes", "3000000"),
    ];
    let queue = topic(settings).await;
    let larger = noise(2_500_000);
    let refused = write(&queue, 0..1, &larger).await;
    assert!(
        matches!(refused, Err(BrokerError::TooLarge { .. })),
        "{refused:?}"
    );
    described(&queue, |found| !found.limits_hold).await;
    let updated = admin().update_queue(&queue, &update(4 * MIB)).await;
    updated.expect("limited again");
    described(&queue, |found| found.limits_hold).await;
    write(&queue, 0..3, &larger).await.expect("written");
}
