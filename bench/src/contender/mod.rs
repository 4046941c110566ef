//! Those who copy a topic from one Kafka to another.

mod ceiling;
mod librdkafka;
mod mirror_maker;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use eson_processor::proto::Delivery;
use eson_tests::{Process, data_dir};
pub(crate) use librdkafka::copy_for_ever;
use rdkafka::consumer::BaseConsumer;

use crate::PATIENCE;
use crate::ground::Ground;
use crate::meter::{Meter, Used, peak_megabytes};
use crate::processor::{Processor, bridge, pause};
use crate::topics::{self, Original, Setting};

/// The first argument with which this program is a plain loop around librdkafka.
pub(crate) const LIBRDKAFKA: &str = "librdkafka-loop";

/// The program that is a plain loop around franz-go, beside this one.
const FRANZ_GO: &str = "franz-go-loop";

/// One who copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    AtLeastOnce,
    ExactlyOnce,
    Librdkafka,
    /// The same loop, which leaves out every other record.
    LibrdkafkaFilter,
    /// The same loop, which does not wait for company before it sends a record.
    LibrdkafkaAtOnce,
    FranzGo,
    MirrorMaker,
    /// No copy: what the destination can take, from batches in memory.
    Ceiling,
}

/// A whole topic copied.
pub(crate) struct Copied {
    pub(crate) records: u64,
    pub(crate) used: Used,
    pub(crate) peak: f64,
}

/// One who copies until it is dropped.
pub(crate) enum Copier {
    Processor(Box<Processor>),
    Program(Process),
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at least once",
            Self::ExactlyOnce => "exactly once",
            Self::Librdkafka => "librdkafka loop",
            Self::LibrdkafkaFilter => "librdkafka filter",
            Self::LibrdkafkaAtOnce => "librdkafka loop, no linger",
            Self::FranzGo => "franz-go loop",
            Self::MirrorMaker => "MirrorMaker 2",
            Self::Ceiling => "preloaded batches",
        }
    }

    /// Whether it can run here: one of them is a program in another language.
    pub(crate) fn is_there(self) -> bool {
        self != Self::FranzGo || franz_go().exists()
    }

    /// Where it puts its copy when asked for `copy`.
    fn copy_name(self, topic: &str, copy: &str) -> String {
        match self {
            Self::MirrorMaker => mirror_maker::copy_of(topic, copy),
            _ => copy.to_owned(),
        }
    }

    /// Copies all of a topic to a new one with these settings, and compares the two.
    pub(crate) fn copy_verified(
        self,
        ground: &Ground,
        original: &Original,
        copy: &str,
        settings: &[Setting],
    ) -> Copied {
        let copy = self.copy_name(&original.topic, copy);
        if self != Self::MirrorMaker {
            ground.create_copy(&copy, settings);
        }
        let copied = self.copy(ground, original, &copy);
        let written = topics::contents(&ground.destination.plaintext(), &copy);
        assert_eq!(original.contents, written, "{copy}");
        if self != Self::MirrorMaker {
            ground.delete_copy(&copy);
        }
        copied
    }

    fn copy(self, ground: &Ground, original: &Original, copy: &str) -> Copied {
        let (topic, records) = (&*original.topic, original.contents.records());
        match self {
            Self::Ceiling => ceiling::write(ground, topic, copy, original.end),
            // Starting a JVM and Connect takes longer than copying.
            Self::MirrorMaker => {
                let process = self.program(ground, topic, copy);
                let watcher = topics::watcher(&ground.destination.plaintext());
                let before = await_records(&watcher, copy, 1);
                let meter = Meter::start(process.id(), ground);
                await_records(&watcher, copy, records);
                copied(records - before, &meter, process.id())
            }
            Self::AtLeastOnce | Self::ExactlyOnce => {
                let processor = Processor::start();
                let meter = Meter::start(processor.id(), ground);
                processor.create(bridge(ground, topic, copy, self.delivery()));
                processor.await_stored(copy, original.end);
                copied(records, &meter, processor.id())
            }
            Self::Librdkafka | Self::LibrdkafkaFilter | Self::LibrdkafkaAtOnce | Self::FranzGo => {
                let watcher = topics::watcher(&ground.destination.plaintext());
                let process = self.program(ground, topic, copy);
                let meter = Meter::start(process.id(), ground);
                await_records(&watcher, copy, records);
                copied(records, &meter, process.id())
            }
        }
    }

    /// Starts to copy whatever comes.
    pub(crate) fn start(self, ground: &Ground, topic: &str, copy: &str) -> Copier {
        match self {
            Self::AtLeastOnce | Self::ExactlyOnce => {
                let processor = Processor::start();
                processor.create(bridge(ground, topic, copy, self.delivery()));
                Copier::Processor(Box::new(processor))
            }
            _ => Copier::Program(self.program(ground, topic, copy)),
        }
    }

    fn delivery(self) -> Delivery {
        match self {
            Self::ExactlyOnce => Delivery::ExactlyOnce,
            _ => Delivery::AtLeastOnce,
        }
    }

    /// Starts the program of one that is no processor.
    pub(crate) fn program(self, ground: &Ground, topic: &str, copy: &str) -> Process {
        let (from, to) = (ground.source.plaintext(), ground.destination.plaintext());
        let program = match self {
            Self::MirrorMaker => return mirror_maker::start(&from, &to, topic, copy),
            Self::FranzGo => franz_go(),
            _ => env::current_exe().unwrap(),
        };
        let mut command = Command::new(program);
        if self != Self::FranzGo {
            command.arg(LIBRDKAFKA);
        }
        command.args([&from, &to, topic, copy, codec_of(topic)]);
        command.args(match self {
            Self::LibrdkafkaFilter => Some(librdkafka::FILTER),
            Self::LibrdkafkaAtOnce => Some(librdkafka::AT_ONCE),
            _ => None,
        });
        let log = data_dir("loop").join("log");
        Process::start(self.name(), command, &log)
    }
}

impl Copier {
    pub(crate) fn id(&self) -> u32 {
        match self {
            Self::Processor(processor) => processor.id(),
            Self::Program(process) => process.id(),
        }
    }
}

/// Topics are named for what they are packed with.
pub(crate) fn codec_of(topic: &str) -> &str {
    topic.rsplit('-').next().unwrap_or("none")
}

fn franz_go() -> PathBuf {
    env::current_exe()
        .ok()
        .and_then(|program| program.parent().map(|dir| dir.join(FRANZ_GO)))
        .unwrap_or_else(|| Path::new(FRANZ_GO).to_owned())
}

fn copied(records: u64, meter: &Meter, process: u32) -> Copied {
    Copied {
        records,
        used: meter.read(),
        peak: peak_megabytes(process),
    }
}

/// Waits until a topic has so many records, and says how many there are then.
pub(crate) fn await_records(watcher: &BaseConsumer, topic: &str, wanted: u64) -> u64 {
    let began = Instant::now();
    loop {
        let count = topics::count(watcher, topic);
        if count >= wanted {
            return count;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{topic} has {count} of {wanted} records"
        );
        pause(std::time::Duration::from_millis(20));
    }
}
