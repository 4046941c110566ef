//! The values of options: durations, starting points, positions, words.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::ArgumentError;
use crate::{
    Access, Delivery, EventFormat, Mode, OnGap, OnUnknownSchema, Overlag, Positions, ProcessorType,
    Right, Start, Validate,
};

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a duration in milliseconds: `7d`, `36h`, `15m`, `90s`, `250ms`, or `forever`, which is
/// [`u64::MAX`].
///
/// # Errors
/// [`ArgumentError::Value`] for another unit, no unit, or more than 2^64 - 2 milliseconds.
pub fn parse_duration(text: &str) -> Result<u64, ArgumentError> {
    let lower = text.to_ascii_lowercase();
    if lower == "forever" {
        return Ok(u64::MAX);
    }
    let digits = lower.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = lower.split_at(digits);
    let size = UNITS.iter().find(|(name, _)| *name == unit);
    size.and_then(|(_, size)| number.parse::<u64>().ok()?.checked_mul(*size))
        .filter(|duration| *duration < u64::MAX)
        .ok_or_else(|| {
            ArgumentError::value("duration", text, "7d, 36h, 15m, 90s, 250ms or forever")
        })
}

/// Writes a duration as [`parse_duration`] reads it, in the largest unit that fits.
#[must_use]
pub fn format_duration(milliseconds: u64) -> String {
    if milliseconds == u64::MAX {
        return "forever".to_owned();
    }
    let fits = |(_, size): &&(&str, u64)| milliseconds > 0 && milliseconds.is_multiple_of(*size);
    match UNITS.iter().find(fits) {
        Some((unit, size)) => format!("{}{unit}", milliseconds / size),
        None => format!("{milliseconds}ms"),
    }
}

const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("", 1),
];

/// Reads a number of octets: `1048576`, `64KiB`, `16MiB`, `1GiB`.
///
/// # Errors
/// [`ArgumentError::Value`] for another unit, and for more than 2^64 - 2 octets.
pub fn parse_size(text: &str) -> Result<u64, ArgumentError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let size = SIZES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit));
    size.and_then(|(_, size)| number.parse::<u64>().ok()?.checked_mul(*size))
        .filter(|size| *size < u64::MAX)
        .ok_or_else(|| ArgumentError::value("size", text, "1048576, 64KiB, 16MiB or 1GiB"))
}

/// Writes a number of octets as [`parse_size`] reads it, in the largest unit that fits.
#[must_use]
pub fn format_size(octets: u64) -> String {
    let fits = |(_, size): &&(&str, u64)| octets > 0 && octets.is_multiple_of(*size);
    match SIZES.iter().find(fits) {
        Some((unit, size)) => format!("{}{unit}", octets / size),
        None => octets.to_string(),
    }
}

/// Reads `earliest`, `latest`, a time by RFC 3339, or milliseconds since the Unix epoch.
///
/// # Errors
/// [`ArgumentError::Value`] for anything else.
pub fn parse_start(text: &str) -> Result<Start, ArgumentError> {
    if text.eq_ignore_ascii_case("earliest") {
        return Ok(Start::Earliest);
    }
    if text.eq_ignore_ascii_case("latest") {
        return Ok(Start::Latest);
    }
    if let Ok(milliseconds) = text.parse() {
        return Ok(Start::Timestamp(milliseconds));
    }
    parse_time(text).map(Start::Timestamp).ok_or_else(|| {
        let example = "earliest, latest, 2026-01-31T12:00:00Z or milliseconds since 1970";
        ArgumentError::value("starting point", text, example)
    })
}

/// Writes a starting point as [`parse_start`] reads it.
#[must_use]
pub fn format_start(start: Start) -> String {
    match start {
        Start::Earliest => "earliest".to_owned(),
        Start::Latest => "latest".to_owned(),
        Start::Timestamp(milliseconds) => milliseconds.to_string(),
    }
}

/// A time by RFC 3339 in milliseconds since the Unix epoch, rounded up: reading from there on
/// must not begin before it.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let milliseconds = time.unix_timestamp_nanos().div_euclid(1_000_000);
    let partial = time.unix_timestamp_nanos().rem_euclid(1_000_000) != 0;
    i64::try_from(milliseconds + i128::from(partial)).ok()
}

/// Milliseconds since the Unix epoch as a time by RFC 3339 in UTC; none outside the years 0 to
/// 9999.
#[must_use]
pub fn format_time(milliseconds: i64) -> Option<String> {
    let nanoseconds = i128::from(milliseconds) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
        .ok()?
        .format(&Rfc3339)
        .ok()
}

/// Reads positions, `<partition>-<offset>` separated by commas: `0-42,1-7`. The empty text has
/// none.
///
/// # Errors
/// [`ArgumentError::Value`] for anything else, also for a partition that is named twice.
pub fn parse_positions(text: &str) -> Result<Positions, ArgumentError> {
    let wrong = || ArgumentError::value("list of positions", text, "0-42,1-7");
    let mut positions = Positions::new();
    for position in text.split(',').filter(|_| !text.is_empty()) {
        let (partition, offset) = position.split_once('-').ok_or_else(wrong)?;
        let partition = parse_digits(partition).ok_or_else(wrong)?;
        let offset = parse_digits(offset).ok_or_else(wrong)?;
        if positions.insert(partition, offset).is_some() {
            return Err(wrong());
        }
    }
    Ok(positions)
}

/// Writes positions as [`parse_positions`] reads them.
#[must_use]
pub fn format_positions(positions: &Positions) -> String {
    let mut text = String::new();
    for (partition, offset) in positions {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a String can't fail.
        let _ = write!(text, "{comma}{partition}-{offset}");
    }
    text
}

/// `FromStr` takes a sign; the wire does not.
pub(crate) fn parse_digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Reads a whole number.
pub(super) fn parse_number<T: std::str::FromStr>(text: &str) -> Result<T, ArgumentError> {
    parse_digits(text).ok_or_else(|| ArgumentError::value("number", text, "digits that fit"))
}

pub(super) fn parse_text(text: &str) -> Result<String, ArgumentError> {
    Ok(text.to_owned())
}

/// A keyword of the protocol that stands for a value.
pub(super) trait Word: Copy + PartialEq + 'static {
    const WHAT: &'static str;
    const EXAMPLE: &'static str;
    const WORDS: &'static [(&'static str, Self)];

    fn parse(text: &str) -> Result<Self, ArgumentError> {
        Self::WORDS
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text))
            .map(|(_, value)| *value)
            .ok_or_else(|| ArgumentError::value(Self::WHAT, text, Self::EXAMPLE))
    }

    fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, value)| *value == self)
            .map_or("", |(word, _)| word)
    }
}

impl Word for bool {
    const WHAT: &'static str = "truth value";
    const EXAMPLE: &'static str = "true or false";
    const WORDS: &'static [(&'static str, Self)] = &[("true", true), ("false", false)];
}

impl Word for Access {
    const WHAT: &'static str = "kind of access";
    const EXAMPLE: &'static str = "public, private or approval";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("public", Self::Public),
        ("private", Self::Private),
        ("approval", Self::Approval),
    ];
}

impl Access {
    /// The word used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

impl std::str::FromStr for Access {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        Self::parse(text)
    }
}

impl Right {
    /// The word used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

impl OnGap {
    /// The word used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

impl ProcessorType {
    /// The word used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

impl std::str::FromStr for Right {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        <Self as Word>::parse(text)
    }
}

impl Word for Right {
    const WHAT: &'static str = "right";
    const EXAMPLE: &'static str = "read, write or admin";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("read", Self::Read),
        ("write", Self::Write),
        ("admin", Self::Admin),
    ];
}

impl Word for Delivery {
    const WHAT: &'static str = "delivery";
    const EXAMPLE: &'static str = "exactly-once or at-least-once";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("exactly-once", Self::ExactlyOnce),
        ("at-least-once", Self::AtLeastOnce),
    ];
}

impl Delivery {
    /// The word used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

impl Word for Overlag {
    const WHAT: &'static str = "way to treat who lags";
    const EXAMPLE: &'static str = "pause or drop";
    const WORDS: &'static [(&'static str, Self)] = &[("pause", Self::Pause), ("drop", Self::Drop)];
}

impl Overlag {
    /// The word used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

impl Mode {
    /// The word used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

impl Word for Mode {
    const WHAT: &'static str = "mode of delivery";
    const EXAMPLE: &'static str = "copy or direct";
    const WORDS: &'static [(&'static str, Self)] =
        &[("copy", Self::Copy), ("direct", Self::Direct)];
}

impl Word for OnGap {
    const WHAT: &'static str = "answer to a gap";
    const EXAMPLE: &'static str = "earliest or stop";
    const WORDS: &'static [(&'static str, Self)] =
        &[("earliest", Self::Earliest), ("stop", Self::Stop)];
}

impl Word for OnUnknownSchema {
    const WHAT: &'static str = "answer to an unknown schema";
    const EXAMPLE: &'static str = "stop, pass or dead-letter";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("stop", Self::Stop),
        ("pass", Self::Pass),
        ("dead-letter", Self::DeadLetter),
    ];
}

impl OnUnknownSchema {
    /// The word used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

impl Word for Validate {
    const WHAT: &'static str = "way to judge events";
    const EXAMPLE: &'static str = "off, stop or dead-letter";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("off", Self::Off),
        ("stop", Self::Stop),
        ("dead-letter", Self::DeadLetter),
    ];
}

impl Validate {
    /// The word used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

impl Word for EventFormat {
    const WHAT: &'static str = "format of events";
    const EXAMPLE: &'static str = "cloudevents, protobuf or record";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("cloudevents", Self::CloudEvents),
        ("protobuf", Self::Protobuf),
        ("record", Self::Record),
    ];
}

impl Word for ProcessorType {
    const WHAT: &'static str = "type of processor";
    const EXAMPLE: &'static str = "bridge, collector, distributor or signal";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("bridge", Self::Bridge),
        ("collector", Self::Collector),
        ("distributor", Self::Distributor),
        ("signal", Self::Signal),
    ];
}
