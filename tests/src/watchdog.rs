//! Ends what a test process has started when that process has ended, in whatever way.
//!
//! A shell in a process group of its own reads lines from a pipe that only the test process holds
//! open. When the pipe ends, also after `kill -9`, it kills every process group that it was told
//! of and removes the directories.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock};

/// Groups are kept as `:12:34:`; `kill` with a minus sign means the group.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
groups=: directories=
while read -r verb what; do
  case $verb in
    group) groups=$groups$what: ;;
    forget) groups=${groups%%:"$what":*}:${groups#*:"$what":} ;;
    directory) directories=$what ;;
  esac
done
IFS=:
for group in $groups; do
  [ -z "$group" ] || kill -s KILL -- "-$group" 2>/dev/null
done
[ -z "$directories" ] || rm -rf -- "$directories"
"#;

static WATCHDOG: OnceLock<Mutex<Child>> = OnceLock::new();

/// Takes care of a process group from here on.
pub(crate) fn watch_group(group: u32) {
    tell(&format!("group {group}"));
}

/// The group has ended: its number may soon be somebody else's.
pub(crate) fn forget_group(group: u32) {
    tell(&format!("forget {group}"));
}

/// Removes the directory at the end.
pub(crate) fn watch_directory(directory: &Path) {
    tell(&format!("directory {}", directory.display()));
}

fn tell(line: &str) {
    let mut dog = watchdog();
    let pipe = dog.stdin.as_mut().expect("the watchdog reads a pipe");
    writeln!(pipe, "{line}").expect("the watchdog has ended");
}

fn watchdog() -> MutexGuard<'static, Child> {
    let dog = WATCHDOG.get_or_init(|| {
        let child = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh can't be started");
        Mutex::new(child)
    });
    dog.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
