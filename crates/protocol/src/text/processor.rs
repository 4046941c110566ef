//! The commands about processors.

use super::delivery;
use super::error::{ArgumentError, CommandError, excerpt};
use super::line::Line;
use super::read::{begin, parse_begin};
use super::registry;
use super::value::{Word, format_duration, parse_duration};
use super::words::{Arguments, parse_name};
use crate::{
    Command, FlowChanges, Name, OnGap, ProcessorOptions, ProcessorType, Program, Server, Validate,
};

type Parsed = Result<Command, CommandError>;

fn name(arguments: &mut Arguments<'_>) -> Result<String, CommandError> {
    Ok(arguments.argument("a processor")?.into_owned())
}

pub(super) fn create(arguments: &mut Arguments<'_>) -> Parsed {
    let name = name(arguments)?;
    let options = parse_options(arguments)?;
    let missing = |what| ArgumentError::Missing {
        command: "CREATE PROCESSOR",
        what,
    };
    if options.kind.is_none() {
        return Err(missing("type").into());
    }
    if options.sources.is_empty() {
        return Err(missing("from").into());
    }
    if options.destinations.is_empty() {
        return Err(missing("to").into());
    }
    Ok(Command::CreateProcessor(name, options))
}

pub(super) fn update(arguments: &mut Arguments<'_>) -> Parsed {
    let name = name(arguments)?;
    let flow_changes = Box::new(FlowChanges {
        added_sources: parse_flows(arguments, "add-from")?,
        removed_sources: parse_flows(arguments, "remove-from")?,
        added_destinations: parse_flows(arguments, "add-to")?,
        removed_destinations: parse_flows(arguments, "remove-to")?,
    });
    let options = ProcessorOptions {
        flow_changes,
        ..parse_options(arguments)?
    };
    Ok(Command::UpdateProcessor(name, options))
}

fn parse_options(arguments: &mut Arguments<'_>) -> Result<ProcessorOptions, CommandError> {
    let (start, cursor) = parse_begin(arguments, "start")?;
    Ok(ProcessorOptions {
        kind: arguments.parsed("type", ProcessorType::parse)?,
        sources: parse_flows(arguments, "from")?,
        destinations: parse_flows(arguments, "to")?,
        flow_changes: Box::default(),
        start,
        cursor,
        on_gap: arguments.parsed("on-gap", OnGap::parse)?,
        annotate: arguments.parsed("annotate", bool::parse)?,
        fair: arguments.parsed("fair", bool::parse)?,
        delivery: delivery::parse(arguments)?,
        program: parse_program(arguments)?,
        window: arguments.parsed("window", parse_duration)?,
        tumbling: arguments.parsed("tumbling", bool::parse)?,
        by: arguments.text("by")?,
        validate: arguments.parsed("validate", Validate::parse)?,
        registry: Box::new(registry::parse(arguments)?),
    })
}

/// Each `program=` is one line of the program.
fn parse_program(arguments: &mut Arguments<'_>) -> Result<Option<Program>, CommandError> {
    let lines = arguments.options("program");
    let jq = (!lines.is_empty()).then(|| Program::Jq(lines.join("\n")));
    let grpc = arguments.parsed("grpc", parse_server)?.map(Program::Grpc);
    let grpcs = arguments.parsed("grpcs", parse_server)?.map(Program::Grpcs);
    let mut programs = [jq, grpc, grpcs].into_iter().flatten();
    match (programs.next(), programs.next()) {
        (program, None) => Ok(program),
        (_, Some(_)) => Err(ArgumentError::Repeated("program").into()),
    }
}

fn parse_server(text: &str) -> Result<Server, ArgumentError> {
    text.parse().map_err(|_| ArgumentError::Value {
        what: "address",
        found: excerpt(text),
        example: "HOST:PORT",
    })
}

/// Flows separated by commas, in one option or several.
fn parse_flows(arguments: &mut Arguments<'_>, key: &str) -> Result<Vec<Name>, CommandError> {
    let values = arguments.options(key);
    values
        .iter()
        .flat_map(|value| value.split(','))
        .map(parse_name)
        .collect()
}

pub(super) fn line(words: &str, name: &str, options: &ProcessorOptions) -> Line {
    let changes = &options.flow_changes;
    let line = Line::of(words)
        .argument(name)
        .option("type", options.kind.map(ProcessorType::word))
        .option("from", joined(&options.sources))
        .option("to", joined(&options.destinations))
        .option("add-from", joined(&changes.added_sources))
        .option("remove-from", joined(&changes.removed_sources))
        .option("add-to", joined(&changes.added_destinations))
        .option("remove-to", joined(&changes.removed_destinations));
    let line = begin(line, "start", options.start, options.cursor.as_ref())
        .option("on-gap", options.on_gap.map(OnGap::word))
        .option("annotate", options.annotate)
        .option("fair", options.fair);
    let line = delivery::options(line, options.delivery);
    let line = match &options.program {
        None => line,
        Some(Program::Grpc(server)) => line.option("grpc", Some(server)),
        Some(Program::Grpcs(server)) => line.option("grpcs", Some(server)),
        Some(Program::Jq(code)) => code
            .split('\n')
            .fold(line, |line, code| line.option("program", Some(code))),
    };
    let line = line
        .option("window", options.window.map(format_duration))
        .option("tumbling", options.tumbling)
        .option("by", options.by.as_ref())
        .option("validate", options.validate.map(Validate::word));
    registry::options(line, &options.registry)
}

fn joined(flows: &[Name]) -> Option<String> {
    let names: Vec<_> = flows.iter().map(Name::as_str).collect();
    (!names.is_empty()).then(|| names.join(","))
}

pub(super) fn pause(arguments: &mut Arguments<'_>) -> Parsed {
    name(arguments).map(Command::PauseProcessor)
}

pub(super) fn resume(arguments: &mut Arguments<'_>) -> Parsed {
    name(arguments).map(Command::ResumeProcessor)
}

pub(super) fn stop(arguments: &mut Arguments<'_>) -> Parsed {
    name(arguments).map(Command::StopProcessor)
}

pub(super) fn delete(arguments: &mut Arguments<'_>) -> Parsed {
    name(arguments).map(Command::DeleteProcessor)
}

pub(super) fn describe(arguments: &mut Arguments<'_>) -> Parsed {
    name(arguments).map(Command::DescribeProcessor)
}

pub(super) fn list(_: &mut Arguments<'_>) -> Parsed {
    Ok(Command::GetProcessors)
}
