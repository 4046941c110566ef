//! Reading and writing events.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;

use crate::Home;
use crate::script::{LOGIN, QUIT, Script};

const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;

#[test]
fn events_are_printed_as_they_are() {
    let script = Script::logged_in(&format!(
        "C: READ FLOW time.unix.ar from=earliest max=2
         S: 220 DATA
         S: {EVENT}
         S: {EVENT}
         S: 220 OK"
    ));
    let arguments = ["read", "time.unix.ar", "--from", "earliest", "--max", "2"];
    let out = Home::at(script.port).run(&arguments).success();
    script.end();
    assert_eq!(out, format!("{EVENT}\n{EVENT}\n"));
}

#[test]
fn records_and_times() {
    let script = Script::logged_in(
        "C: READ FLOW time.unix.ar from=1769860800000 format=record
         S: 220 DATA
         S: 220 OK",
    );
    let arguments = [
        "read",
        "time.unix.ar",
        "--from",
        "2026-01-31T13:00:00+01:00",
    ];
    let out = Home::at(script.port)
        .run(&[&arguments[..], &["--format", "record"]].concat())
        .success();
    script.end();
    assert_eq!(out, "");
}

#[test]
fn ctrl_c_ends_a_followed_read_in_order() {
    let script = Script::play(&format!(
        "{LOGIN}
         C: READ FLOW time.unix.ar follow=true
         S: 220 DATA
         S: {EVENT}
         C:
         S: 220 OK
         {QUIT}"
    ));
    let home = Home::at(script.port);
    let child = home.command(&["read", "time.unix.ar", "--follow"]).spawn();
    let mut child = child.expect("fnua starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("an event");
    assert_eq!(line, format!("{EVENT}\n"));
    let interrupt = format!("kill -INT {}", child.id());
    let killed = Command::new("sh").args(["-c", &interrupt]).status();
    assert!(killed.expect("sh runs").success());
    script.end();
    let status = child.wait().expect("fnua ends");
    assert_eq!(status.code(), Some(0));
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("the end");
    assert_eq!(rest, "");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let script = Script::play(&format!(
        "{LOGIN}
         C: READ FLOW time.unix.ar
         S: 220 DATA
         S: {EVENT}
         S: 220 OK"
    ));
    let home = Home::at(script.port);
    let child = home.command(&["read", "time.unix.ar"]).spawn();
    let mut child = child.expect("fnua starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("fnua ends");
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &b""[..])
    );
    script.end();
}

#[test]
fn lines_of_standard_input_are_written() {
    let script = Script::logged_in(&format!(
        "C: WRITE FLOW time.unix.ar
         S: 354 send events
         C: {EVENT}
         C: .
         S: 220 OK 1"
    ));
    let home = Home::at(script.port);
    let out = home
        .run_with_input(&["write", "time.unix.ar"], &format!("\n{EVENT}\n"))
        .success();
    script.end();
    assert_eq!(out, "1 event written to time.unix.ar\n");
}

#[test]
fn a_file_is_written_and_a_missing_one_named() {
    let script = Script::logged_in(
        "C: WRITE FLOW time.unix.ar format=record
         S: 354 send events
         C: {}
         C: .
         S: 220 OK 1",
    );
    let home = Home::at(script.port);
    std::fs::write(home.path("events"), "{}").expect("written");
    let arguments = [
        "-o",
        "json",
        "write",
        "time.unix.ar",
        "events",
        "--format",
        "record",
    ];
    let out = home.run(&arguments).success();
    script.end();
    assert_eq!(
        out,
        "{\n  \"status\": \"1 event written to time.unix.ar\"\n}\n"
    );

    let error = home.run(&["write", "time.unix.ar", "none"]).failure(2);
    assert!(error.contains("none can't be read"), "{error}");
}

#[test]
fn a_bad_event_is_named_by_its_lines() {
    let script = Script::play(&format!(
        "{LOGIN}
         C: WRITE FLOW time.unix.ar
         S: 354 send events
         C: {{}}
         C: .
         S: 501 [ARGUMENT] line 1: an event needs an id"
    ));
    let home = Home::at(script.port);
    let error = home
        .run_with_input(&["write", "time.unix.ar"], "\n\n{}\n")
        .failure(1);
    script.end();
    assert_eq!(error, "fnua: 501 [ARGUMENT] line 3: an event needs an id\n");
}
