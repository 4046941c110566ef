//! Each call of the service, as an FNAA makes it: over a Unix socket.

mod support;

use std::time::Duration;

use eson_processor::client::{Client, ClientError};
use eson_processor::proto::{ProcessorType, Spec, State, Status};
use eson_processor::{MAX_LEGS, SocketAddress};
use futures::stream::{BoxStream, StreamExt};
use tokio::time::{Instant, timeout};

use support::{
    BLUE, COPY, FLOW, Ground, ORANGE, bridge, endpoint, leg, leg_of, until, until_state,
};

type Statuses = BoxStream<'static, Result<Status, ClientError>>;

/// Two legs, `one` and `two`.
fn fan_out() -> Spec {
    Spec {
        id: "fan-out".to_owned(),
        r#type: ProcessorType::Distributor.into(),
        sources: vec![endpoint(ORANGE, FLOW)],
        legs: vec![leg("one", "copy-one"), leg("two", "copy-two")],
        ..Default::default()
    }
}

async fn ground_for_fan_out() -> Ground {
    let ground = Ground::with_queues(1, 1).await;
    for queue in ["copy-one", "copy-two", "copy-three"] {
        ground.create_queue(BLUE, queue, 1).await;
    }
    ground
}

async fn next(statuses: &mut Statuses) -> Status {
    let status = timeout(Duration::from_secs(30), statuses.next()).await;
    let status = status.expect("a status in time").expect("no end");
    status.expect("no error")
}

#[tokio::test]
async fn capabilities_say_what_this_program_runs() {
    let ground = Ground::new().await;
    let capabilities = ground
        .client()
        .await
        .capabilities()
        .await
        .expect("an answer");
    let types: Vec<_> = capabilities.types().collect();
    use ProcessorType::{Bridge, Collector, Distributor, Signal};
    assert_eq!(types, [Bridge, Collector, Distributor, Signal]);
    assert_eq!(capabilities.brokers, ["local"]);
    assert_eq!(capabilities.version, env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn creating_twice_is_creating_once_and_another_spec_is_refused() {
    let ground = Ground::with_queues(1, 1).await;
    let client = ground.client().await;
    for _ in 0..3 {
        client.create(bridge()).await.expect("created");
    }
    let mut other = bridge();
    other.legs[0].id = "other".to_owned();
    let error = client.create(other).await.expect_err("another spec");
    assert!(matches!(error, ClientError::Exists(_)), "{error}");
    ground.produce(0..10).await;
    ground.until_count(BLUE, COPY, 10).await;
}

#[tokio::test]
async fn specs_that_make_no_sense_are_refused() {
    let ground = Ground::new().await;
    let client = ground.client().await;
    let many = Spec {
        legs: (0..10_000)
            .map(|number| leg(&number.to_string(), &number.to_string()))
            .collect(),
        ..fan_out()
    };
    let mut kind = bridge();
    kind.sources[0].kind = "kafka".to_owned();
    let mut same = bridge();
    same.legs[0].destination = Some(endpoint(ORANGE, FLOW));
    let mut twice = fan_out();
    twice.legs[1].id = "one".to_owned();
    for (spec, expected) in [
        (Spec::default(), "id"),
        (
            Spec {
                legs: Vec::new(),
                ..bridge()
            },
            "at least one leg",
        ),
        (many, &MAX_LEGS.to_string()),
        (kind, "kafka"),
        (same, "that it reads"),
        (twice, "`one`"),
    ] {
        let error = client.create(spec.clone()).await.expect_err(expected);
        let ClientError::Invalid(text) = &error else {
            panic!("{error}");
        };
        assert!(text.contains(expected), "{text}");
        assert_eq!(client.update(spec).await, Err(error));
    }
    assert_eq!(client.describe("").await, Ok(Vec::new()));
}

#[tokio::test]
async fn more_legs_than_there_is_memory_for_are_refused() {
    let ground = ground_for_fan_out().await;
    let client = ground.client().await;
    let many = Spec {
        legs: (0..40)
            .map(|number| leg(&number.to_string(), &number.to_string()))
            .collect(),
        ..fan_out()
    };
    let error = client.create(many).await.expect_err("too many");
    let ClientError::Exhausted(text) = &error else {
        panic!("{error}");
    };
    assert!(text.contains("processor: memory-limit"), "{text}");
    assert_eq!(
        client.describe("").await,
        Ok(Vec::new()),
        "none of it is left"
    );
    client
        .create(fan_out())
        .await
        .expect("there is room for two");
}

#[tokio::test]
async fn what_is_not_there_is_not_found_but_may_be_destroyed() {
    let ground = Ground::new().await;
    let client = ground.client().await;
    let refused = [
        client.update(bridge()).await,
        client.pause("bridge").await,
        client.resume("bridge").await,
        client.describe("bridge").await.map(drop),
    ];
    for answer in refused {
        assert!(
            matches!(answer, Err(ClientError::NotFound(_))),
            "{answer:?}"
        );
    }
    client.destroy("bridge").await.expect("gone is gone");
    let nobody = SocketAddress::Unix("/nowhere/processor.sock".into());
    let error = Client::connect(&nobody).await.expect_err("nobody is there");
    assert!(matches!(error, ClientError::Unavailable(_)), "{error}");
    assert!(
        error.to_string().contains("/nowhere/processor.sock"),
        "{error}"
    );
}

#[tokio::test]
async fn a_paused_instance_rests_and_goes_on() {
    let ground = Ground::with_queues(2, 2).await;
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    ground.produce(0..100).await;
    until(&client, "bridge", "leg", |leg| leg.records > 0).await;
    client.pause("bridge").await.expect("paused");
    let status = until_state(&client, "bridge", State::Paused).await;
    let written = ground.count(BLUE, COPY).await;
    assert_eq!(
        status.stored.values().sum::<u64>(),
        written,
        "all is stored"
    );

    ground.produce(100..200).await;
    client.pause("bridge").await.expect("paused already");
    assert_eq!(ground.count(BLUE, COPY).await, written);
    client.resume("bridge").await.expect("resumed");
    ground.until_count(BLUE, COPY, 200).await;
    client.resume("bridge").await.expect("resumed already");
    let source = ground.contents(ORANGE, FLOW).await;
    assert_eq!(source, ground.contents(BLUE, COPY).await);
}

#[tokio::test]
async fn a_leg_may_be_paused_by_its_spec() {
    let ground = ground_for_fan_out().await;
    let client = ground.client().await;
    let mut spec = fan_out();
    spec.legs[1].paused = true;
    client.create(spec).await.expect("created");
    ground.produce(0..10).await;
    ground.until_count(BLUE, "copy-one", 10).await;
    until(&client, "fan-out", "two", |leg| {
        leg.state() == State::Paused
    })
    .await;
    client.resume("fan-out").await.expect("resumed");
    assert_eq!(ground.count(BLUE, "copy-two").await, 0);

    client.update(fan_out()).await.expect("updated");
    ground.until_count(BLUE, "copy-two", 10).await;
}

#[tokio::test]
async fn an_update_leaves_the_legs_alone_that_both_specs_have() {
    let ground = ground_for_fan_out().await;
    let client = ground.client().await;
    client.create(fan_out()).await.expect("created");
    ground.produce(0..10).await;
    ground.until_count(BLUE, "copy-one", 10).await;
    ground.until_count(BLUE, "copy-two", 10).await;

    let mut changed = fan_out();
    changed.legs[1] = leg("three", "copy-three");
    client.update(changed).await.expect("updated");
    ground.produce(10..20).await;
    ground.until_count(BLUE, "copy-one", 20).await;
    ground.until_count(BLUE, "copy-three", 20).await;
    assert_eq!(ground.count(BLUE, "copy-two").await, 10, "its leg is gone");
    let statuses = client.describe("fan-out").await.expect("a status");
    let ids: Vec<_> = statuses[0].legs.iter().map(|leg| &*leg.id).collect();
    assert_eq!(ids, ["one", "three"]);
    let one = leg_of(&statuses[0], "one");
    assert_eq!(one.records, 20, "a leg that began anew would count anew");
}

#[tokio::test]
async fn a_destroyed_instance_is_gone_and_its_positions_are_not() {
    let ground = Ground::with_queues(1, 1).await;
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    ground.produce(0..100).await;
    until(&client, "bridge", "leg", |leg| leg.records > 0).await;
    client.destroy("bridge").await.expect("destroyed");
    client.destroy("bridge").await.expect("destroyed already");
    assert_eq!(client.describe("").await, Ok(Vec::new()));
    ground.produce(100..200).await;
    client.create(bridge()).await.expect("created");
    ground.until_count(BLUE, COPY, 200).await;
}

#[tokio::test]
async fn a_watcher_sees_what_is_and_each_change() {
    let ground = Ground::with_queues(1, 1).await;
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    until_state(&client, "bridge", State::Running).await;
    let mut statuses = client.watch().await.expect("watching");
    assert_eq!(next(&mut statuses).await.legs[0].state(), State::Running);

    client.pause("bridge").await.expect("paused");
    let mut seen = Vec::new();
    while seen.last() != Some(&State::Paused) {
        seen.push(next(&mut statuses).await.legs[0].state());
    }
    client.destroy("bridge").await.expect("destroyed");
    while !next(&mut statuses).await.destroyed {}
}

#[tokio::test]
async fn a_watcher_sees_counters_at_most_once_a_second() {
    let ground = Ground::with_queues(1, 1).await;
    let client = ground.client().await;
    client.create(bridge()).await.expect("created");
    until_state(&client, "bridge", State::Running).await;
    let mut statuses = client.watch().await.expect("watching");
    next(&mut statuses).await;
    let begin = Instant::now();
    let mut messages = 0;
    for round in 0..30 {
        ground.produce(round * 10..(round + 1) * 10).await;
        let wanted = (round + 1) * 10;
        ground.until_count(BLUE, COPY, wanted).await;
    }
    while next(&mut statuses).await.legs[0].records < 300 {
        messages += 1;
    }
    assert!(
        messages <= begin.elapsed().as_secs() + 1,
        "{messages} messages"
    );
}
