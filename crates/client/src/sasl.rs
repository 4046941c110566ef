//! The client's side of a SASL exchange (RFC 4422), without I/O.

use std::io::Cursor;

use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::config::SASLConfig;
use rsasl::mechanisms::anonymous::AnonymousToken;
use rsasl::mechanisms::scram::properties::Iterations;
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLClient, Session, SessionError};
use rsasl::property::{AuthId, Password};

use crate::Credentials;

/// The most PBKDF2 rounds that we do for a server: half a second of one core, and beyond what
/// is recommended anywhere. More would only keep us busy.
const MAX_ITERATIONS: u32 = 1_000_000;

/// One login on its way.
pub(crate) struct SaslExchange {
    session: Session,
    is_scram: bool,
    running: bool,
}

impl SaslExchange {
    /// Begins a login with `mechanism`.
    pub(crate) fn new(mechanism: &str, credentials: &Credentials) -> Result<Self, String> {
        let config = SASLConfig::builder()
            .with_defaults()
            .with_callback(Answers(credentials.clone()))
            .map_err(|cause| cause.to_string())?;
        let name = Mechname::parse(mechanism.as_bytes()).map_err(|cause| cause.to_string())?;
        let session = SASLClient::new(config)
            .start_suggested(&[name])
            .map_err(|_| format!("this client can't do {mechanism}"))?;
        Ok(Self {
            session,
            is_scram: mechanism.to_ascii_uppercase().starts_with("SCRAM-"),
            running: true,
        })
    }

    /// The response to a challenge; none begins.
    pub(crate) fn respond(&mut self, challenge: Option<&[u8]>) -> Result<Vec<u8>, String> {
        if !self.running {
            return match challenge {
                Some([]) => Ok(Vec::new()),
                _ => Err("the server goes on with a login that is complete".to_owned()),
            };
        }
        if self.is_scram && challenge.is_some_and(|message| !is_scram_message(message)) {
            return Err("the server's challenge is no SCRAM message".to_owned());
        }
        let mut response = Cursor::new(Vec::new());
        let state = self
            .session
            .step(challenge, &mut response)
            .map_err(|cause| explain(&cause))?;
        self.running = state.is_running();
        Ok(response.into_inner())
    }

    /// Checks, when the server says that we are in, that it has proven all that the mechanism
    /// asks of it.
    pub(crate) fn finish(mut self) -> Result<(), String> {
        if !self.running {
            return Ok(());
        }
        let state = self.session.step(None, &mut Cursor::new(Vec::new()));
        match state {
            Ok(state) if state.is_finished() => Ok(()),
            _ => Err("the server accepted the login without proving that it knows the user".into()),
        }
    }
}

/// Whether each part can be an attribute of a SCRAM message (RFC 5802, section 5.1). rsasl's parser
/// takes the length of each for granted, and panics on shorter ones.
fn is_scram_message(message: &[u8]) -> bool {
    let mut parts = message.split(|octet| *octet == b',');
    parts.all(|part| matches!(part, [letter, b'=', ..] if letter.is_ascii_alphabetic()))
}

fn explain(cause: &SessionError) -> String {
    match cause {
        SessionError::MutualAuthenticationFailed => {
            "the server can't prove that it knows the user; it may be an impostor".to_owned()
        }
        other => other.to_string(),
    }
}

/// What the mechanisms ask for.
struct Answers(Credentials);

impl SessionCallback for Answers {
    fn callback(
        &self,
        _: &SessionData,
        context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        match &self.0 {
            Credentials::Anonymous { trace } => {
                request.satisfy::<AnonymousToken>(trace)?;
            }
            Credentials::Plain { user, password }
            | Credentials::ScramSha256 { user, password }
            | Credentials::Best { user, password } => {
                refuse_excessive_work(context)?;
                request
                    .satisfy::<AuthId>(user)?
                    .satisfy::<Password>(password.expose().as_bytes())?;
            }
        }
        Ok(())
    }
}

fn refuse_excessive_work(context: &Context<'_>) -> Result<(), SessionError> {
    match context.get_ref::<Iterations>() {
        Some(&rounds) if rounds > MAX_ITERATIONS => Err(SessionError::Boxed(
            format!("the server asks for {rounds} hash rounds; at most {MAX_ITERATIONS} are done")
                .into(),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scram() -> SaslExchange {
        let credentials = Credentials::ScramSha256 {
            user: "user".into(),
            password: "pencil".into(),
        };
        SaslExchange::new("SCRAM-SHA-256", &credentials).expect("known mechanism")
    }

    fn nonce(first: &[u8]) -> String {
        let text = String::from_utf8(first.to_vec()).expect("text");
        text.rsplit_once("r=").expect("a nonce").1.to_owned()
    }

    #[test]
    fn plain_is_the_drafts_string() {
        let credentials = Credentials::Plain {
            user: "test".into(),
            password: "test".into(),
        };
        let mut exchange = SaslExchange::new("PLAIN", &credentials).expect("known");
        assert_eq!(exchange.respond(None).expect("a response"), b"\0test\0test");
        exchange.finish().expect("complete");
    }

    #[test]
    fn anonymous_sends_its_trace() {
        let credentials = Credentials::Anonymous {
            trace: "alice".into(),
        };
        let mut exchange = SaslExchange::new("ANONYMOUS", &credentials).expect("known");
        assert_eq!(exchange.respond(None).expect("a response"), b"alice");
        exchange.finish().expect("complete");
    }

    #[test]
    fn scram_without_the_servers_proof_is_no_login() {
        let mut exchange = scram();
        let first = exchange.respond(None).expect("client first");
        let challenge = format!(
            "r={}server,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            nonce(&first)
        );
        exchange
            .respond(Some(challenge.as_bytes()))
            .expect("client final");
        exchange
            .finish()
            .expect_err("the server has proven nothing");
    }

    #[test]
    fn scram_with_a_wrong_proof_is_refused() {
        let mut exchange = scram();
        let first = exchange.respond(None).expect("client first");
        let challenge = format!(
            "r={}server,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            nonce(&first)
        );
        exchange
            .respond(Some(challenge.as_bytes()))
            .expect("client final");
        let proof = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        exchange.respond(Some(proof)).expect_err("not this server");
    }

    #[test]
    fn a_server_can_not_keep_us_hashing() {
        let mut exchange = scram();
        let first = exchange.respond(None).expect("client first");
        let challenge = format!(
            "r={}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000",
            nonce(&first)
        );
        let error = exchange
            .respond(Some(challenge.as_bytes()))
            .expect_err("refused");
        assert!(error.contains("4000000000"), "{error}");
    }

    #[test]
    fn a_malformed_scram_challenge_is_an_error() {
        for challenge in [
            "",
            ",",
            "r",
            "r=x",
            "r=x,",
            "r=x,s",
            "r=x,s=eA==,",
            "r=x,s=eA==,i",
            "r=,,",
            "e",
            "v",
        ] {
            let mut exchange = scram();
            exchange.respond(None).expect("client first");
            let answer = exchange.respond(Some(challenge.as_bytes()));
            answer.expect_err(challenge);
        }
        let mut exchange = scram();
        let first = exchange.respond(None).expect("client first");
        let nonce = nonce(&first);
        let challenge = format!("r={nonce}server,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let answer = exchange.respond(Some(challenge.as_bytes()));
        answer.expect("client final");
        for proof in ["", "v", "e", ",", "v=,"] {
            exchange
                .respond(Some(proof.as_bytes()))
                .expect_err("no proof");
        }
    }

    #[test]
    fn an_unknown_mechanism_is_said_to_be_one() {
        let credentials = Credentials::Anonymous {
            trace: String::new(),
        };
        let error = SaslExchange::new("OTP", &credentials)
            .err()
            .expect("unknown");
        assert!(error.contains("OTP"), "{error}");
    }
}
