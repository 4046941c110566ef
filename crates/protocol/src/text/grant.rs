//! GRANT, REVOKE and GET GRANTS.

use super::error::CommandError;
use super::line::Line;
use super::value::Word;
use super::words::Arguments;
use crate::{Command, Name, Principal, Right};

const OBJECT: &str = "a flow or a namespace";

pub(super) fn grant(arguments: &mut Arguments<'_>) -> Result<Command, CommandError> {
    let (right, name) = right_on(arguments)?;
    arguments.expect("TO")?;
    Ok(Command::Grant(right, name, arguments.principal()?))
}

/// `REVOKE right ON name FROM principal`; `TO` is understood as well.
pub(super) fn revoke(arguments: &mut Arguments<'_>) -> Result<Command, CommandError> {
    let (right, name) = right_on(arguments)?;
    if !arguments.take_keyword("TO") {
        arguments.expect("FROM")?;
    }
    Ok(Command::Revoke(right, name, arguments.principal()?))
}

fn right_on(arguments: &mut Arguments<'_>) -> Result<(Right, Name), CommandError> {
    let right = arguments.argument("a right")?;
    let right = Right::parse(&right)?;
    arguments.expect("ON")?;
    Ok((right, arguments.name(OBJECT)?))
}

pub(super) fn line(
    verb: &str,
    right: Right,
    name: &Name,
    preposition: &str,
    principal: &Principal,
) -> Line {
    Line::of(verb)
        .word(right.word())
        .word("ON")
        .word(name)
        .word(preposition)
        .argument(&principal.to_string())
}

pub(super) fn list(arguments: &mut Arguments<'_>) -> Result<Command, CommandError> {
    arguments.name(OBJECT).map(Command::GetGrants)
}
