//! RFC 2136 messages from changes.

use hickory_proto::op::{Message, OpCode, Query};
use hickory_proto::rr::{DNSClass, Name, RData, Record as WireRecord, RecordType};

use crate::change::{Change, Group};
use crate::wire::{self, BadName};

/// What an update takes for granted about a group; the server makes sure.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Premise {
    /// None of its sets exists.
    Absent,
    /// It is ours: its guard is this TXT.
    Ours(Vec<RData>),
    /// It isn't wanted and may be a stranger's: it stays as it is.
    Ignored,
}

/// The update that makes `change` true where the premises hold, and does nothing elsewhere.
pub(super) fn update(
    zone: &Name,
    change: &Change,
    premises: &[Premise],
) -> Result<Message, BadName> {
    let mut message = empty(zone);
    for (group, premise) in change.groups.iter().zip(premises) {
        match premise {
            Premise::Absent => require_absent(&mut message, group)?,
            Premise::Ours(guard) => replace(&mut message, group, guard)?,
            Premise::Ignored => {}
        }
        add(&mut message, group)?;
    }
    Ok(message)
}

/// Everything that may be the case while our records are whole, the likeliest first. Asking the
/// server instead would not do: where it signs zones, it answers from a copy that lags behind.
pub(super) fn premises(change: &Change) -> Result<Vec<Vec<Premise>>, BadName> {
    let mut all = Vec::new();
    if change.groups[0].is_wanted() {
        all.push(change.groups.iter().map(unclaimed).collect());
    }
    let ours = guards(change)?.map(Premise::Ours);
    for first in &ours {
        all.extend(following(&change.groups, first));
    }
    let unwanted = |group: &Group| !group.is_wanted();
    if change.groups.get(1).is_some_and(unwanted) {
        all.extend(ours.map(|first| vec![first, Premise::Ignored]));
    }
    Ok(all)
}

/// The TXT sets that this version writes.
pub(super) fn guards(change: &Change) -> Result<[Vec<RData>; 2], BadName> {
    let [likely, other] = &change.texts;
    Ok([vec![wire::data(likely)?], vec![wire::data(other)?]])
}

/// Before the first registration.
fn unclaimed(group: &Group) -> Premise {
    if group.is_wanted() {
        Premise::Absent
    } else {
        Premise::Ignored
    }
}

/// When the first group is ours, the second came with it or not.
fn following(groups: &[Group], first: &Premise) -> Vec<Vec<Premise>> {
    match groups.get(1) {
        None => vec![vec![first.clone()]],
        Some(second) => {
            let mut options = [first.clone(), Premise::Absent];
            if !second.expected {
                options.reverse();
            }
            let both = |second| vec![first.clone(), second];
            options.map(both).to_vec()
        }
    }
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
    for (name, kind) in &group.sets {
        let absent = whole_set(name, *kind, DNSClass::NONE)?;
        message.answers.push(absent);
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
