//! Where identities come from.

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use eson_protocol::{Principal, Secret};

use crate::ScramVerifier;

/// Who an authenticated session is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Somebody whom grants can name.
    Principal(Principal),
    /// A subscriber's credential: it reads the one queue it was made for, and nothing else.
    Subscriber {
        /// The user name of the credential.
        username: String,
    },
    /// One of this participant's own flow processors.
    Processor {
        /// Its user name.
        username: String,
    },
}

impl Identity {
    /// The principal, where there is one.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        match self {
            Self::Principal(principal) => Some(principal),
            _ => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(principal) => write!(f, "{principal}"),
            Self::Subscriber { username } => write!(f, "subscriber {username}"),
            Self::Processor { username } => write!(f, "processor {username}"),
        }
    }
}

/// What a login is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// What is kept of a password that a person chose.
    Verifier(ScramVerifier),
    /// A password that the agent made itself, with enough randomness that nobody guesses it.
    Password(Secret),
}

/// Somebody who may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Who he is then.
    pub identity: Identity,
    /// What proves it.
    pub proof: Proof,
}

/// Knows accounts by their user names. Asked for every login, so it answers from memory.
pub trait IdentitySource: Send + Sync {
    /// The account of a user name; none when this source does not know it.
    fn account(&self, username: &str) -> Option<Account>;

    /// The most rounds that its verifiers have; none when it has no verifiers. Unknown users
    /// are answered with as many.
    fn rounds(&self) -> Option<u32> {
        None
    }
}

/// Accounts held in memory, replaced as a whole (a reload) or one by one.
#[derive(Debug, Default)]
pub struct StaticAccounts {
    accounts: RwLock<HashMap<String, Account>>,
}

impl StaticAccounts {
    /// Replaces all accounts.
    pub fn replace(&self, accounts: impl IntoIterator<Item = (String, Account)>) {
        *self.write() = accounts.into_iter().collect();
    }

    /// Adds or replaces one account.
    pub fn insert(&self, username: String, account: Account) {
        self.write().insert(username, account);
    }

    /// Removes one account. Whoever keeps a session asks
    /// [`Authenticator::holds`](crate::Authenticator::holds) whether it may go on.
    pub fn remove(&self, username: &str) {
        self.write().remove(username);
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<String, Account>> {
        self.accounts
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<String, Account>> {
        self.accounts.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IdentitySource for StaticAccounts {
    fn account(&self, username: &str) -> Option<Account> {
        self.read().get(username).cloned()
    }

    fn rounds(&self) -> Option<u32> {
        let accounts = self.read();
        let rounds = accounts
            .values()
            .filter_map(|account| match &account.proof {
                Proof::Verifier(verifier) => Some(verifier.rounds()),
                Proof::Password(_) => None,
            });
        rounds.max()
    }
}
