//! From SUBSCRIBE to the first event, on the embedded broker.

use std::time::Instant;

use eson_tests::{Ground, World};

use crate::meter::median;

const ROUNDS: usize = 20;

pub(crate) fn measure() {
    let world = World::start(Ground::Embedded, &["orange.example", "blue.example"]);
    let mut orange = world.orange().login();
    orange.ok("CREATE FLOW orders.flows.orange.example access=public");
    let event = r#"{"specversion":"1.0","id":"1","type":"order","source":"/bench","data":{}}"#;
    orange.write_flow("WRITE FLOW orders.flows.orange.example", [event]);
    // The first one also starts the flow processors.
    let first = subscribe(&world, 0);
    let later: Vec<f64> = (1..=ROUNDS).map(|round| subscribe(&world, round)).collect();
    println!("\n## SUBSCRIBE to first event\n");
    println!("| | ms |\n|---|---|");
    println!("| the first of all, which starts two flow processors | {first:.0} |");
    println!("| median of {ROUNDS} later ones | {:.0} |", median(later));
}

/// Milliseconds from sending SUBSCRIBE to holding an event that the flow had before.
fn subscribe(world: &World, round: usize) -> f64 {
    let mut blue = world.blue().login();
    let local = format!("orders-{round}.flows.blue.example");
    let began = Instant::now();
    blue.ok(&format!(
        "SUBSCRIBE orders.flows.orange.example LOCAL {local}"
    ));
    blue.send(&format!("READ FLOW {local} max=1 follow=true"));
    blue.expect("220 DATA");
    let event = blue.line();
    let took = began.elapsed();
    assert!(event.contains("specversion"), "{event}");
    took.as_secs_f64() * 1000.0
}
