//! What becomes of lanes when metadata change. Nothing is sent.

use eson_client::{Dialer, SystemLookup};
use eson_protocol::{AddressPolicy, Record};
use tokio::time::advance;
use uuid::Uuid;

use super::super::cluster::topic_name;
use super::super::config::KafkaConfig;
use super::*;

fn producer(id: i64, epoch: i16) -> Producer {
    Producer {
        id,
        epoch,
        transactional: false,
    }
}

fn topic(leaders: &[i32]) -> Topic {
    Topic {
        name: topic_name("orders"),
        id: Uuid::from_u128(1),
        leaders: leaders.iter().map(|id| Some(BrokerId(*id))).collect(),
        epochs: vec![-1; leaders.len()],
    }
}

/// To partitions that are led by these brokers.
fn sender(leaders: &[i32]) -> Sender {
    let dialer = Dialer::new(Arc::new(SystemLookup), AddressPolicy::unrestricted());
    let cluster = Cluster::new(KafkaConfig::new(vec![], dialer)).expect("no TLS");
    let shared = Shared {
        acknowledged: Mutex::default(),
        stored: Mutex::default(),
        epochs: Epochs::new(),
        failure: OnceLock::new(),
        partitions: AtomicU32::new(0),
        room: Arc::new(Semaphore::new(0)),
    };
    let author = Author {
        producer: producer(1, 0),
        transaction: None,
    };
    let (cluster, shared) = (Arc::new(cluster), Arc::new(shared));
    Sender::new(cluster, topic(leaders), author, None, None, 1 << 20, shared)
}

impl Sender {
    fn push(&mut self, partition: usize) {
        let record = Record {
            offset: 0,
            timestamp: 0,
            key: None,
            value: Some(vec![b'x'; 1 << 19].into()),
            headers: vec![],
        };
        let ticket = self.tickets.issue(0, 1, 1);
        let claim = Claim {
            ticket,
            _room: None,
        };
        let content = Content::Records(vec![record]);
        self.lanes[partition].push(Part { content, claim });
    }

    fn next(&mut self, partition: usize) -> Option<i32> {
        self.lanes[partition].next(true).expect("no error")
    }

    /// The broker has acknowledged one batch of each lane.
    fn introduced(mut self) -> Self {
        for partition in 0..self.lanes.len() {
            self.push(partition);
            assert_eq!(self.next(partition), Some(0));
            self.lanes[partition].acknowledge(0);
        }
        self
    }
}

#[tokio::test]
async fn what_follows_does_not_overtake_at_a_new_leader() {
    let mut sender = sender(&[1, 2]).introduced();
    for partition in [0, 0, 1, 1] {
        sender.push(partition);
    }
    assert_eq!([sender.next(0), sender.next(1)], [Some(1), Some(1)]);
    sender.refreshed(Ok(topic(&[1, 3]))).expect("taken over");
    assert_eq!(sender.next(0), Some(2), "led by the same broker");
    assert_eq!(sender.next(1), None, "the first is still on its way");
    sender.lanes[1].fail(1);
    assert_eq!([sender.next(1), sender.next(1)], [Some(1), Some(2)]);
}

#[tokio::test]
async fn a_leader_of_the_past_is_not_followed() {
    let mut sender = sender(&[1]);
    for (leader, epoch, followed) in [(2, 5, 2), (1, 4, 2), (3, 6, 3)] {
        let mut found = topic(&[leader]);
        found.epochs = vec![epoch];
        sender.refreshed(Ok(found)).expect("taken over");
        assert_eq!(sender.topic.leader(0), Some(BrokerId(followed)));
    }
}

#[tokio::test]
async fn a_broker_that_knows_fewer_partitions_takes_none_away() {
    let mut sender = sender(&[1, 1, 1]);
    sender.push(2);
    sender.refreshed(Ok(topic(&[2]))).expect("passes");
    assert_eq!(sender.topic, topic(&[1, 1, 1]));
    assert!(!sender.lanes[2].is_empty());
    assert!(sender.refreshing, "another look");
    sender.refreshed(Ok(topic(&[1, 1, 1, 1]))).expect("grown");
    assert_eq!(sender.lanes.len(), 4);
}

#[tokio::test]
async fn after_a_rest_the_first_batch_goes_alone() {
    let mut sender = sender(&[1, 1]).introduced();
    sender.push(0);
    assert_eq!(sender.next(0), Some(1));
    sender.refresh();
    for partition in [0, 1, 1] {
        sender.push(partition);
    }
    assert_eq!(sender.next(0), Some(2), "it did not rest");
    assert_eq!([sender.next(1), sender.next(1)], [Some(1), None]);
}

#[tokio::test]
async fn only_another_producer_has_to_be_made_known() {
    for (now, second) in [(producer(1, 1), Some(1)), (producer(2, 0), None)] {
        let mut sender = sender(&[1]).introduced();
        sender.committed(now);
        sender.push(0);
        sender.push(0);
        assert_eq!([sender.next(0), sender.next(0)], [Some(0), second]);
    }
    let mut sender = sender(&[1]).introduced();
    let renewed = Done::Renewed(None, Ok(producer(1, 1)));
    sender.take(renewed).expect("renewed");
    sender.push(0);
    sender.push(0);
    assert_eq!([sender.next(0), sender.next(0)], [Some(0), None]);
}

fn unreachable() -> BrokerError {
    BrokerError::Unreachable {
        server: String::new(),
        cause: String::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_counts_while_something_waits_for_its_end() {
    let mut sender = sender(&[1]).introduced();
    let patience = sender.cluster.config().delivery_timeout;
    sender.refreshed(Err(unreachable())).expect("passes");
    advance(2 * patience).await;
    sender.push(0);
    sender
        .refreshed(Err(unreachable()))
        .expect("nothing waited");
    advance(patience).await;
    sender.refreshed(Err(unreachable())).expect("passes");
    assert_eq!(sender.next(0), Some(1));
    sender.lanes[0].acknowledge(1);
    sender.push(0);
    advance(patience).await;
    sender.refreshed(Err(unreachable())).expect("of its own");
    advance(2 * patience).await;
    sender.refreshed(Err(unreachable())).expect_err("too long");
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_stuck_is_told_though_others_go_on() {
    let mut sender = sender(&[1, 1]).introduced();
    let mut found = topic(&[1, 1]);
    found.leaders[0] = None;
    sender.push(0);
    let patience = sender.cluster.config().delivery_timeout;
    let began = Instant::now();
    let error = loop {
        sender.push(1);
        let sequence = sender.next(1).expect("sent");
        sender.lanes[1].acknowledge(sequence);
        if let Err(error) = sender.refreshed(Ok(found.clone())) {
            break error;
        }
        assert!(began.elapsed() <= patience, "nothing is told");
        advance(patience / 10).await;
    };
    assert!(error.is_transient(), "{error}");
    assert!(began.elapsed() > patience, "too early");
}

#[tokio::test]
async fn a_commit_that_is_due_waits_for_a_renewal_to_end() {
    let mut sender = sender(&[1]);
    let commits = Commits::unasked(&sender.cluster, producer(1, 0));
    sender.commits.insert(commits).wrote(0, 1, 1);
    assert!(sender.wake_at().is_some_and(|due| due <= Instant::now()));
    for renewal in [Renewal::Wanted, Renewal::UnderWay] {
        sender.renewal = renewal;
        assert_eq!(sender.wake_at(), None, "the end of that wakes it");
    }
}
