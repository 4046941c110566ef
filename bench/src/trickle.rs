//! Records that come one by one: what they cost the brokers, and how late they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use eson_tests::records::{create_topic, plain_client};
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord};
use rdkafka::topic_partition_list::Offset;

use crate::contender::Contender;
use crate::ground::Ground;
use crate::meter::{Meter, Used};
use crate::processor::pause;
use crate::topics::{self, PARTITIONS};

/// Records a second, each in a batch of its own.
const RATE: u32 = 1_000;

/// How long each copies, and so many times as fast, before the first of them counts: the brokers'
/// compilers have not seen any of this yet, and take more time than the brokers.
const WARM_UP: Duration = Duration::from_secs(20);
const WARM_UP_FACTOR: u32 = 10;
/// How long each copies before it counts itself.
const SETTLING: Duration = Duration::from_secs(5);
const STRETCH: Duration = Duration::from_secs(20);

const CONTENDERS: [Contender; 4] = [
    Contender::AtLeastOnce,
    Contender::ExactlyOnce,
    Contender::Librdkafka,
    Contender::FranzGo,
];

/// What one contender's stretch gave.
struct Line {
    name: &'static str,
    used: Used,
    late: Percentiles,
}

/// Milliseconds between a record's arrival at a reader of the source and at one of the copy.
struct Percentiles {
    half: f64,
    most: f64,
}

pub(crate) fn measure() {
    println!("\n## Records one by one\n");
    println!(
        "{RATE} records a second, each in a batch of its own, {PARTITIONS} partitions. CPU seconds in {} s",
        STRETCH.as_secs()
    );
    println!(
        "without readers of the copy; lateness between a reader of the source and one of the copy."
    );
    println!("The loops linger for 20 ms. Exactly once commits every 100 ms.\n");
    let ground = Ground::start();
    let there = CONTENDERS.iter().copied();
    let there: Vec<_> = there.filter(|contender| contender.is_there()).collect();
    warm_up(&ground, &there);
    let topic = "trickle-none";
    let load = Load::start(&ground, topic, RATE);
    let lines: Vec<_> = there
        .into_iter()
        .map(|contender| stretch(&ground, topic, contender))
        .collect();
    drop(load);
    print_table(&lines);
}

fn warm_up(ground: &Ground, there: &[Contender]) {
    let topic = "warm-up-none";
    let _load = Load::start(ground, topic, WARM_UP_FACTOR * RATE);
    for contender in there {
        let copy = format!("{topic}-{contender:?}");
        ground.create_copy(&copy);
        let _copier = contender.start(ground, topic, &copy);
        pause(WARM_UP);
    }
}

fn stretch(ground: &Ground, topic: &str, contender: Contender) -> Line {
    let copy = format!("{topic}-{contender:?}");
    ground.create_copy(&copy);
    let copier = contender.start(ground, topic, &copy);
    pause(SETTLING);
    let meter = Meter::start(copier.id(), ground);
    pause(STRETCH);
    let used = meter.read();
    let arrivals = [
        Watcher::start(&ground.source.plaintext(), topic),
        Watcher::start(&ground.destination.plaintext(), &copy),
    ];
    pause(STRETCH);
    let [at_source, at_copy] = arrivals.map(Watcher::stop);
    Line {
        name: contender.name(),
        used,
        late: Percentiles::between(&at_source, &at_copy),
    }
}

/// Writes records until it is dropped.
struct Load {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// So many records a second.
    fn start(ground: &Ground, topic: &str, rate: u32) -> Self {
        let mut client = plain_client(&ground.source.plaintext());
        create_topic(&client, topic, PARTITIONS);
        client
            .set("linger.ms", "0")
            .set("batch.num.messages", "1")
            .set("enable.idempotence", "true");
        let producer: BaseProducer = client.create().unwrap();
        let end = Arc::new(AtomicBool::new(false));
        let (ended, topic) = (end.clone(), topic.to_owned());
        let thread = thread::spawn(move || {
            let began = Instant::now();
            let mut number = 0;
            while !ended.load(Ordering::Relaxed) {
                let due = began.elapsed().as_secs_f64() * f64::from(rate);
                while f64::from(number) < due {
                    send(&producer, &topic, number);
                    number += 1;
                }
                producer.poll(Duration::ZERO);
                pause(Duration::from_micros(500));
            }
        });
        Self {
            end,
            thread: Some(thread),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn send(producer: &BaseProducer, topic: &str, number: u32) {
    let (key, padding) = (number.to_string(), [b'x'; 500]);
    let record = BaseRecord::to(topic)
        .key(&key)
        .payload(&padding[..])
        .partition(i32::try_from(number % 4).unwrap());
    producer.send(record).map_err(|(error, _)| error).unwrap();
}

/// Notes when each record arrives.
struct Watcher {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(u32, Instant)>>,
}

impl Watcher {
    /// From the end on.
    fn start(server: &str, topic: &str) -> Self {
        let consumer: BaseConsumer = plain_client(server)
            .set("group.id", "watcher")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "500")
            .create()
            .unwrap();
        topics::assign(&consumer, topic, Offset::End);
        let end = Arc::new(AtomicBool::new(false));
        let ended = end.clone();
        let thread = thread::spawn(move || {
            let mut arrivals = vec![];
            while !ended.load(Ordering::Relaxed) {
                let Some(message) = consumer.poll(Duration::from_millis(100)) else {
                    continue;
                };
                let now = Instant::now();
                let key = message.unwrap().key().map(<[u8]>::to_vec);
                let number = String::from_utf8(key.unwrap()).unwrap().parse().unwrap();
                arrivals.push((number, now));
            }
            arrivals
        });
        Self { end, thread }
    }

    fn stop(self) -> Vec<(u32, Instant)> {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

impl Percentiles {
    fn between(source: &[(u32, Instant)], copy: &[(u32, Instant)]) -> Self {
        let source: std::collections::BTreeMap<_, _> = source.iter().copied().collect();
        let late = copy.iter().filter_map(|(number, at_copy)| {
            let at_source = source.get(number)?;
            // Readers are not served in the order of the brokers' work: some are early.
            Some(at_copy.saturating_duration_since(*at_source))
        });
        let mut late: Vec<_> = late.map(|late| late.as_secs_f64() * 1e3).collect();
        late.sort_by(f64::total_cmp);
        assert!(late.len() > 1_000, "only {} records arrived", late.len());
        Self {
            half: late[late.len() / 2],
            most: late[late.len() * 99 / 100],
        }
    }
}

fn print_table(lines: &[Line]) {
    println!("| | p50 ms | p99 ms | CPU s | source broker's | destination broker's |");
    println!("|---|---|---|---|---|---|");
    for Line { name, used, late } in lines {
        println!(
            "| {name} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
            late.half, late.most, used.cpu, used.source_broker, used.destination_broker
        );
    }
}
