//! A reply's data lines as things with keys and values.

use eson_protocol::DataLine;

/// One thing: its keys in the order they came, each with its values.
pub(crate) type Entry = Vec<(String, Vec<String>)>;

/// A list's data. A bare line is an entry of its own; of attribute lines, each entry begins with
/// the key that the first one begins with.
pub(crate) fn entries(bare: &str, lines: &[DataLine]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in lines {
        match (line, entries.last_mut()) {
            (DataLine::Text(text), _) => entries.push(bare_entry(bare, text)),
            (DataLine::Attribute(key, value), Some(entry)) if entry[0].0 != *key => {
                add(entry, key, value);
            }
            (DataLine::Attribute(key, value), _) => {
                entries.push(vec![(key.clone(), vec![value.clone()])]);
            }
        }
    }
    entries
}

/// One thing's data: a key that comes again has several values.
pub(crate) fn one(bare: &str, lines: &[DataLine]) -> Entry {
    let mut entry = Entry::new();
    for line in lines {
        match line {
            DataLine::Attribute(key, value) => add(&mut entry, key, value),
            DataLine::Text(text) => {
                for (key, values) in bare_entry(bare, text) {
                    values.iter().for_each(|value| add(&mut entry, &key, value));
                }
            }
        }
    }
    entry
}

/// A bare line: `name key=value …`, one of FNAP's phrases, or only a text.
fn bare_entry(bare: &str, text: &str) -> Entry {
    let words: Vec<&str> = text.split(' ').collect();
    let named = |pairs: &[(&str, &str)]| {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), vec![(*value).to_owned()]);
        pairs.iter().map(pair).collect()
    };
    match words[..] {
        [local, "SUBSCRIBED", "TO", copy] => named(&[("local", local), ("copy", copy)]),
        [right, "ON", on, "TO", to] => named(&[("right", right), ("on", on), ("to", to)]),
        _ => attributes_behind(bare, text).unwrap_or_else(|| named(&[(bare, text)])),
    }
}

/// `name key=value key="a value"`; the name is a value of the key `bare`.
pub(crate) fn attributes_behind(bare: &str, text: &str) -> Option<Entry> {
    let (name, mut rest) = text.split_once(' ')?;
    let mut entry: Entry = vec![(bare.to_owned(), vec![name.to_owned()])];
    while !rest.is_empty() {
        let (key, value) = rest.split_once('=')?;
        if key.is_empty() || key.contains([' ', '"']) {
            return None;
        }
        let (value, behind) = value_in_front(value)?;
        add(&mut entry, key, &value);
        rest = behind;
    }
    Some(entry)
}

/// Takes a value, which may be quoted, and the blank behind it.
fn value_in_front(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once(' ').unwrap_or((text, ""));
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => {
                let rest = &quoted[at + 1..];
                return Some((value, rest.strip_prefix(' ').unwrap_or(rest)));
            }
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn add(entry: &mut Entry, key: &str, value: &str) {
    match entry.iter_mut().find(|(known, _)| known == key) {
        Some((_, values)) => values.push(value.to_owned()),
        None => entry.push((key.to_owned(), vec![value.to_owned()])),
    }
}
