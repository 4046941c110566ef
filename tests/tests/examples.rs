//! The files that are shipped are right: configurations, and the demo's events.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use eson_tests::participant::binary;
use eson_tests::ports::free_port;
use eson_tests::process::data_dir;
use serde_json::Value;

fn top(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn check_configuration(file: &Path) -> Output {
    Command::new(binary("fnaad"))
        .args(["--check", "--state-dir"])
        .arg(data_dir("check"))
        .arg("--config")
        .arg(file)
        .output()
        .unwrap()
}

#[test]
fn the_embedded_examples_are_accepted() {
    let file = data_dir("examples").join("fnaad.yaml");
    for name in ["examples/orange.yaml", "examples/blue.yaml"] {
        let text = fs::read_to_string(top(name)).unwrap();
        fs::write(&file, at_free_ports(&text)).unwrap();
        let done = check_configuration(&file);
        assert!(done.status.success(), "{name}: {done:?}");
    }
}

/// The demo may be running: its ports are left alone.
fn at_free_ports(text: &str) -> String {
    const ADDRESS: &str = "127.0.0.1:";
    let mut parts = text.split(ADDRESS);
    let mut moved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        moved += &format!("{ADDRESS}{}{rest}", free_port());
    }
    moved
}

/// Every key of every example is one that counts: misspelt, it is refused by its name, and so are
/// all others that are wrong at the same time.
#[test]
fn a_misspelt_key_is_refused_and_all_are_told_at_once() {
    let dir = data_dir("misspelt");
    for name in [
        "orange.yaml",
        "blue.yaml",
        "kafka/orange.yaml",
        "kafka/blue.yaml",
    ] {
        let text = fs::read_to_string(top("examples").join(name)).unwrap();
        let keys: Vec<&str> = text.lines().filter_map(top_level_key).collect();
        assert!(keys.len() > 5, "{name}: {keys:?}");
        let file = dir.join("misspelt.yaml");
        let misspelt = |line: &str| match top_level_key(line) {
            Some(key) => line.replacen(key, &format!("{key}x"), 1),
            None => line.to_owned(),
        };
        let lines: Vec<String> = text.lines().map(misspelt).collect();
        fs::write(&file, lines.join("\n")).unwrap();
        let done = check_configuration(&file);
        assert!(!done.status.success(), "{name} with wrong keys is accepted");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        for key in keys {
            assert!(
                said.contains(&format!("{key}x")),
                "{name}: {key}x is not in {said}"
            );
        }
    }
}

/// `key:` at the beginning of a line.
fn top_level_key(line: &str) -> Option<&str> {
    let key = line.split_once(':')?.0;
    let plain = key.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    (plain && !key.is_empty()).then_some(key)
}

#[test]
fn the_demos_events_are_cloud_events() {
    let text = fs::read_to_string(top("data/flights.jsonl")).unwrap();
    let mut ids = HashSet::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!("1.0", event["specversion"], "{line}");
        for required in ["id", "source", "type"] {
            let value = event[required].as_str().unwrap_or_default();
            assert!(!value.is_empty(), "{required} is missing in {line}");
        }
        assert!(
            ids.insert(event["id"].to_string()),
            "the id of {line} comes twice"
        );
    }
    assert_eq!(2_000, ids.len());
}
