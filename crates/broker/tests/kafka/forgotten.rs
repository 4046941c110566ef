//! Writers that the brokers have forgotten, as they forget who has not written for a day, and names
//! that have not been used for a week.

use std::sync::Arc;
use std::time::Duration;

use eson_broker::{Broker, BrokerError, Delivery, KafkaBroker, QueueWriter, WriterOptions};
use eson_protocol::Positions;
use eson_tests::kafka::Authorization;
use eson_tests::records::{plain_client, read_topic};
use eson_tests::wait::check;
use eson_tests::{Kafka, until};

use crate::support::{blocking, config, created, numbered, on_behalf, soon};

const WAIT: Duration = Duration::from_secs(60);

/// A day and a week are a second.
const FORGETFUL: [&str; 4] = [
    "producer.id.expiration.ms=1000",
    "producer.id.expiration.check.interval.ms=200",
    "transactional.id.expiration.ms=1000",
    "transaction.remove.expired.transaction.cleanup.interval.ms=200",
];

async fn write(writer: &mut Box<dyn QueueWriter>, to: u64) -> Result<(), BrokerError> {
    let from = writer.stored().get(&0).copied().unwrap_or_default();
    soon(writer.write(0, numbered(from..to))).await?;
    soon(writer.flush()).await
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
                until("the broker to forget", WAIT, || {
                    let known = [kafka.producers(&topic), kafka.named_producers()].concat();
                    check(known.is_empty(), || format!("{known:?}"))
                });
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
