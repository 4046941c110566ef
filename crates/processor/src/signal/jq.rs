//! A program in jq's language, in a process of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::program::{Program, ProgramError};
use super::proto::{Input, Outcome, ProcessRequest, ProcessResponse};
use super::spec::{MAX_PROGRAM, SignalError};
use crate::jq::{Compiled, MAX_FRAME, WORKER, frame};

/// How long a process may take to read its program.
const START: Duration = Duration::from_secs(10);

/// Whether a text is a program in jq's language, as a process of `worker`, which is
/// `flow-processor`, reads it.
///
/// # Errors
/// [`SignalError::Program`] with line and column, [`SignalError::TooLong`];
/// [`SignalError::Untried`] when the process can't be run.
pub async fn check_program(worker: &Path, code: &str) -> Result<(), SignalError> {
    if code.len() > MAX_PROGRAM {
        return Err(SignalError::TooLong(code.len()));
    }
    let untried = |error: io::Error| SignalError::Untried(error.to_string());
    let started = Worker::start(worker, code).await;
    let (_, compiled) = started.map_err(untried)?;
    compiled
        .error
        .map_or(Ok(()), |error| Err(SignalError::Program(error)))
}

/// A program in jq's language. Its process is started when it is asked, and again after it broke.
pub(super) struct JqProgram {
    executable: PathBuf,
    code: String,
    worker: Option<Worker>,
}

/// A process that runs the program; it ends with this value.
struct Worker {
    process: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl JqProgram {
    pub(super) fn new(executable: PathBuf, code: String) -> Self {
        Self {
            executable,
            code,
            worker: None,
        }
    }

    async fn start(&self) -> Result<Worker, ProgramError> {
        let unreachable = |cause: String| {
            ProgramError::Unreachable(format!("the program's process can't be started: {cause}"))
        };
        let started = Worker::start(&self.executable, &self.code).await;
        match started.map_err(|error| unreachable(error.to_string()))? {
            (worker, Compiled { error: None }) => Ok(worker),
            (_, Compiled { error: Some(error) }) => Err(unreachable(error)),
        }
    }
}

#[async_trait]
impl Program for JqProgram {
    async fn prepare(&mut self) -> Result<(), ProgramError> {
        if self.worker.is_none() {
            self.worker = Some(self.start().await?);
        }
        Ok(())
    }

    async fn process(&mut self, inputs: Vec<Input>) -> Result<Vec<Outcome>, ProgramError> {
        // It is taken out, so that one that is in the middle of a call when that is dropped is never
        // asked again.
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => self.start().await?,
        };
        let request = ProcessRequest { inputs };
        match worker
            .ask::<ProcessResponse>(&request.encode_to_vec())
            .await
        {
            Ok(response) => {
                self.worker = Some(worker);
                Ok(response.outcomes)
            }
            Err(error) => Err(ProgramError::Broke(worker.epitaph(&error).await)),
        }
    }

    async fn give_up(&mut self) {
        self.worker = None;
    }

    fn is_pure(&self) -> bool {
        true
    }
}

impl Worker {
    async fn start(executable: &Path, code: &str) -> io::Result<(Self, Compiled)> {
        let mut process = Command::new(executable)
            .arg(WORKER)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("it has no pipes"));
        };
        let mut worker = Self {
            process,
            input,
            output,
        };
        let compiled = timeout(START, worker.ask(code.as_bytes())).await??;
        Ok((worker, compiled))
    }

    async fn ask<A: Message + Default>(&mut self, octets: &[u8]) -> io::Result<A> {
        self.input.write_all(&frame(octets)?).await?;
        let length = self.output.read_u32().await? as usize;
        if length > MAX_FRAME {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut answer = vec![0; length];
        self.output.read_exact(&mut answer).await?;
        Ok(A::decode(bytes::Bytes::from(answer))?)
    }

    /// What to say of a process that broke.
    async fn epitaph(mut self, error: &io::Error) -> String {
        match timeout(START, self.process.wait()).await {
            Ok(Ok(status)) => format!(
                "the program broke its process ({status}): it recurses too deep, or needs too much \
                 memory"
            ),
            _ => format!("the program's process does not answer: {error}"),
        }
    }
}
