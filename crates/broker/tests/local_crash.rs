//! The embedded queue's process is killed at random times: nothing that was acknowledged is
//! lost, no batch is there by half, no event of a processor is there twice.
//!
//! `ESON_CRASH_ROUNDS` and `ESON_CRASH_SEED` choose more rounds, or those of an earlier run.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use eson_broker::{
    AppendTo, Broker, BrokerError, Chunk, Epochs, LocalBroker, LocalOptions, Payload,
    ProcessorSource, QueueSpec, ReaderOptions, WriterOptions,
};
use eson_protocol::{Positions, Record, Server, Start};

/// Says where the child is to work, and in which round.
const CHILD: &str = "ESON_CRASH_CHILD";

/// The round of a child that only tries to open what is open.
const SECOND: &str = "second";

const BATCHES: &str = "batches";
const COPY: &str = "copy";
const PARTITIONS: u32 = 3;

#[test]
fn killed_at_any_time_it_keeps_what_it_acknowledged() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let Ok(child) = env::var(CHILD) {
        let (round, directory) = child.split_once(':').expect("round and directory");
        return runtime.block_on(work(round, Path::new(directory)));
    }
    let number = |name: &str| env::var(name).ok().map(|it| it.parse().expect("a number"));
    let seed = number("ESON_CRASH_SEED").unwrap_or_else(random_seed);
    let rounds = number("ESON_CRASH_ROUNDS").unwrap_or(15);
    println!("seed {seed}, {rounds} rounds");
    let directory = tempfile::tempdir().expect("a directory");
    let mut random = Random(seed);
    let mut acknowledged = Vec::new();
    for round in 0..rounds {
        let enough = random.below(200);
        let told = run_and_kill(round, directory.path(), enough);
        acknowledged.extend(told);
        runtime.block_on(check(directory.path(), &acknowledged));
    }
    assert!(!acknowledged.is_empty(), "nothing was at stake");
}

#[test]
fn a_second_process_is_told_that_the_file_is_in_use() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let broker = open(directory.path());
    let child = child(SECOND, directory.path()).output().expect("a child");
    let told = String::from_utf8_lossy(&child.stdout);
    assert!(told.contains("queues.redb is in use"), "{told}");
    runtime.block_on(broker.check()).expect("still open here");
}

/// This very test program, as a child.
fn child(round: &str, directory: &Path) -> Command {
    let mut child = Command::new(env::current_exe().expect("this test"));
    child
        .args([
            "--exact",
            "killed_at_any_time_it_keeps_what_it_acknowledged",
        ])
        .arg("--nocapture")
        .env(CHILD, format!("{round}:{}", directory.display()));
    child
}

/// Runs this very test as a child and kills it after so many acknowledgements. Returns those.
fn run_and_kill(round: u64, directory: &Path, enough: u64) -> Vec<Acknowledged> {
    let mut child = child(&round.to_string(), directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut acknowledged = Vec::new();
    for line in lines.by_ref().take(usize::try_from(enough).expect("few")) {
        acknowledged.extend(Acknowledged::parse(&line.expect("a line")));
    }
    kill(&mut child);
    // What it had written by then it had acknowledged.
    acknowledged.extend(lines.filter_map(|line| Acknowledged::parse(&line.ok()?)));
    acknowledged
}

fn kill(child: &mut Child) {
    child.kill().expect("killed");
    child.wait().expect("gone");
}

/// What the child has printed: a whole batch, or a position of the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Acknowledged {
    Batch(String),
    Position(u64),
}

impl Acknowledged {
    fn parse(line: &str) -> Option<Self> {
        // A line that was cut off when the process was killed has no full stop.
        let (what, value) = line.strip_suffix('.')?.split_once(' ')?;
        match what {
            "batch" => Some(Self::Batch(value.to_owned())),
            "position" => value.parse().ok().map(Self::Position),
            _ => None,
        }
    }
}

// ------------------------------------------------------------------- the child

/// Appends batches and copies until it is killed.
async fn work(round: &str, directory: &Path) {
    if round == SECOND {
        let refused = LocalBroker::open(&options(directory)).err();
        return tell(&refused.expect("refused").to_string());
    }
    let broker = open(directory);
    for (name, partitions) in [(BATCHES, PARTITIONS), (COPY, 1)] {
        match broker.create_queue(&spec(name, partitions)).await {
            Ok(_) | Err(BrokerError::Exists(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let appending = (0..4).map(|writer| append_batches(&broker, format!("{round}-{writer}")));
    tokio::join!(futures::future::join_all(appending), copy(&broker));
}

/// Batches of 1 to 20 events that lie in several partitions.
async fn append_batches(broker: &LocalBroker, writer: String) {
    let mut random = Random(
        writer
            .bytes()
            .fold(0, |seed, octet| seed * 31 + u64::from(octet)),
    );
    for number in 0.. {
        let batch = format!("{writer}-{number}");
        let size = 1 + random.below(20);
        let events = (0..size).map(|event| Record {
            key: Some(Bytes::from(event.to_string())),
            ..record(0, format!("{batch} {size}"), 1 + random.below(3_000))
        });
        let appended = broker.append(BATCHES, AppendTo::Key, events.collect(), None);
        assert_eq!(appended.await.expect("appended"), size);
        tell(&format!("batch {batch}."));
    }
}

/// Numbered events of one source partition, as a processor writes them.
async fn copy(broker: &LocalBroker) {
    let options = WriterOptions::new(Some(processor()), 100_000);
    let mut writer = broker.open_writer(COPY, options).await.expect("a writer");
    let mut next = position(&writer.stored());
    loop {
        let first = next;
        next += 1 + first % 7;
        let chunk = Chunk {
            partition: 0,
            first,
            next,
            high_watermark: next,
            epoch: None,
            payload: Payload::Records(
                (first..next)
                    .map(|number| record(number, number.to_string(), 500))
                    .collect(),
            ),
        };
        writer.write(0, chunk).await.expect("written");
        tell(&format!("position {}.", position(&writer.acknowledged())));
        tokio::task::yield_now().await;
    }
}

fn tell(line: &str) {
    let mut output = std::io::stdout().lock();
    // The parent has gone when this fails, and this process is about to be killed.
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

// ------------------------------------------------------------------ the parent

async fn check(directory: &Path, acknowledged: &[Acknowledged]) {
    let broker = open(directory);
    if broker.describe_queue(COPY).await.is_err() {
        assert_eq!(acknowledged, [], "killed before anything was there");
        return broker.close().await;
    }
    check_batches(&broker, acknowledged).await;
    check_copy(&broker, acknowledged).await;
    broker.close().await;
}

async fn check_batches(broker: &LocalBroker, acknowledged: &[Acknowledged]) {
    let mut batches: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for value in values(broker, BATCHES).await {
        let mut words = value.split_whitespace();
        let (batch, size) = (
            words.next().expect("its name"),
            words.next().expect("its size"),
        );
        let size = size.parse().expect("a number");
        batches.entry(batch.to_owned()).or_insert((size, 0)).1 += 1;
    }
    for (batch, (size, found)) in &batches {
        assert_eq!(found, size, "batch {batch} is there by half");
    }
    for acknowledged in acknowledged {
        if let Acknowledged::Batch(batch) = acknowledged {
            assert!(batches.contains_key(batch), "batch {batch} is lost");
        }
    }
}

async fn check_copy(broker: &LocalBroker, acknowledged: &[Acknowledged]) {
    let stored = broker.reached(COPY, &processor().to_string()).await;
    let stored = position(&stored.expect("positions").positions);
    let values = values(broker, COPY).await;
    let numbers: Vec<String> = values
        .iter()
        .map(|value| value.trim_end().to_owned())
        .collect();
    let expected: Vec<String> = (0..stored).map(|number| number.to_string()).collect();
    assert_eq!(numbers, expected, "the copy is not what its position says");
    for acknowledged in acknowledged {
        if let Acknowledged::Position(position) = acknowledged {
            assert!(*position <= stored, "position {position} is lost");
        }
    }
}

/// The texts of all records of a queue.
async fn values(broker: &LocalBroker, queue: &str) -> Vec<String> {
    let found = broker.describe_queue(queue).await.expect("there");
    let count: u64 = found.partitions.values().map(|(_, latest)| latest).sum();
    let options = ReaderOptions {
        positions: Positions::new(),
        epochs: Epochs::new(),
        start: Start::Earliest,
        encoded: false,
        buffer: 1 << 20,
    };
    let mut reader = broker.open_reader(queue, options).await.expect("a reader");
    let mut values = Vec::new();
    while (values.len() as u64) < count {
        let chunk = reader.next().await.expect("a chunk");
        let Payload::Records(records) = chunk.payload else {
            panic!("encoded batches that nobody asked for");
        };
        values.extend(records.into_iter().map(|record| {
            let value = record.value.expect("a value");
            String::from_utf8(value.to_vec()).expect("a text")
        }));
    }
    values
}

fn open(directory: &Path) -> LocalBroker {
    LocalBroker::open(&options(directory)).expect("opens")
}

fn options(directory: &Path) -> LocalOptions {
    let server = Server {
        host: "fnaa.orange.example".to_owned(),
        port: 61000,
    };
    LocalOptions::new(directory.join("queues.redb"), server)
}

fn spec(name: &str, partitions: u32) -> QueueSpec {
    QueueSpec {
        name: name.to_owned(),
        partitions,
        retention: None,
        retention_bytes: None,
    }
}

fn processor() -> ProcessorSource {
    ProcessorSource {
        processor: "bridge".to_owned(),
        source: "source-1".to_owned(),
    }
}

fn position(positions: &Positions) -> u64 {
    positions.get(&0).copied().unwrap_or_default()
}

/// A record with a text, filled with blanks to a length.
fn record(offset: u64, text: String, length: u64) -> Record {
    let length = usize::try_from(length).expect("small");
    Record {
        offset,
        timestamp: 1_700_000_000_000,
        key: None,
        value: Some(format!("{text:length$}").into()),
        headers: Vec::new(),
    }
}

/// SplitMix64: enough to choose times and sizes, and the same again from the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn random_seed() -> u64 {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).expect("a seed");
    u64::from_le_bytes(seed)
}
