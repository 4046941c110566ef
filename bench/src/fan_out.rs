//! A distributor: one topic to many copies.

use eson_processor::proto::Delivery;

use crate::ground::Ground;
use crate::meter::{Meter, Used, median, peak_megabytes};
use crate::processor::{Processor, fan_out};
use crate::topics::{self, Contents, Load};

const RECORDS: u32 = 500_000;

/// How many copies are made at once, and how often in each round: the clock's ticks are a tenth of what
/// a single copy takes, and a hundredth of what ten take.
const COPIES: [(usize, usize); 3] = [(1, 4), (10, 2), (50, 1)];

/// Behind a first one, for which the brokers are not warmed up.
const ROUNDS: usize = 3;

/// What one distributor took, and its peak memory in MB.
struct Distributed {
    used: Used,
    peak: f64,
}

pub(crate) fn measure() {
    println!("\n## Distributor\n");
    println!(
        "{RECORDS} JSON records of {} bytes, lz4, {} partitions, at least once; every copy is verified. Medians of {ROUNDS} rounds.\n",
        topics::RECORD_BYTES,
        topics::PARTITIONS
    );
    let ground = Ground::start();
    let topic = "orders-lz4";
    Load::new("lz4", RECORDS).write(&ground.source.plaintext(), topic);
    let original = topics::contents(&ground.source.plaintext(), topic);
    let mut distributed = COPIES.map(|_| Vec::new());
    for round in 0..=ROUNDS {
        for ((count, times), done) in COPIES.into_iter().zip(&mut distributed) {
            for time in 0..times {
                let name = |copy| format!("copy-{round}-{count}-{time}-{copy}");
                let copies: Vec<_> = (0..count).map(name).collect();
                let one = distribute_verified(&ground, topic, &original, &copies);
                done.extend((round > 0).then_some(one));
            }
        }
    }
    print_table(&distributed);
}

fn print_table(distributed: &[Vec<Distributed>]) {
    println!(
        "| copies | CPU s per million and copy | least | most | wall s | source broker's CPU s | source sends MB | destination broker's CPU s | peak MB | stolen s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for ((count, _), done) in COPIES.into_iter().zip(distributed) {
        let millions = f64::from(RECORDS) / 1e6 * count as f64;
        let all = |value: fn(&Distributed) -> f64| done.iter().map(value).collect::<Vec<_>>();
        let middle = |value| median(all(value));
        let mut cpu = all(|it| it.used.cpu);
        cpu.sort_by(f64::total_cmp);
        println!(
            "| {count} | {:.3} | {:.3} | {:.3} | {:.2} | {:.2} | {:.0} | {:.2} | {:.0} | {:.2} |",
            middle(|it| it.used.cpu) / millions,
            cpu[0] / millions,
            cpu[cpu.len() - 1] / millions,
            middle(|it| it.used.wall.as_secs_f64()),
            middle(|it| it.used.source_broker),
            middle(|it| it.used.sent_by_source),
            middle(|it| it.used.destination_broker),
            middle(|it| it.peak),
            middle(|it| it.used.stolen),
        );
    }
}

fn distribute_verified(
    ground: &Ground,
    topic: &str,
    original: &Contents,
    copies: &[String],
) -> Distributed {
    copies.iter().for_each(|copy| ground.create_copy(copy, &[]));
    let distributed = distribute(ground, topic, copies);
    for copy in copies {
        let written = topics::contents(&ground.destination.plaintext(), copy);
        assert_eq!(*original, written, "{copy}");
        ground.delete_copy(copy);
    }
    distributed
}

fn distribute(ground: &Ground, topic: &str, copies: &[String]) -> Distributed {
    let processor = Processor::start();
    let meter = Meter::start(processor.id(), ground);
    let spec = fan_out(ground, topic, "fan-out", copies, Delivery::AtLeastOnce);
    processor.create(spec);
    processor.await_stored("fan-out", u64::from(RECORDS));
    Distributed {
        used: meter.read(),
        peak: peak_megabytes(processor.id()),
    }
}
