//! What a leg copies, and where it goes on, between real embedded queues.

mod support;

use eson_broker::{AppendTo, Broker, QueueUpdate};
use eson_processor::client::Client;
use eson_processor::proto::error::Kind;
use eson_processor::proto::signal::Program;
use eson_processor::proto::start::From;
use eson_processor::proto::{
    Leg, LegStatus, OnGap, ProcessorType, Signal, Spec, Start, State, Window,
};

use support::{
    BLUE, COPY, FLOW, Ground, ORANGE, bridge, endpoint, event, leg, number, start, until,
    until_state, without_offsets,
};

#[tokio::test]
async fn a_bridge_copies_everything_as_it_is() {
    let ground = Ground::with_queues(4, 4).await;
    let client = ground.client().await;
    ground.produce(0..1_000).await;
    client.create(bridge()).await.expect("created");
    ground.produce(1_000..2_000).await;
    ground.until_count(BLUE, COPY, 2_000).await;
    let source = ground.contents(ORANGE, FLOW).await;
    assert_eq!(source, ground.contents(BLUE, COPY).await);

    let status = until(&client, "bridge", "leg", |leg| leg.stored.len() == 4).await;
    let status = match status.lag {
        0 => status,
        _ => until(&client, "bridge", "leg", |leg| leg.lag == 0).await,
    };
    assert_eq!(status.state(), State::Running);
    assert_eq!((status.records, status.lost), (2_000, 0));
    assert!(status.bytes > 0 && status.rate > 0.0, "{status:?}");
    assert_eq!(status.stored.values().sum::<u64>(), 2_000);
    let description = ground.broker(ORANGE).describe_queue(FLOW).await;
    assert_eq!(status.source_id, description.expect("a queue").id.0);
}

#[tokio::test]
async fn where_counts_differ_keys_decide_and_order_holds() {
    let ground = Ground::with_queues(4, 3).await;
    let client = ground.client().await;
    ground.produce(0..1_000).await;
    client.create(bridge()).await.expect("created");
    ground.until_count(BLUE, COPY, 1_000).await;
    // What a producer would have written to three partitions, key by key.
    ground.create_queue(BLUE, "expected", 3).await;
    let records = (0..1_000).map(event).collect();
    let blue = ground.broker(BLUE);
    let appended = blue.append("expected", AppendTo::Key, records, None).await;
    appended.expect("written");
    let expected = ground.contents(BLUE, "expected").await;
    for (partition, records) in ground.contents(BLUE, COPY).await {
        assert_eq!(expected[&partition].len(), records.len());
        let numbers: Vec<_> = records.iter().map(number).collect();
        let of_key = |key| numbers.iter().filter(move |number| *number % 50 == key);
        for key in 0..50 {
            assert!(of_key(key).is_sorted(), "{numbers:?}");
        }
        let mut here = without_offsets(&records);
        let mut there = without_offsets(&expected[&partition]);
        here.sort_by_key(number);
        there.sort_by_key(number);
        assert_eq!(here, there, "partition {partition}");
    }
}

#[tokio::test]
async fn records_without_key_keep_their_partitions_order() {
    let ground = Ground::with_queues(5, 2).await;
    let client = ground.client().await;
    for partition in 0..5 {
        let first = u64::from(partition) * 1_000;
        ground.produce_to(partition, first..first + 100).await;
    }
    client.create(bridge()).await.expect("created");
    ground.until_count(BLUE, COPY, 500).await;
    for (partition, records) in ground.contents(BLUE, COPY).await {
        for source in 0..5 {
            let numbers = records.iter().map(number);
            let of_source: Vec<_> = numbers.filter(|number| number / 1_000 == source).collect();
            assert!(of_source.is_sorted(), "{of_source:?}");
            let expected = if source % 2 == u64::from(partition) {
                100
            } else {
                0
            };
            assert_eq!(of_source.len(), expected);
        }
    }
}

#[tokio::test]
async fn a_source_that_grows_is_followed() {
    let ground = Ground::with_queues(2, 2).await;
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    ground.produce(0..100).await;
    ground.until_count(BLUE, COPY, 100).await;
    let update = QueueUpdate {
        partitions: Some(3),
        ..QueueUpdate::default()
    };
    let grown = ground.broker(ORANGE).update_queue(FLOW, &update).await;
    grown.expect("grown");
    ground.produce_to(2, 100..200).await;
    ground.until_count(BLUE, COPY, 200).await;
    let contents = ground.contents(BLUE, COPY).await;
    assert!(contents[&0].iter().any(|record| number(record) >= 100));
}

#[tokio::test]
async fn a_processor_that_was_killed_goes_on_where_it_was() {
    let mut ground = Ground::with_queues(4, 4).await;
    for round in 0..5 {
        let client = ground.client().await;
        client.create(bridge()).await.expect("created");
        ground.produce(round * 2_000..(round + 1) * 2_000).await;
        // In the middle of the copy, wherever that is.
        until(&client, "bridge", "leg", |leg| leg.records > 100).await;
        ground.kill();
        ground.start();
    }
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    ground.until_count(BLUE, COPY, 10_000).await;
    let source = ground.contents(ORANGE, FLOW).await;
    assert_eq!(source, ground.contents(BLUE, COPY).await);
}

#[tokio::test]
async fn latest_means_when_it_was_first_started() {
    let mut ground = Ground::with_queues(3, 3).await;
    ground.produce(0..100).await;
    let mut spec = bridge();
    spec.legs[0].start = start(From::Latest(true));
    let client = ground.client().await;
    client.create(spec.clone()).await.expect("created");
    let status = until_state(&client, "bridge", State::Running).await;
    assert_eq!((status.lag, status.stored.len()), (0, 3));

    ground.kill();
    ground.produce(100..200).await;
    ground.start();
    ground.client().await.create(spec).await.expect("created");
    ground.until_count(BLUE, COPY, 100).await;
    let contents = ground.contents(BLUE, COPY).await;
    let numbers = contents.values().flatten().map(number);
    assert!(numbers.min() == Some(100));
}

#[tokio::test]
async fn reading_may_begin_at_a_time() {
    let ground = Ground::with_queues(1, 1).await;
    ground.produce(0..100).await;
    let mut spec = bridge();
    spec.legs[0].start = start(From::Timestamp(event(40).timestamp));
    let client = ground.client().await;
    client.create(spec).await.expect("created");
    ground.until_count(BLUE, COPY, 60).await;
    let contents = ground.contents(BLUE, COPY).await;
    assert_eq!(contents[&0].iter().map(number).min(), Some(40));
}

#[tokio::test]
async fn what_is_before_the_time_is_not_waited_for() {
    let mut ground = Ground::with_queues(3, 3).await;
    ground.produce(0..100).await;
    let mut spec = bridge();
    spec.legs[0].start = start(From::Timestamp(event(100).timestamp));
    for _ in 0..2 {
        let client = ground.client().await;
        client.create(spec.clone()).await.expect("created");
        let status = until_state(&client, "bridge", State::Running).await;
        assert_eq!(status.lag, 0, "also when it is opened again");
        ground.kill();
        ground.start();
    }
}

/// A processor whose source has lost, of 100 events that it has yet to read, those before an offset;
/// nothing runs.
async fn with_gap(spec: Spec, earliest: u64) -> Ground {
    let mut ground = Ground::with_queues(1, 1).await;
    let client = ground.client().await;
    let id = spec.id.clone();
    client.create(spec).await.expect("created");
    ground.produce(0..100).await;
    ground.until_count(BLUE, COPY, 100).await;
    until_stored(&client, &id, 0, 100).await;
    ground.kill();
    ground.produce(100..200).await;
    trim(&ground, 0, earliest).await;
    ground.start();
    ground
}

async fn trim(ground: &Ground, partition: u32, earliest: u64) {
    let before = [(partition, earliest)].into();
    let trimmed = ground.broker(ORANGE).trim_queue(FLOW, &before);
    trimmed.await.expect("trimmed");
}

async fn until_stored(client: &Client, id: &str, partition: u32, position: u64) -> LegStatus {
    let stored = |leg: &LegStatus| leg.stored.get(&partition) == Some(&position);
    until(client, id, "leg", stored).await
}

#[tokio::test]
async fn a_gap_is_counted_and_gone_past() {
    let ground = with_gap(bridge(), 130).await;
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    ground.until_count(BLUE, COPY, 170).await;
    let status = until(&client, "bridge", "leg", |leg| leg.lag == 0).await;
    assert_eq!((status.state(), status.lost), (State::Running, 30));
    let error = status.error.expect("a gap is told");
    assert_eq!(error.kind(), Kind::OutOfRange);
}

/// From the flow to its copy.
fn signal() -> Spec {
    let destination = bridge().legs[0].destination.clone();
    Spec {
        id: "signal".to_owned(),
        r#type: ProcessorType::Signal.into(),
        legs: vec![Leg {
            id: "leg".to_owned(),
            ..Default::default()
        }],
        signal: Some(Signal {
            destinations: destination.into_iter().collect(),
            dead_letters: Some(endpoint(BLUE, "dlq.signal")),
            program: Some(Program::Jq(".".to_owned())),
            ..Default::default()
        }),
        ..bridge()
    }
}

/// The same, with each event in the window of the second before it.
fn windowed() -> Spec {
    let mut spec = signal();
    let signal = spec.signal.as_mut().expect("a signal");
    signal.window = Some(Window {
        length_ms: 1_000,
        state: "incarnation".to_owned(),
        ..Default::default()
    });
    spec
}

#[tokio::test]
async fn a_gap_up_to_the_end_is_stored_and_counted_once() {
    for spec in [bridge(), signal(), windowed()] {
        let mut ground = with_gap(spec.clone(), 200).await;
        let client = ground.client().await;
        client.create(spec.clone()).await.expect("created");
        let status = until_stored(&client, &spec.id, 0, 200).await;
        assert_eq!((status.lag, status.lost), (0, 100), "{}", spec.id);

        ground.kill();
        ground.start();
        let client = ground.client().await;
        client.create(spec.clone()).await.expect("created");
        ground.produce(200..210).await;
        let status = until_stored(&client, &spec.id, 0, 210).await;
        assert_eq!((status.records, status.lost), (10, 0), "{}", spec.id);
        assert_eq!(status.error, None, "no gap is told again");
    }
}

#[tokio::test]
async fn a_gap_where_nothing_was_copied_is_stored_too() {
    let ground = Ground::with_queues(3, 2).await;
    ground.produce_to(2, 0..10).await;
    trim(&ground, 2, 10).await;
    let mut spec = bridge();
    spec.legs[0].start = Some(Start {
        from: Some(From::Earliest(true)),
        offsets: [(2, 4)].into(),
    });
    let client = ground.client().await;
    client.create(spec).await.expect("created");
    let status = until_stored(&client, "bridge", 2, 10).await;
    assert_eq!((status.lag, status.lost), (0, 6));
}

#[tokio::test]
async fn a_leg_that_shall_stop_at_gaps_does_until_it_is_told_to_go_on() {
    let ground = with_gap(bridge(), 130).await;
    let client = ground.client().await;
    let mut careful = bridge();
    careful.legs[0].set_on_gap(OnGap::Stop);
    client.create(careful).await.expect("created");
    for resumed in [false, true] {
        if resumed {
            client.resume("bridge").await.expect("resumed");
        }
        let status = until_state(&client, "bridge", State::Failed).await;
        assert_eq!((status.lost, status.stored), (0, [(0, 100)].into()));
        let error = status.error.expect("the gap");
        assert_eq!(error.kind(), Kind::OutOfRange);
        assert!(
            error.text.contains("offset 100 is outside 130..200"),
            "{error:?}"
        );
    }
    client.update(bridge()).await.expect("told to go on");
    ground.until_count(BLUE, COPY, 170).await;
    let status = until(&client, "bridge", "leg", |leg| leg.lag == 0).await;
    assert_eq!((status.state(), status.lost), (State::Running, 30));
}

#[tokio::test]
async fn a_distributor_copies_to_every_leg() {
    let ground = Ground::with_queues(2, 2).await;
    let names: Vec<_> = (0..20).map(|number| format!("copy-{number}")).collect();
    for name in &names {
        ground.create_queue(BLUE, name, 2).await;
    }
    ground.produce(0..500).await;
    let spec = Spec {
        id: "fan-out".to_owned(),
        r#type: ProcessorType::Distributor.into(),
        sources: vec![endpoint(ORANGE, FLOW)],
        legs: names.iter().map(|name| leg(name, name)).collect(),
        ..Default::default()
    };
    let client = ground.client().await;
    client.create(spec).await.expect("created");
    ground.produce(500..1_000).await;
    let source = ground.contents(ORANGE, FLOW).await;
    for name in &names {
        ground.until_count(BLUE, name, 1_000).await;
        assert_eq!(source, ground.contents(BLUE, name).await);
    }
}
