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
    lag_seconds(page, &legs, participant.now());
    for metric in LEG_METRICS {
        let mut samples = page.metric(metric.name, metric.kind, metric.help);
        for (instance, leg) in &legs {
            samples.sample(
                &[("instance", instance), ("leg", &leg.id)],
                (metric.value)(leg),
            );
        }
    }
}

/// Only where it is known.
fn lag_seconds(page: &mut Exposition, legs: &[(&str, &LegStatus)], now: u64) {
    let help = "Time since the oldest event was written that is still to be moved.";
    let mut samples = page.metric("fnaad_leg_lag_seconds", MetricType::Gauge, help);
    for (instance, leg) in legs {
        if let Some(seconds) = crate::command::lag_seconds(leg, now) {
            samples.sample(&[("instance", instance), ("leg", &leg.id)], seconds);
        }
    }
}

/// What is told of each leg.
struct LegMetric {
    name: &'static str,
    kind: MetricType,
    help: &'static str,
    value: fn(&LegStatus) -> u64,
}

const LEG_METRICS: [LegMetric; 7] = [
    LegMetric {
        name: "fnaad_leg_records_total",
        kind: MetricType::Counter,
        help: "Records moved.",
        value: |leg| leg.records,
    },
    LegMetric {
        name: "fnaad_leg_bytes_total",
        kind: MetricType::Counter,
        help: "Bytes moved.",
        value: |leg| leg.bytes,
    },
    LegMetric {
        name: "fnaad_leg_lost_total",
        kind: MetricType::Counter,
        help: "Records lost at the source.",
        value: |leg| leg.lost,
    },
    LegMetric {
        name: "fnaad_leg_dead_letters_total",
        kind: MetricType::Counter,
        help: "Events that went to the dead-letter flow.",
        value: |leg| leg.dead_letters,
    },
    LegMetric {
        name: "fnaad_leg_unknown_schemas_total",
        kind: MetricType::Counter,
        help: "Events that passed with a schema id that is unknown.",
        value: |leg| leg.unknown_schemas,
    },
    LegMetric {
        name: "fnaad_leg_lag_records",
        kind: MetricType::Gauge,
        help: "Records still to be moved.",
        value: |leg| leg.lag,
    },
    LegMetric {
        name: "fnaad_leg_running",
        kind: MetricType::Gauge,
        help: "Whether the leg moves events.",
        value: |leg| u64::from(leg.state() == State::Running),
    },
];

/// As Linux tells it; none on other systems.
async fn resident_memory() -> Option<u64> {
    let status = tokio::fs::read_to_string("/proc/self/status").await.ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
