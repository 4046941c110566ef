//! Checking credentials: slowed after failures, and never more at once than configured.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use eson_identity::{
    Authentication, Authenticator, ConnectionSecurity, Identity, Mechanism, Slowdown,
    SlowdownPolicy, StartError, Step,
};
use eson_protocol::{Principal, Status};
use tokio::sync::Semaphore;

use crate::authority::{Caller, Role};

/// Checks the credentials of all sessions.
#[derive(Clone)]
pub(crate) struct Logins {
    authenticator: Authenticator,
    slowdown: Arc<Mutex<Slowdown>>,
    checks: Arc<Semaphore>,
}

/// What comes of one message of a login.
pub(crate) enum Progress {
    /// Send this, and take the answer.
    Challenge(Authentication, Vec<u8>),
    /// It is complete.
    Done(Caller, Option<Vec<u8>>),
    /// It has failed.
    Failed,
}

impl Logins {
    /// At most `at_once` checks that cost time run together.
    pub(crate) fn new(authenticator: Authenticator, at_once: usize) -> Self {
        Self {
            authenticator,
            slowdown: Arc::new(Mutex::new(Slowdown::new(SlowdownPolicy::default()))),
            checks: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// Begins a login.
    ///
    /// # Errors
    /// 502 for a mechanism that is not offered, 534 for one that needs TLS.
    pub(crate) fn start(
        &self,
        mechanism: &str,
        security: ConnectionSecurity,
    ) -> Result<Authentication, Status> {
        self.authenticator
            .start(mechanism, security)
            .map_err(|error| match error {
                StartError::NeedsPrivacy(_) => Status::privacy(error.to_string()),
                _ => Status::unsupported(error.to_string()),
            })
    }

    /// Goes on with a login. A failure is told after a delay that grows with each.
    pub(crate) async fn step(
        &self,
        authentication: Authentication,
        response: Vec<u8>,
        address: Option<IpAddr>,
    ) -> Progress {
        let mechanism = authentication.mechanism();
        self.wait(None, address).await;
        let step = if authentication.is_costly() {
            self.check(authentication, response).await
        } else {
            Some(authentication.step(&response))
        };
        match step {
            Some(Step::Challenge(authentication, data)) => {
                Progress::Challenge(authentication, data)
            }
            Some(Step::Done {
                identity,
                final_data,
            }) => Progress::Done(caller(identity, mechanism), final_data),
            Some(Step::Failed { username, reason }) => {
                tracing::info!(?address, user = username, %mechanism, %reason, "login failed");
                self.note_failure(username.as_deref(), address);
                self.wait(username.as_deref(), address).await;
                Progress::Failed
            }
            None => Progress::Failed,
        }
    }

    /// On a thread of its own: thousands of rounds of a hash.
    async fn check(&self, authentication: Authentication, response: Vec<u8>) -> Option<Step> {
        let _permit = self.checks.acquire().await.ok()?;
        let check = tokio::task::spawn_blocking(move || authentication.step(&response)).await;
        check
            .inspect_err(|error| tracing::error!(%error, "a login check ended abnormally"))
            .ok()
    }

    async fn wait(&self, account: Option<&str>, address: Option<IpAddr>) {
        let Some(address) = address else { return };
        let delay = self.lock().delay(account, address, Instant::now());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    fn note_failure(&self, account: Option<&str>, address: Option<IpAddr>) {
        if let Some(address) = address {
            self.lock().failed(account, address, Instant::now());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Slowdown> {
        self.slowdown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn caller(identity: Identity, mechanism: Mechanism) -> Caller {
    let (principal, role) = match identity {
        Identity::Principal(principal) => (principal, Role::Participant),
        Identity::Subscriber { username } => (Principal::Anonymous, Role::Reader { username }),
        Identity::Processor { .. } => (Principal::Anonymous, Role::Processor),
    };
    Caller {
        principal,
        role,
        mechanism: mechanism.as_str().to_owned(),
    }
}
