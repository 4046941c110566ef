//! The commands about what a participant runs on: brokers, name servers, agents.

use super::error::CommandError;
use super::words::Arguments;
use crate::{Command, ComponentKind};

type Parsed = Result<Command, CommandError>;

pub(super) fn brokers(_: &mut Arguments<'_>) -> Parsed {
    Ok(Command::GetComponents(ComponentKind::Broker))
}

pub(super) fn nameservers(_: &mut Arguments<'_>) -> Parsed {
    Ok(Command::GetComponents(ComponentKind::Nameserver))
}

pub(super) fn agents(_: &mut Arguments<'_>) -> Parsed {
    Ok(Command::GetComponents(ComponentKind::Agent))
}

fn describe(kind: ComponentKind, arguments: &mut Arguments<'_>) -> Parsed {
    let name = arguments.argument("a name")?;
    Ok(Command::DescribeComponent(kind, name.into_owned()))
}

pub(super) fn broker(arguments: &mut Arguments<'_>) -> Parsed {
    describe(ComponentKind::Broker, arguments)
}

pub(super) fn nameserver(arguments: &mut Arguments<'_>) -> Parsed {
    describe(ComponentKind::Nameserver, arguments)
}

pub(super) fn agent(arguments: &mut Arguments<'_>) -> Parsed {
    describe(ComponentKind::Agent, arguments)
}
