use eson_protocol::Record;

use super::super::tickets::Tickets;
use super::waiting::{RIPE, TARGET};
use super::*;

const LIMIT: usize = 1 << 20;

struct Scene {
    lane: Lane,
    tickets: Tickets,
    offset: u64,
}

impl Scene {
    /// The broker knows the producer.
    fn new() -> Self {
        let mut scene = Self::unknown();
        scene.lane.known = true;
        scene
    }

    fn unknown() -> Self {
        Self {
            lane: Lane::new(LIMIT),
            tickets: Tickets::default(),
            offset: 0,
        }
    }

    fn push(&mut self, count: u64, value: usize) {
        let record = |offset| Record {
            offset,
            timestamp: 0,
            key: None,
            value: Some(vec![b'x'; value].into()),
            headers: vec![],
        };
        let records: Vec<_> = (self.offset..self.offset + count).map(record).collect();
        self.offset += count;
        let ticket = self.tickets.issue(0, self.offset, 1);
        self.lane.push(Part {
            content: Content::Records(records),
            claim: Claim {
                ticket,
                _room: None,
            },
        });
    }

    fn next(&mut self, idle: bool) -> Option<i32> {
        self.lane.next(idle).expect("no error")
    }
}

#[test]
fn small_parts_gather_while_something_is_on_its_way() {
    let mut scene = Scene::new();
    scene.push(1, 10);
    assert_eq!(scene.next(true), Some(0));
    (0..5).for_each(|_| scene.push(1, 10));
    assert_eq!(scene.next(false), None);
    assert_eq!(scene.lane.acknowledge(0).len(), 1);
    assert_eq!(scene.next(true), Some(1));
    assert_eq!(scene.lane.batch(1).map(|batch| batch.count), Some(5));
    assert_eq!(scene.lane.acknowledge(1).len(), 5);
    assert!(scene.lane.is_empty());
}

#[test]
fn what_failed_is_sent_again_in_order_under_its_number() {
    let mut scene = Scene::new();
    (0..3).for_each(|_| scene.push(1, RIPE + TARGET));
    let sent: Vec<_> = (0..3).map(|_| scene.next(false)).collect();
    assert_eq!(sent, [Some(0), Some(1), Some(2)]);
    scene.lane.fail(0);
    assert_eq!(scene.next(true), None, "two answers are missing");
    assert!(scene.lane.acknowledge(2).is_empty(), "the first is missing");
    scene.lane.fail(1);
    assert_eq!([scene.next(true), scene.next(true)], [Some(0), Some(1)]);
    assert_eq!(scene.lane.acknowledge(0).len(), 1);
    assert_eq!(scene.lane.acknowledge(1).len(), 2);
}

#[test]
fn no_more_are_on_their_way_than_the_broker_remembers() {
    let mut scene = Scene::new();
    (0..9).for_each(|_| scene.push(1, RIPE + TARGET));
    let sent = std::iter::from_fn(|| scene.next(false)).count();
    assert_eq!(sent, IN_FLIGHT);
}

#[test]
fn a_broker_that_does_not_know_the_producer_gets_one_batch_at_a_time() {
    let mut scene = Scene::unknown();
    (0..3).for_each(|_| scene.push(1, RIPE + TARGET));
    assert_eq!([scene.next(true), scene.next(true)], [Some(0), None]);
    scene.lane.fail(0);
    assert_eq!([scene.next(true), scene.next(true)], [Some(0), None]);
    scene.lane.acknowledge(0);
    assert_eq!([scene.next(true), scene.next(true)], [Some(1), Some(2)]);
    [1, 2].into_iter().for_each(|it| scene.lane.fail(it));
    scene.lane.introduce();
    scene.lane.renumber();
    assert_eq!([scene.next(true), scene.next(true)], [Some(0), None]);
}

#[test]
fn what_was_split_goes_to_a_broker_that_does_not_know_the_producer_in_turn() {
    let mut scene = Scene::unknown();
    scene.push(10, 100);
    assert_eq!(scene.next(true), Some(0));
    assert!(scene.lane.split(0).expect("decodes"));
    assert_eq!([scene.next(true), scene.next(true)], [Some(0), None]);
    assert!(scene.lane.acknowledge(0).is_empty(), "half a part");
    assert_eq!(scene.next(true), Some(5));
}

#[test]
fn a_new_leader_waits_for_what_is_on_its_way_to_the_one_before() {
    let mut scene = Scene::new();
    (0..3).for_each(|_| scene.push(1, RIPE + TARGET));
    assert_eq!([scene.next(true), scene.next(true)], [Some(0), Some(1)]);
    scene.lane.change_leader();
    assert_eq!(scene.next(true), None);
    scene.lane.acknowledge(0);
    assert_eq!(scene.next(true), None);
    scene.lane.fail(1);
    assert_eq!([scene.next(true), scene.next(true)], [Some(1), Some(2)]);
}

#[test]
fn a_batch_that_is_too_large_becomes_two() {
    let mut scene = Scene::new();
    scene.push(10, 100);
    assert_eq!(scene.next(true), Some(0));
    scene.push(1, RIPE + TARGET);
    assert_eq!(scene.next(true), Some(10));
    assert!(scene.lane.split(0).expect("decodes"));
    scene.lane.fail(10);
    let again: Vec<_> = std::iter::from_fn(|| scene.next(true)).collect();
    assert_eq!(again, [0, 5, 10]);
    assert!(scene.lane.acknowledge(0).is_empty(), "half a part");
    assert_eq!(scene.lane.acknowledge(5).len(), 1);
    assert!(
        !scene.lane.split(10).expect("nothing to decode"),
        "one record"
    );
}

#[test]
fn a_new_producer_begins_at_nought() {
    let mut scene = Scene::new();
    (0..3).for_each(|_| scene.push(2, RIPE + TARGET));
    assert_eq!((0..3).filter_map(|_| scene.next(false)).count(), 3);
    scene.lane.acknowledge(0);
    [2, 4]
        .into_iter()
        .for_each(|sequence| scene.lane.fail(sequence));
    scene.lane.renumber();
    assert_eq!([scene.next(true), scene.next(true)], [Some(0), Some(2)]);
    assert_eq!(scene.lane.next_sequence, 4);
}

#[test]
fn what_the_broker_remembers_is_settled() {
    let mut scene = Scene::new();
    (0..3).for_each(|_| scene.push(2, RIPE + TARGET));
    assert_eq!((0..3).filter_map(|_| scene.next(false)).count(), 3);
    [0, 2, 4]
        .into_iter()
        .for_each(|sequence| scene.lane.fail(sequence));
    assert!(!scene.lane.settle(7), "never sent");
    assert!(!scene.lane.settle(2), "no batch ends there");
    assert!(scene.lane.settle(-1));
    assert!(scene.lane.settle(3));
    assert!(scene.lane.is_unsettled());
    assert_eq!(scene.next(true), Some(2), "the replicas may not have it");
    assert_eq!(scene.lane.acknowledge(2).len(), 2, "with what was before");
    assert_eq!(scene.next(true), Some(4));
}

#[test]
fn numbers_begin_again_after_the_largest() {
    assert_eq!(advance(i32::MAX, 1), 0);
    assert_eq!(advance(i32::MAX - 1, 3), 1);
}
