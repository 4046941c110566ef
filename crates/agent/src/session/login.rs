//! Checking credentials: slowed after failures, and never more at once than configured.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use eson_identity::{
    Authentication, Authenticator, ConnectionSecurity, Identity, Mechanism, Slowdown,
    SlowdownPolicy, Standing, StartError, Step,
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

/// A login under way.
pub(crate) struct Login {
    authentication: Authentication,
    /// Whether it was held up for failures before it.
    was_held_up: bool,
}

/// What comes of one message of a login.
pub(crate) enum Progress {
    /// Send this, and take the answer.
    Challenge(Login, Vec<u8>),
    /// It is complete.
    Done(Accepted, Option<Vec<u8>>),
    /// It has failed.
    Failed,
}

/// Who has logged in.
pub(crate) struct Accepted {
    pub(crate) caller: Caller,
    /// By which account, if it is one of the configuration's users.
    pub(crate) standing: Option<Standing>,
}

impl Logins {
    /// At most `at_once` checks that cost time run together.
    pub(crate) fn new(
        authenticator: Authenticator,
        at_once: usize,
        policy: SlowdownPolicy,
    ) -> Self {
        Self {
            authenticator,
            slowdown: Arc::new(Mutex::new(Slowdown::new(policy))),
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
    ) -> Result<Login, Status> {
        let started = self.authenticator.start(mechanism, security);
        let authentication = started.map_err(|error| match error {
            StartError::NeedsPrivacy(_) => Status::privacy(error.to_string()),
            _ => Status::unsupported(error.to_string()),
        })?;
        Ok(Login {
            was_held_up: authentication.mechanism() == Mechanism::Anonymous,
            authentication,
        })
    }

    /// Whether the account that somebody has logged in with is still the same.
    pub(crate) fn holds(&self, standing: &Standing) -> bool {
        self.authenticator.holds(standing)
    }

    /// Goes on with a login. Failures before it hold it up once, and a failure is told after a delay
    /// that grows with each. Whoever guesses nothing, as with ANONYMOUS, is not held up.
    pub(crate) async fn step(
        &self,
        login: Login,
        response: Vec<u8>,
        address: Option<IpAddr>,
    ) -> Progress {
        let Login {
            authentication,
            was_held_up,
        } = login;
        let mechanism = authentication.mechanism();
        if !was_held_up {
            self.wait(None, address).await;
        }
        let step = if authentication.is_costly() {
            self.check(authentication, response).await
        } else {
            Some(authentication.step(&response))
        };
        match step {
            Some(Step::Challenge(authentication, data)) => {
                let login = Login {
                    authentication,
                    was_held_up: true,
                };
                Progress::Challenge(login, data)
            }
            Some(Step::Done {
                identity,
                final_data,
                standing,
            }) => {
                if let Some(standing) = &standing {
                    self.lock().succeeded(standing.username());
                }
                Progress::Done(accepted(identity, mechanism, standing), final_data)
            }
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

fn accepted(identity: Identity, mechanism: Mechanism, standing: Option<Standing>) -> Accepted {
    // A subscriber's credential ends with its subscription, which says how.
    let is_user = identity.principal().is_some();
    Accepted {
        caller: caller(identity, mechanism),
        standing: standing.filter(|_| is_user),
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

#[cfg(test)]
mod tests {
    use eson_identity::{Account, Proof, StaticAccounts};
    use eson_protocol::Name;
    use tokio::time::{Duration, Instant};

    use super::*;

    const ADDRESS: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    const LONGEST: Duration = Duration::from_secs(10);

    fn logins() -> Logins {
        let accounts = StaticAccounts::default();
        let account = Account {
            identity: Identity::Principal("test@orange.example".parse().expect("a principal")),
            proof: Proof::Password("test".into()),
        };
        accounts.insert("test".to_owned(), account);
        let domain = Name::parse("orange.example").expect("a name");
        let authenticator = Authenticator::new(domain, vec![Arc::new(accounts)], [0; 32]);
        let policy = SlowdownPolicy {
            free: 0,
            first: LONGEST,
            longest: LONGEST,
            ..SlowdownPolicy::default()
        };
        Logins::new(authenticator, 1, policy)
    }

    /// What comes of a login with these messages, and how long it takes.
    async fn login(logins: &Logins, mechanism: &str, messages: &[&str]) -> (Progress, Duration) {
        let begun = Instant::now();
        let protected = ConnectionSecurity::Protected;
        let mut login = logins.start(mechanism, protected).expect("offered");
        for message in messages {
            match logins
                .step(login, message.as_bytes().to_vec(), ADDRESS)
                .await
            {
                Progress::Challenge(next, _) => login = next,
                other => return (other, begun.elapsed()),
            }
        }
        panic!("{mechanism} takes more messages");
    }

    /// Nobody waits that long by himself: the clock is the test's.
    #[tokio::test(start_paused = true)]
    async fn failures_hold_up_a_login_once_and_anonymous_ones_not_at_all() {
        let logins = logins();
        let (failed, took) = login(&logins, "PLAIN", &["\0test\0wrong"]).await;
        assert!(matches!(failed, Progress::Failed));
        assert_eq!(took, LONGEST, "behind the failure");
        let proof = ["n,,n=test,r=abc", "c=biws,r=abc,p=AAAA"];
        let (failed, took) = login(&logins, "SCRAM-SHA-256", &proof).await;
        assert!(matches!(failed, Progress::Failed));
        assert_eq!(
            took,
            LONGEST * 2,
            "before the first message and behind the failure"
        );
        let (done, took) = login(&logins, "PLAIN", &["\0test\0test"]).await;
        assert!(matches!(done, Progress::Done(..)));
        assert_eq!(took, LONGEST);
        let (done, took) = login(&logins, "ANONYMOUS", &["me"]).await;
        assert!(matches!(done, Progress::Done(..)));
        assert_eq!(took, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_forgives_the_failures_of_its_account() {
        let logins = logins();
        let elsewhere = IpAddr::V4([192, 0, 2, 1].into());
        let now = std::time::Instant::now();
        let many = SlowdownPolicy {
            free: 1,
            ..SlowdownPolicy::default()
        };
        *logins.lock() = Slowdown::new(many);
        for _ in 0..2 {
            logins
                .lock()
                .failed(Some("test"), [192, 0, 2, 2].into(), now);
        }
        logins.lock().failed(None, elsewhere, now);
        let delay = || logins.lock().delay(Some("test"), elsewhere, now);
        assert!(!delay().is_zero());
        login(&logins, "PLAIN", &["\0test\0test"]).await;
        assert!(delay().is_zero());
    }
}
