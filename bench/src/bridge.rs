//! A bridge between two Kafkas, beside others on the same topic in the same run.

use crate::contender::{Contender, Copied};
use crate::ground::Ground;
use crate::meter::median;
use crate::topics::{self, Load, Original};

const RECORDS: u32 = 2_000_000;
const ROUNDS: usize = 3;

/// Who copies in each round. Bridges take a second or two, and the kernel takes up to three times as
/// long for the same copying from one time to the next: their medians need more copies than those of
/// who takes longer. MirrorMaker comes behind them: it starts for longer than the others copy.
const EACH_ROUND: [Contender; 12] = [
    Contender::AtLeastOnce,
    Contender::ExactlyOnce,
    Contender::Ceiling,
    Contender::Librdkafka,
    Contender::AtLeastOnce,
    Contender::ExactlyOnce,
    Contender::Ceiling,
    Contender::FranzGo,
    Contender::AtLeastOnce,
    Contender::ExactlyOnce,
    Contender::AtLeastOnce,
    Contender::ExactlyOnce,
];

/// The order in which they are told of.
const COLUMNS: [Contender; 5] = [
    Contender::AtLeastOnce,
    Contender::ExactlyOnce,
    Contender::Librdkafka,
    Contender::FranzGo,
    Contender::Ceiling,
];

/// A contender's copies.
pub(crate) struct Column {
    pub(crate) contender: Contender,
    pub(crate) copies: Vec<Copied>,
}

pub(crate) fn measure() {
    println!("\n## Bridge between two Kafkas\n");
    println!(
        "{RECORDS} JSON records of {} bytes, {} partitions, acks=all. Medians of {ROUNDS} interleaved",
        topics::RECORD_BYTES,
        topics::PARTITIONS
    );
    println!(
        "copies, of bridges {} and of preloaded batches {}, each verified by a hash of every partition.",
        4 * ROUNDS,
        2 * ROUNDS
    );
    println!("MirrorMaker's figures are of its copy phase: from the first record on.");
    for codec in ["lz4", "none"] {
        measure_codec(codec);
    }
}

fn measure_codec(codec: &str) {
    let ground = Ground::start();
    let topic = format!("orders-{codec}");
    Load::new(codec, RECORDS).write(&ground.source.plaintext(), &topic);
    let original = Original::read(&ground.source.plaintext(), &topic);
    let there = COLUMNS.into_iter().filter(|contender| contender.is_there());
    let mut columns: Vec<_> = there.map(Column::new).collect();
    // The brokers' compilers have not seen any of this yet: the first round does not count.
    for round in 0..=ROUNDS {
        for (turn, contender) in EACH_ROUND.into_iter().enumerate() {
            let mut columns = columns.iter_mut();
            let Some(column) = columns.find(|column| column.contender == contender) else {
                continue;
            };
            let copy = format!("{topic}-{contender:?}-{round}-{turn}");
            let copied = contender.copy_verified(&ground, &original, &copy, &[]);
            if round > 0 {
                column.copies.push(copied);
            }
        }
    }
    let mut mirror = Column::new(Contender::MirrorMaker);
    for round in 1..=ROUNDS {
        let alias = format!("source{round}");
        let mirrored = Contender::MirrorMaker.copy_verified(&ground, &original, &alias, &[]);
        mirror.copies.push(mirrored);
    }
    columns.push(mirror);
    print_table(codec, &columns);
}

impl Column {
    pub(crate) fn new(contender: Contender) -> Self {
        Self {
            contender,
            copies: Vec::new(),
        }
    }

    pub(crate) fn median(&self, value: fn(&Copied) -> f64) -> f64 {
        median(self.copies.iter().map(value).collect())
    }
}

pub(crate) type Row = (&'static str, fn(&Copied) -> f64, usize);

pub(crate) const RATE: Row = (
    "records/s",
    |it| it.records as f64 / it.used.wall.as_secs_f64(),
    0,
);

pub(crate) const CPU: Row = (
    "CPU seconds per million records",
    |it| it.used.cpu / millions(it),
    3,
);

pub(crate) const DESTINATION_CPU: Row = (
    "destination broker's CPU per million",
    |it| it.used.destination_broker / millions(it),
    2,
);

const ROWS: [Row; 7] = [
    RATE,
    ("wall seconds", |it| it.used.wall.as_secs_f64(), 2),
    CPU,
    (
        "source broker's CPU per million",
        |it| it.used.source_broker / millions(it),
        2,
    ),
    DESTINATION_CPU,
    ("peak MB", |it| it.peak, 0),
    ("stolen seconds", |it| it.used.stolen, 2),
];

fn print_table(codec: &str, columns: &[Column]) {
    println!("\n### {codec}\n");
    let names: Vec<_> = columns
        .iter()
        .map(|column| column.contender.name())
        .collect();
    println!("| | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(columns.len()));
    for (name, value, digits) in ROWS {
        let cells = columns.iter().map(|column| column.median(value));
        let cells: Vec<_> = cells.map(|cell| format!("{cell:.digits$}")).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
    let ours = columns[0].median(CPU.1);
    let ratios = columns.iter().map(|column| column.median(CPU.1) / ours);
    let ratios: Vec<_> = ratios.map(|ratio| format!("{ratio:.1}")).collect();
    println!("| CPU, times the first | {} |", ratios.join(" | "));
}

fn millions(copied: &Copied) -> f64 {
    copied.records as f64 / 1e6
}
