//! Data lines that several commands answer with.

use eson_protocol::DataLine;

/// A line for each pair.
pub(super) fn attributes(values: Vec<(&'static str, String)>) -> impl Iterator<Item = DataLine> {
    values.into_iter().map(|(key, value)| attribute(key, value))
}

/// `key=value`.
pub(super) fn attribute(key: &str, value: impl ToString) -> DataLine {
    DataLine::Attribute(key.to_owned(), value.to_string())
}

/// A line for each `key=value` that has a value.
pub(super) fn optional(key: &str, value: Option<impl ToString>) -> Option<DataLine> {
    value.map(|value| attribute(key, value))
}

/// A line of a list: a name, then `key=value` for what is worth knowing at a glance.
pub(super) fn entry(name: &str, values: &[(&str, String)]) -> DataLine {
    DataLine::Text(words(name, values))
}

/// A name, then `key=value` behind a blank each, with quotes where they are needed.
pub(super) fn words(name: &str, values: &[(&str, String)]) -> String {
    let values = values
        .iter()
        .map(|(key, value)| format!(" {key}={}", quoted(value)));
    std::iter::once(name.to_owned()).chain(values).collect()
}

fn quoted(value: &str) -> String {
    let plain = !value.is_empty() && !value.contains([' ', '"', '\\']);
    if plain {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Milliseconds since the Unix epoch as seconds from `now`, for leases.
pub(super) fn seconds_until(expires: u64, now: u64) -> u64 {
    expires.saturating_sub(now).div_ceil(1000)
}
