//! Logging in: SaslHandshake and SaslAuthenticate (KIP-43, KIP-84, KIP-152).

use std::io::Cursor;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::config::SASLConfig;
use rsasl::mechanisms::scram::properties::Iterations;
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLClient, Session, SessionError};
use rsasl::property::{AuthId, Password};

use super::config::{KafkaSasl, SaslMechanism};
use super::connection::Connection;
use crate::{BrokerError, Secret};

/// The most PBKDF2 rounds that we do for a broker.
const MAX_ITERATIONS: u32 = 1_000_000;

/// Long enough for a broker that delays failed logins.
const WAIT: Duration = Duration::from_secs(30);

/// Logs in on a fresh connection.
pub(crate) async fn log_in(connection: &Connection, login: &KafkaSasl) -> Result<(), BrokerError> {
    choose_mechanism(connection, login.mechanism).await?;
    let refused = |cause: String| BrokerError::Unauthenticated {
        server: connection.server().to_owned(),
        user: connection.user().to_owned(),
        cause,
    };
    let mut session = session(login).map_err(refused)?;
    let mut challenge: Option<Bytes> = None;
    loop {
        let mut response = Cursor::new(Vec::new());
        let state = session
            .step(challenge.as_deref(), &mut response)
            .map_err(|cause| refused(cause.to_string()))?;
        let response = response.into_inner();
        if state.is_finished() && response.is_empty() {
            return Ok(());
        }
        challenge = Some(authenticate(connection, response).await?);
        if state.is_finished() {
            return Ok(());
        }
    }
}

async fn choose_mechanism(
    connection: &Connection,
    mechanism: SaslMechanism,
) -> Result<(), BrokerError> {
    // Version 0 would be followed by frames without a Kafka header.
    let request = SaslHandshakeRequest::default()
        .with_mechanism(StrBytes::from_static_str(mechanism.as_str()));
    let response = connection.call_version(&request, 1, WAIT).await?;
    let offered: Vec<_> = response
        .mechanisms
        .iter()
        .map(|name| name.as_str())
        .collect();
    let offer = format!("it offers {}", offered.join(", "));
    connection
        .subject("")
        .check(response.error_code, Some(&offer))
}

async fn authenticate(connection: &Connection, response: Vec<u8>) -> Result<Bytes, BrokerError> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(response.into());
    let version = connection.version::<SaslAuthenticateRequest>(i16::MAX)?;
    let answer = connection.call_version(&request, version, WAIT).await?;
    connection
        .subject("")
        .check(answer.error_code, answer.error_message.as_deref())?;
    Ok(answer.auth_bytes)
}

fn session(login: &KafkaSasl) -> Result<Session, String> {
    let config = SASLConfig::builder()
        .with_defaults()
        .with_callback(Answers {
            username: login.username.clone(),
            password: login.password.clone(),
        })
        .map_err(|cause| cause.to_string())?;
    let mechanism = login.mechanism.as_str();
    let name = Mechname::parse(mechanism.as_bytes()).map_err(|cause| cause.to_string())?;
    SASLClient::new(config)
        .start_suggested(&[name])
        .map_err(|cause| cause.to_string())
}

/// What the mechanisms ask for.
struct Answers {
    username: String,
    password: Secret,
}

impl SessionCallback for Answers {
    fn callback(
        &self,
        _: &SessionData,
        context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        if let Some(&rounds) = context.get_ref::<Iterations>()
            && rounds > MAX_ITERATIONS
        {
            let cause = format!("the broker asks for {rounds} hash rounds");
            return Err(SessionError::Boxed(cause.into()));
        }
        request
            .satisfy::<AuthId>(&self.username)?
            .satisfy::<Password>(self.password.expose().as_bytes())?;
        Ok(())
    }
}
