//! A processor that works between the clusters, and numbered events on their way.

use eson_processor::proto::{Delivery, Leg, LegStatus, Spec, State};
use eson_tests::records::{Leadership, Sample, leaders, read_topic};
use eson_tests::until;
use tempfile::TempDir;
use tokio::sync::MutexGuard;
use tokio::task::spawn_blocking;

use super::clusters::{Clusters, NODES, Side, clusters};
use super::events::{Source, compare_by_source};
use super::ground::{DEADLINE, FlowProcessor, until_leg};
use super::topics::Topics;
use super::work::Work;
use super::writing::Writing;

/// What the processor may hold, and what it may occupy: the program itself, compiled without
/// optimisation, has the rest.
const BUFFERS: u64 = 32 << 20;
const MEMORY_KIB: u64 = (BUFFERS >> 10) + (96 << 10);

/// A processor at work.
pub(crate) struct Route {
    pub(crate) clusters: MutexGuard<'static, Clusters>,
    pub(crate) processor: FlowProcessor,
    work: Work,
    topics: Topics,
    /// What was written so far.
    sources: Vec<Source>,
    spec: Spec,
    /// Where the processor keeps windows.
    _state: TempDir,
}

impl Route {
    /// New topics, and a processor that works between them.
    pub(crate) async fn open(
        name: &str,
        work: Work,
        delivery: Delivery,
        commit_interval_ms: u32,
    ) -> Self {
        let clusters = clusters().await;
        let topics = Topics::create(&clusters, name, work).await;
        let leg = Leg {
            id: name.to_owned(),
            delivery: delivery.into(),
            commit_interval_ms,
            ..Default::default()
        };
        let state = tempfile::tempdir().expect("a directory");
        let sources = topics.sources.iter();
        let route = Self {
            sources: sources.cloned().map(Source::new).collect(),
            spec: work.spec(topics.queues(&clusters), &leg),
            clusters,
            processor: start_processor(&state).await,
            work,
            topics,
            _state: state,
        };
        route.create().await;
        route
    }

    /// Tells the processor what to do, when it has started anew.
    pub(crate) async fn create(&self) {
        let client = self.processor.client().await;
        client.create(self.spec.clone()).await.expect("created");
    }

    /// Takes the user away as whom the processor reads.
    pub(crate) async fn deny(&self) {
        self.topics.deny(&self.clusters).await;
    }

    /// Gives the user back, and lets the legs that have failed go on, as an FNAA does.
    pub(crate) async fn allow(&self) {
        self.topics.allow(&self.clusters).await;
        let client = self.processor.client().await;
        client.resume(&self.spec.id).await.expect("resumed");
    }

    /// Writes so many more events to each source.
    pub(crate) async fn write(&mut self, count: u64) {
        self.begin(count).finish().await;
    }

    /// Begins to write so many more events to each source, and waits until the first have arrived.
    pub(crate) async fn flow(&mut self, count: u64) -> Writing {
        let writing = self.begin(count);
        let client = self.processor.client().await;
        for leg in &self.spec.legs {
            let before = self.written(leg) - count;
            until_leg(&client, &leg.id, |leg| stored(leg) > before).await;
        }
        writing
    }

    fn begin(&mut self, count: u64) -> Writing {
        let client = self.clusters.client(Side::Source);
        let sources = self.sources.iter_mut();
        Writing::begin(sources.map(|source| {
            let events = source.next(count);
            (client.clone(), source.topic.clone(), events)
        }))
    }

    /// How many events were written to the source of a leg.
    fn written(&self, leg: &Leg) -> u64 {
        self.sources[leg.source as usize].events.len() as u64
    }

    /// Who looks after a side's partitions now; empty while nobody can say.
    pub(crate) async fn leaders(&self, side: Side) -> Vec<Leadership> {
        let (client, topics) = (self.clusters.client(side), self.topics.of(side).to_vec());
        let all = move || {
            let topics = topics.iter().map(|topic| leaders(&client, topic));
            topics.collect::<Result<Vec<_>, _>>()
        };
        let asked = spawn_blocking(all).await.expect("asked");
        asked.unwrap_or_default().concat()
    }

    /// The broker that looks after the transactions of one of the route's writers.
    pub(crate) fn coordinator(&self) -> i32 {
        let name = format!("eson/{}/", self.spec.legs[0].id);
        self.clusters.of(Side::Destination).coordinator(&name)
    }

    /// Waits until every broker has all of its side's topics.
    pub(crate) async fn until_whole(&self) {
        for side in [Side::Source, Side::Destination] {
            self.until_leaders(side, |one| one.in_sync == NODES).await;
        }
    }

    /// Waits until it is so for each of a side's partitions.
    pub(crate) async fn until_leaders(&self, side: Side, wanted: impl Fn(&Leadership) -> bool) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let leaders = self.leaders(side).await;
            if !leaders.is_empty() && leaders.iter().all(&wanted) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{leaders:?}");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// Waits until everything that was written before a moment ago is stored.
    pub(crate) async fn until_caught_up(&self) {
        let client = self.processor.client().await;
        for leg in &self.spec.legs {
            let written = self.written(leg);
            until_leg(&client, &leg.id, |leg| stored(leg) >= written).await;
        }
    }

    /// Waits until all legs are in this state, and returns how they are.
    pub(crate) async fn until_state(&self, state: State) -> Vec<LegStatus> {
        let client = self.processor.client().await;
        let mut statuses = vec![];
        for leg in &self.spec.legs {
            statuses.push(until_leg(&client, &leg.id, |leg| leg.state() == state).await);
        }
        statuses
    }

    /// The processor stays within what it was given, whatever happens around it.
    pub(crate) fn check_memory(&self) {
        let resident = self.processor.resident_kib();
        assert!(resident < MEMORY_KIB, "{resident} KiB of {MEMORY_KIB}");
    }

    /// Compares what has arrived with what was written: all of it, in its order. Returns how many
    /// events came more than once.
    pub(crate) async fn compare(self) -> usize {
        let compared = spawn_blocking(move || {
            let client = self.clusters.client(Side::Destination);
            let dead = self.dead_letters();
            let destinations = self.topics.destinations.iter().enumerate();
            let repeats = destinations.map(|(number, topic)| {
                let expected = self.work.expected(number, &self.sources, &dead);
                until(&format!("all in {topic}"), DEADLINE, || {
                    let arrived = read_topic(&client, topic)?;
                    compare_by_source(&expected, &self.work.seen(number, arrived))
                })
            });
            repeats.sum()
        });
        compared.await.expect("all of them")
    }

    fn dead_letters(&self) -> Vec<Sample> {
        let client = self.clusters.client(Side::Destination);
        let dead = read_topic(&client, &self.topics.dead_letters).expect("readable");
        let written = self.sources.iter().map(|source| source.events.len()).sum();
        let most = self.work.most_late(written);
        assert!(
            dead.len() <= most,
            "{} dead letters: {:?}",
            dead.len(),
            dead[0]
        );
        dead
    }
}

async fn start_processor(state: &TempDir) -> FlowProcessor {
    let memory = BUFFERS.to_string();
    let directory = state.path().to_str().expect("a path in UTF-8");
    let limits = ["--memory-limit", &memory, "--request-timeout", "3"];
    let arguments = [&limits[..], &["--state-directory", directory]].concat();
    let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    FlowProcessor::start_with(&arguments).await
}

fn stored(leg: &LegStatus) -> u64 {
    leg.stored.values().sum()
}
