//! The owner's side: the commands about a flow's subscribers, each named by the label of its
//! copy.

use super::error::CommandError;
use super::line::Line;
use super::quality;
use super::words::Arguments;
use crate::{Command, Name, QualityOptions};

type Parsed = Result<Command, CommandError>;

fn flow_and_label(arguments: &mut Arguments<'_>) -> Result<(Name, String), CommandError> {
    let flow = arguments.name("a flow")?;
    let label = arguments.argument("a subscriber, as GET SUBSCRIBERS lists it")?;
    Ok((flow, label.into_owned()))
}

pub(super) fn list(arguments: &mut Arguments<'_>) -> Parsed {
    arguments.optional_name().map(Command::GetSubscribers)
}

pub(super) fn remove(arguments: &mut Arguments<'_>) -> Parsed {
    let (flow, label) = flow_and_label(arguments)?;
    Ok(Command::RemoveSubscriber(flow, label))
}

pub(super) fn approve(arguments: &mut Arguments<'_>) -> Parsed {
    let (flow, label) = flow_and_label(arguments)?;
    Ok(Command::ApproveSubscriber(flow, label))
}

pub(super) fn pause(arguments: &mut Arguments<'_>) -> Parsed {
    let (flow, label) = flow_and_label(arguments)?;
    Ok(Command::PauseSubscriber(flow, label))
}

pub(super) fn resume(arguments: &mut Arguments<'_>) -> Parsed {
    let (flow, label) = flow_and_label(arguments)?;
    Ok(Command::ResumeSubscriber(flow, label))
}

pub(super) fn update(arguments: &mut Arguments<'_>) -> Parsed {
    let (flow, label) = flow_and_label(arguments)?;
    let options = quality::parse(arguments)?;
    Ok(Command::UpdateSubscriber(flow, label, options))
}

pub(super) fn describe(arguments: &mut Arguments<'_>) -> Parsed {
    let (flow, label) = flow_and_label(arguments)?;
    Ok(Command::DescribeSubscriber(flow, label))
}

pub(super) fn update_line(flow: &Name, label: &str, options: &QualityOptions) -> Line {
    let line = Line::of("UPDATE SUBSCRIBER").word(flow).argument(label);
    quality::options(line, options)
}
