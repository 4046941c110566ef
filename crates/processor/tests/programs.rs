//! Programs of signals that are services: those that hang, and those that hang for an event.

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use eson_broker::AppendTo;
use eson_processor::proto::error::Kind;
use eson_processor::proto::{self, State, signal};
use eson_processor::signal::proto::output::Content;
use eson_processor::signal::proto::program_service_server::ProgramService;
use eson_processor::signal::proto::{
    Event, Input, Outcome, Output, ProcessRequest, ProcessResponse,
};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use self::support::{BLUE, COPY, FLOW, Ground, ORANGE, endpoint, event, number, serve, until};

const DEAD: &str = "dlq.signal";

/// A service that gives every event back, and does not answer when it is asked for some.
#[derive(Clone, Default)]
struct Service {
    hangs_for: Arc<Mutex<BTreeSet<u64>>>,
    /// What it was asked for, with the events of the window each time.
    asked: watch::Sender<Vec<(u64, Vec<u64>)>>,
}

/// The number of an event.
fn number_of(event: &Event) -> u64 {
    let record = event.record.clone().expect("a record");
    let value = record.headers[0].value.clone().expect("a number");
    let text = std::str::from_utf8(&value).expect("text");
    text.parse().expect("a number")
}

/// The number of an input's event, and those of its window.
fn numbers_of(input: &Input) -> (u64, Vec<u64>) {
    let window = input.window.iter().flat_map(|window| &window.events);
    let event = input.event.as_ref().expect("an event");
    (number_of(event), window.map(number_of).collect())
}

#[tonic::async_trait]
impl ProgramService for Service {
    async fn process(
        &self,
        request: Request<ProcessRequest>,
    ) -> Result<Response<ProcessResponse>, Status> {
        let inputs = request.into_inner().inputs;
        let asked: Vec<_> = inputs.iter().map(numbers_of).collect();
        let hangs = {
            let hangs_for = self.hangs_for.lock().expect("no panic");
            asked.iter().any(|(number, _)| hangs_for.contains(number))
        };
        self.asked.send_modify(|all| all.extend(asked));
        if hangs {
            std::future::pending::<()>().await;
        }
        let unchanged = Output {
            flow: String::new(),
            content: Some(Content::Unchanged(true)),
        };
        let outcome = Outcome {
            outputs: vec![unchanged],
            failure: None,
        };
        let outcomes = vec![outcome; inputs.len()];
        Ok(Response::new(ProcessResponse { outcomes }))
    }
}

impl Service {
    fn hanging_for(numbers: impl IntoIterator<Item = u64>) -> Self {
        Self {
            hangs_for: Arc::new(Mutex::new(numbers.into_iter().collect())),
            ..Self::default()
        }
    }

    /// Waits until it was asked for an event.
    async fn until_asked_for(&self, wanted: u64) {
        let mut asked = self.asked.subscribe();
        let asked = asked.wait_for(|asked| asked.iter().any(|(number, _)| *number == wanted));
        drop(asked.await.expect("the service"));
    }

    /// What the windows showed with an event, each time that the service was asked for it.
    fn windows_of(&self, wanted: u64) -> BTreeSet<Vec<u64>> {
        let asked = self.asked.borrow();
        let windows = asked.iter().filter(|(number, _)| *number == wanted);
        windows.map(|(_, window)| window.clone()).collect()
    }
}

/// From the flow to its copy, by this service.
async fn signal(service: &Service) -> proto::Spec {
    proto::Spec {
        id: "signal".to_owned(),
        r#type: proto::ProcessorType::Signal.into(),
        sources: vec![endpoint(ORANGE, FLOW)],
        legs: vec![proto::Leg {
            id: "leg".to_owned(),
            ..Default::default()
        }],
        signal: Some(proto::Signal {
            destinations: vec![endpoint(BLUE, COPY)],
            dead_letters: Some(endpoint(BLUE, DEAD)),
            program: Some(signal::Program::Grpc(serve(service.clone()).await)),
            trusted_networks: vec!["127.0.0.0/8".to_owned()],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// With events of these numbers.
async fn ground(numbers: std::ops::Range<u64>) -> Ground {
    let ground = Ground::with_queues(1, 1).await;
    ground.create_queue(BLUE, DEAD, 1).await;
    produce(&ground, FLOW, numbers).await;
    ground
}

async fn produce(ground: &Ground, queue: &str, numbers: std::ops::Range<u64>) {
    let records = numbers.map(event).collect();
    let broker = ground.broker(ORANGE);
    let appended = broker
        .append(queue, AppendTo::Partition(0), records, None)
        .await;
    appended.expect("written");
}

async fn copied(ground: &Ground) -> Vec<u64> {
    let records = ground.contents(BLUE, COPY).await.remove(&0);
    records.unwrap_or_default().iter().map(number).collect()
}

#[tokio::test]
async fn a_service_that_hangs_is_waited_for() {
    let ground = ground(0..100).await;
    let service = Service::hanging_for(0..100);
    let client = ground.client().await;
    client
        .create(signal(&service).await)
        .await
        .expect("a signal");
    let waits = |leg: &proto::LegStatus| leg.state() == State::Retrying;
    let status = until(&client, "signal", "leg", waits).await;
    let error = status.error.expect("the reason");
    assert_eq!(error.kind(), Kind::Program);
    assert!(error.text.contains("hangs"), "{}", error.text);
    assert_eq!(
        (status.dead_letters, ground.count(BLUE, DEAD).await),
        (0, 0)
    );

    service.hangs_for.lock().expect("no panic").clear();
    let status = until(&client, "signal", "leg", |leg| {
        leg.stored == [(0, 100)].into()
    })
    .await;
    assert_eq!((status.state(), status.error), (State::Running, None));
    assert_eq!(
        (status.dead_letters, ground.count(BLUE, DEAD).await),
        (0, 0)
    );
    assert!(copied(&ground).await.into_iter().eq(0..100));
}

#[tokio::test]
async fn an_event_that_makes_a_service_hang_is_a_dead_letter() {
    let ground = ground(0..10).await;
    let service = Service::hanging_for([4]);
    let client = ground.client().await;
    client
        .create(signal(&service).await)
        .await
        .expect("a signal");
    ground.until_count(BLUE, COPY, 9).await;
    assert!(
        copied(&ground)
            .await
            .into_iter()
            .eq((0..10).filter(|it| *it != 4))
    );
    let letters = ground.contents(BLUE, DEAD).await.remove(&0);
    let letters = letters.expect("a letter");
    let [letter] = &letters[..] else {
        panic!("one letter, and not {letters:?}");
    };
    let value = |name| {
        let found = letter.headers.iter().find(|header| header.name == name);
        found.and_then(|header| header.value.as_deref())
    };
    assert_eq!(value("number"), Some(&b"4"[..]));
    let reason = b"the program took longer than 5 s";
    assert_eq!(value("ce_deadletterreason"), Some(&reason[..]));
}

/// The other source of a signal with windows.
const OTHER: &str = "other.flows.orange.example";

/// Of two sources, with windows that show all events of a key.
async fn in_windows(service: &Service) -> proto::Spec {
    let mut spec = signal(service).await;
    spec.sources.push(endpoint(ORANGE, OTHER));
    spec.legs.push(proto::Leg {
        id: "other".to_owned(),
        source: 1,
        ..Default::default()
    });
    let signal = spec.signal.as_mut().expect("a signal");
    signal.window = Some(proto::Window {
        length_ms: 3_600_000,
        tumbling: false,
        by: String::new(),
        state: "signal".to_owned(),
    });
    spec
}

/// The events 0, 50 and 100 have one key.
#[tokio::test]
async fn an_event_that_makes_a_service_hang_holds_up_no_other_source_of_windows() {
    let mut ground = ground(0..1).await;
    ground.create_queue(ORANGE, OTHER, 1).await;
    let service = Service::hanging_for([0]);
    let spec = in_windows(&service).await;
    let client = ground.client().await;
    client.create(spec.clone()).await.expect("a signal");
    service.until_asked_for(0).await;
    for (copies, number) in [(1, 50), (2, 100)] {
        produce(&ground, OTHER, number..number + 1).await;
        ground.until_count(BLUE, COPY, copies).await;
    }
    assert_eq!(ground.count(BLUE, DEAD).await, 0, "it is still asked for");
    assert_eq!(service.windows_of(50), [vec![0, 50]].into());
    assert_eq!(service.windows_of(100), [vec![0, 50, 100]].into());

    ground.kill();
    service.hangs_for.lock().expect("no panic").clear();
    ground.start();
    let client = ground.client().await;
    client.create(spec).await.expect("a signal");
    ground.until_count(BLUE, COPY, 3).await;
    assert_eq!(
        service.windows_of(0),
        [vec![0]].into(),
        "as it was at first"
    );
    let mut copied = copied(&ground).await;
    copied.sort_unstable();
    assert_eq!(copied, [0, 50, 100]);
    assert_eq!(ground.count(BLUE, DEAD).await, 0);
}
