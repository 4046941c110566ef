//! SUBSCRIBE, in its two forms.

use super::error::{ArgumentError, CommandError};
use super::line::Line;
use super::value::{Word, format_positions, format_start, parse_positions, parse_start};
use super::words::Arguments;
use crate::{Command, Delivery, Name, OnGap, Principal, RemoteSubscribe, SubscribeOptions};

/// `SUBSCRIBE remote LOCAL local …` from a user to its FNAA, `SUBSCRIBE flow …` from an FNAA to
/// the flow's.
pub(super) fn parse(arguments: &mut Arguments<'_>) -> Result<Command, CommandError> {
    let remote = arguments.name("a flow")?;
    if !arguments.take_keyword("LOCAL") {
        return Ok(Command::SubscribeRemote(remote, remote_options(arguments)?));
    }
    Ok(Command::SubscribeLocal {
        remote,
        local: arguments.name("a local flow behind LOCAL")?,
        options: SubscribeOptions {
            from: arguments.parsed("from", parse_start)?,
            mode: arguments.parsed("mode", Delivery::parse)?,
            on_gap: arguments.parsed("on-gap", OnGap::parse)?,
        },
    })
}

fn remote_options(arguments: &mut Arguments<'_>) -> Result<RemoteSubscribe, CommandError> {
    Ok(RemoteSubscribe {
        id: arguments.text("id")?,
        on_behalf_of: arguments.parsed("for", |text| Ok(Principal::parse(text)?))?,
        from: arguments.parsed("from", parse_start)?,
        mode: arguments.parsed("mode", Delivery::parse)?,
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
    Line::of("SUBSCRIBE")
        .word(remote)
        .word("LOCAL")
        .word(local)
        .option("from", options.from.map(format_start))
        .option("mode", options.mode.map(Delivery::word))
        .option("on-gap", options.on_gap.map(OnGap::word))
}

pub(super) fn remote_line(flow: &Name, options: &RemoteSubscribe) -> Line {
    Line::of("SUBSCRIBE")
        .word(flow)
        .option("id", options.id.as_ref())
        .option("for", options.on_behalf_of.as_ref())
        .option("from", options.from.map(format_start))
        .option("mode", options.mode.map(Delivery::word))
        .option("position", options.position.as_ref().map(format_positions))
        .option("credential", options.credential_again.then_some("again"))
}
