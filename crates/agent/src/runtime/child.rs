//! One process that runs the flow processor.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use eson_processor::SocketAddress;
use eson_processor::client::Client;
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStderr, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::RuntimeOptions;

/// How long a processor may take from its start until it answers.
const START: Duration = Duration::from_secs(10);

/// How often a starting processor is asked whether it answers by now.
const ASK: Duration = Duration::from_millis(10);

/// The longest log line that is taken as one.
const LOG_LINE: usize = 8 * 1024;

/// A running process. It ends with this value, and with fnaad: its standard input is a pipe that
/// nobody writes, whose end it waits for.
#[derive(Debug)]
pub(super) struct Child {
    process: tokio::process::Child,
    /// Kept here, because waiting for the process would close it there.
    _input: Option<ChildStdin>,
    socket: PathBuf,
    stop_time: Duration,
}

impl Child {
    pub(super) fn spawn(
        options: &RuntimeOptions,
        shard: &str,
        socket: PathBuf,
    ) -> Result<Self, String> {
        let address = SocketAddress::Unix(socket.clone()).to_string();
        let mut command = Command::new(&options.program);
        command
            .args(["--listen", &address, "--exit-with-stdin"])
            .args(&options.arguments)
            // Its log goes into ours.
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command
            .spawn()
            .map_err(|cause| format!("{} can't be run: {cause}", options.program.display()))?;
        if let Some(stderr) = process.stderr.take() {
            tokio::spawn(forward_log(stderr, shard.to_owned()));
        }
        Ok(Self {
            _input: process.stdin.take(),
            process,
            socket,
            stop_time: options.stop_time,
        })
    }

    /// The system's id of the process; none once it has been waited for.
    pub(super) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Connects as soon as the process answers.
    pub(super) async fn connect(&mut self) -> Result<Client, String> {
        let address = SocketAddress::Unix(self.socket.clone());
        let deadline = Instant::now() + START;
        loop {
            let last = match timeout_at(deadline, Client::connect(&address)).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it does not answer".to_owned(),
            };
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(ended(status));
            }
            if Instant::now() >= deadline {
                return Err(last);
            }
            sleep(ASK).await;
        }
    }

    /// Waits until the process has ended by itself, and says how. Cancel-safe.
    pub(super) async fn wait(&mut self) -> String {
        match self.process.wait().await {
            Ok(status) => ended(status),
            Err(cause) => format!("it can't be waited for: {cause}"),
        }
    }

    /// Asks the process to write what it has read and to end, and ends it when it takes too long.
    pub(super) async fn stop(mut self) {
        self.terminate();
        if timeout(self.stop_time, self.process.wait()).await.is_err() {
            tracing::warn!(
                process = self.process.id(),
                "a flow processor had to be killed"
            );
            self.kill().await;
        }
    }

    /// Ends the process at once.
    pub(super) async fn kill(mut self) {
        if let Err(cause) = self.process.kill().await {
            tracing::error!(%cause, "a flow processor can't be killed");
        }
    }

    fn terminate(&self) {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        let Some(id) = id.and_then(rustix::process::Pid::from_raw) else {
            return;
        };
        // The process has not been waited for, so that its id is still its own.
        if let Err(cause) = rustix::process::kill_process(id, rustix::process::Signal::TERM) {
            tracing::warn!(%cause, "a flow processor can't be told to end");
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        remove_socket(&self.socket);
    }
}

fn remove_socket(socket: &Path) {
    match std::fs::remove_file(socket) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(socket = %socket.display(), %cause, "a socket can't be removed");
        }
        _ => {}
    }
}

fn ended(status: ExitStatus) -> String {
    format!("it has ended ({status})")
}

/// The processor's log lines become ours.
async fn forward_log(mut stderr: ChildStderr, shard: String) {
    let mut buffer = vec![0; LOG_LINE];
    let mut filled = 0;
    loop {
        match stderr.read(&mut buffer[filled..]).await {
            Ok(0) | Err(_) => break,
            Ok(read) => filled += read,
        }
        filled = forward_lines(&mut buffer, filled, &shard);
    }
    if filled > 0 {
        forward_line(&buffer[..filled], &shard);
    }
}

/// Forwards the whole lines at the beginning of the buffer and moves the rest there.
fn forward_lines(buffer: &mut [u8], filled: usize, shard: &str) -> usize {
    let mut begin = 0;
    while let Some(length) = buffer[begin..filled]
        .iter()
        .position(|octet| *octet == b'\n')
    {
        forward_line(&buffer[begin..begin + length], shard);
        begin += length + 1;
    }
    if begin == 0 && filled == buffer.len() {
        forward_line(&buffer[..filled], shard);
        return 0;
    }
    buffer.copy_within(begin..filled, 0);
    filled - begin
}

fn forward_line(line: &[u8], shard: &str) {
    let line = String::from_utf8_lossy(line);
    tracing::info!(target: "flow_processor", shard, "{}", line.trim_end());
}
