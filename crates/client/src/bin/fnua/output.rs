//! Replies as tables, JSON or YAML.

use std::io::{self, Write};

use clap::ValueEnum;
use eson_protocol::{DataLine, Reply};
use serde_json::{Map, Number, Value};

use crate::entry::{Entry, attributes_behind, entries, one};
use crate::terminal::printable;

/// The form of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// What a reply's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Many things; bare lines are values of this key.
    List(&'static str),
    /// One thing; bare lines are values of this key.
    One(&'static str),
}

/// Prints a reply. Without data it prints the status text, unless `quiet`.
///
/// # Errors
/// Those of `out`.
pub(crate) fn print(
    out: &mut dyn Write,
    form: Form,
    quiet: bool,
    shape: Shape,
    reply: &Reply,
) -> io::Result<()> {
    match (reply, form) {
        (Reply::Data(lines, _), Form::Table) => print_table(out, shape, lines),
        (Reply::Data(lines, _), _) => print_value(out, form, &value(shape, lines)),
        (Reply::Status(_), _) if quiet => Ok(()),
        (Reply::Status(status), Form::Table) => writeln!(out, "{}", printable(&status.text)),
        (Reply::Status(status), _) => {
            print_value(out, form, &serde_json::json!({ "status": status.text }))
        }
    }
}

/// Prints a value as JSON, or else as YAML.
///
/// # Errors
/// Those of `out`.
pub(crate) fn print_value(out: &mut dyn Write, form: Form, value: &Value) -> io::Result<()> {
    if form == Form::Json {
        return writeln!(out, "{value:#}");
    }
    let text = serde_yaml_ng::to_string(value).map_err(io::Error::other)?;
    out.write_all(text.as_bytes())
}

fn print_table(out: &mut dyn Write, shape: Shape, lines: &[DataLine]) -> io::Result<()> {
    match shape {
        Shape::List(key) => print_list(out, &entries(key, lines)),
        Shape::One(_) => print_one(out, lines),
    }
}

/// A heading and one row for each entry, as wide as the widest cell.
fn print_list(out: &mut dyn Write, entries: &[Entry]) -> io::Result<()> {
    let keys = keys(entries);
    let heading = keys.iter().map(|key| key.to_uppercase()).collect();
    let mut rows: Vec<Vec<String>> = vec![heading];
    rows.extend(entries.iter().map(|entry| row(&keys, entry)));
    if keys.is_empty() {
        return Ok(());
    }
    let widths: Vec<usize> = (0..keys.len())
        .map(|at| rows.iter().map(|row| row[at].chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    rows.iter().try_for_each(|row| {
        let cells = row.iter().zip(&widths);
        let line: String = cells
            .map(|(cell, &wide)| format!("{cell:wide$}  "))
            .collect();
        writeln!(out, "{}", line.trim_end())
    })
}

fn keys(entries: &[Entry]) -> Vec<&str> {
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in entries.iter().flatten() {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    keys
}

fn row(keys: &[&str], entry: &Entry) -> Vec<String> {
    let cell = |wanted: &&str| {
        let found = entry.iter().find(|(key, _)| key == wanted);
        found.map_or_else(
            || "-".to_owned(),
            |(_, values)| printable(&values.join(",")).into_owned(),
        )
    };
    keys.iter().map(cell).collect()
}

/// One `key  value` row for each attribute; a bare line as it is.
fn print_one(out: &mut dyn Write, lines: &[DataLine]) -> io::Result<()> {
    let key_length = |line: &DataLine| match line {
        DataLine::Attribute(key, _) => key.len(),
        DataLine::Text(_) => 0,
    };
    let wide = lines.iter().map(key_length).max().unwrap_or(0);
    lines.iter().try_for_each(|line| match line {
        DataLine::Attribute(key, value) => {
            writeln!(out, "{:wide$}  {}", printable(key), printable(value))
        }
        DataLine::Text(text) => writeln!(out, "{}", printable(text)),
    })
}

fn value(shape: Shape, lines: &[DataLine]) -> Value {
    match shape {
        Shape::List(key) => entries(key, lines).into_iter().map(object).collect(),
        Shape::One(key) => object(one(key, lines)),
    }
}

/// The keys of figures, which programs compare: they are numbers for them. One that is not known is null.
const FIGURES: [&str; 12] = [
    "lag",
    "lag-seconds",
    "records",
    "bytes",
    "lost",
    "rate",
    "throughput",
    "dead-letters",
    "crowded-out",
    "unknown-schemas",
    "error-seconds",
    "partitions",
];

fn figure(text: String) -> Value {
    match text.parse::<Number>() {
        Ok(number) => number.into(),
        Err(_) if text == "unknown" => Value::Null,
        Err(_) => text.into(),
    }
}

/// The key of a processor's legs, each a line of its own with keys and values.
const LEG: &str = "leg";

/// A leg as an object, under the flow that is its own.
fn leg(text: &str) -> Value {
    match attributes_behind("flow", text) {
        Some(entry) => object(entry),
        None => text.into(),
    }
}

fn object(entry: Entry) -> Value {
    let member = |(key, mut values): (String, Vec<String>)| {
        let value = match values.len() {
            // As many as there are legs, also where that is one.
            _ if key == LEG => values.iter().map(|value| leg(value)).collect(),
            1 if FIGURES.contains(&key.as_str()) => figure(values.remove(0)),
            1 => values.remove(0).into(),
            _ => values.into(),
        };
        (key, value)
    };
    Value::Object(entry.into_iter().map(member).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use eson_protocol::Status;

    use super::*;

    fn reply(lines: &[(&str, &str)]) -> Reply {
        let line = |(key, value): &(&str, &str)| match *key {
            "" => DataLine::Text((*value).to_owned()),
            key => DataLine::Attribute(key.to_owned(), (*value).to_owned()),
        };
        let status = Status {
            code: 220,
            reason: None,
            text: "OK".to_owned(),
        };
        Reply::Data(lines.iter().map(line).collect(), status)
    }

    fn printed(form: Form, shape: Shape, lines: &[(&str, &str)]) -> String {
        let mut out = Vec::new();
        print(&mut out, form, false, shape, &reply(lines)).expect("memory takes it");
        String::from_utf8(out).expect("text")
    }

    const FLOW: [(&str, &str); 4] = [
        ("flow", "time.flows.unix.ar"),
        ("type", "kafka"),
        ("server", "kf1.unix.ar:9092"),
        ("server", "kf2.unix.ar:9092"),
    ];

    #[test]
    fn a_description_has_a_row_for_each_value() {
        assert_eq!(
            printed(Form::Table, Shape::One("flow"), &FLOW),
            "flow    time.flows.unix.ar\n\
             type    kafka\n\
             server  kf1.unix.ar:9092\n\
             server  kf2.unix.ar:9092\n"
        );
    }

    #[test]
    fn a_leg_is_an_object() {
        let lines = [
            ("processor", "p"),
            ("leg", r#"a.example state=failed error="it is gone""#),
        ];
        let json: Value = printed(Form::Json, Shape::One("processor"), &lines)
            .parse()
            .expect("JSON");
        let leg = serde_json::json!({
            "flow": "a.example", "state": "failed", "error": "it is gone",
        });
        assert_eq!(json, serde_json::json!({ "processor": "p", "leg": [leg] }));
    }

    #[test]
    fn figures_are_numbers() {
        let lines = [
            ("processor", "7"),
            ("lag", "12"),
            ("lag-seconds", "unknown"),
            ("rate", "0.5"),
            ("leg", "a.example state=running lag=3"),
        ];
        let json: Value = printed(Form::Json, Shape::One("processor"), &lines)
            .parse()
            .expect("JSON");
        let leg = serde_json::json!({ "flow": "a.example", "state": "running", "lag": 3 });
        let wanted = serde_json::json!({
            "processor": "7", "lag": 12, "lag-seconds": null, "rate": 0.5, "leg": [leg],
        });
        assert_eq!(json, wanted);
    }

    #[test]
    fn a_repeated_key_is_an_array() {
        let json: Value = printed(Form::Json, Shape::One("flow"), &FLOW)
            .parse()
            .expect("JSON");
        assert_eq!(
            json,
            serde_json::json!({
                "flow": "time.flows.unix.ar",
                "type": "kafka",
                "server": ["kf1.unix.ar:9092", "kf2.unix.ar:9092"],
            })
        );
    }

    #[test]
    fn a_list_begins_an_entry_with_its_first_key() {
        let lines = [
            ("flow", "a.example"),
            ("state", "ready"),
            ("flow", "longer.example"),
            ("flow", "c.example"),
            ("state", "failed"),
        ];
        assert_eq!(
            printed(Form::Table, Shape::List("flow"), &lines),
            "FLOW            STATE\n\
             a.example       ready\n\
             longer.example  -\n\
             c.example       failed\n"
        );
        assert_eq!(
            printed(Form::Yaml, Shape::List("flow"), &lines[..3]),
            "- flow: a.example\n  state: ready\n- flow: longer.example\n"
        );
    }

    #[test]
    fn a_bare_answer_is_printed_as_it_is() {
        let lines = [("", "b.blue.example SUBSCRIBED TO x.a.orange.example")];
        assert_eq!(
            printed(Form::Table, Shape::One("subscription"), &lines),
            "b.blue.example SUBSCRIBED TO x.a.orange.example\n"
        );
    }

    #[test]
    fn bare_lines_get_a_heading() {
        assert_eq!(
            printed(
                Form::Table,
                Shape::List("flow"),
                &[("", "a.example"), ("", "b.example")]
            ),
            "FLOW\na.example\nb.example\n"
        );
    }

    #[test]
    fn a_list_line_may_have_attributes_behind_the_name() {
        let lines = [
            (
                "",
                r#"a.example state=ready note="it is \"well\" so" lag=0"#,
            ),
            ("", "b.example state=failed"),
        ];
        assert_eq!(
            printed(Form::Table, Shape::List("flow"), &lines),
            "FLOW       STATE   NOTE             LAG\n\
             a.example  ready   it is \"well\" so  0\n\
             b.example  failed  -                -\n"
        );
    }

    #[test]
    fn phrases_are_taken_apart() {
        let grants = [("", "read ON a.example TO *@blue.example")];
        assert_eq!(
            printed(Form::Yaml, Shape::List("grant"), &grants),
            "- on: a.example\n  right: read\n  to: '*@blue.example'\n"
        );
        let subscribed = [("", "b.blue.example SUBSCRIBED TO x.a.orange.example")];
        assert_eq!(
            printed(Form::Yaml, Shape::One("subscription"), &subscribed),
            "copy: x.a.orange.example\nlocal: b.blue.example\n"
        );
    }

    #[test]
    fn a_text_that_is_neither_stays_whole() {
        for text in ["CREATE FLOW f [broker=]", "a b=\"open", "a =x"] {
            let json: Value = printed(Form::Json, Shape::List("line"), &[("", text)])
                .parse()
                .expect("JSON");
            assert_eq!(json, serde_json::json!([{ "line": text }]));
        }
    }

    #[test]
    fn an_empty_list_is_an_empty_array() {
        assert_eq!(printed(Form::Json, Shape::List("flow"), &[]), "[]\n");
        assert_eq!(printed(Form::Table, Shape::List("flow"), &[]), "");
    }

    #[test]
    fn quiet_leaves_out_the_status() {
        let status = Reply::Status(Status {
            code: 220,
            reason: None,
            text: "OK time.flows.unix.ar".to_owned(),
        });
        for (quiet, expected) in [(false, "OK time.flows.unix.ar\n"), (true, "")] {
            let mut out = Vec::new();
            print(&mut out, Form::Table, quiet, Shape::One("flow"), &status).expect("memory");
            assert_eq!(String::from_utf8(out).expect("text"), expected);
        }
    }
}
