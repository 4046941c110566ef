//! A bridge between two Kafkas, beside MirrorMaker 2 on the same topic in the same run.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use eson_processor::SocketAddress;
use eson_processor::client::Client;
use eson_processor::proto::{Delivery, Endpoint, Leg, ProcessorType, Spec, Start, start};
use eson_tests::kafka::Authorization;
use eson_tests::participant::binary;
use eson_tests::records::{create_topic, plain_client};
use eson_tests::{Kafka, Process, data_dir};
use rdkafka::consumer::BaseConsumer;

use crate::meter::{Meter, Used, median, peak_megabytes};
use crate::{mirror_maker, topics};

const RECORDS: u32 = 2_000_000;
const ROUNDS: usize = 3;
const DELIVERIES: [Delivery; 2] = [Delivery::AtLeastOnce, Delivery::ExactlyOnce];
const POLL: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(300);

/// One contender's copy of the whole topic.
struct Copied {
    records: u64,
    used: Used,
    peak: f64,
}

pub(crate) fn measure() {
    let source = Kafka::start("source", Authorization::Open);
    let destination = Kafka::start("destination", Authorization::Open);
    let topic = "orders";
    topics::preload(&source.plaintext(), topic, "lz4", RECORDS);
    let original = topics::hashes(&source.plaintext(), topic);
    println!("\n## Bridge between two Kafkas\n");
    println!(
        "{RECORDS} JSON records of {} bytes, lz4,",
        topics::RECORD_BYTES
    );
    println!(
        "{} partitions, acks=all; every copy is verified by a hash of each partition.",
        topics::PARTITIONS
    );
    println!("MirrorMaker's figures are of its copy phase: from the first record on.\n");
    let mut ours = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (delivery, copies) in DELIVERIES.into_iter().zip(&mut ours) {
            let copy = format!("{topic}-{}-{round}", delivery.as_str_name());
            copies.push(bridge(&source, &destination, topic, &copy, delivery));
            let copied = topics::hashes(&destination.plaintext(), &copy);
            assert_eq!(original, copied, "{copy}");
        }
    }
    let theirs = mirror(&source, &destination, topic);
    let copy = mirror_maker::copy_of(topic);
    assert_eq!(
        original,
        topics::hashes(&destination.plaintext(), &copy),
        "{copy}"
    );
    print_table(&ours, &theirs);
}

fn bridge(
    source: &Kafka,
    destination: &Kafka,
    topic: &str,
    copy: &str,
    delivery: Delivery,
) -> Copied {
    create_topic(
        &plain_client(&destination.plaintext()),
        copy,
        topics::PARTITIONS,
    );
    let dir = data_dir("bridge");
    let socket = dir.join("processor.sock");
    let address = SocketAddress::Unix(socket);
    let mut command = Command::new(binary("flow-processor"));
    command.arg("--listen").arg(address.to_string());
    let process = Process::start("flow-processor", command, &dir.join("processor.log"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(connect(&address));
    let meter = Meter::start(process.id(), source.id(), destination.id());
    let spec = spec(source, destination, topic, copy, delivery);
    runtime.block_on(client.create(spec)).unwrap();
    runtime.block_on(until_stored(&client, copy));
    let used = meter.read();
    Copied {
        records: u64::from(RECORDS),
        used,
        peak: peak_megabytes(process.id()),
    }
}

async fn connect(address: &SocketAddress) -> Client {
    let began = Instant::now();
    loop {
        match Client::connect(address).await {
            Ok(client) => return client,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until the destination has stored that it has everything. Its offsets don't tell: the ends
/// of transactions take some, too.
async fn until_stored(client: &Client, instance: &str) {
    let began = Instant::now();
    loop {
        let status = client.describe(instance).await.unwrap();
        let stored: u64 = status[0].legs[0].stored.values().sum();
        if stored == u64::from(RECORDS) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{status:?}");
        tokio::time::sleep(POLL).await;
    }
}

fn spec(source: &Kafka, destination: &Kafka, topic: &str, copy: &str, delivery: Delivery) -> Spec {
    let leg = Leg {
        source: 0,
        id: copy.to_owned(),
        destination: Some(endpoint(destination, copy)),
        start: Some(Start {
            from: Some(start::From::Earliest(true)),
            ..Start::default()
        }),
        delivery: delivery.into(),
        ..Leg::default()
    };
    Spec {
        id: copy.to_owned(),
        r#type: ProcessorType::Bridge.into(),
        sources: vec![endpoint(source, topic)],
        legs: vec![leg],
        ..Spec::default()
    }
}

fn endpoint(kafka: &Kafka, topic: &str) -> Endpoint {
    Endpoint {
        flow: topic.to_owned(),
        kind: "kafka".to_owned(),
        servers: vec![kafka.plaintext()],
        queue: topic.to_owned(),
        trusted_networks: vec!["127.0.0.0/8".to_owned()],
        ..Endpoint::default()
    }
}

fn await_records(watcher: &BaseConsumer, topic: &str, wanted: u64) -> u64 {
    let began = Instant::now();
    loop {
        let count = topics::count(watcher, topic);
        if count >= wanted {
            return count;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{topic} has {count} of {wanted} records"
        );
        #[allow(
            clippy::disallowed_methods,
            reason = "there is no runtime here to block"
        )]
        sleep(POLL);
    }
}

/// Starting a JVM and Connect takes longer than copying: what counts begins with the first record.
fn mirror(source: &Kafka, destination: &Kafka, topic: &str) -> Copied {
    let (from, to) = (source.plaintext(), destination.plaintext());
    let process = mirror_maker::start(&from, &to, topic);
    let watcher = topics::watcher(&to);
    let copy = mirror_maker::copy_of(topic);
    let before = await_records(&watcher, &copy, 1);
    let meter = Meter::start(process.id(), source.id(), destination.id());
    await_records(&watcher, &copy, u64::from(RECORDS));
    let used = meter.read();
    Copied {
        records: u64::from(RECORDS) - before,
        used,
        peak: peak_megabytes(process.id()),
    }
}

fn print_table(ours: &[Vec<Copied>; 2], theirs: &Copied) {
    let of =
        |copies: &[Copied], value: fn(&Copied) -> f64| median(copies.iter().map(value).collect());
    let rows: [(&str, fn(&Copied) -> f64, usize); 6] = [
        (
            "records/s",
            |it| it.records as f64 / it.used.wall.as_secs_f64(),
            0,
        ),
        ("wall seconds", |it| it.used.wall.as_secs_f64(), 2),
        (
            "CPU seconds per million records",
            |it| it.used.cpu / millions(it),
            3,
        ),
        (
            "source broker's CPU per million",
            |it| it.used.source_broker / millions(it),
            2,
        ),
        (
            "destination broker's CPU per million",
            |it| it.used.destination_broker / millions(it),
            2,
        ),
        ("peak MB", |it| it.peak, 0),
    ];
    println!("Bridge: medians of {ROUNDS} copies each, one after the other.\n");
    println!(
        "| | at least once | exactly once | MirrorMaker 2 | first to third | second to first |\n\
         |---|---|---|---|---|---|"
    );
    for (name, value, digits) in rows {
        let [least, exactly] = [&ours[0], &ours[1]].map(|copies| of(copies, value));
        let mirror = value(theirs);
        println!(
            "| {name} | {least:.digits$} | {exactly:.digits$} | {mirror:.digits$} | {:.3} | {:.2} |",
            least / mirror,
            exactly / least
        );
    }
}

fn millions(copied: &Copied) -> f64 {
    copied.records as f64 / 1e6
}
