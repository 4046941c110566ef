//! The command `fnaad` itself: `--check`, users, signals, health and metrics.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what it expects by panicking"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use eson_tests::ports::free_port;
use eson_tests::{Process, RawFnap, until};
use tempfile::TempDir;

const FNAAD: &str = env!("CARGO_BIN_EXE_fnaad");
const SOON: Duration = Duration::from_secs(30);

/// A participant's directory and configuration.
struct Place {
    directory: TempDir,
    fnap: SocketAddr,
    web: SocketAddr,
}

impl Place {
    fn new() -> Self {
        let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let place = Self {
            directory: TempDir::new().unwrap(),
            fnap: address(),
            web: address(),
        };
        let dns = address();
        let (fnap, web) = (place.fnap, place.web);
        place.configure(&format!(
            "fqdn: fnaa.orange.example\n\
             domain: orange.example\n\
             state-dir: state\n\
             listen: [{{address: '{fnap}', plaintext-auth: true}}]\n\
             resolver: {{stub-zones: [{{zone: orange.example, nameserver: '{dns}'}}]}}\n\
             nameservers: [{{name: embedded, type: embedded, listen: '{dns}'}}]\n\
             brokers: [{{name: local, type: local}}]\n\
             namespaces: [{{name: flows.orange.example, broker: local, ns-public: embedded}}]\n\
             processor: {{program: '{FNAAD}'}}\n\
             web: {{listen: '{web}'}}\n"
        ));
        place
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("fnaad.yaml")
    }

    fn configure(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(FNAAD);
        command.arg("--config").arg(self.file());
        command
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command();
        let command = command.args(arguments).stdin(Stdio::piped());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    }

    fn start(&self) -> Process {
        let log = self.directory.path().join("log");
        let mut process = Process::start("fnaad", self.command(), &log);
        process.until_ready(SOON, || self.http("GET /healthz").map(drop));
        process
    }

    /// The status code and the body.
    fn http(&self, request: &str) -> Result<(u16, String), String> {
        let text = |cause: std::io::Error| cause.to_string();
        let mut stream = TcpStream::connect(self.web).map_err(text)?;
        stream.set_read_timeout(Some(SOON)).map_err(text)?;
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .map_err(text)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(text)?;
        let status = answer.get(9..12).and_then(|code| code.parse().ok());
        let (_, body) = answer.split_once("\r\n\r\n").ok_or(&answer)?;
        Ok((status.ok_or(&answer)?, body.to_owned()))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn serves_health_and_metrics() {
    let place = Place::new();
    let mut fnaad = place.start();
    assert_eq!(place.http("GET /healthz"), Ok((200, "ok\n".to_owned())));
    let (status, parts) = place.http("GET /readyz").unwrap();
    assert_eq!(status, 200, "{parts}");
    let expected = "store: ok\n\
                    broker local: ok\n\
                    name server embedded for flows.orange.example: ok\n";
    assert_eq!(parts, expected);
    let _session = RawFnap::connect(place.fnap);
    until("the session to be counted", SOON, || {
        let (status, metrics) = place.http("GET /metrics")?;
        let counted = status == 200 && metrics.contains("\nfnaad_sessions 1\n");
        eson_tests::wait::check(counted, || metrics)
    });
    assert_eq!(place.http("GET /nowhere").unwrap().0, 404);
    assert_eq!(place.http("POST /metrics").unwrap().0, 405);
    assert!(fnaad.terminate().success());
}

#[test]
fn adds_users_and_takes_them_over_on_sighup() {
    let place = Place::new();
    let fnaad = place.start();
    assert!(RawFnap::try_login(place.fnap, "alice", "secret").is_err());

    let added = place.run(&["user", "add", "alice"], "secret\n");
    assert!(added.status.success(), "{}", text(&added.stderr));
    let users = std::fs::read_to_string(place.directory.path().join("state/users.yaml")).unwrap();
    assert!(
        users.contains("alice") && !users.contains("secret"),
        "{users}"
    );
    fnaad.signal("HUP");
    until("alice to be known", SOON, || {
        RawFnap::try_login(place.fnap, "alice", "secret")
    });

    let nothing = place.run(&["user", "add", "bob"], "\n");
    assert_eq!(nothing.status.code(), Some(1));
    assert_eq!(
        text(&nothing.stderr),
        "fnaad: there is no password on standard input\n"
    );
    let no_name = place.run(&["user", "add", "a b"], "secret\n");
    assert_eq!(no_name.status.code(), Some(1));
}

#[test]
fn a_wrong_configuration_is_not_taken_over() {
    let place = Place::new();
    let fnaad = place.start();
    place.configure("fqdn: fnaa.orange.example\n");
    fnaad.signal("HUP");
    until("the refusal to be told", SOON, || {
        let log = fnaad.output();
        eson_tests::wait::check(log.contains("nothing is reloaded"), || log)
    });
    assert_eq!(place.http("GET /readyz").unwrap().0, 200);
}

#[test]
fn a_second_one_on_the_same_state_says_so() {
    let place = Place::new();
    let _first = place.start();
    let second = place.run(&[], "");
    assert_eq!(second.status.code(), Some(1));
    let error = text(&second.stderr);
    assert!(error.contains("is in use by another fnaad"), "{error}");
    let check = place.run(&["--check"], "");
    assert!(check.status.success());
    assert!(text(&check.stdout).starts_with("note: a fnaad runs on "));
}

#[test]
fn check_tells_every_problem_and_changes_nothing() {
    let place = Place::new();
    let good = place.run(&["--check"], "");
    assert_eq!(
        text(&good.stdout),
        "the configuration is good\n",
        "{}",
        text(&good.stderr)
    );
    assert!(good.status.success());
    assert!(!place.directory.path().join("state").exists());

    let dead = free_port();
    let extra = format!(
        "peers: [{{domain: '*', tls-ca: nowhere.pem}}]\nbrokers:\n  - name: local\n    type: kafka\n    \
         bootstrap-servers: 127.0.0.1:{dead}\n"
    );
    let text_now = std::fs::read_to_string(place.file()).unwrap();
    let kept = text_now
        .lines()
        .filter(|line| !line.starts_with("brokers:"));
    let kept: String = kept.map(|line| format!("{line}\n")).collect();
    place.configure(&(kept.clone() + &extra));
    let bad = place.run(&["--check"], "");
    assert_eq!(bad.status.code(), Some(1));
    assert!(
        text(&bad.stdout).starts_with("problem: peers[0].tls-ca: "),
        "{}",
        text(&bad.stdout)
    );

    place.configure(&(kept + &extra.replace(", tls-ca: nowhere.pem", "")));
    let bad = place.run(&["--check"], "");
    assert_eq!(bad.status.code(), Some(1));
    let problem = text(&bad.stdout);
    assert!(problem.starts_with("problem: broker local: "), "{problem}");
    assert!(problem.contains(&dead.to_string()), "{problem}");
    assert!(!place.directory.path().join("state").exists());
}

#[test]
fn prints_what_the_parent_zones_need() {
    let place = Place::new();
    let printed = place.run(&["dns-records", "--address", "192.0.2.1"], "");
    let port = place.fnap.port();
    let expected = format!(
        "fnaa.orange.example. 3600 IN A 192.0.2.1\n\
         fnaa.orange.example. 3600 IN SRV 0 0 {port} fnaa.orange.example.\n\
         flows.orange.example. 3600 IN NS fnaa.orange.example.\n"
    );
    assert_eq!(text(&printed.stdout), expected);
}
