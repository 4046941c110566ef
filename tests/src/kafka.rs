//! Apache Kafka: one broker that is its own controller (KRaft), open or with authorization; or a
//! cluster of several.

mod cluster;
mod files;
mod inventory;
mod rights;

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub use self::cluster::{Front, KafkaCluster};
use crate::ports::free_port;
use crate::process::{Process, cache, data_dir};

/// A cold start on a machine that has much else to do.
const START: Duration = Duration::from_secs(300);

/// Who may do what at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// Everybody may do everything.
    Open,
    /// Nobody may do anything without an ACL, but [`ADMIN`] and who comes over the plaintext
    /// listener, through which the broker talks to itself.
    Acls,
}

/// The user that may do everything, with his password (SCRAM-SHA-256).
pub const ADMIN: (&str, &str) = ("admin", "admin-secret");

/// The user as whom participants log in, with its password (SCRAM-SHA-256).
pub(crate) const AGENT: (&str, &str) = ("fnaad", "fnaad-secret");

/// A running broker; dropping it kills it.
#[derive(Debug)]
pub struct Kafka {
    dir: PathBuf,
    pub(crate) ports: Ports,
    authorization: Authorization,
    process: Process,
}

/// Where it listens on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) plaintext: u16,
    controller: u16,
    pub(crate) sasl: u16,
    tls: u16,
    sasl_tls: u16,
}

impl Kafka {
    /// Starts a broker with an empty log.
    ///
    /// # Panics
    /// When the jars are not there (`make setup` fetches them) or it doesn't come up.
    #[must_use]
    pub fn start(name: &str, authorization: Authorization) -> Self {
        Self::begin(name, authorization, &[], &[])
    }

    /// The same with settings of its own, as `producer.id.expiration.ms=1000`.
    ///
    /// # Panics
    /// As for [`Kafka::start`].
    #[must_use]
    pub fn start_set(name: &str, authorization: Authorization, settings: &[&str]) -> Self {
        Self::begin(name, authorization, &[], settings)
    }

    /// The same with features at levels of their own, as `transaction.version=1`.
    ///
    /// # Panics
    /// As for [`Kafka::start`].
    #[must_use]
    pub fn start_with(name: &str, authorization: Authorization, features: &[&str]) -> Self {
        Self::begin(name, authorization, features, &[])
    }

    fn begin(
        name: &str,
        authorization: Authorization,
        features: &[&str],
        settings: &[&str],
    ) -> Self {
        let dir = data_dir(name);
        let ports = Ports {
            plaintext: free_port(),
            controller: free_port(),
            sasl: free_port(),
            tls: free_port(),
            sasl_tls: free_port(),
        };
        files::write(&dir, &ports, authorization, settings);
        format_storage(&dir, authorization, features);
        let process = launch(&dir, &ports);
        Self {
            dir,
            ports,
            authorization,
            process,
        }
    }

    /// Where it speaks without TLS or authentication.
    #[must_use]
    pub fn plaintext(&self) -> String {
        address(self.ports.plaintext)
    }

    /// Where it wants SCRAM-SHA-256, without TLS.
    #[must_use]
    pub fn sasl(&self) -> String {
        self.guarded(self.ports.sasl)
    }

    /// Where it speaks TLS, without authentication.
    #[must_use]
    pub fn tls(&self) -> String {
        self.guarded(self.ports.tls)
    }

    /// Where it wants SCRAM-SHA-256 in TLS.
    #[must_use]
    pub fn sasl_tls(&self) -> String {
        self.guarded(self.ports.sasl_tls)
    }

    fn guarded(&self, port: u16) -> String {
        assert_eq!(
            Authorization::Acls,
            self.authorization,
            "an open broker has only its plaintext listener"
        );
        address(port)
    }

    /// The certificate, in PEM, that a TLS client has to trust.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// `kill -9`.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Cuts off the second half of a partition's log, as a disk does that did not write everything
    /// it said it had, after [`Kafka::kill9`].
    ///
    /// # Panics
    /// When there is no such log.
    pub fn lose_half(&self, topic: &str, partition: u32) {
        let segment = format!("logs/{topic}-{partition}/00000000000000000000.log");
        let segment = File::options().write(true).open(self.dir.join(segment));
        let segment = segment.unwrap();
        let size = segment.metadata().unwrap().len();
        segment.set_len(size / 2).unwrap();
    }

    /// How many octets a partition has on the disk.
    ///
    /// # Panics
    /// When there is no such partition.
    #[must_use]
    pub fn log_size(&self, topic: &str, partition: u32) -> u64 {
        let segments = self.log_segments(topic, partition);
        // One may have been deleted since it was listed.
        let sizes = segments.iter().filter_map(|it| it.metadata().ok());
        sizes.map(|it| it.len()).sum()
    }

    /// The segments that a partition has on the disk, without those that are being deleted.
    ///
    /// # Panics
    /// When there is no such partition.
    #[must_use]
    pub fn log_segments(&self, topic: &str, partition: u32) -> Vec<PathBuf> {
        let log = self.dir.join(format!("logs/{topic}-{partition}"));
        let files = fs::read_dir(&log).unwrap_or_else(|e| panic!("{}: {e}", log.display()));
        let files = files.map(|file| file.unwrap().path());
        files
            .filter(|file| file.extension().is_some_and(|it| it == "log"))
            .collect()
    }

    /// Starts it again on the same ports and data, after [`Kafka::kill9`].
    ///
    /// # Panics
    /// When it doesn't come up.
    pub fn restart(&mut self) {
        self.process = launch(&self.dir, &self.ports);
    }

    /// The id of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Stops its process without ending it: connections stay open and nobody answers.
    pub fn freeze(&self) {
        self.process.signal("STOP");
    }

    /// Lets a frozen broker go on.
    pub fn thaw(&self) {
        self.process.signal("CONT");
    }
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn format_storage(dir: &Path, authorization: Authorization, features: &[&str]) {
    let mut command = java(dir, "128m");
    command.args(["kafka.tools.StorageTool", "format"]);
    command.args(["--cluster-id", &files::cluster_id()]);
    command.arg("--config").arg(dir.join("server.properties"));
    for feature in features {
        command.args(["--feature", feature]);
    }
    if authorization == Authorization::Acls {
        for (name, password) in [ADMIN, AGENT] {
            command.arg("--add-scram");
            command.arg(format!("SCRAM-SHA-256=[name={name},password={password}]"));
        }
    }
    let done = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        done.status.success(),
        "Kafka's storage can't be formatted: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

fn launch(dir: &Path, ports: &Ports) -> Process {
    let mut command = java(dir, "384m");
    command
        .arg("kafka.Kafka")
        .arg(dir.join("server.properties"));
    let mut process = Process::start("Kafka", command, &dir.join("kafka.log"));
    wait_until_up(&mut process, ports.plaintext);
    process
}

fn wait_until_up(process: &mut Process, port: u16) {
    process.until_ready(START, || {
        TcpStream::connect(("127.0.0.1", port))
            .map(drop)
            .map_err(|cause| cause.to_string())
    });
}

/// For a JVM that lives for a test: the cheap compiler alone, since all is over before the other
/// one pays.
pub(crate) const BRIEF_LIFE: [&str; 3] = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
];

/// A JVM with Kafka's jars; `KAFKA_JVM_OPTIONS` replaces what it is started with.
fn java(dir: &Path, heap: &str) -> Command {
    let mut command = Command::new("java");
    match std::env::var("KAFKA_JVM_OPTIONS") {
        Ok(options) => command.args(options.split_whitespace()),
        Err(_) => command.arg(format!("-Xmx{heap}")).args(BRIEF_LIFE),
    };
    command
        .arg("-Djava.awt.headless=true")
        .arg(format!(
            "-Dlog4j2.configurationFile={}",
            dir.join("log4j2.yaml").display()
        ))
        .arg("-cp")
        .arg(format!("{}/*", jars().display()));
    command
}

/// Where `scripts/setup-tests` puts the jars; `KAFKA_LIBS` names another place.
///
/// # Panics
/// When they are not there.
#[must_use]
pub fn jars() -> PathBuf {
    let dir = std::env::var_os("KAFKA_LIBS").map_or_else(cached_jars, PathBuf::from);
    assert!(
        dir.is_dir(),
        "Kafka's jars are not in {}: `make setup` fetches them",
        dir.display()
    );
    dir
}

fn cached_jars() -> PathBuf {
    cache().join("jars/kafka-4.3.1")
}
