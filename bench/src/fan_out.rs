//! A distributor: one topic to many copies.

use eson_processor::proto::Delivery;

use crate::ground::Ground;
use crate::meter::{Meter, Used, peak_megabytes};
use crate::processor::{Processor, fan_out};
use crate::topics::{self, Load};

const RECORDS: u32 = 500_000;
const COPIES: [usize; 3] = [1, 10, 50];

pub(crate) fn measure() {
    println!("\n## Distributor\n");
    println!(
        "{RECORDS} JSON records of {} bytes, lz4, {} partitions, at least once; every copy is verified.\n",
        topics::RECORD_BYTES,
        topics::PARTITIONS
    );
    println!(
        "| copies | CPU s per million and copy | wall s | source broker's CPU s | source sends MB | destination broker's CPU s | peak MB |"
    );
    println!("|---|---|---|---|---|---|---|");
    let ground = Ground::start();
    let topic = "orders-lz4";
    Load::new("lz4", RECORDS).write(&ground.source.plaintext(), topic);
    let original = topics::contents(&ground.source.plaintext(), topic);
    for count in COPIES {
        let copies: Vec<_> = (0..count)
            .map(|copy| format!("copy-{count}-{copy}"))
            .collect();
        copies.iter().for_each(|copy| ground.create_copy(copy, &[]));
        let (used, peak) = distribute(&ground, topic, &copies);
        for copy in &copies {
            let written = topics::contents(&ground.destination.plaintext(), copy);
            assert_eq!(original, written, "{copy}");
        }
        let millions = f64::from(RECORDS) / 1e6 * count as f64;
        println!(
            "| {count} | {:.3} | {:.2} | {:.2} | {:.0} | {:.2} | {peak:.0} |",
            used.cpu / millions,
            used.wall.as_secs_f64(),
            used.source_broker,
            used.sent_by_source,
            used.destination_broker
        );
    }
}

fn distribute(ground: &Ground, topic: &str, copies: &[String]) -> (Used, f64) {
    let processor = Processor::start();
    let meter = Meter::start(processor.id(), ground);
    let spec = fan_out(ground, topic, "fan-out", copies, Delivery::AtLeastOnce);
    processor.create(spec);
    processor.await_stored("fan-out", u64::from(RECORDS));
    (meter.read(), peak_megabytes(processor.id()))
}
