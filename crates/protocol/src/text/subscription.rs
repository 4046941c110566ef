//! The subscriber's side: UNSUBSCRIBE and the commands about a subscription, which is named by
//! the local flow that it feeds.

use super::error::CommandError;
use super::words::Arguments;
use crate::{Command, Name};

type Parsed = Result<Command, CommandError>;

fn local(arguments: &mut Arguments<'_>) -> Result<Name, CommandError> {
    arguments.name("the local flow of a subscription")
}

/// `UNSUBSCRIBE local` from a user to its FNAA, `UNSUBSCRIBE flow id=…` from an FNAA to the
/// flow's.
pub(super) fn unsubscribe(arguments: &mut Arguments<'_>) -> Parsed {
    let flow = local(arguments)?;
    Ok(match arguments.text("id")? {
        None => Command::Unsubscribe(flow),
        Some(id) => Command::UnsubscribeRemote(flow, id),
    })
}

pub(super) fn pause(arguments: &mut Arguments<'_>) -> Parsed {
    local(arguments).map(Command::PauseSubscription)
}

pub(super) fn resume(arguments: &mut Arguments<'_>) -> Parsed {
    local(arguments).map(Command::ResumeSubscription)
}

pub(super) fn stop(arguments: &mut Arguments<'_>) -> Parsed {
    local(arguments).map(Command::StopSubscription)
}

pub(super) fn describe(arguments: &mut Arguments<'_>) -> Parsed {
    local(arguments).map(Command::DescribeSubscription)
}

pub(super) fn list(_: &mut Arguments<'_>) -> Parsed {
    Ok(Command::GetSubscriptions)
}
