//! WRITE FLOW, and GET POSITIONS, which asks what WRITE FLOW has stored.

use super::error::CommandError;
use super::line::Line;
use super::read::{format_word, parse_format};
use super::value::{parse_number, parse_text};
use super::words::Arguments;
use crate::{Command, EventFormat, Name, StorePosition};

/// `WRITE FLOW flow [format=] [processor= source= first= next= to= [epoch=]]`; the five before the
/// last come together or not at all.
pub(super) fn parse(arguments: &mut Arguments<'_>) -> Result<Command, CommandError> {
    Ok(Command::WriteFlow {
        flow: arguments.name("a flow")?,
        format: parse_format(arguments)?,
        position: parse_position(arguments)?,
    })
}

fn parse_position(arguments: &mut Arguments<'_>) -> Result<Option<StorePosition>, CommandError> {
    let Some(processor) = arguments.parsed("processor", parse_text)? else {
        return Ok(None);
    };
    Ok(Some(StorePosition {
        processor,
        partition: arguments.required("source", parse_number)?,
        first: arguments.required("first", parse_number)?,
        next: arguments.required("next", parse_number)?,
        to: arguments.required("to", parse_number)?,
        epoch: arguments.parsed("epoch", parse_number)?,
    }))
}

pub(super) fn line(flow: &Name, format: EventFormat, position: Option<&StorePosition>) -> Line {
    let line = Line::of("WRITE FLOW")
        .word(flow)
        .option("format", format_word(format));
    match position {
        None => line,
        Some(position) => line
            .option("processor", Some(&position.processor))
            .option("source", Some(position.partition))
            .option("first", Some(position.first))
            .option("next", Some(position.next))
            .option("to", Some(position.to))
            .option("epoch", position.epoch),
    }
}

pub(super) fn positions(arguments: &mut Arguments<'_>) -> Result<Command, CommandError> {
    let flow = arguments.name("a flow")?;
    let processor = arguments.argument("a processor")?;
    Ok(Command::GetPositions(flow, processor.into_owned()))
}
