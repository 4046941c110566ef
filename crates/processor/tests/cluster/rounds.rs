//! Up to 100,000 events, and something that goes wrong in each round.

use std::time::Duration;

use eson_processor::proto::error::{self, Kind};
use eson_processor::proto::{Delivery, State};
use eson_tests::proxy::Fault;
use eson_tests::seed::Seed;
use tokio::time::sleep;

use super::clusters::Side::{Destination, Source};
use super::mishap::Mishap;
use super::route::Route;
use super::work::Work;
use super::writing::FLOW;

/// The most events of a run, all rounds and sources together.
const EVENTS: u64 = 100_000;

/// The most events of a round where there are many ways or a program.
const FEW: u64 = 3_000;

/// What goes wrong in the clusters.
const CLUSTERS: [Mishap; 10] = [
    Mishap::KillLeader(Destination),
    Mishap::Elect(Destination),
    Mishap::KillLeader(Source),
    Mishap::KillCoordinator,
    Mishap::FillDisk(Destination),
    Mishap::FreezeLeader(Source),
    Mishap::KillAll(Source),
    Mishap::FreezeLeader(Destination),
    Mishap::Elect(Source),
    Mishap::KillAll(Destination),
];

/// What goes wrong on the way to them.
const WAY: [Mishap; 12] = [
    Mishap::Cut(Source),
    Mishap::Cut(Destination),
    Mishap::KillProcessor,
    Mishap::Stall(Destination),
    Mishap::Slow(Destination),
    Mishap::FreezeProcessor,
    Mishap::Lose(Destination),
    Mishap::EndProcessor,
    Mishap::Slow(Source),
    Mishap::Revoke,
    Mishap::Stall(Source),
    Mishap::Lose(Source),
];

/// What goes wrong for processors that do more than a bridge: as much as a short run has first.
const BOTH: [Mishap; 15] = [
    Mishap::KillProcessor,
    Mishap::FreezeLeader(Destination),
    Mishap::Revoke,
    Mishap::KillLeader(Source),
    Mishap::FreezeProcessor,
    Mishap::Cut(Destination),
    Mishap::Elect(Destination),
    Mishap::Cut(Source),
    Mishap::KillCoordinator,
    Mishap::FreezeLeader(Source),
    Mishap::Lose(Destination),
    Mishap::KillAll(Source),
    Mishap::EndProcessor,
    Mishap::Stall(Source),
    Mishap::KillAll(Destination),
];

/// How many of them a short run has.
const SHORT: usize = 6;

/// Rounds of a processor's work.
struct Rounds<'a> {
    name: &'a str,
    work: Work,
    delivery: Delivery,
    /// One after the other, and then by chance.
    mishaps: &'a [Mishap],
    count: usize,
    /// The most events of one round.
    events: u64,
}

/// `EXACTLY_ONCE_ROUNDS` in the environment says how many rounds a run has.
fn rounds(usual: usize) -> usize {
    let rounds = std::env::var("EXACTLY_ONCE_ROUNDS");
    rounds.map_or(usual, |rounds| {
        rounds.parse().expect("EXACTLY_ONCE_ROUNDS is no number")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_once_while_leaders_and_coordinators_move() {
    let repeats = bridge(
        "moved-once",
        Delivery::ExactlyOnce,
        &CLUSTERS,
        CLUSTERS.len(),
    )
    .await;
    assert_eq!(repeats, 0, "exactly once");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_least_once_while_leaders_move() {
    let mishaps = [
        Mishap::KillLeader(Destination),
        Mishap::Elect(Destination),
        Mishap::FreezeLeader(Source),
    ];
    bridge("moved", Delivery::AtLeastOnce, &mishaps, mishaps.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_once_on_bad_connections_and_through_restarts() {
    let repeats = bridge("way", Delivery::ExactlyOnce, &WAY, WAY.len() + 6).await;
    assert_eq!(repeats, 0, "exactly once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_delivers_the_events_of_each_source_exactly_once() {
    exactly_once("collector", Work::Collector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distributor_delivers_to_each_destination_exactly_once() {
    exactly_once("distributor", Work::Distributor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_delivers_each_output_exactly_once() {
    exactly_once("signal", Work::Signal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_with_windows_delivers_each_of_them_exactly_once() {
    exactly_once("windows", Work::Windows).await;
}

/// A source that can't be read is told, and what was missed meanwhile is copied.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_silent_is_told_and_read_on_when_it_is_back() {
    let mut route = Route::open("silent", Work::Bridge, Delivery::ExactlyOnce, 0).await;
    route.write(1_000).await;
    route.until_caught_up().await;
    route.clusters.set(Source, Fault::Stall);
    route.write(1_000).await;
    let retrying = route.until_state(State::Retrying).await;
    let error = retrying[0].error.as_ref().expect("the reason");
    assert_eq!(
        (error.side(), error.kind()),
        (error::Side::Source, Kind::Unreachable)
    );
    route.clusters.set(Source, Fault::None);
    route.until_caught_up().await;
    let running = route.until_state(State::Running).await;
    assert_eq!(running[0].error, None, "what is over is no longer told");
    assert_eq!(route.compare().await, 0, "exactly once");
}

/// Rounds of a bridge. Returns how many events came more than once.
async fn bridge(name: &str, delivery: Delivery, mishaps: &[Mishap], usual: usize) -> usize {
    let rounds = Rounds {
        name,
        work: Work::Bridge,
        delivery,
        mishaps,
        count: rounds(usual),
        events: EVENTS,
    };
    rounds.run().await
}

async fn exactly_once(name: &str, work: Work) {
    let rounds = Rounds {
        name,
        work,
        delivery: Delivery::ExactlyOnce,
        mishaps: &BOTH,
        count: rounds(SHORT),
        events: FEW,
    };
    assert_eq!(rounds.run().await, 0, "exactly once");
}

impl Rounds<'_> {
    /// Works while one thing after the other goes wrong. Returns how many events came more than
    /// once.
    async fn run(self) -> usize {
        let mut seed = Seed::from_env(self.name);
        let commit_interval_ms = *seed.choose(&[1, 20, 100, 300]);
        let opened = Route::open(self.name, self.work, self.delivery, commit_interval_ms);
        let mut route = opened.await;
        for round in 0..self.count {
            let next = self.mishaps.get(round);
            let mishap = *next.unwrap_or_else(|| seed.choose(self.mishaps));
            let writing = route.flow(self.of_each_source()).await;
            let writing = tokio::spawn(writing.finish());
            let moment = Duration::from_millis(seed.below(FLOW.as_millis() as u64));
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
        for leg in route.until_state(State::Running).await {
            assert_eq!((leg.delivery(), leg.lost), (self.delivery, 0));
        }
        route.compare().await
    }

    /// How many events are written to each source in a round.
    fn of_each_source(&self) -> u64 {
        let of_all = (EVENTS / self.count as u64).min(self.events);
        of_all / self.work.sources() as u64 + 1
    }
}
