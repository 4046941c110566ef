//! What a processor does with the events of its sources, and what comes of them.

use std::collections::{BTreeMap, BTreeSet};

use eson_broker::partition_of_key;
use eson_processor::SOURCE_FLOW;
use eson_processor::proto::signal::Program;
use eson_processor::proto::{Endpoint, Leg, ProcessorType, Signal, Spec, Window};
use eson_tests::records::Sample;

use super::events::{PARTITIONS, Source, origin};

/// A signal's program with windows: which events one has, to all destinations.
const LIST: &str = "map([.sourceflow, .data.n]) | sort";

/// How long windows are, in milliseconds: some end while events flow.
const WINDOW: i64 = 20;

/// What a processor does with the events of its sources.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Copies one source to one destination.
    Bridge,
    /// Copies many sources to one destination, and tells them apart there.
    Collector,
    /// Copies one source to many destinations.
    Distributor,
    /// Makes new events of those of many sources, for many destinations.
    Signal,
    /// The same of tumbling windows, in which the events of all sources are.
    Windows,
}

/// The queues that a processor works between.
pub(crate) struct Queues {
    pub(crate) sources: Vec<Endpoint>,
    pub(crate) destinations: Vec<Endpoint>,
    pub(crate) dead_letters: Endpoint,
}

impl Work {
    pub(crate) fn sources(self) -> usize {
        match self {
            Self::Bridge | Self::Distributor => 1,
            Self::Signal | Self::Windows => 2,
            Self::Collector => 3,
        }
    }

    pub(crate) fn destinations(self) -> usize {
        match self {
            Self::Bridge | Self::Collector => 1,
            Self::Signal | Self::Windows => 2,
            Self::Distributor => 3,
        }
    }

    /// The instance `instance` that does it, with legs like `leg`, whose id theirs begin with.
    pub(crate) fn spec(self, queues: Queues, leg: &Leg) -> Spec {
        let copied = match self {
            Self::Signal | Self::Windows => &[],
            _ => &queues.destinations[..],
        };
        let ways = queues.sources.len().max(copied.len());
        let leg = |number: usize| Leg {
            id: format!("{}-{number}", leg.id),
            source: number.min(queues.sources.len() - 1) as u32,
            destination: copied.get(number).or(copied.first()).cloned(),
            ..leg.clone()
        };
        Spec {
            id: "instance".to_owned(),
            r#type: self.processor_type().into(),
            legs: (0..ways).map(leg).collect(),
            annotate: matches!(self, Self::Collector),
            signal: self.signal(&queues),
            sources: queues.sources,
            ..Default::default()
        }
    }

    fn processor_type(self) -> ProcessorType {
        match self {
            Self::Bridge => ProcessorType::Bridge,
            Self::Collector => ProcessorType::Collector,
            Self::Distributor => ProcessorType::Distributor,
            Self::Signal | Self::Windows => ProcessorType::Signal,
        }
    }

    fn signal(self, queues: &Queues) -> Option<Signal> {
        let (program, window) = match self {
            Self::Signal => (pass_and_make(&queues.destinations), None),
            Self::Windows => (LIST.to_owned(), Some(window())),
            Self::Bridge | Self::Collector | Self::Distributor => return None,
        };
        Some(Signal {
            destinations: queues.destinations.clone(),
            dead_letters: Some(queues.dead_letters.clone()),
            program: Some(Program::Jq(program)),
            window,
            ..Default::default()
        })
    }

    /// How many of so many events may be dead letters: those that a broker which stands still has
    /// for so long that their windows have ended.
    pub(crate) fn most_late(self, events: usize) -> usize {
        match self {
            Self::Windows => events / 2,
            _ => 0,
        }
    }

    /// What has to be at a destination when some events are dead letters.
    pub(crate) fn expected(
        self,
        destination: usize,
        sources: &[Source],
        dead: &[Sample],
    ) -> Vec<Sample> {
        let of_each = |made: fn(&Source) -> Vec<Sample>| sources.iter().flat_map(made).collect();
        match (self, destination) {
            (Self::Windows, _) => listed(sources, dead),
            (Self::Signal, 1..) => of_each(made_of),
            (Self::Collector, _) => of_each(annotated),
            _ => of_each(|source| source.events.clone()),
        }
    }

    /// What has arrived at a destination, as it is expected there.
    pub(crate) fn seen(self, destination: usize, mut arrived: Vec<Sample>) -> Vec<Sample> {
        match (self, destination) {
            (Self::Signal, 1..) => arrived.iter_mut().for_each(forget_attributes),
            (Self::Windows, _) => {
                arrived.iter_mut().for_each(forget_attributes);
                // The legs end windows by turns, each with a writer of its own.
                arrived.sort_by(|one, other| in_windows_order(one).cmp(&in_windows_order(other)));
            }
            _ => {}
        }
        arrived
    }
}

/// A signal's program: each event goes on as it came to one destination, and two others are made of
/// every third for the other destination.
fn pass_and_make(destinations: &[Endpoint]) -> String {
    let [passed, made] = [0, 1].map(|number| &destinations[number].flow);
    let two = "select(.data.n % 3 == 0) | [.data.n, 0], [.data.n, 1]";
    format!("to(\"{passed}\"), ({two} | to(\"{made}\"))")
}

/// What [`pass_and_make`] makes of a source's events.
fn made_of(source: &Source) -> Vec<Sample> {
    let thirds = source.events.iter().enumerate().step_by(3);
    let made = thirds.flat_map(|(number, event)| {
        [0, 1].map(|part| Sample {
            value: Some(format!("[{number},{part}]").into_bytes()),
            ..event.clone()
        })
    });
    made.collect()
}

fn annotated(source: &Source) -> Vec<Sample> {
    let from = source.topic.clone().into_bytes();
    let header = (SOURCE_FLOW.to_owned(), Some(from));
    let mut events = source.events.clone();
    let headers = events.iter_mut().map(|event| &mut event.headers);
    headers.for_each(|headers| headers.push(header.clone()));
    events
}

/// A new event is a CloudEvent; what it has beside is from the one that it was made of.
fn forget_attributes(sample: &mut Sample) {
    let is_attribute = |name: &str| name.starts_with("ce_") || name == "content-type";
    sample.headers.retain(|(name, _)| !is_attribute(name));
}

fn in_windows_order(sample: &Sample) -> (i64, &Option<Vec<u8>>) {
    (sample.timestamp, &sample.key)
}

fn window() -> Window {
    Window {
        length_ms: WINDOW.unsigned_abs(),
        tumbling: true,
        by: String::new(),
        state: "windows".to_owned(),
    }
}

/// What [`LIST`] says of all windows, in the order of [`in_windows_order`]: each event is in its window,
/// or it is a dead letter.
fn listed(sources: &[Source], dead: &[Sample]) -> Vec<Sample> {
    let dead: BTreeSet<_> = dead.iter().map(origin).collect();
    let mut windows: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for source in sources {
        let numbered = source.events.iter().enumerate();
        for (number, event) in numbered.filter(|(_, event)| !dead.contains(&origin(event))) {
            let end = (event.timestamp.div_euclid(WINDOW) + 1) * WINDOW;
            let listed = format!(r#"["{}",{number}]"#, source.topic);
            let window = windows.entry((end, &event.key));
            window.or_default().push(listed);
        }
    }
    let sample = |((end, key), listed): ((i64, &Option<Vec<u8>>), Vec<String>)| {
        let name = key.as_deref().expect("each event has one");
        Sample {
            partition: partition_of_key(name, PARTITIONS).cast_signed(),
            timestamp: end,
            key: key.clone(),
            value: Some(format!("[{}]", listed.join(",")).into_bytes()),
            headers: vec![],
        }
    };
    windows.into_iter().map(sample).collect()
}
