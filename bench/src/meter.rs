//! What a process has used, as the kernel counts it.

use std::fs;
use std::time::{Duration, Instant};

use crate::ground::Ground;

/// The kernel's clock ticks a second: `USER_HZ`, the same on every Linux.
const TICKS: f64 = 100.0;

/// The processor time that a process has used so far, in seconds.
pub(crate) fn cpu_seconds(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS
}

/// The most memory that a process has ever occupied, in MB.
pub(crate) fn peak_megabytes(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: f64 = line.split_whitespace().next().unwrap().parse().unwrap();
    kib * 1024.0 / 1e6
}

/// What a stretch of work took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) wall: Duration,
    pub(crate) cpu: f64,
    pub(crate) source_broker: f64,
    pub(crate) destination_broker: f64,
}

/// Measures a process and two brokers from now on.
pub(crate) struct Meter {
    ids: [u32; 3],
    before: [f64; 3],
    began: Instant,
}

impl Meter {
    pub(crate) fn start(process: u32, ground: &Ground) -> Self {
        let ids = [process, ground.source.id(), ground.destination.id()];
        Self {
            ids,
            before: ids.map(cpu_seconds),
            began: Instant::now(),
        }
    }

    pub(crate) fn read(&self) -> Used {
        let now = self.ids.map(cpu_seconds);
        let used = |at: usize| now[at] - self.before[at];
        Used {
            wall: self.began.elapsed(),
            cpu: used(0),
            source_broker: used(1),
            destination_broker: used(2),
        }
    }
}

/// The middle of the values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
