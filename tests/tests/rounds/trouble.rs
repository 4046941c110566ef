//! What happens to the servers in a round.

use std::thread;
use std::time::Duration;

use eson_tests::process::{self, kill9};
use eson_tests::{Seed, World};

/// To whom.
const VICTIMS: [Victim; 8] = [
    Victim::Orange,
    Victim::Blue,
    Victim::Processors(0),
    Victim::Processors(1),
    Victim::Kafka(0),
    Victim::Kafka(1),
    Victim::Bind,
    Victim::Both,
];

/// How long somebody stands still, in milliseconds: at most longer than a broker may be silent before
/// other leaders are looked for.
const STANDSTILL: std::ops::Range<u64> = 200..8_200;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Victim {
    Orange,
    Blue,
    Processors(usize),
    Kafka(usize),
    Bind,
    /// Both agents at once, Blue coming back first.
    Both,
}

/// What happens in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// `kill -9`.
    Kill(Victim),
    /// Connections stay open, and nobody answers for so long (SIGSTOP, SIGCONT).
    StandStill(Victim, Duration),
}

impl Trouble {
    /// In one round of three somebody stands still.
    pub(crate) fn draw(seed: &mut Seed) -> Self {
        let victim = *seed.choose(&VICTIMS);
        match seed.below(3) {
            0 => {
                let longer = seed.below(STANDSTILL.end - STANDSTILL.start);
                Self::StandStill(victim, Duration::from_millis(STANDSTILL.start + longer))
            }
            _ => Self::Kill(victim),
        }
    }

    /// Lets it happen, and be over.
    pub(crate) fn befall(self, world: &mut World) {
        match self {
            Self::Kill(victim) => victim.die(world),
            Self::StandStill(victim, duration) => {
                let processes = victim.processes(world);
                send("STOP", &processes);
                #[expect(clippy::disallowed_methods, reason = "it is the trouble that lasts")]
                thread::sleep(duration);
                send("CONT", &processes);
            }
        }
    }
}

impl Victim {
    fn die(self, world: &mut World) {
        match self {
            Self::Orange => restart_agents(world, &[0]),
            Self::Blue => restart_agents(world, &[1]),
            Self::Both => restart_agents(world, &[1, 0]),
            Self::Processors(of) => {
                for id in world.participants[of].processors() {
                    kill9(id);
                }
            }
            Self::Kafka(of) => {
                world.own_kafka(of).kill9();
                world.own_kafka(of).restart();
            }
            Self::Bind => {
                let bind = world.bind.as_mut().expect("BIND");
                bind.kill9();
                bind.restart();
            }
        }
    }

    fn processes(self, world: &mut World) -> Vec<u32> {
        match self {
            Self::Orange => vec![world.orange().id()],
            Self::Blue => vec![world.blue().id()],
            Self::Both => vec![world.orange().id(), world.blue().id()],
            Self::Processors(of) => world.participants[of].processors(),
            Self::Kafka(of) => vec![world.own_kafka(of).id()],
            Self::Bind => vec![world.bind().id()],
        }
    }
}

/// One that has ended meanwhile can't be sent anything.
fn send(signal: &str, processes: &[u32]) {
    for id in processes {
        process::signal(*id, signal);
    }
}

fn restart_agents(world: &mut World, which: &[usize]) {
    for at in which {
        world.participants[*at].kill9();
    }
    for at in which {
        world.participants[*at].restart();
    }
}
