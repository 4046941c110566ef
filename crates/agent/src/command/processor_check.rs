//! What CREATE and UPDATE PROCESSOR refuse.

use std::collections::BTreeMap;

use eson_processor::MAX_LEGS;
use eson_protocol::{
    Code, Name, ProcessorOptions, ProcessorType, Program, Right, Status, Validate,
};

use super::Request;
use crate::participant::{Hop, Route};
use crate::resource::{Activity, Failure, FlowSpec, ProcessorSpec, SignalSpec, WindowSpec};

/// How many flows a collector or signal may read, and a distributor or signal write.
const MAX_FLOWS: usize = 256;

impl Request<'_> {
    /// The spec of a new processor, as far as it can be checked without looking at its flows.
    pub(super) async fn processor_spec(
        &self,
        name: String,
        options: ProcessorOptions,
    ) -> Result<ProcessorSpec, Status> {
        check_name(&name)?;
        let Some(kind) = options.kind else {
            return Err(argument("type= is missing"));
        };
        self.check_offered(kind)?;
        let window = window(&options)?;
        let spec = ProcessorSpec {
            name,
            owner: self.caller.principal.clone(),
            kind,
            sources: options.sources,
            destinations: options.destinations,
            start: options.start.unwrap_or_default(),
            on_gap: options.on_gap.unwrap_or_default(),
            cursor: options.cursor.unwrap_or_default(),
            delivery: options.delivery,
            annotate: options.annotate.unwrap_or(kind == ProcessorType::Collector),
            fair: options.fair.unwrap_or(false),
            signal: None,
            dead_letters: None,
            validate: options.validate.unwrap_or_default(),
            registry: super::registry::changed(None, &options.registry)?,
            incarnation: crate::secrets::random_token()?,
            activity: Activity::Running,
            generation: 1,
        };
        check_counts(&spec)?;
        if window.is_some() && kind != ProcessorType::Signal {
            return Err(argument("window= is for type=signal only"));
        }
        match (kind, options.program) {
            (ProcessorType::Signal, Some(program)) => {
                let signal = self.signal_spec(&spec, program).await?;
                Ok(ProcessorSpec {
                    signal: Some(SignalSpec { window, ..signal }),
                    ..spec
                })
            }
            (ProcessorType::Signal, None) => {
                Err(argument("a signal needs program=, grpc= or grpcs="))
            }
            (_, Some(_)) => Err(argument(
                "program=, grpc= and grpcs= are for type=signal only",
            )),
            (_, None) => Ok(ProcessorSpec {
                dead_letters: self.dead_letters_of_copies(&spec).await?,
                ..spec
            }),
        }
    }

    /// Whether a program can be read. What a service does shows when there is an event.
    pub(super) async fn check_program(&self, name: &str, program: &Program) -> Result<(), Status> {
        let Program::Jq(code) = program else {
            return Ok(());
        };
        let checked = self.participant.runtime.check_program(name, code).await;
        checked.map_err(|error| Failure::from(error).to_status())
    }

    fn check_offered(&self, kind: ProcessorType) -> Result<(), Status> {
        let offered = self.participant.runtime.types();
        if offered.contains(&kind) {
            return Ok(());
        }
        let offered: Vec<_> = offered.iter().map(|kind| kind.as_str()).collect();
        let text = match &offered[..] {
            [] => "the flow processor has not told yet what it runs; try again".to_owned(),
            offered => format!(
                "this FNAA runs no processors of type={}, only {}",
                kind.as_str(),
                offered.join(", ")
            ),
        };
        let code = if offered.is_empty() {
            Code::Backend
        } else {
            Code::Unsupported
        };
        Err(Status::new(code, text))
    }

    /// Whether the caller may read and write these flows, each has a queue of its own, and events
    /// would not go round.
    pub(super) async fn check_processor_flows(&self, spec: &ProcessorSpec) -> Result<(), Status> {
        let mut queues = BTreeMap::new();
        for (right, flows) in [
            (Right::Read, &spec.sources),
            (Right::Write, &spec.destinations),
        ] {
            for name in flows {
                let flow = self
                    .participant
                    .authorized_flow(self.caller, right, name)
                    .await
                    .map_err(|status| elsewhere(status, right, name))?;
                let FlowSpec { broker, queue, .. } = flow.resource.spec;
                if right == Right::Write {
                    self.check_delivery(spec.delivery, name, &broker)?;
                }
                if let Some(other) = queues.insert((broker, queue), name) {
                    return Err(one_queue(other, name));
                }
            }
        }
        let written: Vec<_> = spec.written().cloned().collect();
        let route = self.participant.route(&written, &spec.sources);
        match route.await? {
            Some(route) => Err(self.circle(route).await?),
            None => Ok(()),
        }
    }

    /// 555, with the flows on the way; those that the caller may not know of have no name there.
    async fn circle(&self, route: Route) -> Result<Status, Status> {
        let mut names = Vec::new();
        for hop in &route {
            let name = match hop {
                Hop::Flow(name) if self.may_know(name).await? => name.as_str(),
                _ => "...",
            };
            names.push(name);
        }
        let text = format!(
            "events would go round: {} feeds {} already",
            names.first().unwrap_or(&"..."),
            names.get(1..).unwrap_or_default().join(", which feeds "),
        );
        Ok(Status::new(Code::Loop, text))
    }

    async fn may_know(&self, name: &Name) -> Result<bool, Status> {
        let Some(flow) = self.participant.flows.get(name.as_str()).await? else {
            // A remote flow: the caller has not said that he knows it.
            return Ok(false);
        };
        let rights = self
            .participant
            .rights_on_flow(self.caller, &flow.resource)
            .await?;
        Ok([Right::Read, Right::Write]
            .into_iter()
            .any(|right| rights.include(right)))
    }
}

/// Says of a flow that another FNAA hosts how a processor reads or writes it all the same.
fn elsewhere(status: Status, right: Right, name: &Name) -> Status {
    if status.code != Code::NotLocal.number() {
        return status;
    }
    let way = match right {
        Right::Read => format!(
            "SUBSCRIBE {name} LOCAL f brings its events into a flow f here, for processors to read"
        ),
        _ => "write a flow here, and SUBSCRIBE there to that one".to_owned(),
    };
    Status {
        text: format!(
            "{}; processors read and write flows of this FNAA: {way}",
            status.text
        ),
        ..status
    }
}

/// The window that the options ask for.
fn window(options: &ProcessorOptions) -> Result<Option<WindowSpec>, Status> {
    match options.window {
        Some(length) => Ok(Some(WindowSpec {
            length,
            tumbling: options.tumbling.unwrap_or(false),
            by: options.by.clone(),
        })),
        None if options.tumbling.is_some() || options.by.is_some() => {
            Err(argument("tumbling= and by= need window="))
        }
        None => Ok(None),
    }
}

/// Whether the numbers of flows suit the type, each flow is named once, and nothing else is said
/// that the type does not know.
pub(super) fn check_counts(spec: &ProcessorSpec) -> Result<(), Status> {
    use ProcessorType::{Collector, Distributor, Signal};
    let many_sources = matches!(spec.kind, Collector | Signal);
    let many_destinations = matches!(spec.kind, Distributor | Signal);
    for (key, flows, many) in [
        ("from=", &spec.sources, many_sources),
        ("to=", &spec.destinations, many_destinations),
    ] {
        check_count(spec.kind, key, flows.len(), many)?;
        if let Some(twice) = named_twice(flows) {
            return Err(argument(format!("{key} names {twice} twice")));
        }
    }
    check_pairs(spec)?;
    if let Some(both) = spec
        .sources
        .iter()
        .find(|it| spec.destinations.contains(it))
    {
        let text = format!("{both} can't be read and written by the same processor");
        return Err(Status::new(Code::Loop, text));
    }
    if !spec.cursor.is_empty() && spec.sources.len() > 1 {
        return Err(argument(
            "start=cursor: has the offsets of one source, and not of several",
        ));
    }
    if (spec.annotate || spec.fair) && spec.kind != Collector {
        return Err(argument("annotate= and fair= are for type=collector only"));
    }
    if spec.kind == Signal && spec.registry.is_some() {
        return Err(argument(
            "registry-to= is for processors that copy, and not for type=signal",
        ));
    }
    if spec.kind == Signal && spec.validate == Validate::Stop {
        return Err(argument(
            "a signal stops at no event: validate=dead-letter sets apart what does not fit",
        ));
    }
    Ok(())
}

fn check_count(kind: ProcessorType, key: &str, count: usize, many: bool) -> Result<(), Status> {
    let most = if many { MAX_FLOWS } else { 1 };
    if (1..=most).contains(&count) {
        return Ok(());
    }
    let kind = kind.as_str();
    Err(argument(match (count, many) {
        (0, _) => format!("a {kind} needs a flow in {key}"),
        (_, false) => format!("a {kind} has one flow in {key}, and not {count}"),
        (_, true) => format!("a {kind} has at most {MAX_FLOWS} flows in {key}, and not {count}"),
    }))
}

/// Whether a flow processor has room for a writer from each source of a signal to each destination.
fn check_pairs(spec: &ProcessorSpec) -> Result<(), Status> {
    let (sources, destinations) = (spec.sources.len(), spec.destinations.len());
    let pairs = sources * destinations;
    if spec.kind != ProcessorType::Signal || pairs <= MAX_LEGS {
        return Ok(());
    }
    Err(argument(format!(
        "a signal has at most {MAX_LEGS} pairs of a flow in from= and one in to=, and not \
         {sources} × {destinations} = {pairs}; let it write one flow and a distributor copy that, \
         or make several signals"
    )))
}

fn named_twice(flows: &[Name]) -> Option<&Name> {
    let mut seen = std::collections::BTreeSet::new();
    flows.iter().find(|flow| !seen.insert(*flow))
}

fn check_name(name: &str) -> Result<(), Status> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !name.is_empty() && name.len() <= 128 && name.chars().all(allowed) {
        return Ok(());
    }
    Err(argument(
        "a processor's name has 1 to 128 letters, digits, `-`, `.` and `_`",
    ))
}

fn one_queue(one: &Name, other: &Name) -> Status {
    let text = format!("{one} and {other} are the same queue; name one of them");
    Status::new(Code::Loop, text)
}

fn argument(text: impl Into<String>) -> Status {
    Status::new(Code::Argument, text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(spec: &ProcessorSpec) -> String {
        check_counts(spec).expect_err("a mistake").text
    }

    #[test]
    fn each_type_has_its_numbers_of_flows() {
        use ProcessorType::{Bridge, Collector, Distributor};
        let (one, two) = (&["a.example"], &["b.example", "c.example"]);
        for good in [
            ProcessorSpec::between(Bridge, one, &["b.example"]),
            ProcessorSpec::between(Collector, two, one),
            ProcessorSpec::between(Distributor, one, two),
        ] {
            assert_eq!(check_counts(&good), Ok(()));
        }
        for (bad, text) in [
            (
                ProcessorSpec::between(Bridge, two, one),
                "a bridge has one flow in from=, and not 2",
            ),
            (
                ProcessorSpec::between(Collector, one, two),
                "a collector has one flow in to=, and not 2",
            ),
            (
                ProcessorSpec::between(Distributor, one, &[]),
                "a distributor needs a flow in to=",
            ),
        ] {
            assert!(refusal(&bad).contains(text), "{}", refusal(&bad));
        }
    }

    #[test]
    fn there_is_a_limit() {
        let names: Vec<String> = (0..10_000)
            .map(|number| format!("f{number}.example"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let kind = ProcessorType::Distributor;
        let text = refusal(&ProcessorSpec::between(kind, &["a.example"], &names));
        assert!(
            text.contains("at most 256 flows in to=, and not 10000"),
            "{text}"
        );
        assert_eq!(
            check_counts(&ProcessorSpec::between(kind, &["a.example"], &names[..256])),
            Ok(())
        );
    }

    #[test]
    fn a_signal_has_so_many_pairs_of_flows() {
        let names = |prefix: &str, count: usize| -> Vec<String> {
            let name = |number| format!("{prefix}{number}.example");
            (0..count).map(name).collect()
        };
        let signal = |sources: usize, destinations: usize| {
            let (sources, destinations) = (names("s", sources), names("d", destinations));
            let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
            let destinations: Vec<&str> = destinations.iter().map(String::as_str).collect();
            ProcessorSpec::between(ProcessorType::Signal, &sources, &destinations)
        };
        assert_eq!(check_counts(&signal(250, 4)), Ok(()));
        let text = refusal(&signal(251, 4));
        assert!(text.contains("at most 1000 pairs"), "{text}");
        assert!(text.contains("not 251 × 4 = 1004"), "{text}");
    }

    #[test]
    fn no_flow_is_named_twice() {
        let twice = ["a.example", "b.example", "a.example"];
        let text = refusal(&ProcessorSpec::between(
            ProcessorType::Collector,
            &twice,
            &["c.example"],
        ));
        assert!(text.contains("from= names a.example twice"), "{text}");
        let both = ProcessorSpec::between(ProcessorType::Bridge, &["a.example"], &["a.example"]);
        assert!(refusal(&both).contains("a.example can't be read and written"));
    }

    #[test]
    fn only_collectors_annotate() {
        let bridge = ProcessorSpec::between(ProcessorType::Bridge, &["a.example"], &["b.example"]);
        let annotating = ProcessorSpec {
            annotate: true,
            ..bridge
        };
        assert!(refusal(&annotating).contains("annotate="));
    }
}
