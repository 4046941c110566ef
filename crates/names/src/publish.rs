//! Which records a flow and a namespace have: the draft's section on resolution, DNS-SD
//! (RFC 6763) and what the proof of concept asks for.

#[cfg(test)]
mod tests;

use eson_protocol::{BrokerKind, Name, PayloadAttributes};
use serde::{Deserialize, Serialize};

use crate::record::{Record, RecordData, absolute};
use crate::text::Attributes;

/// The longest string inside a TXT record, in octets (RFC 1035, section 3.3.14).
const MAX_STRING_LENGTH: usize = 255;

/// The longest label, in octets, and so the longest DNS-SD instance name.
const MAX_LABEL_LENGTH: usize = 63;

/// The attribute that tells whose records these are.
pub(crate) const OWNER: &str = "owner";

/// A host and a TCP port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// The host's name.
    pub host: Name,
    /// The TCP port.
    pub port: u16,
}

impl From<(Name, u16)> for Target {
    fn from((host, port): (Name, u16)) -> Self {
        Self { host, port }
    }
}

/// What FNS publishes of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRecords {
    /// The flow's name.
    pub flow: Name,
    /// The namespace that it belongs to, a proper suffix of the name.
    pub namespace: Name,
    /// The FNAA that hosts it.
    pub agent: Target,
    /// Whether that FNAA's port speaks TLS from the first byte.
    pub agent_tls: bool,
    /// The queue, where it may be known.
    pub queue: Option<QueueRecords>,
    /// Tells our records from a stranger's. Stable over restarts, different for every
    /// participant, no secret; printable ASCII without a blank.
    pub owner: String,
    /// Whether the flow is in the namespace's public catalogue (a DNS-SD instance). Left out
    /// where its name within the namespace has more than 63 octets.
    pub listed: bool,
    /// The time to live of every record, in seconds.
    pub ttl: u32,
}

/// What FNS publishes of a flow's queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRecords {
    /// The broker's bootstrap servers.
    pub servers: Vec<Target>,
    /// The broker's kind.
    pub kind: BrokerKind,
    /// Whether the servers speak TLS from the first byte.
    pub tls: bool,
    /// The queue's name at the broker.
    pub queue: String,
    /// What the events' content is.
    #[serde(flatten)]
    pub payload: PayloadAttributes,
}

/// What FNS publishes of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceRecords {
    /// The namespace.
    pub namespace: Name,
    /// The FNAA that hosts it.
    pub agent: Target,
    /// Whether that FNAA's port speaks TLS from the first byte.
    pub agent_tls: bool,
    /// Tells our records from a stranger's, as in [`FlowRecords::owner`].
    pub owner: String,
    /// The time to live of every record, in seconds.
    pub ttl: u32,
}

/// Why something can't be published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The flow does not lie below its namespace.
    #[error("the flow {flow} does not lie below the namespace {namespace}")]
    OutsideNamespace {
        /// The flow.
        flow: Name,
        /// The namespace.
        namespace: Name,
    },
    /// An attribute does not fit in a TXT string.
    #[error(
        "the attribute {attribute} of {name} has {length} octets; with its value it may have 255 \
         at most: use a shorter value"
    )]
    TooLong {
        /// Whose attribute.
        name: Name,
        /// The attribute's key.
        attribute: String,
        /// How long key and value are together.
        length: usize,
    },
    /// The ownership string is empty or has something else than printable ASCII.
    #[error("the ownership string of {0} must be printable ASCII without a blank")]
    BadOwner(Name),
}

impl FlowRecords {
    /// The flow's records: PTR and SRV at its name, SRV and TXT of its FNAA at `_flow._tcp.`,
    /// SRV and TXT of its queue at `_queue._flow._tcp.`, and when it is listed, its DNS-SD
    /// instance and the pointer to that.
    ///
    /// # Errors
    /// [`RecordError`] when the values given make no records.
    pub fn records(&self) -> Result<Vec<Record>, RecordError> {
        check_owner(&self.owner, &self.flow)?;
        let mut records = Vec::from(self.at_the_name()?);
        records.extend(self.agent_service(self.service())?);
        if let Some(queue) = &self.queue {
            records.extend(self.queue_service(queue)?);
        }
        if let Some(instance) = self.instance().filter(|_| self.listed) {
            records.push(self.record(self.catalogue(), RecordData::Ptr(instance.clone())));
            records.extend(self.agent_service(instance)?);
        }
        Ok(records)
    }

    fn at_the_name(&self) -> Result<[Record; 2], RecordError> {
        if self.flow.relative_to(&self.namespace).is_none() {
            return Err(RecordError::OutsideNamespace {
                flow: self.flow.clone(),
                namespace: self.namespace.clone(),
            });
        }
        let name = absolute(&self.flow);
        Ok([
            self.record(name.clone(), RecordData::Ptr(self.service())),
            self.record(name, service(0, &self.agent)),
        ])
    }

    fn agent_service(&self, owner: String) -> Result<[Record; 2], RecordError> {
        let text = agent_text(self.agent_tls, &self.owner, &self.flow)?;
        Ok([
            self.record(owner.clone(), service(30, &self.agent)),
            self.record(owner, text),
        ])
    }

    fn queue_service(&self, queue: &QueueRecords) -> Result<Vec<Record>, RecordError> {
        let owner = self.queue_name();
        let servers = queue.servers.iter();
        let mut records: Vec<_> = servers
            .map(|server| self.record(owner.clone(), service(30, server)))
            .collect();
        records.push(self.record(owner, queue.text(&self.flow)?));
        Ok(records)
    }

    fn record(&self, owner: String, data: RecordData) -> Record {
        Record {
            owner,
            ttl: self.ttl,
            data,
        }
    }

    /// Where the FNAA's SRV and TXT are.
    pub(crate) fn service(&self) -> String {
        format!("_flow._tcp.{}.", self.flow)
    }

    /// Where the queue's SRV and TXT are.
    pub(crate) fn queue_name(&self) -> String {
        format!("_queue._flow._tcp.{}.", self.flow)
    }

    /// The DNS-SD instance, whether or not it is listed; none when the label is too long for it.
    pub(crate) fn instance(&self) -> Option<String> {
        let label = self.flow.relative_to(&self.namespace)?;
        (label.len() <= MAX_LABEL_LENGTH)
            .then(|| format!("{}.{}", label.replace('.', "\\."), self.catalogue()))
    }

    /// Where the namespace's catalogue is: the name whose PTR set all its flows share.
    pub(crate) fn catalogue(&self) -> String {
        format!("_flow._tcp.{}.", self.namespace)
    }
}

impl QueueRecords {
    fn text(&self, flow: &Name) -> Result<RecordData, RecordError> {
        let mut strings = Attributes::versioned();
        strings.push(format!("broker-type={}", self.kind));
        if self.tls {
            strings.push("tls".to_owned());
        }
        strings.push(format!("queue={}", self.queue));
        let payload = self.payload.pairs();
        strings.extend(payload.map(|(key, value)| format!("{key}={value}")));
        checked_text(strings, flow)
    }
}

impl NamespaceRecords {
    /// The namespace's records: SRV and TXT of its FNAA at `_fnaa._tcp.`.
    ///
    /// # Errors
    /// [`RecordError`] when the values given make no records.
    pub fn records(&self) -> Result<Vec<Record>, RecordError> {
        check_owner(&self.owner, &self.namespace)?;
        let record = |data| Record {
            owner: self.service(),
            ttl: self.ttl,
            data,
        };
        Ok(vec![
            record(service(30, &self.agent)),
            record(agent_text(self.agent_tls, &self.owner, &self.namespace)?),
        ])
    }

    /// Where the FNAA's SRV and TXT are.
    pub(crate) fn service(&self) -> String {
        format!("_fnaa._tcp.{}.", self.namespace)
    }
}

/// An SRV whose priority and weight are both `order`.
fn service(order: u16, target: &Target) -> RecordData {
    RecordData::Srv {
        priority: order,
        weight: order,
        port: target.port,
        target: absolute(&target.host),
    }
}

/// What the TXT of an FNAA's service says.
pub(crate) fn agent_text(tls: bool, owner: &str, name: &Name) -> Result<RecordData, RecordError> {
    let mut strings = Attributes::versioned();
    if tls {
        strings.push("tls".to_owned());
    }
    strings.push(format!("{OWNER}={owner}"));
    checked_text(strings, name)
}

fn checked_text(strings: Vec<String>, name: &Name) -> Result<RecordData, RecordError> {
    match strings.iter().find(|text| text.len() > MAX_STRING_LENGTH) {
        None => Ok(RecordData::Txt(strings)),
        Some(text) => Err(RecordError::TooLong {
            name: name.clone(),
            attribute: text.split('=').next().unwrap_or(text).to_owned(),
            length: text.len(),
        }),
    }
}

fn check_owner(owner: &str, name: &Name) -> Result<(), RecordError> {
    if owner.is_empty() || !owner.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(RecordError::BadOwner(name.clone()));
    }
    Ok(())
}
