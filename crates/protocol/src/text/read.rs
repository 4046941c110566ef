//! READ FLOW.

use super::error::{ArgumentError, CommandError};
use super::line::Line;
use super::value::{
    Word, format_positions, format_start, parse_number, parse_positions, parse_start,
};
use super::words::Arguments;
use crate::{Command, EventFormat, Name, Positions, ReadOptions, Start};

/// `READ FLOW flow [from=] [max=] [follow=] [format=]`. `from=cursor:…` may stand beside another
/// `from=`, which then holds for the partitions that the cursor does not name. `follow` alone is
/// `follow=true`.
pub(super) fn parse(arguments: &mut Arguments<'_>) -> Result<Command, CommandError> {
    let flow = arguments.name("a flow")?;
    let (from, cursor) = parse_begin(arguments, "from")?;
    let follow = arguments.parsed("follow", bool::parse)?;
    let follow = follow.unwrap_or_else(|| arguments.take_keyword("FOLLOW"));
    let options = ReadOptions {
        from,
        cursor,
        max: arguments.parsed("max", parse_number)?,
        follow,
        format: parse_format(arguments)?,
    };
    Ok(Command::ReadFlow(flow, options))
}

/// Where to begin, and a cursor, which may stand beside each other.
pub(super) fn parse_begin(
    arguments: &mut Arguments<'_>,
    key: &'static str,
) -> Result<(Option<Start>, Option<Positions>), CommandError> {
    let (mut from, mut cursor) = (None, None);
    for value in arguments.options(key) {
        let repeated = match cursor_text(&value) {
            Some(text) => cursor.replace(parse_positions(text)?).is_some(),
            None => from.replace(parse_start(&value)?).is_some(),
        };
        if repeated {
            return Err(ArgumentError::Repeated(key).into());
        }
    }
    Ok((from, cursor))
}

fn cursor_text(value: &str) -> Option<&str> {
    let (scheme, text) = value.split_once(':')?;
    scheme.eq_ignore_ascii_case("cursor").then_some(text)
}

/// `format=`, for READ FLOW and WRITE FLOW.
pub(super) fn parse_format(arguments: &mut Arguments<'_>) -> Result<EventFormat, CommandError> {
    let format = arguments.parsed("format", EventFormat::parse)?;
    Ok(format.unwrap_or_default())
}

pub(super) fn format_word(format: EventFormat) -> Option<&'static str> {
    (format != EventFormat::default()).then(|| format.word())
}

pub(super) fn begin(
    line: Line,
    key: &str,
    from: Option<Start>,
    cursor: Option<&Positions>,
) -> Line {
    let cursor = cursor.map(|cursor| format!("cursor:{}", format_positions(cursor)));
    line.option(key, cursor).option(key, from.map(format_start))
}

pub(super) fn line(flow: &Name, options: &ReadOptions) -> Line {
    let line = Line::of("READ FLOW").word(flow);
    begin(line, "from", options.from, options.cursor.as_ref())
        .option("max", options.max)
        .option("follow", options.follow.then_some("true"))
        .option("format", format_word(options.format))
}
