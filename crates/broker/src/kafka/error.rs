//! What Kafka's error codes mean to us.

use kafka_protocol::ResponseError;

use crate::BrokerError;

/// Which server and which queue an error is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) server: &'a str,
    pub(crate) user: &'a str,
    pub(crate) queue: &'a str,
}

impl Subject<'_> {
    /// The error behind a code and the message that came with it.
    pub(crate) fn error(&self, code: ResponseError, message: Option<&str>) -> BrokerError {
        use ResponseError as E;
        let cause = match message {
            Some(message) if !message.is_empty() => format!("{message} ({code:?})"),
            _ => code.to_string(),
        };
        let queue = || self.queue.to_owned();
        let denied = |subject: &str| BrokerError::Denied {
            subject: subject.to_owned(),
            cause: self.denial(code, message),
        };
        match code {
            E::UnknownTopicOrPartition | E::UnknownTopicId => BrokerError::NotFound(queue()),
            E::TopicAlreadyExists => BrokerError::Exists(queue()),
            E::InvalidTopicException => BrokerError::BadName {
                queue: queue(),
                cause,
            },
            E::TopicAuthorizationFailed | E::GroupAuthorizationFailed => denied(self.queue),
            E::ClusterAuthorizationFailed => denied("cluster"),
            E::TransactionalIdAuthorizationFailed => denied("transactional id"),
            E::SaslAuthenticationFailed | E::UnsupportedSaslMechanism | E::IllegalSaslState => {
                BrokerError::Unauthenticated {
                    server: self.server.to_owned(),
                    user: self.user.to_owned(),
                    cause,
                }
            }
            E::InvalidPartitions
            | E::InvalidReplicationFactor
            | E::InvalidReplicaAssignment
            | E::InvalidConfig
            | E::PolicyViolation
            | E::InvalidRecord
            | E::InvalidTimestamp
            | E::UnacceptableCredential
            | E::UnsupportedCompressionType => BrokerError::Invalid {
                queue: queue(),
                cause,
            },
            E::ProducerFenced | E::InvalidProducerEpoch | E::TransactionCoordinatorFenced => {
                BrokerError::Fenced(queue())
            }
            E::InvalidTransactionTimeout => BrokerError::Invalid {
                queue: queue(),
                cause: "the broker's transaction.max.timeout.ms is shorter than the transaction \
                        timeout that is configured"
                    .to_owned(),
            },
            E::KafkaStorageError => BrokerError::Storage {
                queue: queue(),
                cause,
            },
            E::SecurityDisabled | E::UnsupportedVersion | E::TopicDeletionDisabled => {
                BrokerError::Unsupported {
                    kind: "kafka".to_owned(),
                    what: format!("do this as it is set up: {cause}"),
                }
            }
            other if other.is_retriable() => BrokerError::Unreachable {
                server: self.server.to_owned(),
                cause,
            },
            _ => BrokerError::Protocol {
                server: self.server.to_owned(),
                cause,
            },
        }
    }

    /// Who is refused by whom, and what he lacks where Kafka says so: somewhere in a text that shows
    /// its request with all of its insides.
    fn denial(&self, code: ResponseError, message: Option<&str>) -> String {
        let Self { server, user, .. } = self;
        let who = match *user {
            "" => "who does not log in".to_owned(),
            user => format!("user `{user}`"),
        };
        let lacks = message.and_then(needed_permission);
        let lacks = lacks.map_or(String::new(), |it| format!(", who needs {it} permission"));
        format!("broker {server} refuses {who}{lacks} ({code:?})")
    }

    /// `Ok` for code 0.
    pub(crate) fn check(&self, code: i16, message: Option<&str>) -> Result<(), BrokerError> {
        match ResponseError::try_from_code(code) {
            None => Ok(()),
            Some(error) => Err(self.error(error, message)),
        }
    }
}

fn needed_permission(message: &str) -> Option<&str> {
    let (before, _) = message.split_once(" permission")?;
    let (_, permission) = before.rsplit_once("needs ")?;
    Some(permission)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject<'_> = Subject {
        server: "kafka.example:9092",
        user: "alice",
        queue: "orders",
    };

    #[test]
    fn refusals_say_what_was_refused() {
        let error = SUBJECT.check(29, None).expect_err("topic authorization");
        assert_eq!(
            error.to_string(),
            "not allowed on `orders`: broker kafka.example:9092 refuses user `alice` (TopicAuthorizationFailed)"
        );
        let request = "Request Request(processor=2, connectionId=1) needs ALTER permission.";
        let error = SUBJECT.check(31, Some(request)).expect_err("cluster");
        assert_eq!(
            error.to_string(),
            "not allowed on `cluster`: broker kafka.example:9092 refuses user `alice`, who needs ALTER \
             permission (ClusterAuthorizationFailed)"
        );
        let error = SUBJECT.check(58, Some("bad password")).expect_err("sasl");
        assert!(
            error.to_string().contains("`alice`: bad password"),
            "{error}"
        );
        let error = SUBJECT.check(36, None).expect_err("exists");
        assert!(matches!(error, BrokerError::Exists(queue) if queue == "orders"));
        assert!(SUBJECT.check(0, None).is_ok());
    }

    #[test]
    fn what_passes_is_transient() {
        for code in [5, 6, 7, 15, 16, 19, 20, 41] {
            let error = SUBJECT.check(code, None).expect_err("an error");
            assert!(error.is_transient(), "{code}: {error}");
        }
    }
}
