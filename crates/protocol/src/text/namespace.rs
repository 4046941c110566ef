//! The commands about namespaces.

use super::error::CommandError;
use super::line::Line;
use super::words::Arguments;
use crate::{Command, Name, NamespaceOptions};

type Parsed = Result<Command, CommandError>;

fn name(arguments: &mut Arguments<'_>) -> Result<Name, CommandError> {
    arguments.name("a namespace")
}

pub(super) fn create(arguments: &mut Arguments<'_>) -> Parsed {
    let name = name(arguments)?;
    Ok(Command::CreateNamespace(name, parse_options(arguments)?))
}

pub(super) fn update(arguments: &mut Arguments<'_>) -> Parsed {
    let name = name(arguments)?;
    Ok(Command::UpdateNamespace(name, parse_options(arguments)?))
}

fn parse_options(arguments: &mut Arguments<'_>) -> Result<NamespaceOptions, CommandError> {
    Ok(NamespaceOptions {
        broker: arguments.text("broker")?,
    })
}

pub(super) fn options(line: Line, options: &NamespaceOptions) -> Line {
    line.option("broker", options.broker.as_ref())
}

pub(super) fn describe(arguments: &mut Arguments<'_>) -> Parsed {
    name(arguments).map(Command::DescribeNamespace)
}

pub(super) fn delete(arguments: &mut Arguments<'_>) -> Parsed {
    name(arguments).map(Command::DeleteNamespace)
}

pub(super) fn list(_: &mut Arguments<'_>) -> Parsed {
    Ok(Command::GetNamespaces)
}
