//! Sessions with the FNAA, and its refusals as errors of a broker.

use eson_client::{Address, Client, ClientError, Credentials, DialError};
use eson_protocol::{Code, Command, DataLine, Reply, Status};

use super::FnapOptions;
use crate::BrokerError;

/// How to reach the FNAA, and as whom.
pub(super) struct Link {
    options: FnapOptions,
    /// The servers, for messages.
    servers: String,
}

impl Link {
    pub(super) fn new(options: FnapOptions) -> Self {
        let servers: Vec<String> = options.servers.iter().map(Address::to_string).collect();
        Self {
            servers: servers.join(", "),
            options,
        }
    }

    /// A session that is logged in, with the first server that answers.
    pub(super) async fn session(&self) -> Result<Client, BrokerError> {
        let mut failure = BrokerError::Unreachable {
            server: self.servers.clone(),
            cause: "no server is configured".to_owned(),
        };
        for server in &self.options.servers {
            match self.session_with(server).await {
                Ok(session) => return Ok(session),
                Err(error) => failure = self.error("cluster", error),
            }
            // Another server would refuse the same.
            if !failure.is_transient() {
                break;
            }
        }
        Err(failure)
    }

    async fn session_with(&self, server: &Address) -> Result<Client, ClientError> {
        let mut session = Client::connect(server, &self.options.connect).await?;
        if let Some(credentials) = &self.options.credentials {
            session.authenticate(credentials).await?;
        }
        Ok(session)
    }

    /// Sends a command about a flow and gives the data of its reply.
    pub(super) async fn command(
        &self,
        session: &mut Client,
        flow: &str,
        command: &Command,
    ) -> Result<Vec<DataLine>, BrokerError> {
        match session.command(command).await {
            Ok(Reply::Data(lines, _)) => Ok(lines),
            Ok(Reply::Status(_)) => Ok(Vec::new()),
            Err(error) => Err(self.error(flow, error)),
        }
    }

    /// What a failed conversation about `flow` means.
    pub(super) fn error(&self, flow: &str, error: ClientError) -> BrokerError {
        match error {
            ClientError::Refused(status) => self.refusal(flow, &status),
            ClientError::Plaintext { .. } | ClientError::Sasl { .. } => {
                self.unauthenticated(error.to_string())
            }
            ClientError::Dial(DialError::Forbidden { .. }) => BrokerError::Denied {
                subject: self.servers.clone(),
                cause: error.to_string(),
            },
            ClientError::Unsendable(cause) => BrokerError::Invalid {
                queue: flow.to_owned(),
                cause,
            },
            ClientError::Protocol { cause, .. } => self.broken(cause),
            _ => self.unreachable(error.to_string()),
        }
    }

    fn refusal(&self, flow: &str, status: &Status) -> BrokerError {
        let (subject, cause) = (flow.to_owned(), status.to_string());
        match status.known_code() {
            Some(Code::Argument) if is_too_large(status) => BrokerError::Refused {
                queue: subject,
                cause,
            },
            Some(Code::NotFound | Code::NotLocal) => BrokerError::NotFound(subject),
            // It is another one by now.
            Some(Code::Exists) => BrokerError::Exists(subject),
            Some(Code::Denied | Code::Revoked | Code::Pending) => {
                BrokerError::Denied { subject, cause }
            }
            Some(Code::Auth | Code::Credentials | Code::Privacy) => self.unauthenticated(cause),
            Some(Code::Unsupported) => BrokerError::Unsupported {
                kind: "broker behind an FNAA".to_owned(),
                what: cause,
            },
            _ if status.is_transient() => self.unreachable(cause),
            _ => BrokerError::Invalid {
                queue: subject,
                cause,
            },
        }
    }

    pub(super) fn unreachable(&self, cause: String) -> BrokerError {
        BrokerError::Unreachable {
            server: self.servers.clone(),
            cause,
        }
    }

    pub(super) fn broken(&self, cause: impl Into<String>) -> BrokerError {
        BrokerError::Protocol {
            server: self.servers.clone(),
            cause: cause.into(),
        }
    }

    fn unauthenticated(&self, cause: String) -> BrokerError {
        let user = match &self.options.credentials {
            Some(
                Credentials::Plain { user, .. }
                | Credentials::ScramSha256 { user, .. }
                | Credentials::Best { user, .. },
            ) => user.as_str(),
            _ => "anonymous",
        };
        BrokerError::Unauthenticated {
            server: self.servers.clone(),
            user: user.to_owned(),
            cause,
        }
    }
}

/// Whether one event is larger than the FNAA's broker takes, which says so where CAPABILITIES did not.
fn is_too_large(status: &Status) -> bool {
    let reason = status.reason.as_ref();
    reason.is_some_and(|reason| reason.0 == "TOOLARGE")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use eson_client::{ConnectOptions, Dialer, SystemLookup};
    use eson_protocol::{AddressPolicy, Reason};

    use super::*;

    fn refusal(status: &Status) -> BrokerError {
        let dialer = Dialer::new(Arc::new(SystemLookup), AddressPolicy::unrestricted());
        let link = Link::new(FnapOptions {
            servers: Vec::new(),
            connect: ConnectOptions::new(dialer),
            credentials: None,
        });
        link.refusal("time.flows.orange.example", status)
    }

    #[test]
    fn refusals_say_whether_one_event_or_the_flow_is_meant() {
        let wrong = Status::argument("no partition 9");
        assert!(matches!(refusal(&wrong), BrokerError::Invalid { .. }));
        let too_large = Status {
            reason: Some(Reason("TOOLARGE".to_owned())),
            ..wrong
        };
        assert!(refusal(&too_large).is_refusal());
        let replaced = Status::exists("the queue is another one");
        assert!(matches!(refusal(&replaced), BrokerError::Exists(_)));
    }
}
