//! The commands about flows, other than reading and writing them.

use super::error::{ArgumentError, CommandError};
use super::line::Line;
use super::quality;
use super::value::{Word, format_duration, parse_duration, parse_number};
use super::words::Arguments;
use crate::{Access, Command, FlowOptions, Mode, Name};

type Parsed = Result<Command, CommandError>;

fn name(arguments: &mut Arguments<'_>) -> Result<Name, CommandError> {
    arguments.name("a flow")
}

pub(super) fn create(arguments: &mut Arguments<'_>) -> Parsed {
    let name = name(arguments)?;
    Ok(Command::CreateFlow(name, parse_options(arguments)?))
}

pub(super) fn update(arguments: &mut Arguments<'_>) -> Parsed {
    let name = name(arguments)?;
    Ok(Command::UpdateFlow(name, parse_options(arguments)?))
}

fn parse_options(arguments: &mut Arguments<'_>) -> Result<FlowOptions, CommandError> {
    Ok(FlowOptions {
        broker: arguments.text("broker")?,
        queue: arguments.text("queue")?,
        partitions: arguments.parsed("partitions", parse_number)?,
        retention: arguments.parsed("retention", parse_duration)?,
        access: arguments.parsed("access", Access::parse)?,
        content_type: arguments.text("content-type")?,
        schema: arguments.text("schema")?,
        modes: arguments.parsed("modes", parse_modes)?,
        history: arguments.parsed("history", parse_duration)?,
        quality: Box::new(quality::parse(arguments)?),
    })
}

/// Modes separated by commas, each once.
fn parse_modes(text: &str) -> Result<Vec<Mode>, ArgumentError> {
    let mut modes = Vec::new();
    for word in text.split(',') {
        let mode = <Mode as Word>::parse(word)?;
        if modes.contains(&mode) {
            return Err(ArgumentError::value("list of modes", text, "copy,direct"));
        }
        modes.push(mode);
    }
    Ok(modes)
}

fn joined(modes: &[Mode]) -> String {
    let words: Vec<_> = modes.iter().map(|mode| mode.word()).collect();
    words.join(",")
}

pub(super) fn options(line: Line, options: &FlowOptions) -> Line {
    let line = line
        .option("broker", options.broker.as_ref())
        .option("queue", options.queue.as_ref())
        .option("partitions", options.partitions)
        .option("retention", options.retention.map(format_duration))
        .option("access", options.access.map(Access::word))
        .option("content-type", options.content_type.as_ref())
        .option("schema", options.schema.as_ref())
        .option("modes", options.modes.as_deref().map(joined))
        .option("history", options.history.map(format_duration));
    quality::options(line, &options.quality)
}

pub(super) fn describe(arguments: &mut Arguments<'_>) -> Parsed {
    name(arguments).map(Command::DescribeFlow)
}

pub(super) fn delete(arguments: &mut Arguments<'_>) -> Parsed {
    name(arguments).map(Command::DeleteFlow)
}

pub(super) fn list(arguments: &mut Arguments<'_>) -> Parsed {
    arguments.optional_name().map(Command::GetFlows)
}

pub(super) fn pause(arguments: &mut Arguments<'_>) -> Parsed {
    name(arguments).map(Command::PauseFlow)
}

pub(super) fn resume(arguments: &mut Arguments<'_>) -> Parsed {
    name(arguments).map(Command::ResumeFlow)
}

pub(super) fn stop(arguments: &mut Arguments<'_>) -> Parsed {
    name(arguments).map(Command::StopFlow)
}

pub(super) fn resolve(arguments: &mut Arguments<'_>) -> Parsed {
    name(arguments).map(Command::Resolve)
}
