//! What goes wrong.

use std::time::Duration;

use eson_processor::proto::State;
use eson_tests::proxy::Fault;
use eson_tests::seed::Seed;
use tokio::time::sleep;

use super::clusters::Side;
use super::route::Route;

/// What goes wrong in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mishap {
    /// `kill -9` of a broker that leads a partition.
    KillLeader(Side),
    /// `kill -9` of the broker that looks after transactions of the processor.
    KillCoordinator,
    /// `kill -9` of all brokers at once.
    KillAll(Side),
    /// The disk of a leader's broker is full.
    FillDisk(Side),
    /// A leader stops without ending until others have taken its place, and goes on then.
    FreezeLeader(Side),
    /// Leaders are moved while all brokers live.
    Elect(Side),
    /// `kill -9` of the processor.
    KillProcessor,
    /// The processor is asked to end.
    EndProcessor,
    /// The processor stops for a while without ending.
    FreezeProcessor,
    /// Connections are cut somewhere in a message, again and again.
    Cut(Side),
    /// Connections become slow.
    Slow(Side),
    /// Nothing passes for a while.
    Stall(Side),
    /// Connections are open and pass nothing any more.
    Lose(Side),
    /// The user as whom the processor reads is taken away, and given back when all legs have met
    /// that.
    Revoke,
}

impl Mishap {
    /// Lets it happen, and be over.
    pub(crate) async fn befall(self, route: &mut Route, seed: &mut Seed) {
        let while_ = Duration::from_millis(200 + seed.below(1_500));
        match self {
            Self::KillLeader(side) => {
                let victim = leader(route, side, seed).await;
                kill(route, side, victim).await;
            }
            Self::KillCoordinator => {
                let victim = route.coordinator();
                kill(route, Side::Destination, victim).await;
            }
            Self::KillAll(side) => {
                let cluster = route.clusters.of_mut(side);
                cluster.kill9_all();
                sleep(while_).await;
                cluster.restart_all();
            }
            Self::FillDisk(side) => {
                let victim = leader(route, side, seed).await;
                println!("  broker {victim}'s disk is full");
                let cluster = route.clusters.of_mut(side);
                cluster.fill_disk(victim);
                cluster.restart(victim);
            }
            Self::FreezeLeader(side) => freeze_leader(route, side, seed).await,
            Self::Elect(side) => route.clusters.of(side).elect_preferred_leaders(),
            Self::KillProcessor => {
                route.processor.kill9();
                restart(route).await;
            }
            Self::EndProcessor => {
                let status = route.processor.terminate();
                assert!(status.success(), "{status}: {}", route.processor.log());
                restart(route).await;
            }
            Self::FreezeProcessor => {
                route.processor.freeze();
                sleep(while_).await;
                route.processor.thaw();
            }
            Self::Cut(side) => {
                let within = 1_000 + seed.below(200_000);
                pass_through(route, side, Fault::Cut { within }, while_).await;
            }
            Self::Slow(side) => {
                let per_second = 400_000;
                pass_through(route, side, Fault::Slow { per_second }, while_).await;
            }
            Self::Stall(side) => pass_through(route, side, Fault::Stall, while_).await,
            Self::Lose(side) => pass_through(route, side, Fault::Lose, while_).await,
            Self::Revoke => {
                route.deny().await;
                route.until_state(State::Failed).await;
                route.allow().await;
            }
        }
    }
}

/// The leader of a partition.
async fn leader(route: &Route, side: Side, seed: &mut Seed) -> i32 {
    route.until_leaders(side, |one| one.leader > 0).await;
    seed.choose(&route.leaders(side).await).leader
}

async fn kill(route: &mut Route, side: Side, victim: i32) {
    println!("  broker {victim} dies");
    route.clusters.of_mut(side).kill9(victim);
    until_replaced(route, side, victim).await;
    route.clusters.of_mut(side).restart(victim);
}

async fn freeze_leader(route: &Route, side: Side, seed: &mut Seed) {
    let victim = leader(route, side, seed).await;
    println!("  broker {victim} stands still");
    route.clusters.of(side).freeze(victim);
    until_replaced(route, side, victim).await;
    route.clusters.of(side).thaw(victim);
}

/// Waits until others lead all partitions.
async fn until_replaced(route: &Route, side: Side, victim: i32) {
    let replaced = |leader| leader > 0 && leader != victim;
    route.until_leaders(side, |one| replaced(one.leader)).await;
}

async fn restart(route: &mut Route) {
    route.processor.restart().await;
    route.create().await;
}

async fn pass_through(route: &Route, side: Side, fault: Fault, while_: Duration) {
    route.clusters.set(side, fault);
    sleep(while_).await;
    route.clusters.set(side, Fault::None);
}
