//! Values without keys of their own.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use eson_protocol::Name;
use serde_yaml_ng::Value;

use super::reader::Node;

const MILLISECOND: u64 = 1;
const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

impl Node<'_> {
    /// Text, not empty.
    pub(super) fn text(&self) -> Option<String> {
        match self.value() {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::String(_) => self.report("may not be empty"),
            Value::Number(_) | Value::Bool(_) => self.report("must be text; put it in quotes"),
            _ => self.report("must be text"),
        }
    }

    /// Text with a meaning.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self) -> Option<T> {
        match self.text()?.parse() {
            Ok(value) => Some(value),
            Err(cause) => self.report(cause.to_string()),
        }
    }

    /// A DNS name.
    pub(super) fn name(&self) -> Option<Name> {
        self.parsed()
    }

    /// An address and a port.
    pub(super) fn socket_address(&self) -> Option<SocketAddr> {
        match self.text()?.parse() {
            Ok(address) => Some(address),
            Err(_) => self.report("must be an address and a port, as in 127.0.0.1:61000"),
        }
    }

    /// The name of a part of this configuration: letters, digits and hyphens.
    pub(super) fn label(&self) -> Option<String> {
        let label = self.text()?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        match label.chars().all(allowed) {
            true => Some(label),
            false => self.report("may have letters, digits, hyphens and dots only"),
        }
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(&text));
        let Some((_, value)) = found else {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            return self.report(format!("`{text}` is none of {}", words.join(", ")));
        };
        Some(*value)
    }

    /// True or false.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value() {
            Value::Bool(value) => Some(*value),
            _ => self.report("must be true or false"),
        }
    }

    /// A whole number within bounds.
    pub(super) fn number<T>(&self, bounds: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<u64> + PartialOrd + Display,
    {
        let number = self
            .value()
            .as_u64()
            .and_then(|number| T::try_from(number).ok());
        match number {
            Some(number) if bounds.contains(&number) => Some(number),
            _ => self.report(format!(
                "must be a whole number from {} to {}",
                bounds.start(),
                bounds.end()
            )),
        }
    }

    /// A length of time with its unit, longer than none: `60s`.
    pub(super) fn duration(&self) -> Option<Duration> {
        let units = [
            ("ms", MILLISECOND),
            ("s", SECOND),
            ("m", MINUTE),
            ("h", HOUR),
            ("d", DAY),
        ];
        match self.quantity(&units) {
            Some(milliseconds) => Some(Duration::from_millis(milliseconds)),
            None => self.report("must be a time with a unit (ms, s, m, h, d), as in 60s or 7d"),
        }
    }

    /// A number of bytes with its unit, more than none: `1MiB`.
    pub(super) fn size(&self) -> Option<u64> {
        let units = [
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("TiB", 1 << 40),
            ("B", 1),
        ];
        match self.quantity(&units) {
            Some(bytes) => Some(bytes),
            None => self.report("must be a size with a unit (B, KiB, MiB, GiB, TiB), as in 1MiB"),
        }
    }

    /// A file or directory; relative ones begin where the configuration file is.
    pub(super) fn file(&self) -> Option<PathBuf> {
        Some(self.directory().join(self.text()?))
    }

    fn quantity(&self, units: &[(&str, u64)]) -> Option<u64> {
        let text = self.value().as_str()?;
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let factor = units.iter().find(|(name, _)| *name == unit.trim_start())?.1;
        let number: u64 = number.parse().ok()?;
        number.checked_mul(factor).filter(|product| *product > 0)
    }
}
