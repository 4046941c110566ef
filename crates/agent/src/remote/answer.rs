//! What a publisher answers to SUBSCRIBE.

use std::time::Duration;

use eson_processor::proto;
use eson_protocol::{BrokerKind, DataLine, Name, PayloadAttributes, Reply, Server};

use crate::participant::Peer;
use crate::resource::{Failure, Terms};

/// A copy of a remote flow that is ours to read.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    /// Its name.
    pub(crate) name: Name,
    kind: BrokerKind,
    queue: String,
    servers: Vec<Server>,
    tls: bool,
    /// How many partitions it has.
    pub(crate) partitions: u32,
    credential: Option<CopyCredential>,
    /// For how long, from the answer on.
    pub(crate) lease: Duration,
    /// The flows that feed the remote one, as salted hashes.
    pub(crate) origins: Vec<String>,
    /// What the publisher has granted.
    pub(crate) terms: Terms,
    /// What the remote flow's events are.
    pub(crate) payload: PayloadAttributes,
    peer: Peer,
}

/// What a copy is read with. The publisher hands the password over once, and when asked to.
#[derive(Clone)]
pub(crate) struct CopyCredential {
    mechanism: String,
    username: String,
    password: Option<String>,
}

impl std::fmt::Debug for CopyCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyCredential")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl Copy {
    /// Reads the data lines of the answer.
    pub(crate) fn read(flow: &Name, reply: &Reply, peer: Peer) -> Result<Self, Failure> {
        let nonsense = |what: &str| {
            Failure::backend(format!(
                "the FNAA of {flow} answered SUBSCRIBE without {what}"
            ))
        };
        let Reply::Data(lines, _) = reply else {
            return Err(nonsense("data"));
        };
        let fields = Fields(lines);
        let name = fields.text().and_then(|text| Name::parse(text).ok());
        let servers = fields
            .all("server")
            .map(str::parse)
            .collect::<Result<Vec<Server>, _>>();
        let servers = servers.map_err(|error| nonsense(&format!("a proper server: {error}")))?;
        if servers.is_empty() {
            return Err(nonsense("a server"));
        }
        Ok(Self {
            name: name.ok_or_else(|| nonsense("the copy's name"))?,
            kind: fields
                .parsed("type")
                .ok_or_else(|| nonsense("a type that is known here"))?,
            queue: fields
                .one("topic")
                .ok_or_else(|| nonsense("a topic"))?
                .to_owned(),
            servers,
            tls: fields.one("tls") == Some("yes"),
            partitions: fields.parsed("partitions").unwrap_or(1),
            credential: fields.credential(),
            lease: fields.lease().ok_or_else(|| nonsense("when it expires"))?,
            origins: fields.all("origin").map(str::to_owned).collect(),
            terms: Terms::read(fields.attributes()),
            payload: PayloadAttributes::read(|key| fields.one(key).map(str::to_owned)),
            peer,
        })
    }

    /// Whether the publisher left the password out, because it had given it before.
    pub(crate) fn lacks_password(&self) -> bool {
        self.credential
            .as_ref()
            .is_some_and(|credential| credential.password.is_none())
    }

    /// Takes over the password that an earlier answer gave.
    pub(crate) fn remember(&mut self, earlier: &Self) {
        let known = earlier
            .credential
            .as_ref()
            .and_then(|held| held.password.clone());
        if let Some(credential) = &mut self.credential {
            credential.password = credential.password.take().or(known);
        }
    }

    /// How a processor reads the copy.
    pub(crate) fn endpoint(&self) -> proto::Endpoint {
        let credential = self.credential.clone();
        let (mechanism, username, password) = match credential {
            None => Default::default(),
            Some(it) => (it.mechanism, it.username, it.password.unwrap_or_default()),
        };
        proto::Endpoint {
            flow: self.name.to_string(),
            kind: self.kind.to_string(),
            servers: self.servers.iter().map(ToString::to_string).collect(),
            tls: self.tls,
            tls_ca: self
                .peer
                .tls_ca
                .as_ref()
                .map(|file| file.display().to_string())
                .unwrap_or_default(),
            queue: self.queue.clone(),
            mechanism,
            username,
            password,
            trusted_networks: self
                .peer
                .policy
                .trusted()
                .iter()
                .map(ToString::to_string)
                .collect(),
            ..proto::Endpoint::default()
        }
    }
}

struct Fields<'a>(&'a [DataLine]);

impl<'a> Fields<'a> {
    fn text(&self) -> Option<&'a str> {
        self.0.iter().find_map(|line| match line {
            DataLine::Text(text) => Some(text.as_str()),
            DataLine::Attribute(..) => None,
        })
    }

    fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(|line| match line {
            DataLine::Attribute(key, value) => Some((key.as_str(), value.as_str())),
            DataLine::Text(_) => None,
        })
    }

    fn all(&self, wanted: &'a str) -> impl Iterator<Item = &'a str> {
        let wanted = move |(key, _): &(&str, &str)| *key == wanted;
        self.attributes().filter(wanted).map(|(_, value)| value)
    }

    fn one(&self, wanted: &'a str) -> Option<&'a str> {
        self.all(wanted).next()
    }

    fn parsed<T: std::str::FromStr>(&self, wanted: &'a str) -> Option<T> {
        self.one(wanted)?.parse().ok()
    }

    fn lease(&self) -> Option<Duration> {
        let milliseconds = eson_protocol::text::parse_duration(self.one("expires")?).ok()?;
        Some(Duration::from_millis(milliseconds))
    }

    fn credential(&self) -> Option<CopyCredential> {
        Some(CopyCredential {
            mechanism: self.one("sasl")?.to_owned(),
            username: self.one("username")?.to_owned(),
            password: self.one("password").map(str::to_owned),
        })
    }
}
