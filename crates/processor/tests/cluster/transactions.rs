//! Transactions that others end.

use std::time::Duration;

use eson_broker::{
    Broker, Chunk, KafkaBroker, KafkaConfig, Payload, ProcessorSource, WriterOptions,
};
use eson_client::{Dialer, SystemLookup};
use eson_protocol::{AddressPolicy, Record};
use eson_tests::proxy::Fault;
use eson_tests::records::await_end;
use rdkafka::ClientConfig;
use tokio::task::spawn_blocking;

use super::clusters::{Side, clusters};
use super::ground::{DEADLINE, create};
use super::topics::administrator;

const TO: &str = "late.to";

/// A transaction that its coordinator has given up is not taken for another writer's work: the
/// next writer goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_took_too_long_is_told_as_such() {
    let clusters = clusters().await;
    create(&administrator(clusters.of(Side::Destination)), TO, 1).await;
    let client = clusters.client(Side::Destination);
    let servers = clusters.proxied(Side::Destination).into_iter();
    let servers = servers.map(|server| server.parse().expect("a server"));
    let dialer = Dialer::new(
        std::sync::Arc::new(SystemLookup),
        AddressPolicy::unrestricted(),
    );
    let config = KafkaConfig {
        transaction_timeout: Duration::from_secs(5),
        ..KafkaConfig::new(servers.collect(), dialer)
    };
    let broker = KafkaBroker::new(config).expect("a broker");
    let mut writer = broker.open_writer(TO, options()).await.expect("a writer");
    writer.write(0, one_record(1)).await.expect("handed over");
    writer.flush().await.expect("committed");
    writer.write(0, one_record(2)).await.expect("handed over");
    // Two records, and the end of the first one's transaction.
    until_end(&client, 3).await;
    clusters.set(Side::Destination, Fault::Stall);
    until_end(&client, 4).await;
    clusters.set(Side::Destination, Fault::None);
    // The flush only learns that the writer has ended, the next call why.
    writer.flush().await.expect_err("never committed");
    let told = writer.write(0, one_record(3)).await;
    let told = told.expect_err("of no more use");
    assert!(told.is_transient(), "{told:?}");
    let expected = "could not be committed within 5s";
    assert!(told.to_string().contains(expected), "{told}");
}

fn options() -> WriterOptions {
    let processor = ProcessorSource {
        processor: "late".to_owned(),
        source: "source".to_owned(),
    };
    WriterOptions {
        commit_interval: Duration::from_secs(4),
        ..WriterOptions::new(Some(processor), 1 << 20)
    }
}

fn one_record(next: u64) -> Chunk {
    let record = Record {
        offset: next - 1,
        timestamp: 5,
        key: None,
        value: Some("one".into()),
        headers: vec![],
    };
    Chunk {
        partition: 0,
        first: next - 1,
        next,
        high_watermark: next,
        epoch: None,
        payload: Payload::Records(vec![record]),
    }
}

async fn until_end(client: &ClientConfig, wanted: i64) {
    let client = client.clone();
    let waiting = spawn_blocking(move || await_end(&client, TO, wanted, DEADLINE));
    waiting.await.expect("reached");
}
