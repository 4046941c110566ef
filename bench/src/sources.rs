//! A bridge from sources of other kinds, as they lie in brokers: small batches, batches that the
//! destination doesn't take as they are, logs that are compacted.

use std::time::Instant;

use crate::PATIENCE;
use crate::bridge::{CPU, Column, DESTINATION_CPU, RATE, Row};
use crate::contender::Contender;
use crate::ground::Ground;
use crate::processor::pause;
use crate::topics::{self, Load, Original, Setting};

const RECORDS: u32 = 500_000;
const ROUNDS: usize = 3;

const CONTENDERS: [Contender; 3] = [
    Contender::AtLeastOnce,
    Contender::ExactlyOnce,
    Contender::Librdkafka,
];

const ROWS: [Row; 3] = [CPU, DESTINATION_CPU, RATE];

/// A kind of source.
struct Source {
    name: &'static str,
    load: Load<'static>,
    /// What is set for its copies.
    copy: &'static [Setting],
}

/// As the bridge's own section has it: what the others are compared with.
const LARGE: Source = Source {
    name: "batches of 128 KiB",
    load: Load::new("lz4", RECORDS),
    copy: &[],
};

fn sources() -> [Source; 7] {
    [
        LARGE,
        Source {
            name: "batches of 16 KiB",
            load: Load {
                producer: &[("batch.size", "16384")],
                ..LARGE.load
            },
            ..LARGE
        },
        Source {
            name: "batches of one record",
            load: Load {
                producer: &[("batch.num.messages", "1")],
                ..LARGE.load
            },
            ..LARGE
        },
        Source {
            name: "LogAppendTime at the source",
            load: Load {
                topic: &[APPEND_TIME],
                ..LARGE.load
            },
            ..LARGE
        },
        Source {
            name: "LogAppendTime at the destination",
            copy: &[APPEND_TIME],
            ..LARGE
        },
        Source {
            name: "compacted: of each batch every other record is left",
            load: Load {
                repeats: true,
                topic: COMPACTED,
                ..LARGE.load
            },
            ..LARGE
        },
        Source {
            name: "batches of 1 MB, where the destination takes 256 KiB",
            load: Load {
                producer: &[("batch.size", "1000000"), ("linger.ms", "100")],
                ..LARGE.load
            },
            copy: &[("max.message.bytes", "262144")],
        },
    ]
}

const APPEND_TIME: Setting = ("message.timestamp.type", "LogAppendTime");

const COMPACTED: &[Setting] = &[
    ("cleanup.policy", "compact"),
    ("segment.bytes", "2097152"),
    ("min.cleanable.dirty.ratio", "0.01"),
];

pub(crate) fn measure() {
    println!("\n## Bridge from sources of other kinds\n");
    println!(
        "{RECORDS} JSON records of {} bytes, lz4, {} partitions; medians of {ROUNDS} interleaved copies, each verified.\n",
        topics::RECORD_BYTES,
        topics::PARTITIONS
    );
    let ground = Ground::start();
    let mut measured = vec![];
    for (number, source) in sources().into_iter().enumerate() {
        let topic = format!("orders-{number}-lz4");
        source.load.write(&ground.source.plaintext(), &topic);
        if source.load.repeats {
            await_compaction(&ground.source.plaintext(), &topic);
        }
        let original = Original::read(&ground.source.plaintext(), &topic);
        measured.push((source.name, copies(&ground, &original, source.copy)));
    }
    ROWS.iter().for_each(|row| print_table(*row, &measured));
}

/// Until each partition has lost a third of its records: of those that may go, a half, the ones in the
/// segment that is written to are left alone.
fn await_compaction(server: &str, topic: &str) {
    let began = Instant::now();
    let most = u64::from(RECORDS) / 4 * 2 / 3;
    let is_compacted = |counts: Vec<u64>| counts.into_iter().all(|count| count < most);
    while !is_compacted(topics::contents(server, topic).counts) {
        assert!(began.elapsed() < PATIENCE, "{topic} is not compacted");
        pause(std::time::Duration::from_secs(2));
    }
}

fn copies(ground: &Ground, original: &Original, settings: &[Setting]) -> [Column; 3] {
    let mut columns = CONTENDERS.map(Column::new);
    // The first round does not count: the brokers' compilers have not seen this yet.
    for round in 0..=ROUNDS {
        for column in &mut columns {
            let copy = format!("{}-{:?}-{round}", original.topic, column.contender);
            let copied = column
                .contender
                .copy_verified(ground, original, &copy, settings);
            if round > 0 {
                column.copies.push(copied);
            }
        }
    }
    columns
}

fn print_table((title, value, digits): Row, measured: &[(&str, [Column; 3])]) {
    let names = CONTENDERS.map(Contender::name).join(" | ");
    println!("\n| {title} | {names} |\n|---|---|---|---|");
    for (name, columns) in measured {
        let cells = columns.each_ref().map(|column| column.median(value));
        let cells = cells.map(|cell| format!("{cell:.digits$}")).join(" | ");
        println!("| {name} | {cells} |");
    }
}
