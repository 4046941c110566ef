//! What rsasl asks its server: who has which proof, and whether a login is valid.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::mechanisms::scram::properties::ScramStoredPassword;
use rsasl::prelude::{SessionError, Validation};
use rsasl::property::{self, AuthId, AuthzId};
use rsasl::validate::{Validate, ValidationError};

use crate::authentication::{FailureReason, Identities};
use crate::scram_message::unescape;
use crate::{Account, Identity, Mechanism, Proof, ScramVerifier};

/// Carries the identity out of rsasl.
pub(crate) struct Validated;

impl Validation for Validated {
    type Value = Identity;
}

/// What one login has come to so far.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    pub(crate) username: Option<String>,
    pub(crate) failure: Option<FailureReason>,
    /// What the proof is checked against.
    pub(crate) account: Option<Account>,
}

/// One login's answers to rsasl.
pub(crate) struct Callback {
    pub(crate) mechanism: Mechanism,
    pub(crate) identities: Arc<Identities>,
    pub(crate) attempt: Arc<Mutex<Attempt>>,
}

impl SessionCallback for Callback {
    fn callback(
        &self,
        _: &SessionData,
        context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        if request.is::<ScramStoredPassword<'static>>() {
            let verifier = self.verifier(context.get_ref::<AuthId>().unwrap_or_default());
            let stored = ScramStoredPassword::new(
                verifier.rounds(),
                verifier.salt(),
                verifier.stored_key(),
                verifier.server_key(),
            );
            request.satisfy::<ScramStoredPassword<'_>>(&stored)?;
        }
        Ok(())
    }

    fn validate(
        &self,
        _: &SessionData,
        context: &Context<'_>,
        validate: &mut Validate<'_>,
    ) -> Result<(), ValidationError> {
        match self.identify(context) {
            Ok(identity) => validate.finalize::<Validated>(identity),
            Err(reason) => self.attempt().failure = Some(reason),
        }
        Ok(())
    }
}

impl Callback {
    /// What a SCRAM login for this saslname is checked against.
    fn verifier(&self, saslname: &str) -> ScramVerifier {
        let username = unescape(saslname).unwrap_or_else(|| saslname.to_owned());
        let found = self.identities.account(&username);
        self.attempt().account.clone_from(&found);
        let derived = match found.map(|account| account.proof) {
            Some(Proof::Verifier(verifier)) => Some(verifier),
            Some(Proof::Password(password)) => {
                self.identities.derive(&username, password.expose()).ok()
            }
            None => {
                self.attempt().failure = Some(FailureReason::UnknownUser);
                None
            }
        };
        let verifier = derived.unwrap_or_else(|| self.identities.verifier_of_nobody(&username));
        self.attempt().username = Some(username);
        verifier
    }

    fn identify(&self, context: &Context<'_>) -> Result<Identity, FailureReason> {
        match self.mechanism {
            Mechanism::Anonymous => Ok(Identity::Principal(eson_protocol::Principal::Anonymous)),
            Mechanism::Plain => self.identify_plain(context),
            Mechanism::ScramSha256 => self.identify_scram(context),
        }
    }

    fn identify_plain(&self, context: &Context<'_>) -> Result<Identity, FailureReason> {
        let username = context.get_ref::<AuthId>().unwrap_or_default();
        self.attempt().username = Some(username.to_owned());
        let password = context.get_ref::<property::Password>().unwrap_or_default();
        let password = std::str::from_utf8(password).map_err(|_| FailureReason::WrongPassword)?;
        let account = self.identities.account(username);
        self.attempt().account.clone_from(&account);
        let account = self
            .identities
            .check_password(username, password, account)?;
        check_authorization_identity(context, username, account)
    }

    /// rsasl has seen the proof; the account may have been replaced meanwhile.
    fn identify_scram(&self, context: &Context<'_>) -> Result<Identity, FailureReason> {
        let saslname = context.get_ref::<AuthId>().unwrap_or_default();
        let username = unescape(saslname).ok_or(FailureReason::Malformed)?;
        let account = self.identities.account(&username);
        let account = account.ok_or(FailureReason::UnknownUser)?;
        check_authorization_identity(context, &username, account)
    }

    fn attempt(&self) -> MutexGuard<'_, Attempt> {
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody acts for somebody else: the authorization identity is absent, or names the user.
fn check_authorization_identity(
    context: &Context<'_>,
    username: &str,
    account: Account,
) -> Result<Identity, FailureReason> {
    let identity = account.identity;
    match context.get_ref::<AuthzId>() {
        None | Some("") => Ok(identity),
        Some(wanted) if wanted == username || wanted == identity.to_string() => Ok(identity),
        Some(_) => Err(FailureReason::AuthorizationIdentity),
    }
}
