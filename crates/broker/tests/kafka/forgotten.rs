//! Writers that the brokers have forgotten, as they forget who has not written for a day, and names
//! that have not been used for a week.

use std::sync::Arc;
use std::time::Duration;

use eson_broker::{Broker, Chunk, Delivery, KafkaBroker, Payload, QueueWriter, WriterOptions};
use eson_protocol::{Positions, Record};
use eson_tests::Kafka;
use eson_tests::kafka::Authorization;
use eson_tests::records::{plain_client, read_topic};

use crate::support::{config, created, on_behalf, soon};

/// A day and a week are a second.
const FORGETFUL: [&str; 4] = [
    "producer.id.expiration.ms=1000",
    "producer.id.expiration.check.interval.ms=200",
    "transactional.id.expiration.ms=1000",
    "transaction.remove.expired.transaction.cleanup.interval.ms=200",
];

fn chunk(numbers: std::ops::Range<u64>) -> Chunk {
    let record = |number: u64| Record {
        offset: number,
        timestamp: 1_700_000_000_000,
        key: None,
        value: Some(number.to_string().into_bytes().into()),
        headers: vec![],
    };
    Chunk {
        partition: 0,
        first: numbers.start,
        next: numbers.end,
        high_watermark: numbers.end,
        epoch: None,
        payload: Payload::Records(numbers.map(record).collect()),
    }
}

async fn write(writer: &mut Box<dyn QueueWriter>, to: u64) -> Result<(), eson_broker::BrokerError> {
    let from = writer.stored().get(&0).copied().unwrap_or_default();
    soon(writer.write(0, chunk(from..to))).await?;
    soon(writer.flush()).await
}

/// In the background: Kafka's tools take seconds.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

/// Nothing is lost and nothing comes twice, whether or not a writer has to be opened again.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_was_forgotten_loses_and_doubles_nothing() {
    let start = || Kafka::start_set("forgetful", Authorization::Open, &FORGETFUL);
    let kafka = Arc::new(blocking(start).await);
    let broker = KafkaBroker::new(config(&kafka.plaintext())).expect("a broker");
    for delivery in [Delivery::AtLeastOnce, Delivery::ExactlyOnce] {
        let queue = created(&broker, 1).await;
        let options = WriterOptions {
            delivery,
            commit_interval: Duration::from_millis(50),
            ..on_behalf(&queue)
        };
        let open = || async {
            let writer = broker.open_writer(&queue, options.clone()).await;
            writer.expect("a writer")
        };
        let mut writer = open().await;
        let mut opened = 0;
        for end in [100, 200, 300] {
            while let Err(error) = write(&mut writer, end).await {
                opened += 1;
                assert!(opened < 6, "{delivery:?}: {error}");
                writer.close().await;
                writer = open().await;
            }
            let (kafka, topic) = (kafka.clone(), queue.clone());
            blocking(move || {
                while !kafka.producers(&topic).is_empty() || !kafka.named_producers().is_empty() {}
            })
            .await;
        }
        assert_eq!(writer.stored(), Positions::from([(0, 300)]));
        let (client, topic) = (plain_client(&kafka.plaintext()), queue.clone());
        let found = blocking(move || read_topic(&client, &topic)).await;
        let values = found.expect("readable").into_iter().map(|it| it.value);
        let wanted = (0..300).map(|number: u64| Some(number.to_string().into_bytes()));
        assert!(values.eq(wanted), "{delivery:?}");
        println!("{delivery:?}: opened again {opened} times");
        writer.close().await;
    }
}
