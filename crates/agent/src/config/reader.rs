//! Reads a YAML document key by key and collects everything that is wrong with it, where a
//! derived deserializer would stop at the first error.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_yaml_ng::Value;

use super::Problem;

/// What one reading shares: the problems so far, and where relative paths begin.
#[derive(Debug)]
pub(super) struct Reading {
    directory: PathBuf,
    problems: RefCell<Vec<Problem>>,
}

impl Reading {
    /// Relative paths begin in `directory`.
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            problems: RefCell::default(),
        }
    }

    pub(super) fn report(&self, path: impl Into<String>, text: impl Into<String>) {
        self.problems.borrow_mut().push(Problem {
            path: path.into(),
            text: text.into(),
        });
    }

    pub(super) fn root<'r>(&'r self, value: &'r Value) -> Node<'r> {
        Node {
            path: String::new(),
            value,
            reading: self,
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// One value and its path. Its readers answer none after they have reported what is wrong.
#[derive(Clone, Debug)]
pub(super) struct Node<'r> {
    path: String,
    value: &'r Value,
    reading: &'r Reading,
}

impl<'r> Node<'r> {
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn value(&self) -> &'r Value {
        self.value
    }

    pub(super) fn directory(&self) -> &'r Path {
        &self.reading.directory
    }

    /// Reports a problem here.
    pub(super) fn report<T>(&self, text: impl Into<String>) -> Option<T> {
        let path = match self.path.as_str() {
            "" => "(top)",
            path => path,
        };
        self.reading.report(path, text);
        None
    }

    /// A mapping, read by `read`; keys that it did not ask for are reported.
    pub(super) fn section<T>(&self, read: impl FnOnce(&Section<'r>) -> Option<T>) -> Option<T> {
        let Value::Mapping(mapping) = self.value else {
            return self.report("must be a mapping of keys to values");
        };
        let mut section = Section {
            node: self.clone(),
            values: BTreeMap::new(),
            asked: RefCell::default(),
        };
        for (key, value) in mapping {
            match key.as_str() {
                // The draft writes some keys with underscores.
                Some(key) => {
                    section.values.insert(key.replace('_', "-"), value);
                }
                None => self.report("has a key that is no text").unwrap_or_default(),
            }
        }
        let result = read(&section);
        section.report_unknown_keys();
        result
    }

    /// A sequence of items.
    pub(super) fn items(&self) -> Option<Vec<Node<'r>>> {
        let Value::Sequence(items) = self.value else {
            return self.report("must be a list");
        };
        let item = |(index, value)| Node {
            path: format!("{}[{index}]", self.path),
            value,
            reading: self.reading,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A sequence, or one item standing for itself.
    pub(super) fn one_or_more(&self) -> Option<Vec<Node<'r>>> {
        match self.value {
            Value::Sequence(_) => self.items(),
            _ => Some(vec![self.clone()]),
        }
    }

    /// A mapping whose keys are data, not words of the configuration.
    pub(super) fn entries(&self) -> Option<Vec<(String, Node<'r>)>> {
        let Value::Mapping(mapping) = self.value else {
            return self.report("must be a mapping of names to values");
        };
        let mut entries = Vec::new();
        for (key, value) in mapping {
            let Some(key) = key.as_str() else {
                return self.report("has a name that is no text; put it in quotes");
            };
            let node = Node {
                path: format!("{}.{key}", self.path),
                value,
                reading: self.reading,
            };
            entries.push((key.to_owned(), node));
        }
        Some(entries)
    }
}

/// The values of a `type` key, and how the keys of each are read.
pub(super) type Variants<'v, T> = &'v [(&'v str, fn(&Section<'_>) -> Option<T>)];

/// A mapping whose keys are words of the configuration.
#[derive(Debug)]
pub(super) struct Section<'r> {
    node: Node<'r>,
    values: BTreeMap<String, &'r Value>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'r> Section<'r> {
    /// Reports a problem with one key of this section.
    pub(super) fn report(&self, key: &str, text: impl Into<String>) {
        self.node.reading.report(self.path_of(key), text);
    }

    /// Where this section is.
    pub(super) fn path(&self) -> &str {
        self.node.path()
    }

    /// The value of a key; none when it is absent or null.
    pub(super) fn node(&self, key: &'static str) -> Option<Node<'r>> {
        self.asked.borrow_mut().insert(key);
        let value = self.values.get(key)?;
        let node = Node {
            path: self.path_of(key),
            value,
            reading: self.node.reading,
        };
        (!value.is_null()).then_some(node)
    }

    /// An optional key.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(Node<'r>) -> Option<T>,
    ) -> Option<T> {
        read(self.node(key)?)
    }

    /// A key that must be there; none after its absence is reported.
    pub(super) fn required<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(Node<'r>) -> Option<T>,
    ) -> Option<T> {
        match self.node(key) {
            Some(node) => read(node),
            None => {
                self.report(key, "is missing");
                None
            }
        }
    }

    /// The key `type`, and the keys that come with its value.
    pub(super) fn variant<T>(&self, variants: Variants<'_, T>) -> Option<T> {
        let read = self.required("type", |node| node.word(variants))?;
        read(self)
    }

    /// A list; empty when absent. Items that can't be read are reported and left out.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        read: impl FnMut(Node<'r>) -> Option<T>,
    ) -> Vec<T> {
        let items = self.optional(key, |node| node.items());
        items
            .unwrap_or_default()
            .into_iter()
            .filter_map(read)
            .collect()
    }

    /// As [`Section::list`], where at least one item must be there.
    pub(super) fn required_list<T>(
        &self,
        key: &'static str,
        read: impl FnMut(Node<'r>) -> Option<T>,
    ) -> Vec<T> {
        let is_empty = |value: &&Value| value.as_sequence().is_some_and(Vec::is_empty);
        match self.values.get(key) {
            None => self.report(key, "is missing"),
            Some(value) if is_empty(value) => self.report(key, "needs at least one item"),
            Some(_) => {}
        }
        self.list(key, read)
    }

    /// As [`Section::list`], where one item may stand for itself.
    pub(super) fn one_or_more<T>(
        &self,
        key: &'static str,
        read: impl FnMut(Node<'r>) -> Option<T>,
    ) -> Vec<T> {
        let items = self.optional(key, |node| node.one_or_more());
        items
            .unwrap_or_default()
            .into_iter()
            .filter_map(read)
            .collect()
    }

    /// The `name` of each item of a list, whatever else may be wrong with the item.
    pub(super) fn names_in(&self, key: &str) -> Vec<&'r str> {
        let items = self.values.get(key).and_then(|value| value.as_sequence());
        let items = items.into_iter().flatten();
        items
            .filter_map(|item| item.get("name")?.as_str())
            .collect()
    }

    fn path_of(&self, key: &str) -> String {
        match self.path() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    fn report_unknown_keys(&self) {
        let asked = self.asked.borrow();
        let known: Vec<_> = asked.iter().copied().collect();
        for key in self.values.keys() {
            if !asked.contains(key.as_str()) {
                self.report(
                    key,
                    format!("is no key here; there are {}", known.join(", ")),
                );
            }
        }
    }
}
