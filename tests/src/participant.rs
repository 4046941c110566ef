//! A participant of the network: the real `fnaad` with a configuration and a state directory.

mod configuration;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::bind::Bind;
use crate::fnap::RawFnap;
use crate::kafka::Kafka;
use crate::ports::free_port;
use crate::process::{Process, children, data_dir};
use crate::wait::check;

/// A start on a busy machine, with a broker that may just be coming up.
const START: Duration = Duration::from_secs(60);

/// The user of every participant's configuration, and his password.
pub const USER: (&str, &str) = ("test", "test");

/// Another user of every participant, who owns nothing, and his password.
pub const OTHER_USER: (&str, &str) = ("alice", "alice-password");

/// Where a participant keeps its events.
#[derive(Clone, Copy, Debug)]
pub enum Queues<'a> {
    /// The broker inside `fnaad`.
    Local,
    /// A Kafka of its own, with authorization.
    Kafka(&'a Kafka),
}

/// Where a participant publishes its names and looks up others'.
#[derive(Clone, Copy, Debug)]
pub enum Names<'a> {
    /// The name server inside `fnaad`; zones of others are asked of their embedded servers.
    Embedded,
    /// BIND, for both.
    Bind(&'a Bind),
}

/// What a participant is called and where it listens, known before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its domain, such as `orange.example`.
    pub domain: String,
    /// Where it speaks FNAP.
    pub fnap: SocketAddr,
    /// Where its embedded name server answers.
    pub dns: SocketAddr,
    /// Where it serves health and metrics.
    pub web: SocketAddr,
}

impl Identity {
    /// A participant at free ports.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        let free = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self {
            domain: domain.to_owned(),
            fnap: free(),
            dns: free(),
            web: free(),
        }
    }

    /// The name of its FNAA.
    #[must_use]
    pub fn fnaa(&self) -> String {
        format!("fnaa.{}", self.domain)
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> String {
        format!("flows.{}", self.domain)
    }

    /// The name of its Kafka's host.
    #[must_use]
    pub fn kafka_host(&self) -> String {
        format!("kafka.{}", self.domain)
    }

    /// The full name of a flow in its namespace.
    #[must_use]
    pub fn flow(&self, name: &str) -> String {
        format!("{name}.flows.{}", self.domain)
    }
}

/// A participant whose `fnaad` runs; dropping it kills the server and what that had started.
#[derive(Debug)]
pub struct Participant {
    /// Its names and addresses.
    pub identity: Identity,
    dir: PathBuf,
    process: Process,
}

impl Participant {
    /// Writes the configuration and starts the server.
    ///
    /// # Panics
    /// When it doesn't get ready; shows its last lines.
    #[must_use]
    pub fn start(
        identity: &Identity,
        queues: Queues<'_>,
        names: Names<'_>,
        peers: &[&Identity],
    ) -> Self {
        let text = configuration::text(identity, queues, names, peers);
        Self::start_with(identity, &text)
    }

    /// The configuration that [`Participant::start`] writes, for tests that change it.
    #[must_use]
    pub fn configuration(
        identity: &Identity,
        queues: Queues<'_>,
        names: Names<'_>,
        peers: &[&Identity],
    ) -> String {
        configuration::text(identity, queues, names, peers)
    }

    /// Starts the server with this configuration.
    ///
    /// # Panics
    /// When it doesn't get ready; shows its last lines.
    #[must_use]
    pub fn start_with(identity: &Identity, configuration: &str) -> Self {
        let dir = data_dir(&identity.domain);
        fs::write(dir.join("fnaad.yaml"), configuration).unwrap();
        configuration::write_secrets(&dir);
        let process = launch(&dir, identity);
        Self {
            identity: identity.clone(),
            dir,
            process,
        }
    }

    /// A connection, its greeting unread.
    #[must_use]
    pub fn connect(&self) -> RawFnap {
        RawFnap::connect(self.identity.fnap)
    }

    /// A session of [`USER`].
    #[must_use]
    pub fn login(&self) -> RawFnap {
        RawFnap::login(self.identity.fnap, USER.0, USER.1)
    }

    /// A session of [`USER`], where the server may be away.
    ///
    /// # Errors
    /// What was seen instead.
    pub fn try_login(&self) -> Result<RawFnap, String> {
        RawFnap::try_login(self.identity.fnap, USER.0, USER.1)
    }

    /// A session authenticated as ANONYMOUS.
    #[must_use]
    pub fn anonymous(&self) -> RawFnap {
        let mut session = self.connect();
        session.line();
        session.send("AUTHENTICATE ANONYMOUS");
        session.expect("220 OK");
        session.send("");
        session.expect("220 Authenticated");
        session
    }

    /// `kill -9` to `fnaad` alone.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// `kill -TERM`, and waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.terminate()
    }

    /// Sends the named signal to `fnaad`.
    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// The status with which it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Starts `fnaad` again with the same configuration and state.
    ///
    /// # Panics
    /// When it doesn't get ready.
    pub fn restart(&mut self) {
        self.process = launch(&self.dir, &self.identity);
    }

    /// Starts `fnaad` again so that none of its files can get longer, as if the disk were full.
    ///
    /// # Panics
    /// When it doesn't get ready.
    pub fn restart_with_files_up_to(&mut self, kibibytes: u64) {
        let server = command(&self.dir);
        let mut limited = Command::new("bash");
        // With the signal ignored, writing fails instead of ending the process.
        let script = format!("trap '' XFSZ; ulimit -f {kibibytes}; exec \"$@\"");
        limited.args(["-c", &script, "limited"]);
        limited.arg(server.get_program()).args(server.get_args());
        self.process = launch_command(&self.dir, &self.identity, limited);
    }

    /// The process id of `fnaad`.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The ids of the `flow-processor`s that it runs now.
    #[must_use]
    pub fn processors(&self) -> Vec<u32> {
        let own = self.dir.display().to_string();
        let mentioned = crate::process::mentioning(&own);
        let mut ids: Vec<u32> = children(self.id());
        ids.extend(mentioned.into_iter().filter(|id| *id != self.id()));
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Everything that it has logged, in all its runs.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// The state directory.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// The configuration file.
    #[must_use]
    pub fn configuration_file(&self) -> PathBuf {
        self.dir.join("fnaad.yaml")
    }

    /// One of its own kind that is not started: to run by hand on this configuration and state.
    #[must_use]
    pub fn command(&self) -> Command {
        command(&self.dir)
    }

    /// What a path of the web listener answers: status code and body.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn web(&self, path: &str) -> Result<(u16, String), String> {
        web(self.identity.web, path)
    }
}

/// The path of one of the product's binaries, beside the test's own.
///
/// # Panics
/// When it has not been built: `make build` does it.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let beside = own.parent().expect("a program lies in a directory");
    // A test lies in deps/, a program beside the others.
    let profile = match beside.ends_with("deps") {
        true => beside.parent().expect("deps/ lies in a directory"),
        false => beside,
    };
    let path = profile.join(name);
    assert!(
        path.exists(),
        "{} is missing: `make build` builds it",
        path.display()
    );
    path
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(binary("fnaad"));
    command.arg("--config").arg(dir.join("fnaad.yaml"));
    command.arg("--state-dir").arg(dir.join("state"));
    command
}

fn launch(dir: &Path, identity: &Identity) -> Process {
    launch_command(dir, identity, command(dir))
}

fn launch_command(dir: &Path, identity: &Identity, command: Command) -> Process {
    let mut process = Process::start(&identity.fnaa(), command, &dir.join("fnaad.log"));
    process.until_ready(START, || {
        let mut session = RawFnap::try_connect(identity.fnap).map_err(|cause| cause.to_string())?;
        let greeting = session.try_line()?;
        check(greeting.starts_with("220 "), || greeting)
    });
    process
}

/// The least of HTTP that a probe needs.
fn web(server: SocketAddr, path: &str) -> Result<(u16, String), String> {
    use std::io::{Read, Write};
    let text = |cause: std::io::Error| cause.to_string();
    let mut stream = std::net::TcpStream::connect(server).map_err(text)?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .map_err(text)?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(text)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(text)?;
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned());
    code.zip(body).ok_or_else(|| format!("no HTTP: {answer:?}"))
}
