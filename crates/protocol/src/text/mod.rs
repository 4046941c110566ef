//! FNAP's first codec: one line of text for each command, status and data line
//! (`docs/fnap.md` has the grammar).
//!
//! Lines come and go here without their CRLF, which is the session's. A command's parser stands
//! beside its writer, in a file named after the command or what it is about.

mod authenticate;
mod component;
mod delivery;
mod error;
mod flow;
mod grant;
mod line;
mod namespace;
mod processor;
mod quality;
mod read;
mod registry;
mod reply;
mod session;
mod subscribe;
mod subscriber;
mod subscription;
mod table;
mod value;
mod words;
mod write;

use std::fmt;

use crate::Command;

pub use error::{ArgumentError, CommandError, QuotedVerb, SyntaxError, UnwritableError};
pub use reply::{StatusError, format_data_line, format_status, parse_data_line, parse_status};
pub(crate) use reply::{ending_status, looks_like_status, needs_escape, unescaped_data_line};
pub use value::{
    format_duration, format_positions, format_size, format_start, format_time, parse_duration,
    parse_positions, parse_size, parse_start,
};
pub(crate) use value::{parse_digits, parse_time};

/// The most octets of a command or status line, its CRLF included.
pub const MAX_COMMAND_LENGTH: usize = 8192;

/// Reads a command line without its end.
///
/// # Errors
/// [`CommandError`] says what is wrong and [`CommandError::status`] how to answer it.
pub fn parse_command(line: &str) -> Result<Command, CommandError> {
    table::parse(line)
}

/// Writes a command line without its end. What [`parse_command`] makes of it is the command
/// again.
///
/// # Errors
/// [`UnwritableError`] for a value with a control character, and for a line that is too long.
pub fn format_command(command: &Command) -> Result<String, UnwritableError> {
    table::line(command).finish()
}

/// How each command is written, one line each, in the order of `docs/fnap.md`: for HELP.
pub fn usage() -> impl Iterator<Item = &'static str> {
    table::COMMANDS.iter().map(|entry| entry.usage)
}

/// The command as it would stand in a line, for logs and traces: without what shows who somebody
/// is, which are an initial response and the id of a subscription, and with a placeholder for what
/// can't be written.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Authenticate {
            mechanism,
            initial: Some(_),
        } = self
        {
            return write!(f, "AUTHENTICATE {} …", mechanism.escape_debug());
        }
        match format_command(&without_id(self)) {
            Ok(line) => f.write_str(&line),
            Err(error) => write!(f, "({error})"),
        }
    }
}

/// The id of a subscription is all that an anonymous subscriber has to show: as good as a
/// password.
fn without_id(command: &Command) -> Command {
    let hidden = || "(hidden)".to_owned();
    let mut command = command.clone();
    match &mut command {
        Command::SubscribeRemote(_, options) => options.id = options.id.take().map(|_| hidden()),
        Command::UnsubscribeRemote(_, id) => *id = hidden(),
        _ => {}
    }
    command
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({self})")
    }
}
