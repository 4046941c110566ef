//! The options about quality of service, for flows and subscribers.

use super::error::{ArgumentError, CommandError};
use super::line::Line;
use super::value::{Word, format_duration, format_size, parse_duration, parse_number, parse_size};
use super::words::Arguments;
use crate::{Limit, Overlag, QualityOptions};

pub(super) fn parse(arguments: &mut Arguments<'_>) -> Result<QualityOptions, CommandError> {
    Ok(QualityOptions {
        events_rate: arguments.parsed("events-rate", |text| limit(text, rate))?,
        bytes_rate: arguments.parsed("bytes-rate", |text| limit(text, size_rate))?,
        copy_retention: arguments.parsed("copy-retention", |text| limit(text, parse_duration))?,
        copy_bytes: arguments.parsed("copy-bytes", |text| limit(text, parse_size))?,
        max_lag: arguments.parsed("max-lag", |text| limit(text, parse_number))?,
        overlag: arguments.parsed("overlag", <Overlag as Word>::parse)?,
    })
}

/// `default`, `none`, or a value.
fn limit(
    text: &str,
    value: impl FnOnce(&str) -> Result<u64, ArgumentError>,
) -> Result<Limit, ArgumentError> {
    if text.eq_ignore_ascii_case("default") {
        return Ok(Limit::Default);
    }
    if text.eq_ignore_ascii_case("none") {
        return Ok(Limit::To(Limit::NONE));
    }
    value(text).map(Limit::To)
}

/// A rate of nothing would be a pause.
fn rate(text: &str) -> Result<u64, ArgumentError> {
    let rate = parse_number(text)?;
    (rate > 0).then_some(rate).ok_or_else(|| no_rate(text))
}

fn size_rate(text: &str) -> Result<u64, ArgumentError> {
    let rate = parse_size(text)?;
    (rate > 0).then_some(rate).ok_or_else(|| no_rate(text))
}

fn no_rate(text: &str) -> ArgumentError {
    ArgumentError::value("rate", text, "a number above 0, none or default")
}

pub(super) fn options(line: Line, options: &QualityOptions) -> Line {
    let number = |limit: Option<Limit>| limit.map(|limit| word(limit, |it| it.to_string()));
    let size = |limit: Option<Limit>| limit.map(|limit| word(limit, format_size));
    let retention = options.copy_retention;
    line.option("events-rate", number(options.events_rate))
        .option("bytes-rate", size(options.bytes_rate))
        .option(
            "copy-retention",
            retention.map(|limit| word(limit, format_duration)),
        )
        .option("copy-bytes", size(options.copy_bytes))
        .option("max-lag", number(options.max_lag))
        .option("overlag", options.overlag.map(Overlag::word))
}

fn word(limit: Limit, format: impl FnOnce(u64) -> String) -> String {
    match limit {
        Limit::Default => "default".to_owned(),
        Limit::To(Limit::NONE) => "none".to_owned(),
        Limit::To(value) => format(value),
    }
}
