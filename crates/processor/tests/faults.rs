//! What a leg does when an end fails it: real embedded queues behind a layer that breaks.

mod support;

use std::sync::atomic::Ordering;

use eson_broker::{Broker, BrokerError};
use eson_processor::client::ClientError;
use eson_processor::proto::error::{Kind, Side};
use eson_processor::proto::{LegStatus, OnGap, Spec, Start, State, start};
use futures::StreamExt;

use support::faults::Faults;
use support::{BLUE, COPY, FLOW, Ground, ORANGE, ORANGE_TOO, bridge, event, until, until_state};

fn denied() -> BrokerError {
    BrokerError::Denied {
        subject: FLOW.to_owned(),
        cause: "revoked".to_owned(),
    }
}

#[tokio::test]
async fn failing_writes_and_lost_acknowledgements_lose_and_double_nothing() {
    let ground = Ground::with_queues(4, 4).await;
    let faults = ground.inject(BLUE, Faults::default());
    faults.fail_writes.store(3, Ordering::Relaxed);
    faults.lose_acknowledgements.store(5, Ordering::Relaxed);
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    for round in 0..20 {
        ground.produce(round * 50..(round + 1) * 50).await;
    }
    ground.until_count(BLUE, COPY, 1_000).await;
    let source = ground.contents(ORANGE, FLOW).await;
    assert_eq!(source, ground.contents(BLUE, COPY).await);
}

#[tokio::test]
async fn what_was_written_of_a_chunk_that_failed_is_counted_once() {
    let ground = Ground::with_queues(2, 3).await;
    let faults = ground.inject(BLUE, Faults::default());
    faults.fail_writes.store(7, Ordering::Relaxed);
    ground.produce(0..30).await;
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    ground.until_count(BLUE, COPY, 30).await;
    let status = until(&client, "bridge", "leg", |leg| leg.lag == 0).await;
    assert_eq!(status.records, 30);
}

#[tokio::test]
async fn a_destination_that_is_down_is_told_and_tried_again() {
    let ground = Ground::with_queues(1, 1).await;
    let faults = ground.inject(BLUE, Faults::default());
    faults.down.store(true, Ordering::Relaxed);
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    let status = until_state(&client, "bridge", State::Retrying).await;
    let error = status.error.expect("the reason");
    assert_eq!(
        (error.side(), error.kind()),
        (Side::Destination, Kind::Unreachable)
    );
    assert!(
        error.at > 0 && error.text.contains("it is down"),
        "{error:?}"
    );

    faults.down.store(false, Ordering::Relaxed);
    ground.produce(0..100).await;
    ground.until_count(BLUE, COPY, 100).await;
    let status = until_state(&client, "bridge", State::Running).await;
    assert_eq!(status.error, None, "what is over is no longer told");
}

#[tokio::test]
async fn a_revoked_right_at_the_source_is_told_at_once() {
    let ground = Ground::with_queues(1, 1).await;
    let faults = ground.inject(ORANGE, Faults::default());
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    ground.produce(0..100).await;
    ground.until_count(BLUE, COPY, 100).await;
    let mut statuses = client.watch().await.expect("watching");

    faults.fail_reading(denied());
    let error = loop {
        let status = statuses.next().await.expect("a status").expect("a status");
        if status.legs[0].state() == State::Failed {
            break status.legs[0].error.clone().expect("the reason");
        }
    };
    assert_eq!((error.side(), error.kind()), (Side::Source, Kind::Denied));
}

#[tokio::test]
async fn a_failed_leg_stays_failed_until_it_is_resumed_or_updated() {
    let ground = Ground::with_queues(1, 1).await;
    let faults = ground.inject(ORANGE, Faults::default());
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    until_state(&client, "bridge", State::Running).await;
    for again in ["resume", "update"] {
        faults.fail_reading(BrokerError::Fenced(FLOW.to_owned()));
        until_state(&client, "bridge", State::Failed).await;
        client.create(bridge()).await.expect("created already");
        let status = client.describe("bridge").await.expect("a status");
        assert_eq!(status[0].legs[0].state(), State::Failed);
        match again {
            "resume" => client.resume("bridge").await.expect("resumed"),
            _ => client.update(bridge()).await.expect("updated"),
        }
        until_state(&client, "bridge", State::Running).await;
    }
    ground.produce(0..10).await;
    ground.until_count(BLUE, COPY, 10).await;
}

/// What stands at the source since behind the place where it was cut off is copied, though as much was
/// copied before; whatever restarts meanwhile, once.
#[tokio::test]
async fn a_source_that_was_cut_off_is_copied_on_from_there() {
    let mut ground = Ground::with_queues(1, 1).await;
    let faults = ground.inject(ORANGE, Faults::default());
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    ground.produce(0..10).await;
    ground.until_count(BLUE, COPY, 10).await;
    faults.cut_off(FLOW, 10, 7);
    ground.until_count(BLUE, COPY, 13).await;
    until(&client, "bridge", "leg", |leg| {
        leg.stored.get(&0) == Some(&10)
    })
    .await;
    ground.kill();
    ground.start();
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    ground.produce(10..12).await;
    ground.until_count(BLUE, COPY, 15).await;
    let copied = ground.contents(BLUE, COPY).await;
    let numbers: Vec<u64> = copied[&0].iter().map(support::number).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 8, 9, 10, 11]);
}

#[tokio::test]
async fn a_right_that_arrives_late_is_waited_for_and_one_that_does_not_fails() {
    let ground = Ground::with_queues(1, 1).await;
    let faults = ground.inject(ORANGE, Faults::default());
    *faults.open_error.lock().expect("no panic") = Some(denied());
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    let status = until_state(&client, "bridge", State::Retrying).await;
    assert_eq!(status.error.expect("the reason").kind(), Kind::Denied);
    *faults.open_error.lock().expect("no panic") = None;
    until_state(&client, "bridge", State::Running).await;

    *faults.open_error.lock().expect("no panic") = Some(denied());
    client.destroy("bridge").await.expect("destroyed");
    client.create(bridge()).await.expect("created");
    until_state(&client, "bridge", State::Failed).await;
}

#[tokio::test]
async fn a_right_that_is_given_back_is_found_by_itself() {
    let ground = Ground::with_queues(1, 1).await;
    let faults = ground.inject(ORANGE, Faults::default());
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    until_state(&client, "bridge", State::Running).await;
    *faults.open_error.lock().expect("no panic") = Some(denied());
    faults.fail_reading(denied());
    until_state(&client, "bridge", State::Failed).await;

    *faults.open_error.lock().expect("no panic") = None;
    let status = until_state(&client, "bridge", State::Running).await;
    assert_eq!(status.error, None, "what is over is no longer told");
    ground.produce(0..10).await;
    ground.until_count(BLUE, COPY, 10).await;
}

#[tokio::test]
async fn queues_that_are_not_there_fail_with_their_names() {
    let ground = Ground::new().await;
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    let error = until_state(&client, "bridge", State::Failed).await.error;
    let error = error.expect("the reason");
    assert_eq!((error.side(), error.kind()), (Side::Source, Kind::NotFound));
    assert!(error.text.contains(FLOW), "{error:?}");

    ground.create_queue(ORANGE, FLOW, 1).await;
    client.resume("bridge").await.expect("resumed");
    let error = until(&client, "bridge", "leg", |leg| {
        let at_destination =
            |error: &eson_processor::proto::Error| error.side() == Side::Destination;
        leg.state() == State::Failed && leg.error.as_ref().is_some_and(at_destination)
    });
    assert!(error.await.error.expect("the reason").text.contains(COPY));
}

async fn create_again(ground: &Ground) {
    let description = ground.broker(ORANGE).describe_queue(FLOW).await;
    let id = description.expect("a queue").id;
    let deleted = ground.broker(ORANGE).delete_queue(FLOW, &id).await;
    deleted.expect("deleted");
    ground.create_queue(ORANGE, FLOW, 1).await;
}

/// A leg that begins at the newest event, and follows its source.
fn following(begun: &str, on_gap: OnGap) -> Spec {
    let mut spec = bridge();
    let leg = &mut spec.legs[0];
    leg.start = Some(Start {
        from: Some(start::From::Latest(true)),
        offsets: [(0, 7)].into(),
    });
    leg.follows = true;
    leg.begun = begun.to_owned();
    leg.on_gap = on_gap.into();
    spec
}

#[tokio::test]
async fn a_source_that_is_followed_is_read_from_its_oldest_event_when_it_was_created_again() {
    let ground = Ground::with_queues(1, 1).await;
    let client = ground.client().await;
    let created = client.create(following("", OnGap::Earliest)).await;
    created.expect("created");
    let first = until_state(&client, "bridge", State::Running).await;
    let first = first.source_id;
    ground.produce(0..10).await;
    ground.until_count(BLUE, COPY, 10).await;

    create_again(&ground).await;
    ground.produce(10..15).await;
    ground.until_count(BLUE, COPY, 15).await;
    let is_new = |leg: &LegStatus| leg.source_id != first && leg.stored == [(0, 5)].into();
    let status = until(&client, "bridge", "leg", is_new).await;
    assert_eq!((status.state(), status.lost), (State::Running, 0));
    let error = status.error.expect("what has happened");
    assert_eq!(error.kind(), Kind::Replaced);
    for id in [&first, &status.source_id] {
        assert!(error.text.contains(id), "{error:?}");
    }
    client.destroy("bridge").await.expect("destroyed");

    create_again(&ground).await;
    ground.produce(15..20).await;
    let created = client.create(following(&first, OnGap::Stop)).await;
    created.expect("created");
    let error = until_state(&client, "bridge", State::Failed).await.error;
    let error = error.expect("the reason");
    assert_eq!(error.kind(), Kind::OutOfRange);
    assert!(error.text.contains("is not known"), "{error:?}");
    for (on_gap, end) in [(OnGap::Earliest, 20), (OnGap::Stop, 25)] {
        let updated = client.update(following(&first, on_gap)).await;
        updated.expect("updated");
        if end > 20 {
            ground.produce(20..25).await;
        }
        ground.until_count(BLUE, COPY, end).await;
    }
}

#[tokio::test]
async fn a_source_that_was_created_again_is_told() {
    let ground = Ground::with_queues(1, 1).await;
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    ground.produce(0..10).await;
    ground.until_count(BLUE, COPY, 10).await;
    let first = until_state(&client, "bridge", State::Running)
        .await
        .source_id;
    client.destroy("bridge").await.expect("destroyed");

    create_again(&ground).await;
    ground.produce(10..20).await;

    let mut spec = bridge();
    spec.sources[0].queue_id = first;
    client.create(spec).await.expect("created");
    let error = until_state(&client, "bridge", State::Failed).await.error;
    assert_eq!(error.expect("the reason").kind(), Kind::Replaced);
    client
        .update(bridge())
        .await
        .expect("told to take the new one");
    ground.until_count(BLUE, COPY, 20).await;
}

#[tokio::test]
async fn an_event_that_is_too_large_fails_the_leg_and_what_came_before_is_there() {
    let ground = Ground::with_queues(1, 1).await;
    let faults = ground.inject(BLUE, Faults::default());
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    ground.produce(0..100).await;
    ground.until_count(BLUE, COPY, 100).await;
    *faults.write_error.lock().expect("no panic") = Some(BrokerError::TooLarge {
        queue: COPY.to_owned(),
        size: 2_000_000,
    });
    ground.produce(100..101).await;
    let status = until_state(&client, "bridge", State::Failed).await;
    assert_eq!(status.error.expect("the reason").kind(), Kind::TooLarge);
    assert_eq!(status.stored, [(0, 100)].into());
}

#[tokio::test]
async fn a_leg_that_another_writer_took_over_from_is_fenced() {
    let ground = Ground::with_queues(1, 1).await;
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    until_state(&client, "bridge", State::Running).await;
    let _rival = ground.writer_in_place_of_leg(COPY).await;
    ground.produce(0..10).await;
    let status = until_state(&client, "bridge", State::Failed).await;
    assert_eq!(status.error.expect("the reason").kind(), Kind::Fenced);
    assert_eq!(ground.count(BLUE, COPY).await, 0);
}

#[tokio::test]
async fn the_same_queue_under_two_names_is_refused_when_it_is_met() {
    let ground = Ground::with_queues(1, 1).await;
    let client = ground.client().await;
    let mut spec = bridge();
    let destination = spec.legs[0].destination.as_mut().expect("a destination");
    destination.servers = vec![ORANGE.to_owned()];
    destination.queue = FLOW.to_owned();
    spec.sources[0].servers = vec![ORANGE_TOO.to_owned()];
    client.create(spec).await.expect("created");
    let status = until_state(&client, "bridge", State::Failed).await;
    let error = status.error.expect("the reason");
    assert!(error.text.contains("source and destination"), "{error:?}");
}

#[tokio::test]
async fn pausing_a_leg_that_is_stuck_ends_and_says_so() {
    let ground = Ground::with_queues(1, 1).await;
    let faults = ground.inject(BLUE, Faults::default());
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    until_state(&client, "bridge", State::Running).await;
    *faults.stuck.lock().expect("no panic") = Some(COPY.to_owned());
    ground.produce(0..10).await;
    let paused = client.pause("bridge").await;
    // The event may not have been read before: then there was nothing to drain.
    if let Err(error) = paused {
        assert!(matches!(error, ClientError::NotDrained(_)), "{error}");
    }
    until_state(&client, "bridge", State::Paused).await;
    *faults.stuck.lock().expect("no panic") = None;
    client.resume("bridge").await.expect("resumed");
    ground.until_count(BLUE, COPY, 10).await;
    assert_eq!(
        ground.contents(BLUE, COPY).await[&0][9].value,
        event(9).value
    );
}
