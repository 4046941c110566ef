//! Which answers move the cursor. Nothing is asked.

use eson_client::{Dialer, SystemLookup};
use eson_protocol::{AddressPolicy, Record, Server, Start};
use kafka_protocol::messages::fetch_response::FetchableTopicResponse;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::super::batch::Producer;
use super::super::cluster::topic_name;
use super::super::config::KafkaConfig;
use super::super::records::BatchBuilder;
use super::super::transport::Transport;
use super::fetch::Answer;
use super::*;

const ASKED: BrokerId = BrokerId(1);
const OTHER: BrokerId = BrokerId(2);

struct Scene {
    fetcher: Fetcher,
    events: mpsc::Receiver<Event>,
    connection: Arc<Connection>,
    room: Arc<OwnedSemaphorePermit>,
}

impl Scene {
    /// A leader has been asked for what comes from `offset` on.
    async fn asked(offset: u64) -> Self {
        let dialer = Dialer::new(Arc::new(SystemLookup), AddressPolicy::unrestricted());
        let config = KafkaConfig::new(vec![], dialer);
        let connection = Arc::new(connection(&config).await);
        let cluster = Arc::new(Cluster::new(config).expect("no TLS"));
        let (sender, events) = mpsc::channel(8);
        let options = ReaderOptions {
            positions: [(0, offset)].into(),
            epochs: crate::Epochs::new(),
            start: Start::Earliest,
            encoded: true,
            buffer: 1 << 20,
        };
        let permit = Arc::new(Semaphore::new(1)).acquire_owned().await;
        let mut scene = Self {
            fetcher: Fetcher::new(
                cluster,
                topic(ASKED),
                options.positions.clone(),
                &options,
                Arc::default(),
                sender,
            ),
            events,
            connection,
            room: Arc::new(permit.expect("open")),
        };
        scene.lead(ASKED);
        scene
    }

    /// The metadata name this leader, and it is asked.
    fn lead(&mut self, leader: BrokerId) {
        self.fetcher.topic = topic(leader);
        self.fetcher.start_fetches();
    }

    /// A leader answers with records of `epoch`. Says whether they are passed on.
    async fn answered(&mut self, leader: BrokerId, offsets: (u64, u64), epoch: i32) -> bool {
        let data = PartitionData::default().with_records(Some(records(offsets, epoch)));
        let topic = FetchableTopicResponse::default().with_partitions(vec![data]);
        let outcome = Outcome {
            leader,
            result: Ok(Answer {
                connection: self.connection.clone(),
                response: FetchResponse::default().with_responses(vec![topic]),
                room: self.room.clone(),
            }),
        };
        self.fetcher.take(outcome).await.expect("taken");
        matches!(self.events.try_recv(), Ok(Event::Fetched(_)))
    }

    /// The next offset, and the epoch before it.
    fn place(&self) -> (u64, i32) {
        (self.fetcher.cursors[&0], self.fetcher.epochs.last(0))
    }
}

fn topic(leader: BrokerId) -> Topic {
    Topic {
        name: topic_name("orders"),
        id: Uuid::from_u128(1),
        leaders: vec![Some(leader)],
        epochs: vec![-1],
    }
}

async fn connection(config: &KafkaConfig) -> Connection {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let stream = TcpStream::connect(address).await.expect("listens");
    let server = Server {
        host: address.ip().to_string(),
        port: address.port(),
    };
    Connection::start(
        config,
        &server,
        Transport::Plaintext(stream),
        Arc::default(),
    )
}

/// A batch from one offset to before the next, as the leader of that epoch wrote it.
fn records((first, next): (u64, u64), epoch: i32) -> Bytes {
    let mut builder = BatchBuilder::default();
    for offset in first..next {
        builder.push(&Record {
            offset,
            timestamp: 0,
            key: None,
            value: None,
            headers: vec![],
        });
    }
    let batch = builder.finish().expect("a batch");
    let nobody = Producer {
        id: -1,
        epoch: -1,
        transactional: false,
    };
    let mut bytes = [&batch.header(nobody, -1)[..], &batch.records].concat();
    bytes[..8].copy_from_slice(&first.to_be_bytes());
    bytes[12..16].copy_from_slice(&epoch.to_be_bytes());
    bytes.into()
}

#[tokio::test]
async fn what_was_asked_for_is_read() {
    let mut scene = Scene::asked(100).await;
    assert!(scene.answered(ASKED, (100, 105), 5).await);
    assert_eq!(scene.place(), (105, 5));
}

#[tokio::test]
async fn the_late_answer_of_a_former_leader_is_not_read() {
    let mut scene = Scene::asked(100).await;
    scene.lead(OTHER);
    assert!(scene.answered(OTHER, (100, 200), 6).await);
    assert!(!scene.answered(ASKED, (100, 105), 5).await);
    assert_eq!(scene.place(), (200, 6));
}

#[tokio::test]
async fn the_late_answer_of_a_leader_that_leads_again_is_not_read() {
    let mut scene = Scene::asked(100).await;
    scene.lead(OTHER);
    assert!(scene.answered(OTHER, (100, 200), 6).await);
    scene.lead(ASKED);
    assert!(!scene.answered(ASKED, (100, 105), 5).await);
    assert_eq!(scene.place(), (200, 6));
}

#[tokio::test]
async fn nothing_is_left_out_where_the_cursor_was_put_back() {
    let mut scene = Scene::asked(120).await;
    scene.fetcher.cursors.insert(0, 110);
    assert!(!scene.answered(ASKED, (120, 130), 5).await);
    assert_eq!(scene.place().0, 110);
}

#[tokio::test]
async fn answers_find_what_was_asked_wherever_the_request_began() {
    let mut scene = Scene::asked(100).await;
    let leaders = vec![Some(OTHER); 3];
    scene.fetcher.topic.leaders = leaders;
    scene.fetcher.cursors = [(0, 10), (1, 20), (2, 30)].into();
    for turn in 0..3 {
        scene.fetcher.turn = turn;
        scene.fetcher.leaders.remove(&OTHER);
        scene.fetcher.start_fetches();
        let asked = &scene.fetcher.leaders[&OTHER].asked;
        assert_eq!(asked, &[(0, 10), (1, 20), (2, 30)]);
    }
}
