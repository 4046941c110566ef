//! The attribute lines of DESCRIBE FLOW, RESOLVE and SUBSCRIBE, as a type.

use std::str::FromStr;

use crate::text::{format_duration, parse_duration};
use crate::{
    Access, BrokerKind, Connection, DataLine, Name, PayloadAttributes, Secret, Server,
    TransportSecurity,
};

/// Where a flow is and how to read it: the broker-agnostic keys of `docs/fnap.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowAttributes {
    /// `flow=`: its name.
    pub flow: Name,
    /// `type=`, `topic=`, `server=` and `tls`.
    pub connection: Connection,
    /// `partitions=`.
    pub partitions: Option<u32>,
    /// `content-type=`, `schema=`, `schema-digest=` and `schema-registry=`.
    pub payload: PayloadAttributes,
    /// `access=`.
    pub access: Option<Access>,
    /// `sasl=`, `username=` and `password=`, where a credential was made.
    pub credential: Option<FlowCredential>,
    /// `expires=`: how long from the answer on until the lease lapses unless it is renewed, in
    /// milliseconds. A duration, since the clocks of two participants may differ.
    pub expires: Option<u64>,
    /// `origin=`, repeated: the salted hashes of the flows that feed this one.
    pub origins: Vec<String>,
}

/// A broker user that may read the flow's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowCredential {
    /// The SASL mechanism, such as `SCRAM-SHA-256`.
    pub mechanism: String,
    /// The user's name.
    pub username: String,
    /// The password; absent in a renewal that did not ask for it.
    pub password: Option<Secret>,
}

/// Why data lines are no attributes of a flow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttributesError {
    /// A key is missing without which the flow can't be read.
    #[error("the answer has no `{0}=` line")]
    Missing(&'static str),
    /// A value can't be read.
    #[error("the answer's `{key}=` line: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
}

impl FlowAttributes {
    /// The four attributes that the draft knows, and no other.
    #[must_use]
    pub fn new(flow: Name, connection: Connection) -> Self {
        Self {
            flow,
            connection,
            partitions: None,
            payload: PayloadAttributes::default(),
            access: None,
            credential: None,
            expires: None,
            origins: Vec::new(),
        }
    }

    /// The data lines: the draft's four first and in its order, others behind them.
    #[must_use]
    pub fn to_lines(&self) -> Vec<DataLine> {
        let connection = &self.connection;
        let mut lines = Lines(Vec::new());
        lines.push("flow", Some(&self.flow));
        lines.push("type", Some(connection.kind));
        lines.push("topic", Some(&connection.queue));
        lines.extend("server", &connection.servers);
        let tls = connection.security == TransportSecurity::Tls;
        lines.push("tls", tls.then_some("yes"));
        lines.push("partitions", self.partitions);
        lines.0.extend(self.payload.lines());
        lines.push("access", self.access.map(Access::as_str));
        if let Some(credential) = &self.credential {
            lines.push("sasl", Some(&credential.mechanism));
            lines.push("username", Some(&credential.username));
            lines.push("password", credential.password.as_ref().map(Secret::expose));
        }
        lines.push("expires", self.expires.map(format_duration));
        lines.extend("origin", &self.origins);
        lines.0
    }

    /// Reads data lines. Unknown keys and bare texts, such as SUBSCRIBE's first line, are passed
    /// over, so that the set of keys may grow.
    ///
    /// # Errors
    /// [`AttributesError`] names the key that is missing or wrong.
    pub fn from_lines(lines: &[DataLine]) -> Result<Self, AttributesError> {
        let keys = Keys(lines);
        Ok(Self {
            flow: keys.required("flow")?,
            connection: connection(keys)?,
            partitions: keys.parsed("partitions")?,
            payload: PayloadAttributes::read(|key| keys.text(key)),
            access: keys.parsed("access")?,
            credential: credential(keys),
            expires: keys.duration("expires")?,
            origins: keys.all("origin").map(str::to_owned).collect(),
        })
    }
}

fn connection(keys: Keys<'_>) -> Result<Connection, AttributesError> {
    let servers: Result<Vec<Server>, _> = keys
        .all("server")
        .map(|text| parsed("server", text))
        .collect();
    let servers = servers?;
    if servers.is_empty() {
        return Err(AttributesError::Missing("server"));
    }
    let tls = keys.all("tls").next().is_some_and(|value| value != "no");
    Ok(Connection {
        kind: keys.required::<BrokerKind>("type")?,
        queue: keys
            .text("topic")
            .ok_or(AttributesError::Missing("topic"))?,
        servers,
        security: if tls {
            TransportSecurity::Tls
        } else {
            TransportSecurity::Plaintext
        },
    })
}

fn credential(keys: Keys<'_>) -> Option<FlowCredential> {
    Some(FlowCredential {
        mechanism: keys.text("sasl")?,
        username: keys.text("username")?,
        password: keys.text("password").map(Secret::new),
    })
}

struct Lines(Vec<DataLine>);

impl Lines {
    fn push(&mut self, key: &str, value: Option<impl ToString>) {
        let line = value.map(|value| DataLine::Attribute(key.to_owned(), value.to_string()));
        self.0.extend(line);
    }

    fn extend(&mut self, key: &str, values: &[impl ToString]) {
        for value in values {
            self.push(key, Some(value.to_string()));
        }
    }
}

#[derive(Clone, Copy)]
struct Keys<'a>(&'a [DataLine]);

impl<'a> Keys<'a> {
    fn all(self, key: &'static str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(move |line| match line {
            DataLine::Attribute(found, value) if found == key => Some(value.as_str()),
            _ => None,
        })
    }

    fn text(self, key: &'static str) -> Option<String> {
        self.all(key).next().map(str::to_owned)
    }

    fn parsed<T: FromStr<Err: ToString>>(
        self,
        key: &'static str,
    ) -> Result<Option<T>, AttributesError> {
        self.all(key)
            .next()
            .map(|text| parsed(key, text))
            .transpose()
    }

    fn required<T: FromStr<Err: ToString>>(self, key: &'static str) -> Result<T, AttributesError> {
        self.parsed(key)?.ok_or(AttributesError::Missing(key))
    }

    fn duration(self, key: &'static str) -> Result<Option<u64>, AttributesError> {
        let duration = self.all(key).next().map(parse_duration).transpose();
        duration.map_err(|error| AttributesError::Value {
            key,
            reason: error.to_string(),
        })
    }
}

fn parsed<T: FromStr<Err: ToString>>(key: &'static str, text: &str) -> Result<T, AttributesError> {
    text.parse()
        .map_err(|error: T::Err| AttributesError::Value {
            key,
            reason: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> FlowAttributes {
        let server = |text: &str| text.parse().expect("a server");
        FlowAttributes {
            flow: Name::parse("c1.time.flows.orange.example").expect("a name"),
            connection: Connection {
                kind: BrokerKind::Kafka,
                queue: "orders_v1".to_owned(),
                servers: vec![server("kf1.orange.example:9092"), server("[::1]:9093")],
                security: TransportSecurity::Tls,
            },
            partitions: Some(4),
            payload: PayloadAttributes {
                content_type: Some("application/cloudevents+json".to_owned()),
                schema: Some("https://orange.example/schema?v=1".to_owned()),
                ..PayloadAttributes::default()
            },
            access: Some(Access::Approval),
            credential: Some(FlowCredential {
                mechanism: "SCRAM-SHA-256".to_owned(),
                username: "sub-c1".to_owned(),
                password: Some(Secret::new("p=4".to_owned())),
            }),
            expires: Some(90_000),
            origins: vec!["a1".to_owned(), "b2".to_owned()],
        }
    }

    #[test]
    fn round_trip() {
        let attributes = full();
        let mut lines = vec![DataLine::text("c1.time.flows.orange.example")];
        lines.extend(attributes.to_lines());
        lines.push(DataLine::attribute("colour", "blue"));
        assert_eq!(FlowAttributes::from_lines(&lines), Ok(attributes));
    }

    #[test]
    fn a_password_is_not_printed() {
        assert!(!format!("{:?}", full()).contains("p=4"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let without = |key: &str| {
            let mut lines = full().to_lines();
            lines.retain(|line| !matches!(line, DataLine::Attribute(k, _) if k == key));
            lines
        };
        for key in ["flow", "type", "topic", "server"] {
            let read = FlowAttributes::from_lines(&without(key));
            assert_eq!(read, Err(AttributesError::Missing(key)));
        }
        for (key, value) in [
            ("flow", "a_b"),
            ("type", "carrier-pigeon"),
            ("server", "kf1"),
            ("partitions", "many"),
            ("access", "open"),
            ("expires", "soon"),
        ] {
            let mut lines = without(key);
            lines.push(DataLine::attribute(key, value));
            let read = FlowAttributes::from_lines(&lines);
            assert!(matches!(read, Err(AttributesError::Value { key: k, .. }) if k == key));
        }
    }
}
