//! Exactly once, whatever is killed: numbered events flow while the processor and the
//! destination's broker die at random moments.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use eson_processor::proto::{Delivery, Spec, State};
use eson_tests::records::{Sample, await_copy};
use eson_tests::seed::Seed;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::ground::{
    DEADLINE, FlowProcessor, OwnKafka, bridge_into, own_kafka, produce, topic, until_leg,
    until_state,
};

const PARTITIONS: u32 = 3;

/// How many events are written at once, and how long the writer rests then.
const BURST: u64 = 100;
const REST: Duration = Duration::from_millis(20);

/// Who dies.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Processor,
    Broker,
    Both,
}

/// `EXACTLY_ONCE_ROUNDS` in the environment says how many times something is killed.
fn rounds() -> u64 {
    let rounds = std::env::var("EXACTLY_ONCE_ROUNDS");
    rounds.map_or(3, |rounds| {
        rounds.parse().expect("EXACTLY_ONCE_ROUNDS is no number")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_whatever_is_killed() {
    let mut seed = Seed::from_env("exactly_once");
    let to = "to.flows.blue.example";
    let from = topic(PARTITIONS).await;
    let mut kafka = own_kafka("processor-exactly-once");
    kafka.create(to, PARTITIONS).await;
    let mut spec = bridge_into(&from, &kafka, to);
    spec.legs[0].commit_interval_ms = *seed.choose(&[1, 20, 100, 300]);
    let mut processor = FlowProcessor::start().await;
    create(&processor, &spec).await;
    let source = Source::start(&from);
    for round in 0..rounds() {
        let victim = match round % 4 {
            0 => Victim::Broker,
            3 => Victim::Both,
            _ => Victim::Processor,
        };
        let client = processor.client().await;
        let before = until_leg(&client, "leg", |_| true).await.records;
        until_leg(&client, "leg", |leg| leg.records > before).await;
        let moment = Duration::from_millis(seed.below(700));
        sleep(moment).await;
        println!("round {round}: {victim:?} dies after {moment:?}");
        kafka = kill(victim, &mut processor, kafka).await;
        if !matches!(victim, Victim::Broker) {
            create(&processor, &spec).await;
        }
    }
    let samples = source.stop().await;
    let client = kafka.librdkafka();
    let count = samples.len();
    let copied =
        tokio::task::spawn_blocking(move || await_copy(&client, to, &samples, DEADLINE)).await;
    assert_eq!(copied.expect("all of them"), 0, "of {count} events");
    let client = processor.client().await;
    let status = until_state(&client, State::Running).await;
    assert_eq!((status.delivery(), status.lost), (Delivery::ExactlyOnce, 0));
}

async fn create(processor: &FlowProcessor, spec: &Spec) {
    let client = processor.client().await;
    client.create(spec.clone()).await.expect("created");
}

async fn kill(victim: Victim, processor: &mut FlowProcessor, kafka: OwnKafka) -> OwnKafka {
    if !matches!(victim, Victim::Broker) {
        processor.kill9();
    }
    let kafka = match victim {
        Victim::Processor => kafka,
        Victim::Broker | Victim::Both => kafka.restart_aside().await,
    };
    if !matches!(victim, Victim::Broker) {
        processor.restart().await;
    }
    kafka
}

/// Writes numbered events until it is told to stop.
struct Source {
    stop: Arc<AtomicBool>,
    written: JoinHandle<Vec<Sample>>,
}

impl Source {
    fn start(topic: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, topic) = (stop.clone(), topic.to_owned());
        let written = tokio::spawn(async move {
            let mut samples: Vec<Sample> = vec![];
            while !stopped.load(Ordering::Relaxed) {
                let first = samples.len() as u64;
                let burst: Vec<_> = (first..first + BURST).map(event).collect();
                produce(&topic, &burst).await;
                samples.extend(burst);
                sleep(REST).await;
            }
            samples
        });
        Self { stop, written }
    }

    /// Everything that was written.
    async fn stop(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        self.written.await.expect("written")
    }
}

/// An event of today: a broker that restarts forgets producers whose last record is older than a
/// day, by the record's own time.
fn event(number: u64) -> Sample {
    let now = UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    Sample {
        partition: (number % u64::from(PARTITIONS)) as i32,
        timestamp: i64::try_from(now).expect("before the year 292,000,000"),
        key: Some(format!("key-{}", number % 50).into_bytes()),
        value: Some(format!("event {number} ").repeat(10).into_bytes()),
        headers: vec![("number".to_owned(), Some(number.to_be_bytes().to_vec()))],
    }
}
