//! One login, step by step, without I/O.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use eson_protocol::Name;
use rsasl::config::SASLConfig;
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLServer, Session};
use subtle::ConstantTimeEq;

use crate::sasl::{Attempt, Callback, Validated};
use crate::scram_message::{is_client_final, is_client_first};
use crate::verifier::{hmac, prepare};
use crate::{
    Account, ConnectionSecurity, Identity, IdentitySource, Mechanism, Proof, ScramVerifier,
    VerifierError,
};

/// Rounds for the passwords that the agent made itself: they can't be guessed, so that the
/// fewest that the RFC allows are enough.
const DERIVED_ROUNDS: u32 = 4096;

/// Why a login can't begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// This FNAA has no such mechanism: FNAP's 502.
    #[error("the mechanism {0} is not offered here")]
    UnknownMechanism(String),
    /// Credentials may not be sent over this connection: FNAP's 534.
    #[error("{0} needs TLS here; nothing was checked")]
    NeedsPrivacy(Mechanism),
}

/// Why a login failed: for the log. The client is told that it failed, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FailureReason {
    /// No source knows the user.
    #[error("there is no such user")]
    UnknownUser,
    /// The password or the proof is wrong.
    #[error("the password is wrong")]
    WrongPassword,
    /// He asked to act as somebody else.
    #[error("the authorization identity is somebody else's")]
    AuthorizationIdentity,
    /// The response breaks the mechanism's own rules.
    #[error("the response is malformed")]
    Malformed,
}

/// What a step leads to.
#[derive(Debug)]
pub enum Step {
    /// Send the challenge, and go on with the client's response to it.
    Challenge(Authentication, Vec<u8>),
    /// The login is complete.
    Done {
        /// Who it is.
        identity: Identity,
        /// The mechanism's last message, which proves the server to the client: send it as one
        /// more challenge, and take an empty response.
        final_data: Option<Vec<u8>>,
        /// By which account; none for ANONYMOUS.
        standing: Option<Standing>,
    },
    /// The login has failed.
    Failed {
        /// The user name that was tried, as far as it was told.
        username: Option<String>,
        /// Why.
        reason: FailureReason,
    },
}

/// An account as it was when somebody logged in with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    username: String,
    account: Account,
}

impl Standing {
    /// The user name that he gave.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }
}

/// Begins logins against one set of identity sources. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator {
    identities: Arc<Identities>,
}

impl Authenticator {
    /// Asks `sources` in order; the first that knows a user decides. `domain` is the
    /// participant's own: `alice@domain` is its user `alice`. `key` is 32 secret octets that stay
    /// the same over restarts: from them come the salts of users that don't exist.
    #[must_use]
    pub fn new(domain: Name, sources: Vec<Arc<dyn IdentitySource>>, key: [u8; 32]) -> Self {
        Self {
            identities: Arc::new(Identities {
                domain,
                sources,
                key,
            }),
        }
    }

    /// The mechanisms that [`Authenticator::start`] takes over such a connection, best first.
    pub fn mechanisms(security: ConnectionSecurity) -> impl Iterator<Item = Mechanism> {
        let allowed = move |mechanism: &Mechanism| mechanism.is_allowed(security);
        Mechanism::ALL.into_iter().filter(allowed)
    }

    /// Whether the account is still there, with the same identity and the same password.
    #[must_use]
    pub fn holds(&self, standing: &Standing) -> bool {
        let account = self.identities.account(&standing.username);
        account.as_ref() == Some(&standing.account)
    }

    /// Begins a login. The client speaks first in every mechanism: pass its initial response to
    /// [`Authentication::step`], or ask for one by an empty challenge.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(
        &self,
        mechanism: &str,
        security: ConnectionSecurity,
    ) -> Result<Authentication, StartError> {
        let unknown = || StartError::UnknownMechanism(mechanism.to_owned());
        let known: Mechanism = mechanism.parse().map_err(|()| unknown())?;
        if !known.is_allowed(security) {
            return Err(StartError::NeedsPrivacy(known));
        }
        let attempt = Arc::new(Mutex::new(Attempt::default()));
        let callback = Callback {
            mechanism: known,
            identities: Arc::clone(&self.identities),
            attempt: Arc::clone(&attempt),
        };
        Ok(Authentication {
            mechanism: known,
            session: session(known, callback).ok_or_else(unknown)?,
            attempt,
            began: false,
        })
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("domain", &self.identities.domain)
            .finish_non_exhaustive()
    }
}

fn session(mechanism: Mechanism, callback: Callback) -> Option<Session<Validated>> {
    let name = Mechname::parse(mechanism.as_str().as_bytes()).ok()?;
    let builder = SASLConfig::builder().with_defaults();
    let config = builder.with_callback(callback).ok()?;
    SASLServer::new(config).start_suggested(name).ok()
}

/// A login under way.
///
/// A step may cost thousands of rounds of PBKDF2, paid by us at a stranger's wish: run it on a
/// thread for blocking work, under a bound on how many run at once. It owns all it needs.
pub struct Authentication {
    mechanism: Mechanism,
    session: Session<Validated>,
    attempt: Arc<Mutex<Attempt>>,
    began: bool,
}

impl Authentication {
    /// The mechanism.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Whether the next step may take long; one that does not may run where it is.
    #[must_use]
    pub fn is_costly(&self) -> bool {
        match self.mechanism {
            Mechanism::Anonymous => false,
            Mechanism::Plain => true,
            Mechanism::ScramSha256 => !self.began,
        }
    }

    /// Goes on with the client's response.
    #[must_use]
    pub fn step(mut self, response: &[u8]) -> Step {
        if self.mechanism == Mechanism::ScramSha256 && !self.is_scram_message(response) {
            return self.fail(FailureReason::Malformed);
        }
        self.began = true;
        let mut data = Vec::new();
        match self.session.step(Some(response), &mut data) {
            Ok(state) if state.is_running() => Step::Challenge(self, data),
            Ok(state) => self.finish(state.has_sent_message().then_some(data)),
            Err(_) => self.fail(FailureReason::Malformed),
        }
    }

    fn is_scram_message(&self, response: &[u8]) -> bool {
        match self.began {
            false => is_client_first(response),
            true => is_client_final(response),
        }
    }

    fn finish(mut self, final_data: Option<Vec<u8>>) -> Step {
        match self.session.validation() {
            Some(identity) => Step::Done {
                identity,
                final_data,
                standing: self.standing(),
            },
            None => self.fail(FailureReason::WrongPassword),
        }
    }

    fn standing(&self) -> Option<Standing> {
        let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Standing {
            username: attempt.username.take()?,
            account: attempt.account.take()?,
        })
    }

    fn fail(self, otherwise: FailureReason) -> Step {
        let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        Step::Failed {
            username: attempt.username.take(),
            reason: attempt.failure.unwrap_or(otherwise),
        }
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication")
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

/// Every source, and the answers for users that none of them knows.
pub(crate) struct Identities {
    domain: Name,
    sources: Vec<Arc<dyn IdentitySource>>,
    key: [u8; 32],
}

impl Identities {
    pub(crate) fn account(&self, username: &str) -> Option<Account> {
        let username = self.local_part(username);
        self.sources
            .iter()
            .find_map(|source| source.account(username))
    }

    /// `alice` of `alice@orange.example`, where that is our own domain.
    fn local_part<'u>(&self, username: &'u str) -> &'u str {
        match username.rsplit_once('@') {
            Some((user, domain)) if domain.eq_ignore_ascii_case(self.domain.as_str()) => user,
            _ => username,
        }
    }

    pub(crate) fn derive(
        &self,
        username: &str,
        password: &str,
    ) -> Result<ScramVerifier, VerifierError> {
        let salt = hmac(&self.key, &[b"derived salt ", username.as_bytes()]);
        ScramVerifier::derive(password, &salt[..16], DERIVED_ROUNDS)
    }

    pub(crate) fn verifier_of_nobody(&self, username: &str) -> ScramVerifier {
        let rounds = self
            .sources
            .iter()
            .filter_map(|source| source.rounds())
            .max();
        let rounds = rounds.unwrap_or(ScramVerifier::DEFAULT_ROUNDS);
        ScramVerifier::of_nobody(username, &self.key, rounds)
    }

    /// Checks a password; an unknown user costs as much time as a known one.
    pub(crate) fn check_password(
        &self,
        username: &str,
        password: &str,
        account: Option<Account>,
    ) -> Result<Account, FailureReason> {
        let Some(account) = account else {
            let _ = self.verifier_of_nobody(username).verifies(password);
            return Err(FailureReason::UnknownUser);
        };
        let right = match &account.proof {
            Proof::Verifier(verifier) => verifier.verifies(password),
            Proof::Password(wanted) => match prepare(password) {
                Ok(password) => password.as_bytes().ct_eq(wanted.expose().as_bytes()).into(),
                Err(_) => false,
            },
        };
        match right {
            true => Ok(account),
            false => Err(FailureReason::WrongPassword),
        }
    }
}
