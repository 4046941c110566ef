//! The commands about the session itself: STARTTLS, CAPABILITIES, NOOP, HELP, QUIT, ENABLE,
//! WHOAMI.

use super::error::{CommandError, excerpt};
use super::words::Arguments;
use crate::Command;

type Parsed = Result<Command, CommandError>;

pub(super) fn start_tls(_: &mut Arguments<'_>) -> Parsed {
    Ok(Command::StartTls)
}

pub(super) fn capabilities(_: &mut Arguments<'_>) -> Parsed {
    Ok(Command::Capabilities)
}

pub(super) fn noop(_: &mut Arguments<'_>) -> Parsed {
    Ok(Command::Noop)
}

pub(super) fn help(_: &mut Arguments<'_>) -> Parsed {
    Ok(Command::Help)
}

pub(super) fn quit(_: &mut Arguments<'_>) -> Parsed {
    Ok(Command::Quit)
}

/// `ENABLE ATTRIBUTES`; other extensions may come.
pub(super) fn enable(arguments: &mut Arguments<'_>) -> Parsed {
    let extension = arguments.keyword("an extension")?;
    match extension.as_str() {
        "ATTRIBUTES" => Ok(Command::EnableAttributes),
        _ => Err(CommandError::UnknownExtension(excerpt(&extension))),
    }
}

pub(super) fn who_am_i(_: &mut Arguments<'_>) -> Parsed {
    Ok(Command::WhoAmI)
}
