//! FNAP commands a second, on one connection and on 64.

use std::thread;
use std::time::{Duration, Instant};

use eson_tests::{Ground, World};

const LENGTH: Duration = Duration::from_secs(5);
const COMMAND: &str = "DESCRIBE FLOW orders.flows.orange.example";

pub(crate) fn measure() {
    let world = World::start(Ground::Embedded, &["orange.example"]);
    world
        .orange()
        .login()
        .ok("CREATE FLOW orders.flows.orange.example");
    println!("\n## FNAP commands\n\n`{COMMAND}`, each sent when the last is answered\n");
    println!("| connections | commands/s |\n|---|---|");
    for connections in [1, 64] {
        println!("| {connections} | {:.0} |", rate(&world, connections));
    }
}

fn rate(world: &World, connections: usize) -> f64 {
    let began = Instant::now();
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let mut session = world.orange().login();
            thread::spawn(move || {
                let mut count = 0_u32;
                let began = Instant::now();
                while began.elapsed() < LENGTH {
                    session.ok(COMMAND);
                    count += 1;
                }
                f64::from(count) / began.elapsed().as_secs_f64()
            })
        })
        .collect();
    let rate = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    assert!(began.elapsed() >= LENGTH);
    rate
}
