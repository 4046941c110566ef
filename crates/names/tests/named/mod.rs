//! Real `named` processes (Debian: bind9) that end with the test process, however that ends.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long named may take to answer its first question.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Ends named when our end of its standard input closes, which the kernel does for us even after
/// SIGKILL, then removes the directory.
const KEEPER: &str = "named -g -c \"$1/named.conf\" >\"$1/log\" 2>&1 & \
    read -r _; kill $!; wait $!; [ -z \"$2\" ] || rm -rf \"$2\"";

/// A running named. Dropping it ends it.
pub(crate) struct Named {
    keeper: Child,
    log: std::path::PathBuf,
}

impl Named {
    /// Runs named on the named.conf in `directory`, and removes `temporary` when it has ended.
    pub(crate) fn start(directory: &Path, temporary: Option<&Path>) -> Self {
        require("named", "bind9");
        let keeper = command("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(directory)
            .arg(temporary.map_or(Path::new(""), |path| path))
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh runs");
        Self {
            keeper,
            log: directory.join("log"),
        }
    }

    /// Waits until `ready` says so.
    pub(crate) async fn wait(&self, mut ready: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + START_LIMIT;
        while !ready().await {
            assert!(
                Instant::now() < deadline,
                "named does not answer; its log:\n{}",
                fs::read_to_string(&self.log).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().expect("the keeper ends");
    }
}

/// A program, also from where Debian keeps those for administrators: not every user's path has it.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// Fails with the package's name when a program is missing.
pub(crate) fn require(program: &str, package: &str) {
    let found = command("sh")
        .args(["-c", "command -v \"$1\" >/dev/null", "sh", program])
        .status()
        .expect("sh runs");
    assert!(
        found.success(),
        "`{program}` is missing; install the package {package} (Debian: apt-get install {package})"
    );
}

/// A new directory that the keeper of the last server removes.
pub(crate) fn directory() -> std::path::PathBuf {
    TempDir::new().expect("a directory").keep()
}

/// A port of this address that is free for UDP and TCP.
pub(crate) fn free_port(address: &str) -> SocketAddr {
    loop {
        let tcp = TcpListener::bind((address, 0)).expect("a port");
        let candidate = tcp.local_addr().expect("an address");
        if UdpSocket::bind(candidate).is_ok() {
            return candidate;
        }
    }
}

/// Writes a file into the directory.
pub(crate) fn write(directory: &Path, name: &str, content: &str) {
    let mut file = fs::File::create(directory.join(name)).expect("a file");
    file.write_all(content.as_bytes()).expect("written");
}
