//! Records that come one by one: what they cost the brokers, and how late they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use eson_tests::Kafka;
use eson_tests::records::{create_topic_with, plain_client};
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaErrorCode;

use crate::contender::Contender;
use crate::ground::Ground;
use crate::meter::{Meter, Used, median};
use crate::processor::pause;
use crate::topics::{self, PARTITIONS};

/// Records a second, each in a batch of its own.
const RATE: u32 = 1_000;

/// How long each copies, and so many times as fast, before the first of them counts: the brokers'
/// compilers have not seen any of this yet, and take more time than the brokers.
const WARM_UP: Duration = Duration::from_secs(20);
const WARM_UP_FACTOR: u32 = 4;
/// How long each copies before it counts itself.
const SETTLING: Duration = Duration::from_secs(3);
const STRETCH: Duration = Duration::from_secs(10);
/// The brokers note when they appended a record, so that nobody has to read meanwhile.
const APPEND_TIME: (&str, &str) = ("message.timestamp.type", "LogAppendTime");
/// How often each has its turn.
const ROUNDS: usize = 7;
/// The figures are medians of those rounds in which the machine's host gave least to others.
const CALM: usize = 3;

const CONTENDERS: [Contender; 5] = [
    Contender::AtLeastOnce,
    Contender::ExactlyOnce,
    Contender::Librdkafka,
    Contender::LibrdkafkaAtOnce,
    Contender::FranzGo,
];

/// What one contender's stretches gave.
struct Line {
    used: Used,
    /// Between the logs, while nobody reads.
    written: Percentiles,
    /// Between a reader of the source and one of the copy.
    read: Percentiles,
}

/// By how many milliseconds a record is later at the copy than at the source.
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
        "without readers; how much later records are appended to the copy's log than to the source's,"
    );
    println!(
        "and how much later, in a stretch of its own, a reader of the copy has them than one of the source."
    );
    println!(
        "The loops linger for 20 ms. Exactly once commits every 100 ms. Medians of the {CALM} of {ROUNDS} rounds in"
    );
    println!(
        "which the machine's host gave least to others (*stolen*, in these {} s).",
        STRETCH.as_secs()
    );
    println!(
        "The destination broker's compilers, which go on for minutes, are told apart from the rest of it."
    );
    println!(
        "*No copy* is the lateness between two readers of the source: what of it is the measurement.\n"
    );
    let ground = Ground::start();
    let there = CONTENDERS.iter().copied();
    let there: Vec<_> = there.filter(|contender| contender.is_there()).collect();
    warm_up(&ground, &there);
    let topic = "trickle-none";
    let load = Load::start(&ground, topic, RATE);
    let mut lines: Vec<Vec<Line>> = there.iter().map(|_| vec![]).collect();
    let mut nothing = vec![];
    for round in 0..ROUNDS {
        nothing.push(lateness(
            [&ground.source, &ground.source].map(|kafka| (kafka, topic)),
        ));
        for (contender, lines) in there.iter().zip(&mut lines) {
            lines.push(stretch(&ground, topic, *contender, round));
        }
    }
    drop(load);
    lines.iter_mut().for_each(keep_calm);
    print_table(&there, &lines, &nothing);
}

fn keep_calm(lines: &mut Vec<Line>) {
    lines.sort_by(|one, other| one.used.stolen.total_cmp(&other.used.stolen));
    lines.truncate(CALM);
}

fn warm_up(ground: &Ground, there: &[Contender]) {
    let topic = "warm-up-none";
    let _load = Load::start(ground, topic, WARM_UP_FACTOR * RATE);
    for contender in there {
        let copy = format!("{topic}-{contender:?}");
        create_copy(ground, &copy);
        let _copier = contender.start(ground, topic, &copy);
        pause(WARM_UP);
    }
}

fn stretch(ground: &Ground, topic: &str, contender: Contender, round: usize) -> Line {
    let copy = format!("{topic}-{contender:?}-{round}");
    create_copy(ground, &copy);
    let copier = contender.start(ground, topic, &copy);
    pause(SETTLING);
    let topics = [(&ground.source, topic), (&ground.destination, &*copy)];
    let meter = Meter::start(copier.id(), ground);
    let began = SystemTime::now();
    pause(STRETCH);
    let used = meter.read();
    let written = lateness_of_logs(topics, began);
    let read = lateness(topics);
    Line {
        used,
        written,
        read,
    }
}

/// How much later the records of a stretch were appended to the second topic than to the first, by
/// the brokers' own account.
fn lateness_of_logs(topics: [(&Kafka, &str); 2], began: SystemTime) -> Percentiles {
    // What was appended to the source in the end comes to the copy meanwhile.
    pause(SETTLING);
    let appended = topics.map(|(kafka, topic)| topics::appended(&kafka.plaintext(), topic, began));
    let [source, copy] = appended.map(BTreeMap::from_iter);
    let end = began + STRETCH;
    let of_stretch = source.iter().filter(|(_, at)| (began..end).contains(*at));
    let late = of_stretch.map(|(number, at_source)| {
        let at_copy: &SystemTime = copy.get(number).expect("every record is copied");
        // Both clocks are one and the same, but a broker asks it before it has the log's lock.
        at_copy.duration_since(*at_source).unwrap_or_default()
    });
    Percentiles::of(late.collect())
}

/// How much later records arrive at a reader of the second topic than at one of the first.
fn lateness(topics: [(&Kafka, &str); 2]) -> Percentiles {
    let watchers = topics.map(|(kafka, topic)| Watcher::start(&kafka.plaintext(), topic));
    pause(STRETCH);
    let [earlier, later] = watchers.map(Watcher::stop);
    Percentiles::between(&earlier, &later)
}

fn create_copy(ground: &Ground, copy: &str) {
    let client = plain_client(&ground.destination.plaintext());
    create_topic_with(&client, copy, PARTITIONS, &[APPEND_TIME]);
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
        create_topic_with(&client, topic, PARTITIONS, &[APPEND_TIME]);
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
    let mut record = BaseRecord::to(topic)
        .key(&key)
        .payload(&padding[..])
        .partition(i32::try_from(number % 4).unwrap());
    // A broker that has just started does not take them as fast as they are to come.
    while let Err((error, refused)) = producer.send(record) {
        assert_eq!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::QueueFull)
        );
        producer.poll(Duration::from_millis(10));
        record = refused;
    }
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
        let source: BTreeMap<_, _> = source.iter().copied().collect();
        let late = copy.iter().filter_map(|(number, at_copy)| {
            let at_source = source.get(number)?;
            // Readers are not served in the order of the brokers' work: some are early.
            Some(at_copy.saturating_duration_since(*at_source))
        });
        Self::of(late.collect())
    }

    fn of(late: Vec<Duration>) -> Self {
        let mut late: Vec<_> = late.iter().map(|late| late.as_secs_f64() * 1e3).collect();
        late.sort_by(f64::total_cmp);
        assert!(late.len() > 1_000, "only {} records arrived", late.len());
        Self {
            half: late[late.len() / 2],
            most: late[late.len() * 99 / 100],
        }
    }
}

fn print_table(contenders: &[Contender], lines: &[Vec<Line>], nothing: &[Percentiles]) {
    println!(
        "| | p50 ms | p99 ms | with readers, p50 ms | p99 ms | CPU s | source broker's | destination broker's | its compilers' | stolen |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let [half, most] = medians(nothing, [|late| late.half, |late| late.most]);
    println!("| no copy | | | {half:.2} | {most:.2} | | | | | |");
    for (contender, lines) in contenders.iter().zip(lines) {
        let name = contender.name();
        let written = medians(lines, [|it| it.written.half, |it| it.written.most]);
        let read = medians(lines, [|it| it.read.half, |it| it.read.most]);
        let used = medians(lines, [|it| it.used.cpu, |it| it.used.source_broker]);
        let compiling = medians(
            lines,
            [|it| it.used.destination_compilers, |it| it.used.stolen],
        );
        let destination = |it: &Line| it.used.destination_broker - it.used.destination_compilers;
        let [destination] = medians(lines, [destination]);
        let ([half, most], [own, source], [compilers, stolen]) = (read, used, compiling);
        println!(
            "| {name} | {:.0} | {:.0} | {half:.2} | {most:.2} | {own:.2} | {source:.2} | {destination:.2} | {compilers:.2} | {stolen:.2} |",
            written[0], written[1]
        );
    }
}

/// The middle of each figure.
fn medians<T, const N: usize>(lines: &[T], figures: [fn(&T) -> f64; N]) -> [f64; N] {
    figures.map(|figure| median(lines.iter().map(figure).collect()))
}
