//! What the destination can take: batches that lie in memory, over one connection.

use std::process;
use std::sync::Arc;

use eson_broker::{Broker, Chunk, Epochs, KafkaBroker, KafkaConfig, ReaderOptions, WriterOptions};
use eson_client::{Dialer, SystemLookup};
use eson_protocol::{AddressPolicy, Positions, Server, Start};
use tokio::runtime::Runtime;

use super::Copied;
use crate::ground::Ground;
use crate::meter::Meter;

/// What the reader and the writer may hold.
const BUFFER: usize = 4 << 20;

/// Reads all of `topic`, and then measures how it is written.
pub(crate) fn write(ground: &Ground, topic: &str, copy: &str, records: u64) -> Copied {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let chunks = read(&broker(&ground.source.plaintext()), topic, records).await;
        let destination = broker(&ground.destination.plaintext());
        let options = WriterOptions::new(None, BUFFER);
        let mut writer = destination.open_writer(copy, options).await.unwrap();
        let meter = Meter::start(process::id(), ground);
        for chunk in chunks {
            writer.write(chunk.partition, chunk).await.unwrap();
        }
        writer.flush().await.unwrap();
        Copied {
            records,
            used: meter.read(),
            peak: 0.0,
        }
    })
}

async fn read(broker: &KafkaBroker, topic: &str, records: u64) -> Vec<Chunk> {
    let options = ReaderOptions {
        positions: Positions::new(),
        epochs: Epochs::new(),
        start: Start::Earliest,
        encoded: true,
        buffer: BUFFER,
    };
    let mut reader = broker.open_reader(topic, options).await.unwrap();
    let mut chunks = vec![];
    let mut read = 0;
    while read < records {
        let chunk = reader.next().await.unwrap();
        read += chunk.next - chunk.first;
        chunks.push(chunk);
    }
    chunks
}

fn broker(server: &str) -> KafkaBroker {
    let server: Server = server.parse().unwrap();
    let dialer = Dialer::new(Arc::new(SystemLookup), AddressPolicy::unrestricted());
    KafkaBroker::new(KafkaConfig::new(vec![server], dialer)).unwrap()
}
