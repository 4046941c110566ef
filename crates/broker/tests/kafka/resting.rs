//! Readers with nothing to read rest: they cost one request together, and notice all that they
//! would notice by themselves.

use std::time::{Duration, Instant};

use eson_broker::{
    Broker, BrokerError, Credential, KafkaBroker, KafkaConfig, Lease, Payload, QueueReader,
    QueueSpec, QueueUpdate, ReaderOptions, Secret,
};
use eson_tests::records::plain_client;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tokio::task::spawn_blocking;

use crate::support::{
    admin, at_rest, config, created, from_earliest, kafka, queue, soon, until, user,
};

const WAIT: Duration = Duration::from_secs(60);

const MANY: u32 = 40;

/// Writes a record to a partition of each queue.
async fn send(queues: Vec<String>, partition: i32) {
    let sent = spawn_blocking(move || {
        let client = plain_client(&kafka().plaintext());
        let producer: BaseProducer = client.create().expect("a producer");
        for queue in &queues {
            let record = BaseRecord::<[u8], [u8]>::to(queue).partition(partition);
            producer.send(record.payload(b"one")).expect("queued");
        }
        producer.flush(WAIT).expect("sent");
    });
    sent.await.expect("no panic");
}

async fn reader(broker: &KafkaBroker, queue: &str) -> Box<dyn QueueReader> {
    let reader = broker.open_reader(queue, from_earliest(false)).await;
    reader.expect("a reader")
}

/// The partition and offset of the next record, which is the only one.
async fn next(reader: &mut Box<dyn QueueReader>) -> (u32, u64) {
    let chunk = soon(reader.next()).await.expect("a chunk");
    assert!(matches!(&chunk.payload, Payload::Records(records) if records.len() == 1));
    (chunk.partition, chunk.first)
}

/// However long it is looked at: by itself each of them would send a fetch whenever the last one has
/// waited long enough, and all of them together send fewer than a tenth of that.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_rest_send_as_few_requests_as_one() {
    let config = KafkaConfig {
        metadata_max_age: Duration::from_secs(3_600),
        ..config(&kafka().plaintext())
    };
    let fetch_wait = config.fetch_wait;
    let broker = KafkaBroker::new(config).expect("a broker");
    let (mut queues, mut readers) = (vec![], vec![]);
    for _ in 0..MANY {
        let queue = created(&broker, 1).await;
        readers.push(reader(&broker, &queue).await);
        queues.push(queue);
    }
    for round in 0..2 {
        at_rest(&broker, MANY as usize).await;
        let (before, began) = (broker.requests(), Instant::now());
        tokio::time::sleep(fetch_wait * 4).await;
        let sent = u32::try_from(broker.requests() - before).expect("few");
        let waited = began.elapsed();
        let alone = waited * MANY;
        assert!(fetch_wait * sent * 10 < alone, "{sent} in {waited:?}");
        send(queues.clone(), 0).await;
        for reader in &mut readers {
            assert_eq!(next(reader).await, (0, round));
        }
    }
    drop(readers);
    soon(until(|| broker.resting() == 0)).await;
}

/// Though the broker has nothing to say of the other partitions of the session.
#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_ends_one_at_rest() {
    let queues = [created(&admin(), 1).await, created(&admin(), 2).await];
    let credential = Credential {
        mechanism: "SCRAM-SHA-256".to_owned(),
        username: format!("reader-of-{}", queues[0]),
        password: Secret::new("a password".to_owned()),
    };
    let owner = admin();
    for queue in &queues {
        let granted = owner.grant(queue, &credential, Lease::Granted).await;
        granted.expect("granted");
    }
    let broker = user(&credential);
    let mut denied = reader(&broker, &queues[0]).await;
    let mut other = reader(&broker, &queues[1]).await;
    at_rest(&broker, 2).await;
    let suspended = owner.grant(&queues[0], &credential, Lease::Suspended);
    suspended.await.expect("suspended");
    let end = soon(denied.next()).await.expect_err("no right");
    assert!(matches!(&end, BrokerError::Denied { .. }), "{end:?}");
    at_rest(&broker, 1).await;
    let (found, ()) = tokio::join!(next(&mut other), send(queues[1..].to_vec(), 1));
    assert_eq!(found, (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_ends_one_at_rest() {
    let config = KafkaConfig {
        metadata_max_age: Duration::from_secs(3_600),
        ..config(&kafka().plaintext())
    };
    for again in [false, true] {
        let broker = KafkaBroker::new(config.clone()).expect("a broker");
        let spec = |name: &str| QueueSpec {
            name: name.to_owned(),
            partitions: 1,
            retention: None,
            retention_bytes: None,
        };
        let (gone, stays) = (queue(), created(&broker, 1).await);
        let id = broker.create_queue(&spec(&gone)).await.expect("created");
        let mut ended = reader(&broker, &gone).await;
        let mut other = reader(&broker, &stays).await;
        at_rest(&broker, 2).await;
        broker.delete_queue(&gone, &id).await.expect("deleted");
        if again {
            broker.create_queue(&spec(&gone)).await.expect("created");
        }
        let end = soon(ended.next()).await.expect_err("gone");
        let replaced = matches!(&end, BrokerError::Replaced { expected, .. } if *expected == id.0);
        assert!(
            replaced || !again && matches!(end, BrokerError::NotFound(_)),
            "{end:?}"
        );
        let (found, ()) = tokio::join!(next(&mut other), send(vec![stays], 0));
        assert_eq!(found, (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_appear_are_found_by_one_at_rest() {
    let broker = admin();
    let queue = created(&broker, 1).await;
    let mut reader = reader(&broker, &queue).await;
    at_rest(&broker, 1).await;
    let more = QueueUpdate {
        partitions: Some(2),
        ..QueueUpdate::default()
    };
    broker.update_queue(&queue, &more).await.expect("updated");
    soon(until(|| reader.partitions() == 2)).await;
    at_rest(&broker, 1).await;
    let (found, ()) = tokio::join!(next(&mut reader), send(vec![queue], 1));
    assert_eq!(found, (1, 0));
}

/// Two at the same partition, one of which knows more of it, and a transaction that hides what is
/// written: nobody rests before it has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_wakes_all_at_rest() {
    let broker = admin();
    let queue = created(&broker, 1).await;
    send(vec![queue.clone()], 0).await;
    let mut first = reader(&broker, &queue).await;
    assert_eq!(next(&mut first).await, (0, 0));
    let options = ReaderOptions {
        positions: [(0, 1)].into(),
        ..from_earliest(false)
    };
    let second = broker.open_reader(&queue, options).await;
    let mut second = second.expect("a reader");
    at_rest(&broker, 2).await;
    let topic = queue.clone();
    let hiding = spawn_blocking(move || hide(&topic)).await.expect("hidden");
    for reader in [&mut first, &mut second] {
        let told = soon(reader.next()).await.expect_err("nothing to read");
        let told_of = matches!(&told, BrokerError::Hanging { offset: 1, .. });
        assert!(told_of, "{told:?}");
    }
    assert_eq!(broker.resting(), 0);
    let commit = spawn_blocking(move || hiding.commit_transaction(WAIT));
    commit.await.expect("no panic").expect("committed");
    for reader in [&mut first, &mut second] {
        assert_eq!(next(reader).await, (0, 1));
    }
    at_rest(&broker, 2).await;
}

/// Writes a record in a transaction that stays open.
fn hide(topic: &str) -> BaseProducer {
    let mut client = plain_client(&kafka().plaintext());
    client.set("transactional.id", topic);
    let producer: BaseProducer = client.create().expect("a producer");
    producer.init_transactions(WAIT).expect("a producer");
    producer.begin_transaction().expect("begun");
    let record = BaseRecord::<[u8], [u8]>::to(topic).partition(0);
    producer.send(record.payload(b"hidden")).expect("queued");
    producer.flush(WAIT).expect("sent");
    producer
}
