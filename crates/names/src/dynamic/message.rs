//! RFC 2136 messages from changes.

use hickory_proto::op::{Message, OpCode, Query};
use hickory_proto::rr::{DNSClass, Name, RData, Record as WireRecord, RecordType};

use crate::change::{Change, Group, Holder};
use crate::registrar::RegisterError;
use crate::wire::{self, BadName};

/// The update that makes `change` true, given whose each group is: prerequisites that hold only
/// as long as that is so, then the changes. None when nothing is to be done.
///
/// # Errors
/// [`RegisterError::Taken`] when a wanted group is a stranger's.
pub(super) fn update(
    zone: &Name,
    change: &Change,
    holders: &[Holder],
) -> Result<Option<Message>, RegisterError> {
    let mut message = empty(zone);
    for (group, holder) in change.groups.iter().zip(holders) {
        match holder {
            Holder::Stranger if group.is_wanted() => return Err(group.taken()),
            Holder::Stranger => {}
            Holder::Nobody => require_absent(&mut message, group)?,
            Holder::Us(guard) => replace(&mut message, group, guard)?,
        }
        add(&mut message, group)?;
    }
    Ok((!message.authorities.is_empty()).then_some(message))
}

/// An update that needs the right to change names below `namespace` and changes nothing: it
/// deletes a record that nobody has.
pub(super) fn probe(zone: &Name, namespace: &str) -> Result<Message, BadName> {
    let mut message = empty(zone);
    let name = wire::name(&format!("_fnaa._tcp.{namespace}."))?;
    let nothing = hickory_proto::rr::rdata::TXT::new(vec!["check".to_owned()]);
    message
        .authorities
        .push(delete_record(WireRecord::from_rdata(
            name,
            0,
            RData::TXT(nothing),
        )));
    Ok(message)
}

fn empty(zone: &Name) -> Message {
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(zone.clone(), RecordType::SOA));
    message
}

/// RFC 2136, section 2.4.3: none of the group's sets exists.
fn require_absent(message: &mut Message, group: &Group) -> Result<(), BadName> {
    if group.is_wanted() {
        for (name, kind) in &group.sets {
            message
                .answers
                .push(whole_set(name, *kind, DNSClass::NONE)?);
        }
    }
    Ok(())
}

/// Section 2.4.2: the guard is still what was read; then sections 2.5.2 and 2.5.4: the sets, and
/// our members of the shared ones, go.
fn replace(message: &mut Message, group: &Group, guard: &[RData]) -> Result<(), BadName> {
    let owner = wire::name(&group.guard)?;
    let present = guard
        .iter()
        .map(|data| WireRecord::from_rdata(owner.clone(), 0, data.clone()));
    message.answers.extend(present);
    for (name, kind) in &group.sets {
        message
            .authorities
            .push(whole_set(name, *kind, DNSClass::ANY)?);
    }
    for shared in &group.shared {
        message
            .authorities
            .push(delete_record(wire::record(shared)?));
    }
    Ok(())
}

/// Section 2.5.1.
fn add(message: &mut Message, group: &Group) -> Result<(), BadName> {
    for record in &group.wanted {
        message.authorities.push(wire::record(record)?);
    }
    Ok(())
}

/// A record without content: class NONE says that the set does not exist, class ANY deletes it.
fn whole_set(name: &str, kind: RecordType, class: DNSClass) -> Result<WireRecord, BadName> {
    let mut record = WireRecord::update0(wire::name(name)?, 0, kind).into_record_of_rdata();
    record.dns_class = class;
    Ok(record)
}

fn delete_record(mut record: WireRecord) -> WireRecord {
    record.dns_class = DNSClass::NONE;
    record.ttl = 0;
    record
}
