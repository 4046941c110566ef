//! `docs/fnap.md` says what the code does.

use eson_protocol::Code;
use eson_protocol::session::{Limits, MAX_SASL_LENGTH};
use eson_protocol::text::{MAX_COMMAND_LENGTH, parse_command, parse_status, usage};

const SPECIFICATION: &str = include_str!("../../../docs/fnap.md");

/// The lines of a part of the page, from one heading to the next.
fn section(heading: &str) -> impl Iterator<Item = &'static str> {
    let lines = SPECIFICATION
        .lines()
        .skip_while(move |line| *line != heading);
    lines.skip(1).take_while(|line| !line.starts_with("## "))
}

#[test]
fn every_code_is_in_the_table_of_replies() {
    let table: Vec<_> = section("## 4. Replies")
        .filter(|line| line.starts_with("| "))
        .collect();
    for code in Code::ALL {
        let row = format!(
            "| {} | {} |",
            code.number(),
            code.word().unwrap_or_default()
        );
        let row = row.replace("|  |", "| |");
        assert!(table.iter().any(|line| line.starts_with(&row)), "{row}");
    }
    assert_eq!(
        table.len(),
        Code::ALL.len() + 1,
        "a row for each code, and the head"
    );
}

/// `CREATE FLOW` of `CREATE FLOW flow [broker=]`: the leading words in capitals.
fn name(usage: &str) -> String {
    let is_keyword = |word: &&str| word.bytes().all(|octet| octet.is_ascii_uppercase());
    let words: Vec<_> = usage.split(' ').take_while(is_keyword).collect();
    words.join(" ")
}

#[test]
fn every_command_and_option_is_described() {
    let commands: Vec<_> = section("## 7. Commands").collect();
    for usage in usage() {
        let described = commands.iter().filter(|line| line.contains(&name(usage)));
        assert!(described.count() > 0, "{usage}");
        for key in usage
            .split(['[', ']', ' '])
            .filter_map(|word| word.strip_suffix('='))
        {
            let key = format!("{key}=");
            assert!(
                commands.iter().any(|line| line.contains(&key)),
                "{key} of {usage}"
            );
        }
    }
}

#[test]
fn the_grammar_has_every_command() {
    let grammar: Vec<_> = section("## 10. Grammar").collect();
    let grammar = grammar.join(" ");
    for usage in usage() {
        for word in name(usage).split(' ') {
            assert!(
                grammar.contains(&format!("\"{word}\"")),
                "{word} of {usage}"
            );
        }
    }
}

#[test]
fn the_examples_are_fnap() {
    let mut commands = 0;
    for line in SPECIFICATION.lines() {
        if let Some(line) = line.strip_prefix("    C: ") {
            let is_command =
                line.starts_with(|c: char| c.is_ascii_uppercase()) && line.contains(' ');
            if is_command || line == "QUIT" {
                parse_command(line).unwrap_or_else(|error| panic!("{line}: {error}"));
                commands += 1;
            }
        }
        if let Some(line) = line.strip_prefix("    S: ")
            && line.starts_with(|c: char| c.is_ascii_digit())
        {
            parse_status(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
    assert!(commands >= 9, "{commands}");
}

#[test]
fn the_limits_are_those_of_the_code() {
    let limits: Vec<_> = section("## 11. Limits").collect();
    let limits = limits.join("\n");
    assert!(limits.contains("8,192") && MAX_COMMAND_LENGTH == 8192);
    assert!(limits.contains("65,536") && MAX_SASL_LENGTH == 65_536);
    assert!(limits.contains("| refused lines in a row | 20 |"));
    let default = Limits::default();
    assert_eq!(default.errors, 20);
    assert_eq!(default.event, 2 << 20);
    assert_eq!(default.data, 8 << 20);
}
