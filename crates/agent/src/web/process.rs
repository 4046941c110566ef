//! What a process uses, as Linux tells it.

use rustix::param::{clock_ticks_per_second, page_size};

/// What a process uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usage {
    /// Its memory that is in RAM.
    pub(super) resident_bytes: u64,
    /// The time that all of its threads have computed so far.
    pub(super) cpu_seconds: f64,
}

/// The units that the system counts in.
#[derive(Clone, Copy, Debug)]
struct Units {
    page_bytes: u64,
    ticks_per_second: u64,
}

/// What a process uses that is named as in `/proc`; none where it is gone, and on other systems.
pub(super) async fn usage(process: &str) -> Option<Usage> {
    let stat = tokio::fs::read_to_string(format!("/proc/{process}/stat"));
    let units = Units {
        page_bytes: page_size() as u64,
        ticks_per_second: clock_ticks_per_second(),
    };
    read(&stat.await.ok()?, units)
}

/// Reads the line of proc_pid_stat(5). The program's name, its second field, may have spaces and
/// brackets in it.
fn read(stat: &str, units: Units) -> Option<Usage> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let fields: Vec<_> = behind_name.split_ascii_whitespace().collect();
    // The third field, as the manual counts, is the first here.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = field(14)? + field(15)?;
    Some(Usage {
        resident_bytes: field(24)? * units.page_bytes,
        cpu_seconds: ticks as f64 / units.ticks_per_second as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNITS: Units = Units {
        page_bytes: 4096,
        ticks_per_second: 100,
    };

    #[test]
    fn reads_memory_and_time_behind_any_name() {
        let stat = "2271 (a (strange) name) S 1 2271 2271 0 -1 4194304 908 0 3 0 \
                    1234 66 7 8 20 0 4 0 6187 1187766272 2500 18446744073709551615 1 1 0";
        let usage = Usage {
            resident_bytes: 10_240_000,
            cpu_seconds: 13.0,
        };
        assert_eq!(read(stat, UNITS), Some(usage));
        assert_eq!(read("2271 (cut off) S 1 2271", UNITS), None);
    }

    #[tokio::test]
    async fn tells_of_this_process() {
        let usage = usage("self").await.expect("Linux");
        assert!(usage.resident_bytes > 0 && usage.cpu_seconds >= 0.0);
    }
}
