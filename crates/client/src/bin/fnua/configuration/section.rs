//! One mapping of the file, read key by key; what is wrong is gathered, not thrown.

use serde_yaml_ng::{Mapping, Value};

/// Everything that is wrong in a file, with where it is.
pub(crate) type Problems = Vec<String>;

/// One mapping of the file. Keys are taken out of it; [`Section::end`] complains about the rest.
pub(crate) struct Section<'p> {
    at: String,
    rest: Mapping,
    problems: &'p mut Problems,
}

impl<'p> Section<'p> {
    /// Opens the mapping at `at` (empty for the whole file). What is none counts as empty.
    pub(crate) fn open(at: &str, value: Value, problems: &'p mut Problems) -> Self {
        let rest = match value {
            Value::Mapping(mapping) => mapping,
            Value::Null if at.is_empty() => Mapping::new(),
            _ => {
                problems.push(match at {
                    "" => "the file must hold `key: value` pairs".to_owned(),
                    _ => format!("{at} must hold `key: value` pairs"),
                });
                Mapping::new()
            }
        };
        Self {
            at: at.to_owned(),
            rest,
            problems,
        }
    }

    /// A text that may be absent.
    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        match self.rest.remove(key)? {
            Value::String(text) => Some(text),
            // YAML takes an unquoted 1234 for a number; passwords look like that.
            Value::Number(number) => Some(number.to_string()),
            _ => {
                self.complain(key, "must be a text");
                None
            }
        }
    }

    /// A text that must be there.
    pub(crate) fn required_text(&mut self, key: &str) -> Option<String> {
        if !self.rest.contains_key(key) {
            self.complain(key, "is missing");
            return None;
        }
        self.text(key)
    }

    /// `true` or `false`, or absent.
    pub(crate) fn flag(&mut self, key: &str) -> Option<bool> {
        match self.rest.remove(key)? {
            Value::Bool(flag) => Some(flag),
            _ => {
                self.complain(key, "must be true or false");
                None
            }
        }
    }

    /// A list; empty when absent.
    pub(crate) fn list(&mut self, key: &str) -> Vec<Value> {
        match self.rest.remove(key) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Sequence(values)) => values,
            Some(_) => {
                self.complain(key, "must be a list");
                Vec::new()
            }
        }
    }

    /// Reads a text further; what the reader says is noted with the key.
    pub(crate) fn read<T, E: std::fmt::Display>(
        &mut self,
        key: &str,
        text: Option<String>,
        reader: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match reader(&text?) {
            Ok(value) => Some(value),
            Err(cause) => {
                self.complain(key, &format!("is wrong: {cause}"));
                None
            }
        }
    }

    /// Notes a problem with a key.
    pub(crate) fn complain(&mut self, key: &str, what: &str) {
        let place = self.place(key);
        self.problems.push(format!("{place} {what}"));
    }

    /// Complains about every key that nobody has taken; `known` are those that may be there.
    pub(crate) fn end(mut self, known: &[&str]) {
        for key in std::mem::take(&mut self.rest).into_keys() {
            let key = match key {
                Value::String(key) => key,
                other => format!("{other:?}"),
            };
            self.complain(&key, &format!("is unknown; known are {}", known.join(", ")));
        }
    }

    fn place(&self, key: &str) -> String {
        match self.at.as_str() {
            "" => format!("`{key}`"),
            at => format!("`{at}.{key}`"),
        }
    }
}
