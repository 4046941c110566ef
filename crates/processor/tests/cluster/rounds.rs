//! 100,000 events, and something that goes wrong in each round.

use std::time::Duration;

use eson_processor::proto::{Delivery, State};
use eson_tests::seed::Seed;
use tokio::time::sleep;

use super::ground::until_state;
use super::mishap::Mishap;
use super::route::{DESTINATION, Route, SOURCE};

/// The events of a run, all rounds together.
const EVENTS: u64 = 100_000;

/// What goes wrong in a cluster.
const CLUSTER: [Mishap; 6] = [
    Mishap::KillLeader,
    Mishap::Elect,
    Mishap::KillCoordinator,
    Mishap::FillDisk,
    Mishap::FreezeLeader,
    Mishap::Elect,
];

/// What goes wrong on the way to it.
const WAY: [Mishap; 11] = [
    Mishap::Cut(SOURCE),
    Mishap::Cut(DESTINATION),
    Mishap::KillProcessor,
    Mishap::Stall(DESTINATION),
    Mishap::Slow(DESTINATION),
    Mishap::FreezeProcessor,
    Mishap::Lose(DESTINATION),
    Mishap::EndProcessor,
    Mishap::Slow(SOURCE),
    Mishap::Stall(SOURCE),
    Mishap::Lose(SOURCE),
];

/// `EXACTLY_ONCE_ROUNDS` in the environment says how many rounds a run has.
fn rounds(usual: usize) -> usize {
    let rounds = std::env::var("EXACTLY_ONCE_ROUNDS");
    rounds.map_or(usual, |rounds| {
        rounds.parse().expect("EXACTLY_ONCE_ROUNDS is no number")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_once_while_leaders_and_coordinators_move() {
    let repeats = run("moved-once", Delivery::ExactlyOnce, &CLUSTER, CLUSTER.len()).await;
    assert_eq!(repeats, 0, "exactly once");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_least_once_while_leaders_move() {
    let mishaps = [Mishap::KillLeader, Mishap::Elect, Mishap::FreezeLeader];
    run("moved", Delivery::AtLeastOnce, &mishaps, mishaps.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_once_on_bad_connections_and_through_restarts() {
    let repeats = run("way", Delivery::ExactlyOnce, &WAY, 2 * WAY.len()).await;
    assert_eq!(repeats, 0, "exactly once");
}

/// Copies while one thing after the other goes wrong. Returns how many events came more than
/// once.
async fn run(name: &str, delivery: Delivery, mishaps: &[Mishap], usual: usize) -> usize {
    let mut seed = Seed::from_env(name);
    let commit_interval_ms = *seed.choose(&[1, 20, 100, 300]);
    let mut route = Route::open(name, delivery, commit_interval_ms).await;
    let rounds = rounds(usual);
    for round in 0..rounds {
        let mishap = mishaps[round % mishaps.len()];
        let writing = route.write(EVENTS / rounds as u64 + 1);
        let moment = Duration::from_millis(seed.below(500));
        sleep(moment).await;
        let begun = std::time::Instant::now();
        println!("round {round}: {mishap:?} after {moment:?}");
        mishap.befall(&mut route, &mut seed).await;
        writing.await.expect("written");
        route.until_caught_up().await;
        println!("  caught up after {:?}", begun.elapsed());
        route.check_memory();
        route.until_whole().await;
    }
    let client = route.processor.client().await;
    let status = until_state(&client, State::Running).await;
    assert_eq!((status.delivery(), status.lost), (delivery, 0));
    route.compare().await
}
