//! Many bridges in one process, each with little to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use eson_processor::proto::Delivery;
use eson_tests::records::{create_topics, plain_client};
use rdkafka::producer::{BaseProducer, BaseRecord};

use crate::ground::Ground;
use crate::meter::{Meter, Used, peak_megabytes};
use crate::processor::{Processor, bridge, pause};

const BRIDGES: usize = 1_000;
const STRETCH: Duration = Duration::from_secs(30);
/// The brokers compile what they did last, and take note of it, for longer than they did it.
const SETTLING: Duration = Duration::from_secs(60);

pub(crate) fn measure() {
    println!("\n## {BRIDGES} bridges in one process\n");
    println!(
        "Topics of one partition; CPU seconds a second over {} s.\n",
        STRETCH.as_secs()
    );
    let ground = Ground::start();
    let topics: Vec<_> = (0..BRIDGES).map(|number| format!("few-{number}")).collect();
    let names: Vec<_> = topics.iter().map(String::as_str).collect();
    for kafka in [&ground.source, &ground.destination] {
        let client = plain_client(&kafka.plaintext());
        // The broker takes no more than this at once in good time.
        for some in names.chunks(100) {
            create_topics(&client, some, 1);
        }
    }
    let processor = Processor::start();
    println!("| | CPU | source broker's | destination broker's | peak MB |");
    println!("|---|---|---|---|---|");
    pause(SETTLING);
    print_line("none", &processor, &ground);
    for topic in &topics {
        processor.create(bridge(&ground, topic, topic, Delivery::AtLeastOnce));
    }
    pause(SETTLING);
    print_line("idle", &processor, &ground);
    let end = Arc::new(AtomicBool::new(false));
    let load = {
        let (server, ended) = (ground.source.plaintext(), end.clone());
        let topics = topics.clone();
        thread::spawn(move || one_a_second(&server, &topics, &ended))
    };
    pause(SETTLING);
    print_line("1 event/s each", &processor, &ground);
    end.store(true, Ordering::Relaxed);
    let sent = load.join().unwrap();
    for topic in &topics {
        processor.await_stored(topic, sent);
    }
    println!("\nAll {sent} events of each have arrived.");
}

/// Returns how many each topic has got.
fn one_a_second(server: &str, topics: &[String], ended: &AtomicBool) -> u64 {
    let producer: BaseProducer = plain_client(server).create().unwrap();
    let mut sent = 0;
    while !ended.load(Ordering::Relaxed) {
        let began = Instant::now();
        for (number, topic) in (0_u32..).zip(topics) {
            let due = Duration::from_secs(1) * number / topics.len() as u32;
            pause(due.saturating_sub(began.elapsed()));
            let record = BaseRecord::to(topic).key("").payload("an event");
            producer.send(record).map_err(|(error, _)| error).unwrap();
            producer.poll(Duration::ZERO);
        }
        sent += 1;
    }
    while rdkafka::producer::Producer::in_flight_count(&producer) > 0 {
        producer.poll(Duration::from_millis(20));
    }
    sent
}

fn print_line(name: &str, processor: &Processor, ground: &Ground) {
    let meter = Meter::start(processor.id(), ground);
    pause(STRETCH);
    let used: Used = meter.read();
    let each = |seconds: f64| seconds / used.wall.as_secs_f64();
    println!(
        "| {name} | {:.3} | {:.3} | {:.3} | {:.0} |",
        each(used.cpu),
        each(used.source_broker),
        each(used.destination_broker),
        peak_megabytes(processor.id())
    );
}
