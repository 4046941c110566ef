//! What a signal is to do, checked.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use eson_protocol::{AddressPolicy, Server};

use super::WindowSpec;
use crate::endpoint::{Endpoint, EndpointError};
use crate::validation::{ContractSpec, ContractSpecError};
use crate::{proto, spec};

/// The longest program, in bytes.
pub(super) const MAX_PROGRAM: usize = 64 * 1024;

/// What a signal does with the events of its sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalSpec {
    /// Where events go; at least one.
    pub destinations: Vec<Endpoint>,
    /// What they must be there: one for each destination, or none where nothing is judged.
    pub contracts: Vec<Arc<ContractSpec>>,
    /// Where those go that can't be processed or written.
    pub dead_letters: Endpoint,
    /// What makes new events of them.
    pub program: ProgramSpec,
    /// What that sees beside an event, or instead of it.
    pub window: Option<WindowSpec>,
}

/// What makes new events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramSpec {
    /// A program in jq's language.
    Jq(String),
    /// A service that the user runs.
    Grpc {
        /// Where it is.
        server: Server,
        /// How it is spoken to.
        security: Security,
        /// Where it may be.
        policy: AddressPolicy,
    },
}

/// How a service is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Everybody on the way can read along.
    Plaintext,
    /// Over TLS, to a server that proves its name.
    Tls {
        /// A PEM file of authorities that may vouch for it, too; without it, those that the
        /// processor was started with.
        ca: Option<PathBuf>,
    },
}

/// Why a signal can't be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// Only signals have programs, and they need one.
    #[error("`signal` is for processors of type signal, which need it")]
    Misplaced,
    /// No program.
    #[error("a signal needs a program")]
    NoProgram,
    /// A program that is too long.
    #[error("a program has at most {MAX_PROGRAM} bytes, and not {0}; let a gRPC service do more")]
    TooLong(usize),
    /// A program that is none, at a line and column.
    #[error("the program can't be read: {0}")]
    Program(String),
    /// A program that could not be looked at.
    #[error("the program could not be tried: {0}")]
    Untried(String),
    /// An address that is none.
    #[error("`{0}` is no HOST:PORT of a program")]
    Server(String),
    /// A window that can't be.
    #[error("the window: {0}")]
    Window(String),
    /// Nowhere to keep windows.
    #[error("this processor was started without --state-directory, and so keeps no windows")]
    NoState,
    /// No destination.
    #[error("a signal needs at least one destination")]
    NoDestination,
    /// No dead-letter flow.
    #[error("a signal needs a queue for dead letters")]
    NoDeadLetters,
    /// Events that can't be judged as asked.
    #[error("what is written: {0}")]
    Contract(#[from] ContractSpecError),
    /// Some destinations judged, others not.
    #[error("{0} contracts for {1} destinations: one for each is needed, or none")]
    Contracts(usize, usize),
    /// A queue that can't be used.
    #[error("`{flow}`: {cause}")]
    Endpoint {
        /// The flow.
        flow: String,
        /// What is wrong.
        cause: EndpointError,
    },
    /// Each event twice.
    #[error("the flows `{0}` and `{1}` have the same queue")]
    SameQueue(String, String),
    /// More writers than one instance may have.
    #[error("{0} ways from a source to a destination are more than {max}", max = spec::MAX_LEGS)]
    TooMany(usize),
}

impl SignalSpec {
    /// Checks what was asked for; `legs` are the ids of all legs.
    ///
    /// # Errors
    /// [`SignalError`].
    pub(crate) fn check(
        signal: proto::Signal,
        legs: BTreeSet<String>,
    ) -> Result<Self, SignalError> {
        let program = program(signal.program, &signal.trusted_networks, signal.tls_ca)?;
        let destinations = signal.destinations.into_iter().map(endpoint);
        let destinations: Vec<_> = destinations.collect::<Result<_, _>>()?;
        if destinations.is_empty() {
            return Err(SignalError::NoDestination);
        }
        let contracts = signal.contracts.into_iter().map(ContractSpec::try_from);
        let contracts: Vec<_> = contracts
            .map(|contract| contract.map(Arc::new))
            .collect::<Result<_, _>>()?;
        if !contracts.is_empty() && contracts.len() != destinations.len() {
            return Err(SignalError::Contracts(contracts.len(), destinations.len()));
        }
        let dead_letters = signal.dead_letters.ok_or(SignalError::NoDeadLetters)?;
        let window = signal.window.map(|window| WindowSpec::check(window, legs));
        let spec = Self {
            window: window.transpose()?,
            destinations,
            contracts,
            dead_letters: endpoint(dead_letters)?,
            program,
        };
        spec.check_queues(&[])?;
        Ok(spec)
    }

    /// Whether no queue is meant twice: `sources`, destinations and the one of dead letters.
    ///
    /// # Errors
    /// [`SignalError::SameQueue`], [`SignalError::TooMany`].
    pub(crate) fn check_queues(&self, sources: &[&Endpoint]) -> Result<(), SignalError> {
        let ways = sources.len() * self.destinations.len();
        if ways.max(self.destinations.len()) > spec::MAX_LEGS {
            return Err(SignalError::TooMany(ways));
        }
        let written = self.endpoints();
        let all: Vec<_> = sources.iter().copied().chain(written).collect();
        for (at, one) in all.iter().enumerate() {
            if let Some(other) = all[at + 1..].iter().find(|other| one.is_same_queue(other)) {
                return Err(SignalError::SameQueue(one.flow.clone(), other.flow.clone()));
            }
        }
        Ok(())
    }

    /// What is written.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.destinations.iter().chain([&self.dead_letters])
    }
}

fn endpoint(endpoint: proto::Endpoint) -> Result<Endpoint, SignalError> {
    let flow = endpoint.flow.clone();
    endpoint
        .try_into()
        .map_err(|cause| SignalError::Endpoint { flow, cause })
}

fn program(
    program: Option<proto::signal::Program>,
    networks: &[String],
    tls_ca: String,
) -> Result<ProgramSpec, SignalError> {
    use proto::signal::Program::{Grpc, Grpcs, Jq};
    match program {
        None => Err(SignalError::NoProgram),
        Some(Jq(code)) if code.len() > MAX_PROGRAM => Err(SignalError::TooLong(code.len())),
        Some(Jq(code)) => Ok(ProgramSpec::Jq(code)),
        Some(Grpc(server)) => service(server, networks, Security::Plaintext),
        Some(Grpcs(server)) => {
            let ca = (!tls_ca.is_empty()).then(|| PathBuf::from(tls_ca));
            service(server, networks, Security::Tls { ca })
        }
    }
}

fn service(
    server: String,
    networks: &[String],
    security: Security,
) -> Result<ProgramSpec, SignalError> {
    Ok(ProgramSpec::Grpc {
        server: server.parse().map_err(|_| SignalError::Server(server))?,
        security,
        policy: crate::endpoint::policy(networks).map_err(|cause| SignalError::Endpoint {
            flow: "trusted_networks".to_owned(),
            cause,
        })?,
    })
}
