//! `fnua` as a person meets it: standard output, standard error and exit code.

mod configuration;
mod events;
mod replies;
mod resolution;
mod script;
mod usage;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A home of its own for one user, where `fnua` runs.
pub(crate) struct Home(TempDir);

/// How a run of `fnua` ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) error: String,
}

impl Home {
    /// Without a configuration.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    /// With this configuration.
    pub(crate) fn with(configuration: &str) -> Self {
        let home = Self::empty();
        std::fs::write(home.path(".flow.yml"), configuration).expect("written");
        home
    }

    /// With one agent, at this port of 127.0.0.1, which hosts `unix.ar`.
    pub(crate) fn at(port: u16) -> Self {
        Self::with(&format!(
            "
agents:
  - name: fnaa-unix
    fqdn: fnaa.unix.ar
    username: test
    password: test
    mechanism: PLAIN
    prefix: unix.ar-
    address: 127.0.0.1:{port}
namespaces:
  - {{ name: unix.ar, agent: fnaa-unix }}
"
        ))
    }

    /// A file in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `fnua` with these arguments, ready to start.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fnua"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("HOME", self.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `fnua` to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output();
        Outcome::of(output.expect("fnua runs"))
    }

    /// Runs `fnua` to its end with this on its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Outcome {
        let child = self.command(arguments).stdin(Stdio::piped()).spawn();
        let mut child: Child = child.expect("fnua starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("fnua reads");
        drop(stdin);
        Outcome::of(child.wait_with_output().expect("fnua ends"))
    }
}

impl Outcome {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("no signal"),
            out: String::from_utf8(output.stdout).expect("text"),
            error: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Asserts success, and gives what was printed.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!((self.code, self.error.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// Asserts this exit code and nothing printed, and gives the complaint.
    #[track_caller]
    pub(crate) fn failure(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.error);
        assert!(!self.error.is_empty(), "it says why");
        self.error
    }
}
