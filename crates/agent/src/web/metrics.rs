//! What is counted. Everything is read when it is asked for: nothing is kept for it.

use std::collections::BTreeMap;

use eson_processor::proto::{LegStatus, State};

use super::exposition::{Exposition, MetricType};
use crate::participant::Participant;
use crate::resource::{Condition, Flow, Namespace, Processor, Subscriber, Subscription};
use crate::session::Service;
use crate::store::{Resource, Resources, StoreError};

/// A page of metrics.
pub(super) async fn scrape(service: &Service) -> Result<String, StoreError> {
    let mut page = Exposition::default();
    page.metric(
        "fnaad_build_info",
        MetricType::Gauge,
        "The version, as a label.",
    )
    .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let sessions = service.admission.count() as u64;
    page.metric(
        "fnaad_sessions",
        MetricType::Gauge,
        "FNAP connections that are open.",
    )
    .sample(&[], sessions);
    resources(&mut page, &service.participant).await?;
    processors(&mut page, &service.participant);
    if let Some(bytes) = resident_memory().await {
        let help = "Memory of the process that is in RAM.";
        page.metric("process_resident_memory_bytes", MetricType::Gauge, help)
            .sample(&[], bytes);
    }
    Ok(page.finish())
}

/// How many resources there are, by kind and by how far they are what they are to be.
async fn resources(page: &mut Exposition, participant: &Participant) -> Result<(), StoreError> {
    let counts = [
        count(&participant.namespaces, |it: &Namespace| {
            &it.status.condition
        })
        .await?,
        count(&participant.flows, |it: &Flow| &it.status.condition).await?,
        count(&participant.subscribers, |it: &Subscriber| {
            &it.status.condition
        })
        .await?,
        count(&participant.subscriptions, |it: &Subscription| {
            &it.status.condition
        })
        .await?,
        count(&participant.processors, |it: &Processor| {
            &it.status.condition
        })
        .await?,
    ];
    let help = "Resources, by kind and state.";
    let mut samples = page.metric("fnaad_resources", MetricType::Gauge, help);
    for (kind, states) in counts {
        for (state, count) in states {
            samples.sample(&[("kind", kind), ("state", state)], count);
        }
    }
    Ok(())
}

async fn count<R: Resource>(
    resources: &Resources<R>,
    condition: fn(&R) -> &Condition,
) -> Result<(&'static str, BTreeMap<&'static str, u64>), StoreError> {
    let states = ["ready", "pending", "failed", "deleting"];
    let mut counts = BTreeMap::from(states.map(|state| (state, 0)));
    for stored in resources.list().await? {
        let condition = condition(&stored.resource);
        let state = match &condition.failure {
            _ if stored.deleting => "deleting",
            Some(failure) if !failure.is_transient() => "failed",
            None if condition.ready > 0 => "ready",
            _ => "pending",
        };
        *counts.entry(state).or_default() += 1;
    }
    Ok((R::KIND.as_str(), counts))
}

fn processors(page: &mut Exposition, participant: &Participant) {
    let statuses = participant.runtime.statuses();
    let legs: Vec<_> = statuses
        .iter()
        .flat_map(|status| status.legs.iter().map(|leg| (status.id.as_str(), leg)))
        .collect();
    let counters: [(_, _, fn(&LegStatus) -> u64); 3] = [
        ("fnaad_leg_records_total", "Records moved.", |leg| {
            leg.records
        }),
        ("fnaad_leg_bytes_total", "Bytes moved.", |leg| leg.bytes),
        (
            "fnaad_leg_lost_total",
            "Records lost at the source.",
            |leg| leg.lost,
        ),
    ];
    let gauges: [(_, _, fn(&LegStatus) -> u64); 2] = [
        ("fnaad_leg_lag", "Records still to be moved.", |leg| leg.lag),
        (
            "fnaad_leg_running",
            "Whether the leg moves events.",
            |leg| u64::from(leg.state() == State::Running),
        ),
    ];
    let counters = counters.map(|metric| (MetricType::Counter, metric));
    let gauges = gauges.map(|metric| (MetricType::Gauge, metric));
    for (kind, (name, help, value)) in counters.into_iter().chain(gauges) {
        let mut samples = page.metric(name, kind, help);
        for (instance, leg) in &legs {
            samples.sample(&[("instance", instance), ("leg", &leg.id)], value(leg));
        }
    }
}

/// As Linux tells it; none on other systems.
async fn resident_memory() -> Option<u64> {
    let status = tokio::fs::read_to_string("/proc/self/status").await.ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
