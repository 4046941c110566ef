//! What a program is, and how one is run or reached.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use eson_client::{Dialer, Lookup, TlsRoots};

use super::asked::Asked;
use super::grpc::GrpcProgram;
use super::jq::{JqProgram, check_program};
use super::proto::{Input, Outcome};
use super::silence::Silence;
use super::spec::{ProgramSpec, Security, SignalError, SignalSpec};
use super::window::{MAX_BYTES, OpenWindows, WindowSpec, Windows};
use crate::report::Trouble;

/// Something that makes new events.
#[async_trait]
pub(super) trait Program: Send {
    /// Starts it or connects to it, unless that is done. Takes as long as that may take.
    ///
    /// # Errors
    /// [`ProgramError::Unreachable`].
    async fn prepare(&mut self) -> Result<(), ProgramError>;

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

    /// The program, ready to be asked; it is started or connected to when that is done. `silence` is
    /// what is known from before.
    pub(super) fn open(&self, spec: &ProgramSpec, silence: &Silence) -> Asked {
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
        Asked::new(program, silence.clone())
    }

    fn tls(&self, security: &Security) -> Option<TlsRoots> {
        let Security::Tls { ca } = security else {
            return None;
        };
        let authorities = ca.clone().or_else(|| self.tls_roots.clone());
        Some(authorities.map_or_else(TlsRoots::system, TlsRoots::with_file))
    }
}
