//! AUTHENTICATE, from the client's side.

use eson_protocol::session::{ClientEvent, ClientExchange, SaslData};
use eson_protocol::{Command, DataLine, Reply};

use crate::client::{Client, accepted};
use crate::exchange::Event;
use crate::sasl::SaslExchange;
use crate::{ClientError, Credentials};

/// The mechanisms for a password, best first.
const FOR_PASSWORDS: [&str; 2] = ["SCRAM-SHA-256", "PLAIN"];

/// What is shown instead of a SASL message.
const MASKED: &str = "****";

/// No mechanism of ours has more steps. A server that goes on is stopped.
const MAX_STEPS: usize = 8;

impl Client {
    /// Logs in. May be called again after a refusal.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 535 when the server does not take the credentials;
    /// [`ClientError::Plaintext`] when a password would go over a connection that somebody may
    /// listen to; [`ClientError::Sasl`] when the server can't prove that it knows the user, or
    /// offers no mechanism that fits: then the session is of no more use.
    pub async fn authenticate(&mut self, credentials: &Credentials) -> Result<(), ClientError> {
        if credentials.is_secret() && !self.may_send_secrets() {
            return Err(ClientError::Plaintext {
                server: self.connection.server().to_owned(),
            });
        }
        let mechanism = match credentials {
            Credentials::Anonymous { .. } => "ANONYMOUS",
            Credentials::Plain { .. } => "PLAIN",
            Credentials::ScramSha256 { .. } => "SCRAM-SHA-256",
            Credentials::Best { .. } => self.best_mechanism().await?,
        };
        let sasl = SaslExchange::new(mechanism, credentials);
        let sasl = sasl.map_err(|cause| self.login_failed(cause))?;
        let command = Command::Authenticate {
            mechanism: mechanism.to_owned(),
            initial: None,
        };
        self.begin(&command).await?;
        self.exchange(mechanism, sasl).await
    }

    async fn best_mechanism(&mut self) -> Result<&'static str, ClientError> {
        let reply = self.command(&Command::Capabilities).await?;
        let offered = offered_mechanisms(&reply);
        let best = FOR_PASSWORDS
            .into_iter()
            .find(|known| offered.iter().any(|name| name.eq_ignore_ascii_case(known)));
        best.ok_or_else(|| {
            self.login_failed(format!(
                "it offers {}, and none of these takes a password",
                offered.join(", ")
            ))
        })
    }

    /// From the answer to AUTHENTICATE to the final status.
    async fn exchange(
        &mut self,
        mechanism: &str,
        mut sasl: SaslExchange,
    ) -> Result<(), ClientError> {
        for step in 0..MAX_STEPS {
            match self.event(mechanism).await? {
                ClientEvent::Challenge { data, exchange } => {
                    self.observe_received(if step == 0 { "220 OK" } else { "334 ****" });
                    match sasl.respond(challenge(step, &data)) {
                        Ok(response) => self.respond(exchange, &response).await?,
                        Err(cause) => return Err(self.cancel(exchange, cause).await),
                    }
                }
                ClientEvent::Status(status) => {
                    accepted(self.observed(status))?;
                    return sasl.finish().map_err(|cause| self.login_failed(cause));
                }
                other => return Err(self.out_of_place(other)),
            }
        }
        Err(self.login_failed("the server asks on and on".to_owned()))
    }

    async fn respond(
        &mut self,
        exchange: ClientExchange,
        response: &[u8],
    ) -> Result<(), ClientError> {
        self.session.respond(exchange, response);
        let octets = self.session.output_len();
        self.connection.observe(Event::Sent {
            line: MASKED,
            octets,
        });
        self.flush().await
    }

    /// Breaks the exchange off, so that the session can go on where the server plays along.
    async fn cancel(&mut self, exchange: ClientExchange, cause: String) -> ClientError {
        self.session.cancel(exchange);
        let cancelled = async {
            self.flush().await?;
            self.event("the cancelled login").await
        };
        if let Err(error) = cancelled.await {
            tracing::debug!(%error, "cancelling a login");
        }
        self.login_failed(cause)
    }

    fn login_failed(&self, cause: String) -> ClientError {
        ClientError::Sasl {
            server: self.connection.server().to_owned(),
            cause,
        }
    }
}

/// The answer to AUTHENTICATE is no challenge but the request to begin.
fn challenge(step: usize, data: &SaslData) -> Option<&[u8]> {
    match (step, data.as_bytes()) {
        (0, []) => None,
        (_, challenge) => Some(challenge),
    }
}

/// CAPABILITIES has one `auth=` line, or several; names stand apart by blanks or commas.
fn offered_mechanisms(reply: &Reply) -> Vec<&str> {
    let Reply::Data(lines, _) = reply else {
        return Vec::new();
    };
    let names = lines.iter().filter_map(|line| match line {
        DataLine::Attribute(key, value) if key == "auth" => Some(value),
        _ => None,
    });
    names
        .flat_map(|value| value.split([' ', ',']))
        .filter(|name| !name.is_empty())
        .collect()
}
