//! What a test process has started ends with it, also when it is killed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use eson_tests::process::{Process, data_dir, mentioning};
use eson_tests::until;
use eson_tests::wait::check;

/// Set in the process that starts a server and is killed.
const VICTIM: &str = "ESON_TEST_VICTIM";

#[test]
fn a_killed_test_leaves_no_process_and_no_data() {
    if std::env::var_os(VICTIM).is_some() {
        start_a_server_and_wait();
        return;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_killed_test_leaves_no_process_and_no_data",
            "--nocapture",
        ])
        .env(VICTIM, "1")
        .env_remove("ESON_TEST_KEEP")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let said = lines.map(Result::unwrap).find_map(|line| {
        let at = line.find("server in ")?;
        Some(PathBuf::from(&line[at + "server in ".len()..]))
    });
    let dir = said.expect("the victim said nothing");
    let name = dir.display().to_string();
    // A process has its command line only some time after the exec that `spawn` waits for.
    until("the server to run", Duration::from_secs(30), || {
        check(!mentioning(&name).is_empty(), || {
            format!("no process names {name}")
        })
    });
    victim.kill().unwrap();
    victim.wait().unwrap();
    until(
        "the server and its data to be gone",
        Duration::from_secs(30),
        || {
            let left = mentioning(&name);
            check(left.is_empty() && !dir.exists(), || {
                format!("{left:?} in {name}")
            })
        },
    );
}

fn start_a_server_and_wait() {
    let dir = data_dir("victim");
    let script = format!("sleep 600 & cd {} && sleep 600", dir.display());
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    let mut server = Process::start("server", command, &dir.join("log"));
    println!("server in {}", dir.display());
    until("the end", Duration::from_secs(600), || {
        server.ended().ok_or_else(String::new)
    });
}
