//! Asking a program, and what becomes of inputs that it fails for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use eson_client::{Dialer, Lookup, TlsRoots};
use tokio::time::{sleep, timeout};

use super::grpc::GrpcProgram;
use super::jq::{JqProgram, check_program};
use super::proto::{Input, Outcome, Output};
use super::spec::{ProgramSpec, Security, SignalError, SignalSpec};
use super::window::{MAX_BYTES, OpenWindows, WindowSpec, Windows};
use crate::backoff::Backoff;
use crate::report::Trouble;

/// How long a program may take for one call.
const CALL: Duration = Duration::from_secs(5);

/// How often an input is tried alone that the program fails for.
const ATTEMPTS: u32 = 3;

/// The same for a program that does always the same, unless the machine was too busy.
const PURE_ATTEMPTS: u32 = 2;

/// Something that makes new events.
#[async_trait]
pub(super) trait Program: Send {
    /// Asks what comes of some inputs. A dropped call leaves the program as it was, or ends it.
    ///
    /// # Errors
    /// [`ProgramError`].
    async fn process(&mut self, inputs: Vec<Input>) -> Result<Vec<Outcome>, ProgramError>;

    /// Ends what was left of a call that took too long.
    async fn give_up(&mut self);

    /// Whether an input that was failed for once is failed for always.
    fn is_pure(&self) -> bool;
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProgramError {
    /// Nobody answers, whatever the input.
    #[error("{0}")]
    Unreachable(String),
    /// It may be one of the inputs that breaks it.
    #[error("{0}")]
    Broke(String),
}

/// What became of an input.
pub(super) type Verdict = Result<Vec<Output>, String>;

/// How programs are run and reached. Cheap to clone.
#[derive(Clone)]
pub struct Programs {
    worker: PathBuf,
    lookup: Arc<dyn Lookup>,
    /// The certificate authorities for those that have none of their own; the system's without it.
    tls_roots: Option<PathBuf>,
    /// Where windows are kept.
    state: Option<PathBuf>,
    windows: OpenWindows,
    /// How many bytes those of one signal hold.
    window_limit: usize,
}

impl Programs {
    /// Programs in jq's language run as processes of `worker`, which is `flow-processor`; the
    /// addresses of others are looked up with `lookup`.
    #[must_use]
    pub fn new(worker: PathBuf, lookup: Arc<dyn Lookup>) -> Self {
        Self {
            worker,
            lookup,
            tls_roots: None,
            state: None,
            windows: OpenWindows::default(),
            window_limit: MAX_BYTES,
        }
    }

    /// Windows are kept in files of this directory; without one, there are none.
    #[must_use]
    pub fn with_state(self, directory: Option<PathBuf>) -> Self {
        Self {
            state: directory,
            ..self
        }
    }

    /// The windows of each signal hold at most so many bytes (64 MiB).
    #[must_use]
    pub fn with_window_limit(self, bytes: usize) -> Self {
        Self {
            window_limit: bytes,
            ..self
        }
    }

    /// The certificate authorities in a PEM file vouch for services, beside the operating
    /// system's.
    #[must_use]
    pub fn with_tls_roots(self, file: Option<PathBuf>) -> Self {
        Self {
            tls_roots: file,
            ..self
        }
    }

    /// The windows that all legs of a signal share.
    pub(super) fn windows(&self, spec: &WindowSpec) -> Result<Arc<Windows>, Trouble> {
        let Some(directory) = &self.state else {
            return Err(Trouble::own(SignalError::NoState.to_string()));
        };
        let file = directory.join(format!("{}.redb", spec.state));
        let opened = self.windows.open(file, spec, self.window_limit);
        opened.map_err(|error| Trouble::of_windows(&error))
    }

    /// Whether the program is one, as far as that can be seen without running it.
    ///
    /// # Errors
    /// [`SignalError::Program`] with line and column; [`SignalError::Untried`].
    pub(crate) async fn check(&self, spec: &SignalSpec) -> Result<(), SignalError> {
        if spec.window.is_some() && self.state.is_none() {
            return Err(SignalError::NoState);
        }
        match &spec.program {
            ProgramSpec::Grpc { .. } => Ok(()),
            ProgramSpec::Jq(code) => check_program(&self.worker, code).await,
        }
    }

    /// The program, ready to be asked; it is started or connected to when that is done.
    pub(super) fn open(&self, spec: &ProgramSpec) -> Asked {
        let program: Box<dyn Program> = match spec {
            ProgramSpec::Jq(code) => Box::new(JqProgram::new(self.worker.clone(), code.clone())),
            ProgramSpec::Grpc {
                server,
                security,
                policy,
            } => {
                let dialer = Dialer::new(self.lookup.clone(), policy.clone());
                let tls = self.tls(security);
                Box::new(GrpcProgram::new(server.clone(), dialer, tls))
            }
        };
        Asked(program)
    }

    fn tls(&self, security: &Security) -> Option<TlsRoots> {
        let Security::Tls { ca } = security else {
            return None;
        };
        let authorities = ca.clone().or_else(|| self.tls_roots.clone());
        Some(authorities.map_or_else(TlsRoots::system, TlsRoots::with_file))
    }
}

/// A program that is asked.
pub(super) struct Asked(Box<dyn Program>);

impl Asked {
    /// What becomes of each of some inputs.
    ///
    /// # Errors
    /// When nobody answers: it is not an input's fault.
    pub(super) async fn ask(&mut self, inputs: Vec<Input>) -> Result<Vec<Verdict>, String> {
        match self.call(inputs.clone()).await {
            Ok(outcomes) => self.look_again(inputs, outcomes).await,
            Err(ProgramError::Unreachable(cause)) => Err(cause),
            Err(ProgramError::Broke(_)) => {
                let mut verdicts = Vec::with_capacity(inputs.len());
                for input in inputs {
                    verdicts.push(self.ask_alone(input).await?);
                }
                Ok(verdicts)
            }
        }
    }

    /// Asks again for those that were failed for, if that may help.
    async fn look_again(
        &mut self,
        inputs: Vec<Input>,
        outcomes: Vec<Outcome>,
    ) -> Result<Vec<Verdict>, String> {
        let mut verdicts = Vec::with_capacity(inputs.len());
        for (input, outcome) in inputs.into_iter().zip(outcomes) {
            let failed = outcome.failure.is_some() && !self.0.is_pure();
            verdicts.push(match failed {
                true => self.ask_alone(input).await?,
                false => verdict(outcome),
            });
        }
        Ok(verdicts)
    }

    /// Asks for one input, a few times if need be.
    async fn ask_alone(&mut self, input: Input) -> Result<Verdict, String> {
        let mut backoff = Backoff::soon();
        let attempts = match self.0.is_pure() {
            true => PURE_ATTEMPTS,
            false => ATTEMPTS,
        };
        loop {
            let called = self.call(vec![input.clone()]).await;
            let failure = match called {
                Ok(outcomes) => match outcomes.into_iter().next().map(verdict) {
                    Some(Err(failure)) if !self.0.is_pure() => failure,
                    Some(verdict) => return Ok(verdict),
                    None => "the program gave no outcome".to_owned(),
                },
                Err(ProgramError::Unreachable(cause)) => return Err(cause),
                Err(ProgramError::Broke(cause)) => cause,
            };
            let wait = backoff.next();
            if backoff.attempts() >= attempts {
                return Ok(Err(failure));
            }
            sleep(wait).await;
        }
    }

    async fn call(&mut self, inputs: Vec<Input>) -> Result<Vec<Outcome>, ProgramError> {
        let wanted = inputs.len();
        let Ok(called) = timeout(CALL, self.0.process(inputs)).await else {
            self.0.give_up().await;
            let text = format!("the program took longer than {} s", CALL.as_secs());
            return Err(ProgramError::Broke(text));
        };
        let outcomes = called?;
        if outcomes.len() == wanted {
            return Ok(outcomes);
        }
        Err(ProgramError::Broke(format!(
            "the program gave {} outcomes for {wanted} inputs",
            outcomes.len()
        )))
    }
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome.failure {
        None => Ok(outcome.outputs),
        Some(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::proto::Event;

    /// Fails for odd offsets: so often as is said.
    struct Scripted {
        failures: u32,
        breaks: bool,
        calls: usize,
    }

    #[async_trait]
    impl Program for Scripted {
        async fn process(&mut self, inputs: Vec<Input>) -> Result<Vec<Outcome>, ProgramError> {
            self.calls += 1;
            let odd = |input: &Input| input.event.as_ref().is_some_and(|it| it.offset % 2 == 1);
            let fails = inputs.iter().any(odd) && self.failures > 0;
            if fails {
                self.failures -= 1;
            }
            if fails && self.breaks {
                return Err(ProgramError::Broke("it broke".to_owned()));
            }
            let outcome = |input| Outcome {
                outputs: vec![Output::default()],
                failure: (odd(input) && fails).then(|| "odd".to_owned()),
            };
            Ok(inputs.iter().map(outcome).collect())
        }

        async fn give_up(&mut self) {}

        fn is_pure(&self) -> bool {
            false
        }
    }

    fn inputs(offsets: &[u64]) -> Vec<Input> {
        let event = |offset: &u64| Event {
            offset: *offset,
            ..Event::default()
        };
        let input = |offset| Input {
            event: Some(event(offset)),
            window: None,
        };
        offsets.iter().map(input).collect()
    }

    async fn asked(failures: u32, breaks: bool) -> Vec<Verdict> {
        let scripted = Scripted {
            failures,
            breaks,
            calls: 0,
        };
        let mut program = Asked(Box::new(scripted));
        let verdicts = program.ask(inputs(&[0, 1, 2])).await;
        verdicts.expect("it answers")
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_again() {
        for breaks in [false, true] {
            let verdicts = asked(3, breaks).await;
            assert!(verdicts.iter().all(Result::is_ok), "{verdicts:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_always_is_told_and_holds_up_nobody() {
        for (breaks, reason) in [(false, "odd"), (true, "it broke")] {
            let verdicts = asked(u32::MAX, breaks).await;
            let failed: Vec<_> = verdicts.iter().map(|it| it.clone().err()).collect();
            assert_eq!(failed, [None, Some(reason.to_owned()), None]);
        }
    }
}
