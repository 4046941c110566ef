//! A processor that works within the cluster, and numbered events on their way.

use eson_processor::proto::{Delivery, Leg, LegStatus, Spec, State};
use eson_tests::KafkaCluster;
use eson_tests::kafka::Front;
use eson_tests::records::{Leadership, Sample, leaders, plain_client, read_topic};
use eson_tests::until;
use rdkafka::ClientConfig;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use tokio::task::spawn_blocking;

use super::events::{Source, compare_by_source};
use super::ground::{DEADLINE, FlowProcessor, until_leg};
use super::topics::{DESTINATION, SOURCE, Topics};
use super::work::Work;
use super::writing::Writing;

const NODES: u32 = 3;

/// What the processor may hold, and what it may occupy: the program itself, compiled without
/// optimisation, has the rest.
const BUFFERS: u64 = 32 << 20;
const MEMORY_KIB: u64 = (BUFFERS >> 10) + (96 << 10);

/// The cluster that all tests of this binary share, one after the other; it ends with the process.
pub(crate) async fn cluster() -> MutexGuard<'static, KafkaCluster> {
    static CLUSTER: OnceCell<Mutex<KafkaCluster>> = OnceCell::const_new();
    let fronts = [
        Front {
            name: SOURCE,
            guarded: true,
        },
        Front {
            name: DESTINATION,
            guarded: false,
        },
    ];
    let start = move || KafkaCluster::start("processor-cluster", NODES, &fronts);
    let started = async || Mutex::new(spawn_blocking(start).await.expect("a cluster"));
    CLUSTER.get_or_init(started).await.lock().await
}

/// A processor at work.
pub(crate) struct Route {
    pub(crate) cluster: MutexGuard<'static, KafkaCluster>,
    pub(crate) processor: FlowProcessor,
    work: Work,
    topics: Topics,
    /// What was written so far.
    sources: Vec<Source>,
    spec: Spec,
    client: ClientConfig,
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
        let cluster = cluster().await;
        let topics = Topics::create(&cluster, name, work).await;
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
            spec: work.spec(topics.queues(&cluster), &leg),
            client: plain_client(&cluster.servers()),
            cluster,
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
        self.topics.deny(&self.cluster).await;
    }

    /// Gives the user back, and lets the legs that have failed go on, as an FNAA does.
    pub(crate) async fn allow(&self) {
        self.topics.allow(&self.cluster).await;
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
        let sources = self.sources.iter_mut();
        Writing::begin(sources.map(|source| {
            let events = source.next(count);
            (self.client.clone(), source.topic.clone(), events)
        }))
    }

    /// How many events were written to the source of a leg.
    fn written(&self, leg: &Leg) -> u64 {
        self.sources[leg.source as usize].events.len() as u64
    }

    /// Who looks after the destinations' partitions now; empty while nobody can say.
    pub(crate) async fn leaders(&self) -> Vec<Leadership> {
        let (client, topics) = (self.client.clone(), self.topics.destinations.clone());
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
        self.cluster.coordinator(&name)
    }

    /// Waits until every broker has all of the destinations.
    pub(crate) async fn until_whole(&self) {
        self.until_leaders(|all| all.iter().all(|one| one.in_sync == NODES as usize))
            .await;
    }

    pub(crate) async fn until_leaders(&self, wanted: impl Fn(&[Leadership]) -> bool) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let leaders = self.leaders().await;
            if !leaders.is_empty() && wanted(&leaders) {
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
            let dead = self.dead_letters();
            let destinations = self.topics.destinations.iter().enumerate();
            let repeats = destinations.map(|(number, topic)| {
                let expected = self.work.expected(number, &self.sources, &dead);
                until(&format!("all in {topic}"), DEADLINE, || {
                    let arrived = read_topic(&self.client, topic)?;
                    compare_by_source(&expected, &self.work.seen(number, arrived))
                })
            });
            repeats.sum()
        });
        compared.await.expect("all of them")
    }

    fn dead_letters(&self) -> Vec<Sample> {
        let dead = read_topic(&self.client, &self.topics.dead_letters).expect("readable");
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
