//! What a publisher answers to SUBSCRIBE.

use std::time::Duration;

use eson_processor::proto;
use eson_protocol::{BrokerKind, Code, DataLine, Name, PayloadAttributes, Reply, Server};

use crate::origin::MAX_ORIGINS;
use crate::participant::Peer;
use crate::resource::{Failure, Terms};

/// The most octets of an answer. What is of use in one is much less, and a part of it is stored.
const MAX_ANSWER: usize = 64 * 1024;

/// The most partitions that a local flow is given because a publisher says so.
pub(crate) const MAX_PARTITIONS: u32 = 1000;

/// A lease that is shorter counts as so long: it would be renewed without a pause.
const SHORTEST_LEASE: Duration = Duration::from_secs(3);

/// A lease that is longer counts as so long, so that what a publisher changes is heard of.
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// A copy of a remote flow that is ours to read.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    /// Its name.
    pub(crate) name: Name,
    kind: BrokerKind,
    queue: String,
    servers: Vec<Server>,
    tls: bool,
    partitions: u32,
    credential: Option<CopyCredential>,
    /// For how long, from the answer on: at least 3 seconds, at most a day.
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
        if fields.size() > MAX_ANSWER {
            let text = format!("the FNAA of {flow} answered SUBSCRIBE with more than 64 KiB");
            return Err(Failure::backend(text));
        }
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
            origins: fields.origins(),
            terms: Terms::read(fields.attributes()),
            payload: PayloadAttributes::read(|key| fields.one(key).map(str::to_owned)),
            peer,
        })
    }

    /// How many partitions it has, as its publisher says.
    pub(crate) fn partitions(&self) -> u32 {
        self.partitions
    }

    /// How many partitions a local flow is to have that is created for it.
    ///
    /// # Errors
    /// 501 for more than may be made of somebody else's accord.
    pub(crate) fn partitions_to_create(&self, local: &Name) -> Result<u32, Failure> {
        let partitions = self.partitions;
        if partitions <= MAX_PARTITIONS {
            return Ok(partitions);
        }
        let text = format!(
            "{} has {partitions} partitions, and no flow is created with more than {MAX_PARTITIONS} because \
             its publisher says so; CREATE FLOW {local} partitions={partitions} first",
            self.name
        );
        Err(Failure::refused(Code::Argument, text))
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
        let lease = Duration::from_millis(milliseconds);
        Some(lease.clamp(SHORTEST_LEASE, LONGEST_LEASE))
    }

    fn origins(&self) -> Vec<String> {
        let origins = self.all("origin").take(MAX_ORIGINS);
        origins.map(str::to_owned).collect()
    }

    /// In octets, with the ends of the lines.
    fn size(&self) -> usize {
        let size = |line: &DataLine| match line {
            DataLine::Text(text) => text.len() + 2,
            DataLine::Attribute(key, value) => key.len() + value.len() + 3,
        };
        self.0.iter().map(size).sum()
    }

    fn credential(&self) -> Option<CopyCredential> {
        Some(CopyCredential {
            mechanism: self.one("sasl")?.to_owned(),
            username: self.one("username")?.to_owned(),
            password: self.one("password").map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use eson_client::{Credentials, TlsRoots};
    use eson_protocol::AddressPolicy;

    use super::*;

    fn read(more: &[(&str, &str)]) -> Result<Copy, Failure> {
        let needed = [
            ("type", "kafka"),
            ("topic", "t"),
            ("server", "kafka.example:9092"),
        ];
        let mut lines = vec![DataLine::Text("sub-a.f.example".to_owned())];
        let attributes = needed.iter().chain(more);
        lines.extend(attributes.map(|(key, value)| {
            let value = (*value).to_owned();
            DataLine::Attribute((*key).to_owned(), value)
        }));
        let peer = Peer {
            credentials: Credentials::Anonymous {
                trace: String::new(),
            },
            policy: AddressPolicy::default(),
            roots: TlsRoots::system(),
            tls_ca: None,
            allow_plaintext: false,
        };
        let flow = Name::parse("f.example").expect("a name");
        Copy::read(&flow, &Reply::data(lines), peer)
    }

    #[test]
    fn leases_have_bounds() {
        for (expires, seconds) in [("0s", 3), ("1ms", 3), ("60s", 60), ("forever", 86_400)] {
            let copy = read(&[("expires", expires)]).expect(expires);
            assert_eq!(copy.lease, Duration::from_secs(seconds), "{expires}");
        }
    }

    #[test]
    fn what_is_made_of_an_answer_has_bounds() {
        let local = Name::parse("g.example").expect("a name");
        let copy = read(&[("expires", "60s"), ("partitions", "1000")]).expect("a copy");
        assert_eq!(copy.partitions_to_create(&local), Ok(1000));
        let copy = read(&[("expires", "60s"), ("partitions", "200000")]).expect("a copy");
        let refused = copy.partitions_to_create(&local).expect_err("too many");
        assert!(!refused.is_transient(), "{refused:?}");
        let origins = vec![("origin", "x"); 1000];
        let copy = read(&[&[("expires", "60s")][..], &origins].concat()).expect("a copy");
        assert_eq!(copy.origins.len(), MAX_ORIGINS);
    }

    #[test]
    fn an_answer_that_is_too_long_is_none() {
        let long = "x".repeat(MAX_ANSWER);
        for key in ["origin", "from", "notice", "schema"] {
            read(&[("expires", "60s"), (key, &long)]).expect_err(key);
        }
    }
}
