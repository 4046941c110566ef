//! AUTHENTICATE, from the client's side.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use eson_protocol::{Code, Command, DataLine, Reply, Status};

use crate::client::{Client, accepted, line_of};
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
    /// offers no mechanism that fits.
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
        let exchange = SaslExchange::new(mechanism, credentials);
        let exchange = exchange.map_err(|cause| self.login_failed(cause))?;
        self.begin()?;
        let line = line_of(&Command::Authenticate {
            mechanism: mechanism.to_owned(),
            initial: None,
        })?;
        self.send_line(&line).await?;
        let outcome = self.exchange(mechanism, exchange).await;
        if matches!(outcome, Ok(()) | Err(ClientError::Refused(_))) {
            self.end();
        }
        outcome
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
        mut exchange: SaslExchange,
    ) -> Result<(), ClientError> {
        let mut status = accepted(self.status(mechanism).await?)?;
        // The first 220 says "go on", the second one "you are in".
        let mut challenge = self.challenge(&status)?;
        for _ in 0..MAX_STEPS {
            let response = exchange.respond(challenge.as_deref());
            let response = match response {
                Ok(response) => response,
                Err(cause) => return Err(self.cancel(cause).await),
            };
            self.send_response(&response).await?;
            status = accepted(self.status(mechanism).await?)?;
            challenge = self.challenge(&status)?;
            if challenge.is_none() {
                return exchange.finish().map_err(|cause| self.login_failed(cause));
            }
        }
        Err(self.cancel("the server asks on and on".to_owned()).await)
    }

    /// The challenge of a 334; none of a 220.
    fn challenge(&self, status: &Status) -> Result<Option<Vec<u8>>, ClientError> {
        if status.code == Code::Ok.number() {
            return Ok(None);
        }
        if status.code != Code::Challenge.number() {
            return Err(self.broken(format!("{} is no answer to AUTHENTICATE", status.code)));
        }
        let decoded = BASE64.decode(status.text.trim());
        decoded
            .map(Some)
            .map_err(|_| self.broken("its challenge is no base64"))
    }

    async fn send_response(&mut self, response: &[u8]) -> Result<(), ClientError> {
        let mut line = BASE64.encode(response);
        line.push_str("\r\n");
        let octets = line.len();
        self.connection.observe(Event::Sent {
            line: MASKED,
            octets,
        });
        self.connection.send(line.as_bytes()).await
    }

    /// Breaks the exchange off, so that the session can go on.
    async fn cancel(&mut self, cause: String) -> ClientError {
        let cancelled = async {
            self.send_line("*").await?;
            self.status("the cancelled login").await
        };
        if let Ok(status) = cancelled.await
            && status.code >= 500
        {
            self.end();
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
