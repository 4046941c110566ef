//! The options about delivery, for SUBSCRIBE and for processors.

use super::error::CommandError;
use super::line::Line;
use super::value::{Word, format_duration, parse_duration};
use super::words::Arguments;
use crate::{Delivery, DeliveryOptions};

pub(super) fn parse(arguments: &mut Arguments<'_>) -> Result<DeliveryOptions, CommandError> {
    Ok(DeliveryOptions {
        delivery: arguments.parsed("delivery", <Delivery as Word>::parse)?,
        commit_interval: arguments.parsed("commit-interval", parse_duration)?,
    })
}

pub(super) fn options(line: Line, options: DeliveryOptions) -> Line {
    let interval = options.commit_interval.map(format_duration);
    line.option("delivery", options.delivery.map(Delivery::word))
        .option("commit-interval", interval)
}
