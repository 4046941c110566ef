//! Records looked at one by one: a signal with a program in jq's language, beside a plain loop that
//! does the same in Rust.

use std::fs;

use eson_processor::proto::{Delivery, ProcessorType, Signal, Spec, signal};

use crate::contender::{Contender, await_records};
use crate::ground::Ground;
use crate::meter::{Meter, cpu_seconds};
use crate::processor::{Processor, bridge, endpoint};
use crate::topics::{self, Load};

const RECORDS: u32 = 500_000;
const KEPT: u64 = 250_000;

/// Every other record.
const PROGRAM: &str = "select(.data.order % 2 == 0)";

/// The copies.
const AT_LEAST_ONCE: &str = "at-least-once";
const EXACTLY_ONCE: &str = "exactly-once";
const LOOP: &str = "loop";
const DEAD_LETTERS: &str = "dead-letters";

pub(crate) fn measure() {
    println!("\n## Records filtered by `{PROGRAM}`\n");
    println!(
        "{RECORDS} JSON records of {} bytes, lz4, {} partitions; a second of a core's time each.\n",
        topics::RECORD_BYTES,
        topics::PARTITIONS
    );
    println!("| | events/s and core | wall s |");
    println!("|---|---|---|");
    let ground = Ground::start();
    let topic = "orders-lz4";
    Load::new("lz4", RECORDS).write(&ground.source.plaintext(), topic);
    for name in [AT_LEAST_ONCE, EXACTLY_ONCE, LOOP, DEAD_LETTERS] {
        ground.create_copy(name, &[]);
    }
    signal(&ground, topic, AT_LEAST_ONCE, Delivery::AtLeastOnce);
    signal(&ground, topic, EXACTLY_ONCE, Delivery::ExactlyOnce);
    plain_loop(&ground, topic);
    for name in [AT_LEAST_ONCE, EXACTLY_ONCE, LOOP] {
        verify(&ground.destination.plaintext(), name);
    }
}

/// Whether every other record is there, once.
fn verify(server: &str, copy: &str) {
    let mut orders = topics::orders(server, copy);
    orders.sort_unstable();
    let wanted = (0..RECORDS).step_by(2);
    assert!(orders.into_iter().eq(wanted), "{copy}");
}

fn signal(ground: &Ground, topic: &str, name: &str, delivery: Delivery) {
    let processor = Processor::start();
    let meter = Meter::start(processor.id(), ground);
    let mut spec = bridge(ground, topic, name, delivery);
    spec.legs[0].destination = None;
    processor.create(Spec {
        r#type: ProcessorType::Signal.into(),
        signal: Some(Signal {
            destinations: vec![endpoint(&ground.destination, name)],
            dead_letters: Some(endpoint(&ground.destination, DEAD_LETTERS)),
            program: Some(signal::Program::Jq(PROGRAM.to_owned())),
            ..Signal::default()
        }),
        ..spec
    });
    processor.await_stored(name, u64::from(RECORDS));
    let used = meter.read();
    let worker: f64 = children(processor.id()).into_iter().map(cpu_seconds).sum();
    print_line(
        &format!("signal in jq, {name}"),
        used.cpu + worker,
        used.wall.as_secs_f64(),
    );
}

fn plain_loop(ground: &Ground, topic: &str) {
    let watcher = topics::watcher(&ground.destination.plaintext());
    let process = Contender::LibrdkafkaFilter.program(ground, topic, LOOP);
    let meter = Meter::start(process.id(), ground);
    await_records(&watcher, LOOP, KEPT);
    let used = meter.read();
    print_line(
        "librdkafka loop with serde_json",
        used.cpu,
        used.wall.as_secs_f64(),
    );
}

fn print_line(name: &str, cpu: f64, wall: f64) {
    println!("| {name} | {:.0} | {wall:.2} |", f64::from(RECORDS) / cpu);
}

/// The processes that a process has started.
fn children(id: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap();
    tasks
        .map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap())
        .flat_map(|text| {
            text.split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}
