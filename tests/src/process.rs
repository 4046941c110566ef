//! Processes that end with their test.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::wait::until;
use crate::watchdog;

/// How long an asked process may take to end.
const FAREWELL: Duration = Duration::from_secs(30);

/// A running process, in a process group of its own, with its output in a file. Dropping it kills
/// the whole group, and shows its last lines when a test fails; a test process that dies takes it
/// along.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; standard output and error are appended to `log`.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let out = append_to(log);
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|cause| panic!("{name}: {command:?} can't be started: {cause}"));
        watchdog::watch_group(child.id());
        Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed, earlier runs with the same log file included.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines that it has printed.
    #[must_use]
    pub fn last_lines(&self) -> String {
        last_lines(&self.output(), 30)
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until `probe` answers, and fails at once when the process ends before that.
    ///
    /// # Panics
    /// When the process ends or `deadline` passes; shows its last lines.
    pub fn until_ready<T>(
        &mut self,
        deadline: Duration,
        mut probe: impl FnMut() -> Result<T, String>,
    ) -> T {
        let name = self.name.clone();
        until(&format!("{name} to be ready"), deadline, || {
            if let Some(status) = self.ended() {
                panic!("{name} ended with {status}:\n{}", self.last_lines());
            }
            probe().map_err(|missing| format!("{missing}\n{}", self.last_lines()))
        })
    }

    /// `kill -9` to this process alone, and waits until it is gone. What it had started lives on.
    pub fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// `kill -TERM`, and waits for the end.
    ///
    /// # Panics
    /// When it has not ended after 30 seconds.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        let name = self.name.clone();
        until(&format!("{name} to end after TERM"), FAREWELL, || {
            self.ended().ok_or_else(|| self.last_lines())
        })
    }

    /// Sends the named signal.
    ///
    /// # Panics
    /// When there is no such process or signal.
    pub fn signal(&self, signal: &str) {
        assert!(
            kill(signal, &self.id().to_string()),
            "{} can't be sent {signal}",
            self.name
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}'s last lines:\n{}", self.name, self.last_lines());
        }
        let group = self.id();
        // The group may have ended by itself: then there is nobody to signal.
        kill("KILL", &format!("-{group}"));
        let _ = self.child.wait();
        watchdog::forget_group(group);
    }
}

/// `kill -9` to any process by its id, such as one that a server under test has started.
///
/// Returns whether there was one.
pub fn kill9(id: u32) -> bool {
    kill("KILL", &id.to_string())
}

/// Sends the named signal to any process by its id. Returns whether there was one.
pub fn signal(id: u32, name: &str) -> bool {
    kill(name, &id.to_string())
}

/// Lets a process write no file beyond so many bytes from now on: each write there fails, as on a
/// full disk.
///
/// # Panics
/// When there is no such process.
pub fn limit_files(id: u32, bytes: u64) {
    let limited = Command::new("prlimit")
        .args(["--pid", &id.to_string(), &format!("--fsize={bytes}:")])
        .status();
    assert!(
        limited.is_ok_and(|status| status.success()),
        "{id} has no limits"
    );
}

/// Runs `kill`, because a safe program has no other way to send a signal.
fn kill(signal: &str, target: &str) -> bool {
    Command::new("kill")
        .args(["-s", signal, "--", target])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The ids of the processes that `parent` has started and that still run.
#[must_use]
pub fn children(parent: u32) -> Vec<u32> {
    processes()
        .filter(|(_, of, _)| *of == parent)
        .map(|(id, ..)| id)
        .collect()
}

/// The ids of the processes whose command line has `part` in it, such as a test's own directory.
#[must_use]
pub fn mentioning(part: &str) -> Vec<u32> {
    processes()
        .filter(|(_, _, line)| line.contains(part))
        .map(|(id, ..)| id)
        .collect()
}

/// The memory that a process occupies now, in KiB.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn resident_kib(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let size = size.and_then(|size| size.split_whitespace().next());
    size.and_then(|size| size.parse().ok())
        .unwrap_or_else(|| panic!("{id} has no memory: {status}"))
}

/// Id, parent's id and command line of every process that runs (zombies don't).
fn processes() -> impl Iterator<Item = (u32, u32, String)> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            // The command's name in parentheses may hold blanks and parentheses.
            let mut fields = stat.rsplit_once(") ")?.1.split(' ');
            let state = fields.next()?;
            let parent = fields.next()?.parse().ok()?;
            (state != "Z").then(|| {
                (
                    id,
                    parent,
                    String::from_utf8_lossy(&line).replace('\0', " "),
                )
            })
        })
}

/// Whether the status is that of a process ended by `kill -9`.
#[must_use]
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

/// A directory of this test process, `name` and a number in its path, removed when the process
/// ends.
///
/// # Panics
/// When it can't be made.
#[must_use]
pub fn data_dir(name: &str) -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let root = ROOT.get_or_init(make_root);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = root.join(format!("{number}-{name}"));
    fs::create_dir(&dir).unwrap();
    dir
}

/// Where `scripts/setup-tests` keeps what it has fetched.
pub(crate) fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is not set")).join(".cache"),
        PathBuf::from,
    );
    cache.join("eson-test")
}

fn make_root() -> PathBuf {
    let root = tempfile::Builder::new()
        .prefix("eson-test-")
        .tempdir()
        .expect("no temporary directory can be made")
        .keep();
    if std::env::var_os("ESON_TEST_KEEP").is_some() {
        println!("data of this test process stays in {}", root.display());
    } else {
        watchdog::watch_directory(&root);
    }
    root
}

fn append_to(log: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .unwrap_or_else(|cause| panic!("{}: {cause}", log.display()))
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn gone(id: u32) {
        until("the process to be gone", Duration::from_secs(10), || {
            let alive = processes().any(|(other, ..)| other == id);
            if alive { Err(id.to_string()) } else { Ok(()) }
        });
    }

    #[test]
    fn dropping_ends_the_whole_group() {
        let dir = data_dir("group");
        let mut parent = Process::start("parent", shell("sleep 600 & wait"), &dir.join("log"));
        let child = until("the child", Duration::from_secs(10), || {
            children(parent.id())
                .first()
                .copied()
                .ok_or_else(String::new)
        });
        assert!(parent.ended().is_none());
        drop(parent);
        gone(child);
    }

    #[test]
    fn kill9_leaves_what_the_process_had_started() {
        let dir = data_dir("kill9");
        let mut parent = Process::start("parent", shell("sleep 600 & wait"), &dir.join("log"));
        let child = until("the child", Duration::from_secs(10), || {
            children(parent.id())
                .first()
                .copied()
                .ok_or_else(String::new)
        });
        parent.kill9();
        assert!(was_killed(parent.ended().unwrap()));
        assert!(kill9(child));
        gone(child);
    }

    #[test]
    #[should_panic(expected = "early ended with exit status: 3:\nso long")]
    fn a_process_that_ends_before_it_is_ready_is_told_at_once() {
        let dir = data_dir("early");
        let mut early = Process::start("early", shell("echo so long; exit 3"), &dir.join("log"));
        early.until_ready(Duration::from_secs(60), || Err::<(), _>("no".into()));
    }

    #[test]
    fn termination_waits_for_the_exit_status() {
        let dir = data_dir("term");
        let script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done";
        let mut server = Process::start("server", shell(script), &dir.join("log"));
        until("the trap", Duration::from_secs(10), || {
            crate::wait::check(server.output().contains("up"), String::new)
        });
        assert_eq!(Some(7), server.terminate().code());
    }
}
