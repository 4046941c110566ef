//! What a process has used, as the kernel counts it.

use std::fs;
use std::time::{Duration, Instant};

use crate::ground::Ground;

/// The kernel's clock ticks a second: `USER_HZ`, the same on every Linux.
const TICKS: f64 = 100.0;

/// What the threads of a JVM are called that compile what it does often.
const COMPILERS: [&str; 2] = ["C1 CompilerThre", "C2 CompilerThre"];

/// The processor time that a process has used so far, in seconds.
pub(crate) fn cpu_seconds(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    cpu_of(&stat)
}

/// By the text of a `stat` file of a process or thread.
fn cpu_of(stat: &str) -> f64 {
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS
}

/// The processor time that a JVM's compilers have used so far, in seconds.
fn compiler_seconds(id: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{id}/task")).unwrap();
    let stats = threads.filter_map(|thread| {
        // One that has ended meanwhile has nothing to tell any more.
        fs::read_to_string(thread.unwrap().path().join("stat")).ok()
    });
    let is_compiler = |stat: &String| COMPILERS.iter().any(|name| stat.contains(name));
    stats.filter(is_compiler).map(|stat| cpu_of(&stat)).sum()
}

/// The octets that a process has written so far, to files and sockets.
fn written(id: u32) -> f64 {
    let counters = fs::read_to_string(format!("/proc/{id}/io")).unwrap();
    value(&counters, "wchar:")
}

/// The processor time, of all cores together, that the machine wanted and its host gave to others,
/// in seconds.
fn stolen_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let fields: Vec<&str> = stat.lines().next().unwrap().split_whitespace().collect();
    fields[8].parse::<f64>().unwrap() / TICKS
}

/// The most memory that a process has ever occupied, in MB.
pub(crate) fn peak_megabytes(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    value(&status, "VmHWM:") * 1024.0 / 1e6
}

/// The number behind a name at the beginning of a line.
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.unwrap().split_whitespace().next().unwrap();
    number.parse().unwrap()
}

/// What a stretch of work took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) wall: Duration,
    pub(crate) cpu: f64,
    pub(crate) source_broker: f64,
    pub(crate) destination_broker: f64,
    /// Of the destination broker's processor time: a JVM goes on compiling for minutes.
    pub(crate) destination_compilers: f64,
    /// The MB that the source's broker has sent, if it has written nothing to its disk.
    pub(crate) sent_by_source: f64,
    /// What the machine's host gave to others meanwhile.
    pub(crate) stolen: f64,
}

/// Measures a process and two brokers from now on.
pub(crate) struct Meter {
    process: u32,
    source: u32,
    destination: u32,
    began: Instant,
    before: Used,
}

impl Meter {
    pub(crate) fn start(process: u32, ground: &Ground) -> Self {
        let (source, destination) = (ground.source.id(), ground.destination.id());
        Self {
            process,
            source,
            destination,
            before: so_far(process, source, destination),
            began: Instant::now(),
        }
    }

    pub(crate) fn read(&self) -> Used {
        let (now, before) = (
            so_far(self.process, self.source, self.destination),
            self.before,
        );
        Used {
            wall: self.began.elapsed(),
            cpu: now.cpu - before.cpu,
            source_broker: now.source_broker - before.source_broker,
            destination_broker: now.destination_broker - before.destination_broker,
            destination_compilers: now.destination_compilers - before.destination_compilers,
            sent_by_source: now.sent_by_source - before.sent_by_source,
            stolen: now.stolen - before.stolen,
        }
    }
}

fn so_far(process: u32, source: u32, destination: u32) -> Used {
    Used {
        wall: Duration::ZERO,
        cpu: cpu_seconds(process),
        source_broker: cpu_seconds(source),
        destination_broker: cpu_seconds(destination),
        destination_compilers: compiler_seconds(destination),
        sent_by_source: written(source) / 1e6,
        stolen: stolen_seconds(),
    }
}

/// The middle of the values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
