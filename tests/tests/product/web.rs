//! Health and metrics, as a supervisor and Prometheus ask for them.

use std::collections::BTreeSet;
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

/// What the page tells of a processor, a copy and a subscription is found by labels that are known
/// beforehand. No password is on it, and nothing twice.
fn metrics_count_what_flows(ground: eson_tests::Ground) {
    let (orange, blue) = (world(ground).orange(), world(ground).blue());
    let [flow, other] = [(); 2].map(|()| new_flow(orange, "counted"));
    let (local, processor) = (new_flow(blue, "counted"), new_flow(orange, "counting"));
    let (mut owner, mut subscriber) = (orange.login(), blue.login());
    owner.ok(&format!("CREATE FLOW {flow} access=public partitions=1"));
    owner.ok(&format!("CREATE FLOW {other}"));
    let create = format!("CREATE PROCESSOR {processor} type=bridge from={flow} to={other}");
    owner.ok(&create);
    subscriber.ok(&format!("SUBSCRIBE {flow} LOCAL {local}"));
    let subscription = subscriber.ok(&format!("DESCRIBE SUBSCRIPTION {local}"));
    let copy = subscription.attribute("copy").unwrap();
    write_numbered(&mut owner, &flow, 0..30);
    for (participant, kind, name, source, destination) in [
        (orange, "processor", &processor[..], &flow[..], &other[..]),
        (orange, "copy", &flow, &flow, copy),
        (blue, "subscription", &local, &flow, &local),
    ] {
        let leg = format!(
            "kind=\"{kind}\",name=\"{name}\",source=\"{source}\",destination=\"{destination}\""
        );
        until("records counted", Duration::from_secs(60), || {
            let (code, page) = participant.web("/metrics")?;
            check(code == 200 && has_moved(&page, &leg), || {
                format!("{leg}\n{page}")
            })
        });
    }
    let page = orange.web("/metrics").unwrap().1;
    tells_processes_and_nothing_twice_or_secret(&page);
    owner.ok(&format!("DELETE PROCESSOR {processor}"));
}

fn tells_processes_and_nothing_twice_or_secret(page: &str) {
    assert!(
        !page.contains("secret") && !page.contains("password"),
        "{page}"
    );
    for metric in ["resident_memory_bytes", "cpu_seconds_total"] {
        let of_processors = format!("\nfnaad_processor_{metric}{{shard=\"processors\"}} ");
        let of_fnaad = format!("\nprocess_{metric} ");
        assert!(
            page.contains(&of_processors) && page.contains(&of_fnaad),
            "{page}"
        );
    }
    let samples = page.lines().filter_map(|line| line.rsplit_once(' '));
    let mut seen = BTreeSet::new();
    let twice: Vec<_> = samples
        .filter(|(sample, _)| !seen.insert(*sample))
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// Whether the leg has moved thirty records of one partition. It counts since it was taken up last,
/// so that its number is not always that of all.
fn has_moved(page: &str, leg: &str) -> bool {
    let value = |metric: &str, more: &str| -> Option<u64> {
        let sample = format!("fnaad_leg_{metric}{{{leg}{more}}} ");
        let value = page.lines().find_map(|line| line.strip_prefix(&sample));
        value?.parse().ok()
    };
    let states = [
        "pending", "starting", "running", "paused", "stopped", "retrying", "failed",
    ];
    let is_so = states.map(|state| value("state", &format!(",state=\"{state}\"")));
    is_so == [0, 0, 1, 0, 0, 0, 0].map(Some)
        && value("records_total", "") > Some(0)
        && value("lag_records", "") == Some(0)
        && value("held_back", "") == Some(0)
        && value("position", ",partition=\"0\"") >= Some(30)
}
