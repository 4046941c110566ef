//! Many legs of one source: who reads for whom.

mod support;

use eson_broker::Broker;
use eson_processor::proto::error::Kind;
use eson_processor::proto::{LegStatus, ProcessorType, Spec, State};

use support::faults::Faults;
use support::{BLUE, FLOW, Ground, ORANGE, endpoint, leg, until};

const PARTITIONS: u32 = 3;

fn copies(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("copy-{number}")).collect()
}

fn fan_out(copies: &[String]) -> Spec {
    Spec {
        id: "fan-out".to_owned(),
        r#type: ProcessorType::Distributor.into(),
        sources: vec![endpoint(ORANGE, FLOW)],
        legs: copies.iter().map(|copy| leg(copy, copy)).collect(),
        ..Default::default()
    }
}

async fn ground(copies: &[String]) -> Ground {
    let ground = Ground::new().await;
    ground.create_queue(ORANGE, FLOW, PARTITIONS).await;
    for copy in copies {
        ground.create_queue(BLUE, copy, PARTITIONS).await;
    }
    ground
}

async fn until_all_have(ground: &Ground, copies: &[String], wanted: u64) {
    for copy in copies {
        ground.until_count(BLUE, copy, wanted).await;
    }
}

async fn assert_equal_to_source(ground: &Ground, copies: &[String]) {
    let source = ground.contents(ORANGE, FLOW).await;
    for copy in copies {
        assert_eq!(source, ground.contents(BLUE, copy).await, "{copy}");
    }
}

#[tokio::test]
async fn legs_that_have_caught_up_read_once() {
    let copies = copies(20);
    let ground = ground(&copies).await;
    let reads = ground.inject(ORANGE, Faults::default());
    let client = ground.client().await;
    client.create(fan_out(&copies)).await.expect("created");
    for copy in &copies {
        until(&client, "fan-out", copy, |leg| {
            leg.state() == State::Running
        })
        .await;
    }
    for round in 0..20 {
        ground.produce(round * 10..(round + 1) * 10).await;
        until_all_have(&ground, &copies, (round + 1) * 10).await;
    }
    // Each round is at most a chunk or two of each partition, and not twenty times that.
    let chunks = reads.chunks();
    assert!(chunks <= 20 * 2 * u64::from(PARTITIONS), "{chunks} chunks");
    assert_equal_to_source(&ground, &copies).await;
}

#[tokio::test]
async fn a_new_leg_catches_up_by_itself_and_joins() {
    let copies = copies(4);
    let ground = ground(&copies).await;
    let reads = ground.inject(ORANGE, Faults::default());
    let client = ground.client().await;
    client.create(fan_out(&copies[..3])).await.expect("created");
    ground.produce(0..5_000).await;
    until_all_have(&ground, &copies[..3], 5_000).await;
    client.update(fan_out(&copies)).await.expect("updated");
    until_all_have(&ground, &copies, 5_000).await;

    let before = reads.chunks();
    for round in 0..20 {
        let first = 5_000 + round * 10;
        ground.produce(first..first + 10).await;
        until_all_have(&ground, &copies, first + 10).await;
    }
    let chunks = reads.chunks() - before;
    // Joining may take a round.
    assert!(chunks <= 21 * 2 * u64::from(PARTITIONS), "{chunks} chunks");
    assert_equal_to_source(&ground, &copies).await;
}

#[tokio::test]
async fn a_leg_that_is_stuck_holds_nobody_and_catches_up() {
    let copies = copies(3);
    let ground = ground(&copies).await;
    let faults = ground.inject(BLUE, Faults::default());
    let client = ground.client().await;
    client.create(fan_out(&copies)).await.expect("created");
    ground.produce(0..100).await;
    until_all_have(&ground, &copies, 100).await;

    *faults.stuck.lock().expect("no panic") = Some(copies[0].clone());
    // More than the tail keeps.
    for round in 0..40 {
        let first = 100 + round * 1_000;
        ground.produce(first..first + 1_000).await;
    }
    until_all_have(&ground, &copies[1..], 40_100).await;
    assert_eq!(ground.count(BLUE, &copies[0]).await, 100);

    *faults.stuck.lock().expect("no panic") = None;
    // The write that is stuck stays so: pausing cuts it off, and resuming begins anew.
    client.pause("fan-out").await.expect_err("it is stuck");
    client.resume("fan-out").await.expect("resumed");
    until_all_have(&ground, &copies, 40_100).await;
    assert_equal_to_source(&ground, &copies).await;
}

#[tokio::test]
async fn a_leg_that_is_being_opened_is_not_disturbed_by_what_others_are_told() {
    let copies = copies(4);
    let ground = ground(&copies).await;
    let faults = ground.inject(BLUE, Faults::default());
    // The fourth leg does not make the memory of the third smaller.
    let slow = &copies[2];
    faults.slow_to_open.send_replace(Some(slow.clone()));
    let client = ground.client().await;
    client.create(fan_out(&copies[..3])).await.expect("created");
    assert_eq!(faults.openings(slow).await, 1);
    client.update(fan_out(&copies)).await.expect("updated");
    client.resume("fan-out").await.expect("it runs");

    faults.slow_to_open.send_replace(None);
    ground.produce(0..100).await;
    until_all_have(&ground, &copies, 100).await;
    assert_eq!(faults.openings(slow).await, 1, "nothing is opened again");
}

#[tokio::test]
async fn legs_come_and_go_while_events_flow() {
    let copies = copies(6);
    let ground = ground(&copies).await;
    let client = ground.client().await;
    client.create(fan_out(&copies[..2])).await.expect("created");
    for round in 0..20 {
        ground.produce(round * 200..(round + 1) * 200).await;
        let from = (round % 4) as usize;
        let spec = fan_out(&copies[from..from + 3]);
        client.update(spec).await.expect("updated");
    }
    client.update(fan_out(&copies)).await.expect("updated");
    until_all_have(&ground, &copies, 4_000).await;
    assert_equal_to_source(&ground, &copies).await;
}

#[tokio::test]
async fn an_error_that_stays_is_every_legs() {
    let copies = copies(5);
    let ground = ground(&copies).await;
    let client = ground.client().await;
    client.create(fan_out(&copies)).await.expect("created");
    ground.produce(0..100).await;
    until_all_have(&ground, &copies, 100).await;
    let queue = ground.broker(ORANGE).describe_queue(FLOW).await;
    let id = queue.expect("a queue").id;
    let deleted = ground.broker(ORANGE).delete_queue(FLOW, &id).await;
    deleted.expect("deleted");
    for copy in &copies {
        let failed = |leg: &LegStatus| leg.state() == State::Failed;
        let error = until(&client, "fan-out", copy, failed).await.error;
        assert_eq!(error.expect("the reason").kind(), Kind::NotFound);
    }
}
