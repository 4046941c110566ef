//! What goes wrong.

use std::time::Duration;

use eson_processor::proto::State;
use eson_tests::proxy::Fault;
use eson_tests::seed::Seed;
use tokio::time::sleep;

use super::route::Route;

/// What goes wrong in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mishap {
    /// `kill -9` of the broker that leads one of the destinations' partitions.
    KillLeader,
    /// `kill -9` of the broker that looks after transactions of the processor.
    KillCoordinator,
    /// The disk of a leader's broker is full.
    FillDisk,
    /// A leader stops without ending until others have taken its place, and goes on then.
    FreezeLeader,
    /// Leaders are moved while all brokers live.
    Elect,
    /// `kill -9` of the processor.
    KillProcessor,
    /// The processor is asked to end.
    EndProcessor,
    /// The processor stops for a while without ending.
    FreezeProcessor,
    /// Connections are cut somewhere in a message, again and again.
    Cut(&'static str),
    /// Connections become slow.
    Slow(&'static str),
    /// Nothing passes for a while.
    Stall(&'static str),
    /// Connections are open and pass nothing any more.
    Lose(&'static str),
    /// The user as whom the processor reads is taken away, and given back when all legs have met
    /// that.
    Revoke,
}

impl Mishap {
    /// Lets it happen, and be over.
    pub(crate) async fn befall(self, route: &mut Route, seed: &mut Seed) {
        let while_ = Duration::from_millis(200 + seed.below(1_500));
        match self {
            Self::KillLeader => {
                let victim = leader(route, seed).await;
                kill(route, victim).await;
            }
            Self::KillCoordinator => {
                let victim = route.coordinator();
                kill(route, victim).await;
            }
            Self::FillDisk => {
                let victim = leader(route, seed).await;
                println!("  broker {victim}'s disk is full");
                route.cluster.fill_disk(victim);
                route.cluster.restart(victim);
            }
            Self::FreezeLeader => freeze_leader(route, seed).await,
            Self::Elect => route.cluster.elect_preferred_leaders(),
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
            Self::Cut(front) => {
                let within = 1_000 + seed.below(200_000);
                pass_through(route, front, Fault::Cut { within }, while_).await;
            }
            Self::Slow(front) => {
                let per_second = 400_000;
                pass_through(route, front, Fault::Slow { per_second }, while_).await;
            }
            Self::Stall(front) => pass_through(route, front, Fault::Stall, while_).await,
            Self::Lose(front) => pass_through(route, front, Fault::Lose, while_).await,
            Self::Revoke => {
                route.deny().await;
                route.until_state(State::Failed).await;
                route.allow().await;
            }
        }
    }
}

/// The leader of a partition of a destination.
async fn leader(route: &Route, seed: &mut Seed) -> i32 {
    route
        .until_leaders(|all| all.iter().all(|one| one.leader > 0))
        .await;
    seed.choose(&route.leaders().await).leader
}

async fn kill(route: &mut Route, victim: i32) {
    println!("  broker {victim} dies");
    route.cluster.kill9(victim);
    route
        .until_leaders(|all| all.iter().all(|one| one.leader > 0 && one.leader != victim))
        .await;
    route.cluster.restart(victim);
}

async fn freeze_leader(route: &mut Route, seed: &mut Seed) {
    let victim = leader(route, seed).await;
    println!("  broker {victim} stands still");
    route.cluster.freeze(victim);
    route
        .until_leaders(|all| all.iter().all(|one| one.leader > 0 && one.leader != victim))
        .await;
    route.cluster.thaw(victim);
}

async fn restart(route: &mut Route) {
    route.processor.restart().await;
    route.create().await;
}

async fn pass_through(route: &Route, front: &str, fault: Fault, while_: Duration) {
    route.cluster.set(front, fault);
    sleep(while_).await;
    route.cluster.set(front, Fault::None);
}
