//! Writers that a broker takes nothing from any more.

use std::time::Duration;

use eson_broker::{Broker, WriterOptions};
use eson_protocol::Positions;
use eson_tests::records::{plain_client, read_topic};
use rdkafka::producer::{BaseProducer, Producer};

use crate::support::{admin, blocking, created, kafka, numbered, on_behalf, soon};

const WAIT: Duration = Duration::from_secs(60);

/// A request of its own that a broker has held back can shut a writer out. Nobody has taken over then:
/// what is told passes with another writer.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_shut_out_by_nobody_may_open_another_writer() {
    let broker = admin();
    let queue = created(&broker, 1).await;
    let patient = WriterOptions {
        commit_interval: WAIT / 2,
        ..on_behalf(&queue)
    };
    let mut writer = broker.open_writer(&queue, patient).await.expect("one");
    soon(writer.write(0, numbered(0..100)))
        .await
        .expect("written");
    soon(writer.flush()).await.expect("committed");
    soon(writer.write(0, numbered(100..200)))
        .await
        .expect("written");
    let name = queue.clone();
    blocking(move || begin_anew(&name)).await;
    let error = soon(writer.flush()).await.expect_err("shut out");
    assert!(error.is_transient(), "{error}");
    writer.close().await;

    let another = broker.open_writer(&queue, on_behalf(&queue)).await;
    let mut another = another.expect("another one");
    assert_eq!(another.stored(), Positions::from([(0, 100)]));
    soon(another.write(0, numbered(100..200)))
        .await
        .expect("written");
    soon(another.flush()).await.expect("committed");
    let client = plain_client(&kafka().plaintext());
    let found = blocking(move || read_topic(&client, &queue)).await;
    let values = found.expect("readable").into_iter().map(|it| it.value);
    let wanted = (0..200).map(|number: u64| Some(number.to_string().into_bytes()));
    assert!(values.eq(wanted));
}

/// Asks the coordinator for a new epoch in the name of the writer of a queue, as a late request of the
/// writer's own does.
fn begin_anew(queue: &str) {
    let known = kafka().named_producers();
    let line = known.iter().find(|line| line.contains(queue));
    let name = line.and_then(|line| line.split_whitespace().next());
    let mut client = plain_client(&kafka().plaintext());
    client.set("transactional.id", name.expect("the writer's name"));
    let producer: BaseProducer = client.create().expect("a producer");
    producer.init_transactions(WAIT).expect("a new epoch");
}
