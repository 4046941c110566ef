//! What is counted. Everything is read when it is asked for: nothing is kept for it.

use std::collections::BTreeMap;

use eson_processor::proto::LegStatus;

use super::exposition::{Exposition, MetricType};
use super::inventory::Inventory;
use super::legs::{Leg, legs};
use super::process::{Usage, usage};
use crate::command::{LEG_STATES, lag_seconds};
use crate::resource::Condition;
use crate::runtime::Runtime;
use crate::session::Service;
use crate::store::{Resource, StoreError, Stored};

/// A page of metrics.
pub(super) async fn scrape(service: &Service) -> Result<String, StoreError> {
    let mut page = Exposition::default();
    let help = "The version, as a label.";
    page.metric("fnaad_build_info", MetricType::Gauge, help)
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let help = "FNAP connections that are open.";
    page.metric("fnaad_sessions", MetricType::Gauge, help)
        .sample(&[], service.admission.count());
    let participant = &service.participant;
    let inventory = Inventory::read(participant).await?;
    write_resources(&mut page, &inventory);
    let statuses = participant.runtime.statuses();
    write_legs(&mut page, &legs(&inventory, &statuses), participant.now());
    write_processors(&mut page, participant.runtime.as_ref()).await;
    write_process(&mut page).await;
    Ok(page.finish())
}

/// How many resources there are, by kind and by how far they are what they are to be.
fn write_resources(page: &mut Exposition, inventory: &Inventory) {
    let counts = [
        count(&inventory.namespaces, |it| &it.status.condition),
        count(&inventory.flows, |it| &it.status.condition),
        count(&inventory.subscribers, |it| &it.status.condition),
        count(&inventory.subscriptions, |it| &it.status.condition),
        count(&inventory.processors, |it| &it.status.condition),
    ];
    let help = "Resources, by kind and state.";
    let mut samples = page.metric("fnaad_resources", MetricType::Gauge, help);
    for (kind, states) in counts {
        for (state, count) in states {
            samples.sample(&[("kind", kind), ("state", state)], count);
        }
    }
}

fn count<R: Resource>(
    resources: &[Stored<R>],
    condition: fn(&R) -> &Condition,
) -> (&'static str, BTreeMap<&'static str, u64>) {
    let states = ["ready", "pending", "failed", "deleting"];
    let mut counts = BTreeMap::from(states.map(|state| (state, 0)));
    for stored in resources {
        let condition = condition(&stored.resource);
        let state = match &condition.failure {
            _ if stored.deleting => "deleting",
            Some(failure) if !failure.is_transient() => "failed",
            None if condition.ready > 0 => "ready",
            _ => "pending",
        };
        *counts.entry(state).or_default() += 1;
    }
    (R::KIND.as_str(), counts)
}

fn write_legs(page: &mut Exposition, legs: &[Leg<'_>], now: u64) {
    write_states(page, legs);
    for metric in LEG_METRICS {
        let mut samples = page.metric(metric.name, metric.kind, metric.help);
        for leg in legs {
            if let Some(told) = leg.told {
                samples.sample(&leg.labels(), (metric.value)(told));
            }
        }
    }
    write_lag_seconds(page, legs, now);
    write_positions(page, legs);
}

/// Each leg has a sample of each state, of which one is 1.
fn write_states(page: &mut Exposition, legs: &[Leg<'_>]) {
    let help = "Whether the leg is in this state.";
    let mut samples = page.metric("fnaad_leg_state", MetricType::Gauge, help);
    for leg in legs {
        for state in LEG_STATES {
            let value = u8::from(leg.state == state);
            samples.sample(&with(leg, "state", state), value);
        }
    }
}

/// Only where it is known.
fn write_lag_seconds(page: &mut Exposition, legs: &[Leg<'_>], now: u64) {
    let help = "Time since the oldest event was written that is still to be moved.";
    let mut samples = page.metric("fnaad_leg_lag_seconds", MetricType::Gauge, help);
    for leg in legs {
        if let Some(seconds) = leg.told.and_then(|told| lag_seconds(told, now)) {
            samples.sample(&leg.labels(), seconds);
        }
    }
}

fn write_positions(page: &mut Exposition, legs: &[Leg<'_>]) {
    let help = "The offset of the source behind the last record stored at the destination.";
    let mut samples = page.metric("fnaad_leg_position", MetricType::Gauge, help);
    for leg in legs {
        let stored = leg.told.iter().flat_map(|told| &told.stored);
        for (partition, offset) in stored.collect::<BTreeMap<_, _>>() {
            let partition = partition.to_string();
            samples.sample(&with(leg, "partition", &partition), offset);
        }
    }
}

/// What each process of flow processors uses.
async fn write_processors(page: &mut Exposition, runtime: &dyn Runtime) {
    let mut used = Vec::new();
    for (shard, process) in runtime.processes() {
        let usage = usage(&process.to_string()).await;
        used.extend(usage.map(|usage| (shard, usage)));
    }
    let help = "Memory of a process of flow processors that is in RAM.";
    let name = "fnaad_processor_resident_memory_bytes";
    let mut samples = page.metric(name, MetricType::Gauge, help);
    for (shard, usage) in &used {
        samples.sample(&[("shard", shard)], usage.resident_bytes);
    }
    let help = "Time that a process of flow processors has computed.";
    let name = "fnaad_processor_cpu_seconds_total";
    let mut samples = page.metric(name, MetricType::Counter, help);
    for (shard, usage) in &used {
        samples.sample(&[("shard", shard)], usage.cpu_seconds);
    }
}

/// What fnaad itself uses.
async fn write_process(page: &mut Exposition) {
    let Some(Usage {
        resident_bytes,
        cpu_seconds,
    }) = usage("self").await
    else {
        return;
    };
    let help = "Memory of the process that is in RAM.";
    page.metric("process_resident_memory_bytes", MetricType::Gauge, help)
        .sample(&[], resident_bytes);
    let help = "Time that the process has computed.";
    page.metric("process_cpu_seconds_total", MetricType::Counter, help)
        .sample(&[], cpu_seconds);
}

/// A leg's labels and one more.
fn with<'a>(leg: &'a Leg<'_>, name: &'static str, value: &'a str) -> [(&'static str, &'a str); 5] {
    let [kind, of, source, destination] = leg.labels();
    [kind, of, source, destination, (name, value)]
}

/// What is told of each leg.
struct LegMetric {
    name: &'static str,
    kind: MetricType,
    help: &'static str,
    value: fn(&LegStatus) -> u64,
}

const LEG_METRICS: [LegMetric; 8] = [
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
        name: "fnaad_leg_crowded_out_total",
        kind: MetricType::Counter,
        help: "Events that fell out of a signal's windows early.",
        value: |leg| leg.crowded_out,
    },
    LegMetric {
        name: "fnaad_leg_lag_records",
        kind: MetricType::Gauge,
        help: "Records still to be moved.",
        value: |leg| leg.lag,
    },
    LegMetric {
        name: "fnaad_leg_held_back",
        kind: MetricType::Gauge,
        help: "Whether a rate holds the leg back.",
        value: |leg| u64::from(leg.held_back),
    },
];
