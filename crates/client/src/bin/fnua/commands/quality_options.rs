//! Options about the quality of service, for `create flow`, `update flow` and `update subscriber`.

use clap::{Args, ValueEnum};
use eson_protocol::text::{parse_duration, parse_size};
use eson_protocol::{Limit, Overlag, QualityOptions};

/// What subscribers may have. Each limit is a value, `none` for no limit, or `default`.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "What subscribers may have (a value, none or default)")]
pub(crate) struct QualityArguments {
    /// Events a second
    #[arg(long, value_parser = count, value_name = "LIMIT")]
    events_rate: Option<Limit>,
    /// Bytes a second: 1000000, 64KiB, 16MiB
    #[arg(long, value_parser = size, value_name = "LIMIT")]
    bytes_rate: Option<Limit>,
    /// How long a copy keeps events: 7d, 12h, 30m, 45s
    #[arg(long, value_parser = time, value_name = "LIMIT")]
    copy_retention: Option<Limit>,
    /// How many bytes a copy keeps: 64MiB, 1GiB
    #[arg(long, value_parser = size, value_name = "LIMIT")]
    copy_bytes: Option<Limit>,
    /// How many events of its copy a subscriber may not have fetched yet
    #[arg(long, value_parser = count, value_name = "LIMIT")]
    max_lag: Option<Limit>,
    /// What becomes of the copy of one who lags more
    #[arg(long, value_enum)]
    overlag: Option<OverlagArgument>,
}

/// What becomes of a copy whose subscriber lags too much.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OverlagArgument {
    /// It gets no more events until the subscriber has caught up
    Pause,
    /// It is deleted, and the subscription ends
    Drop,
}

impl QualityArguments {
    /// The options of the command.
    pub(crate) fn options(self) -> QualityOptions {
        QualityOptions {
            events_rate: self.events_rate,
            bytes_rate: self.bytes_rate,
            copy_retention: self.copy_retention,
            copy_bytes: self.copy_bytes,
            max_lag: self.max_lag,
            overlag: self.overlag.map(|overlag| match overlag {
                OverlagArgument::Pause => Overlag::Pause,
                OverlagArgument::Drop => Overlag::Drop,
            }),
        }
    }
}

fn count(text: &str) -> Result<Limit, String> {
    limit(text, |text| {
        text.parse()
            .map_err(|_| "must be a number, none or default".to_owned())
    })
}

fn size(text: &str) -> Result<Limit, String> {
    limit(text, |text| {
        parse_size(text).map_err(|cause| cause.to_string())
    })
}

fn time(text: &str) -> Result<Limit, String> {
    limit(text, |text| {
        parse_duration(text).map_err(|cause| cause.to_string())
    })
}

fn limit(text: &str, value: impl FnOnce(&str) -> Result<u64, String>) -> Result<Limit, String> {
    match text {
        "default" => Ok(Limit::Default),
        "none" => Ok(Limit::To(Limit::NONE)),
        _ => value(text).map(Limit::To),
    }
}
