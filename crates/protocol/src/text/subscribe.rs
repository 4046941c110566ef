//! SUBSCRIBE, in its two forms.

use super::delivery;
use super::error::{ArgumentError, CommandError};
use super::line::Line;
use super::read::{begin, parse_begin};
use super::registry;
use super::value::{Word, format_positions, parse_positions};
use super::words::Arguments;
use crate::{Command, Mode, Name, OnGap, Principal, RemoteSubscribe, SubscribeOptions, Validate};

/// `SUBSCRIBE remote LOCAL local …` from a user to its FNAA, `SUBSCRIBE flow …` from an FNAA to
/// the flow's.
pub(super) fn parse(arguments: &mut Arguments<'_>) -> Result<Command, CommandError> {
    let remote = arguments.name("a flow")?;
    if !arguments.take_keyword("LOCAL") {
        return Ok(Command::SubscribeRemote(remote, remote_options(arguments)?));
    }
    let local = arguments.name("a local flow behind LOCAL")?;
    let (from, cursor) = parse_begin(arguments, "from")?;
    Ok(Command::SubscribeLocal {
        remote,
        local,
        options: SubscribeOptions {
            from,
            cursor,
            mode: arguments.parsed("mode", <Mode as Word>::parse)?,
            delivery: delivery::parse(arguments)?,
            on_gap: arguments.parsed("on-gap", OnGap::parse)?,
            validate: arguments.parsed("validate", Validate::parse)?,
            registry: Box::new(registry::parse(arguments)?),
        },
    })
}

fn remote_options(arguments: &mut Arguments<'_>) -> Result<RemoteSubscribe, CommandError> {
    let (from, cursor) = parse_begin(arguments, "from")?;
    Ok(RemoteSubscribe {
        id: arguments.text("id")?,
        on_behalf_of: arguments.parsed("for", |text| Ok(Principal::parse(text)?))?,
        from,
        cursor,
        mode: arguments.parsed("mode", <Mode as Word>::parse)?,
        on_gap: arguments.parsed("on-gap", OnGap::parse)?,
        delivery: delivery::parse(arguments)?,
        position: arguments.parsed("position", parse_positions)?,
        credential_again: arguments.parsed("credential", parse_again)?.is_some(),
    })
}

fn parse_again(text: &str) -> Result<(), ArgumentError> {
    if text.eq_ignore_ascii_case("again") {
        return Ok(());
    }
    Err(ArgumentError::value(
        "way to ask for a credential",
        text,
        "again",
    ))
}

pub(super) fn local_line(remote: &Name, local: &Name, options: &SubscribeOptions) -> Line {
    let line = Line::of("SUBSCRIBE").word(remote).word("LOCAL").word(local);
    let line = begin(line, "from", options.from, options.cursor.as_ref())
        .option("mode", options.mode.map(Mode::word))
        .option("on-gap", options.on_gap.map(OnGap::word));
    let line = delivery::options(line, options.delivery)
        .option("validate", options.validate.map(Validate::word));
    registry::options(line, &options.registry)
}

pub(super) fn remote_line(flow: &Name, options: &RemoteSubscribe) -> Line {
    let line = Line::of("SUBSCRIBE")
        .word(flow)
        .option("id", options.id.as_ref())
        .option("for", options.on_behalf_of.as_ref());
    let line = begin(line, "from", options.from, options.cursor.as_ref())
        .option("mode", options.mode.map(Mode::word))
        .option("on-gap", options.on_gap.map(OnGap::word));
    delivery::options(line, options.delivery)
        .option("position", options.position.as_ref().map(format_positions))
        .option("credential", options.credential_again.then_some("again"))
}
