//! What registering and unregistering change, whichever name server does it.
//!
//! Record sets that nobody else has members in form groups; each group has one TXT record that
//! tells whose it is, and changes as one. A group that a stranger owns is left as it is.

use eson_protocol::Name;
use hickory_proto::rr::{RData, RecordType};

use crate::publish::{FlowRecords, NamespaceRecords, OWNER, RecordError, agent_text};
use crate::record::{Record, RecordData, absolute};
use crate::registrar::RegisterError;
use crate::text::Attributes;
use crate::wire;

/// One atomic change.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) owner: String,
    /// The TXT content that guards carry, with today's values first: all that we ever wrote.
    pub(crate) texts: [RecordData; 2],
    /// The first holds the flow or the namespace itself.
    pub(crate) groups: Vec<Group>,
}

/// Record sets of one owner.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Where the TXT is that tells the owner.
    pub(crate) guard: String,
    /// The sets that are the owner's alone, the guard's TXT among them.
    pub(crate) sets: Vec<(String, RecordType)>,
    /// The owner's members of sets that others have members in.
    pub(crate) shared: Vec<Record>,
    /// Every record that is to be there, `shared` included; empty to remove the group.
    pub(crate) wanted: Vec<Record>,
    /// Whether the group goes with the values given, so that it is likely to be there.
    pub(crate) expected: bool,
}

/// Whose a group is now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Holder {
    /// Its TXT isn't there.
    Nobody,
    /// Ours; the TXT records that say so.
    Us(Vec<RData>),
    /// Somebody else's.
    Stranger,
}

impl Change {
    /// What `register` does for a flow.
    pub(crate) fn register(records: &FlowRecords) -> Result<Self, RegisterError> {
        let mut change = Self::unregister(records)?;
        change.want(records.records()?);
        Ok(change)
    }

    /// What `unregister` does for a flow.
    pub(crate) fn unregister(records: &FlowRecords) -> Result<Self, RegisterError> {
        let mut groups = vec![flow_group(records)];
        let instance = records.instance();
        groups.extend(instance.map(|name| catalogue_group(records, name)));
        Ok(Self {
            owner: records.owner.clone(),
            texts: texts(records.agent_tls, &records.owner, &records.flow)?,
            groups,
        })
    }

    /// What `register_namespace` does.
    pub(crate) fn register_namespace(records: &NamespaceRecords) -> Result<Self, RegisterError> {
        let mut change = Self::unregister_namespace(records)?;
        change.want(records.records()?);
        Ok(change)
    }

    /// What `unregister_namespace` does.
    pub(crate) fn unregister_namespace(records: &NamespaceRecords) -> Result<Self, RegisterError> {
        Ok(Self {
            owner: records.owner.clone(),
            texts: texts(records.agent_tls, &records.owner, &records.namespace)?,
            groups: vec![Group {
                sets: service_sets(&records.service()),
                guard: records.service(),
                shared: Vec::new(),
                wanted: Vec::new(),
                expected: true,
            }],
        })
    }

    /// The same change with the flow left out of its namespace's catalogue; none when it isn't to
    /// be in it anyway.
    pub(crate) fn unlisted(&self) -> Option<Self> {
        let catalogue = self.groups.get(1).filter(|group| group.is_wanted())?;
        let mut change = self.clone();
        change.groups[1] = Group {
            wanted: Vec::new(),
            expected: false,
            ..catalogue.clone()
        };
        Some(change)
    }

    /// Gives each record to the group that it belongs to.
    fn want(&mut self, records: Vec<Record>) {
        for record in records {
            let group = self.groups.iter_mut().find(|group| group.has(&record));
            group
                .into_iter()
                .for_each(|group| group.wanted.push(record.clone()));
        }
    }

    /// Whose a group is that has these TXT records at its guard.
    pub(crate) fn holder(&self, guard: Vec<RData>) -> Holder {
        if guard.is_empty() {
            return Holder::Nobody;
        }
        let strings: Vec<String> = guard.iter().flat_map(wire::strings).collect();
        let attributes = Attributes::parse(strings.iter().map(String::as_str));
        if attributes.value(OWNER) == Some(&self.owner) {
            Holder::Us(guard)
        } else {
            Holder::Stranger
        }
    }
}

impl Group {
    fn has(&self, record: &Record) -> bool {
        let member = (&record.owner, &record.data);
        let in_set = |(name, kind): &(String, RecordType)| {
            *name == record.owner && kind.to_string() == record.data.type_name()
        };
        let same = |shared: &Record| (&shared.owner, &shared.data) == member;
        self.sets.iter().any(in_set) || self.shared.iter().any(same)
    }

    /// Whether the group is to be there.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// What to say when a stranger holds it.
    pub(crate) fn taken(&self) -> RegisterError {
        RegisterError::Taken {
            name: self.guard.clone(),
        }
    }
}

fn texts(tls: bool, owner: &str, name: &Name) -> Result<[RecordData; 2], RecordError> {
    Ok([
        agent_text(tls, owner, name)?,
        agent_text(!tls, owner, name)?,
    ])
}

fn flow_group(records: &FlowRecords) -> Group {
    let name = absolute(&records.flow);
    let service = records.service();
    let mut sets = vec![(name.clone(), RecordType::SRV)];
    sets.extend(service_sets(&service));
    sets.extend(service_sets(&records.queue_name()));
    Group {
        guard: service.clone(),
        sets,
        shared: vec![pointer(name, records.ttl, service)],
        wanted: Vec::new(),
        expected: true,
    }
}

fn catalogue_group(records: &FlowRecords, instance: String) -> Group {
    Group {
        guard: instance.clone(),
        sets: service_sets(&instance),
        shared: vec![pointer(records.catalogue(), records.ttl, instance)],
        wanted: Vec::new(),
        expected: records.listed,
    }
}

fn service_sets(name: &str) -> Vec<(String, RecordType)> {
    [RecordType::SRV, RecordType::TXT]
        .map(|kind| (name.to_owned(), kind))
        .to_vec()
}

fn pointer(owner: String, ttl: u32, target: String) -> Record {
    Record {
        owner,
        ttl,
        data: RecordData::Ptr(target),
    }
}
