//! Health and metrics, as a supervisor and Prometheus ask for them.

use std::time::Duration;

use eson_tests::until;
use eson_tests::wait::check;

use crate::events::write_numbered;
use crate::stage::{new_flow, on_all_grounds, world};

on_all_grounds!(
    a_running_participant_is_healthy_and_ready,
    metrics_count_what_flows
);

fn a_running_participant_is_healthy_and_ready(ground: eson_tests::Ground) {
    let orange = world(ground).orange();
    assert_eq!(200, orange.web("/healthz").unwrap().0);
    until("readiness", Duration::from_secs(60), || {
        let (code, checks) = orange.web("/readyz")?;
        check(code == 200, || checks)
    });
    assert_eq!(404, orange.web("/").unwrap().0);
}

/// The leg that fills a subscriber's copy counts since it was taken up last, so that its number is
/// not always that of all events. No password is on the page.
fn metrics_count_what_flows(ground: eson_tests::Ground) {
    let world = world(ground);
    let (flow, local) = (
        new_flow(world.orange(), "counted"),
        new_flow(world.blue(), "counted"),
    );
    let mut orange = world.orange().login();
    orange.ok(&format!("CREATE FLOW {flow} access=public"));
    world
        .blue()
        .login()
        .ok(&format!("SUBSCRIBE {flow} LOCAL {local}"));
    write_numbered(&mut orange, &flow, 0..30);
    until("records counted", Duration::from_secs(60), || {
        let (code, page) = world.orange().web("/metrics")?;
        assert!(
            !page.contains("secret") && !page.contains("password"),
            "{page}"
        );
        let leg =
            |line: &&str| line.starts_with("fnaad_leg_records_total{") && line.contains(&flow);
        let counts = page.lines().filter(leg).map(|line| !line.ends_with(" 0"));
        check(code == 200 && counts.clone().any(|some| some), || {
            page.clone()
        })
    });
}
