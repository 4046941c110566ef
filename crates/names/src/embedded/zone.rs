//! Zones in memory: what an authoritative server answers (RFC 1034, section 4.3.2), and how the
//! registrar changes it.

use std::collections::BTreeMap;
use std::ops::Bound;

use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{LowerName, Name, RData, Record as WireRecord, RecordType};

use crate::change::{Change, Group, Holder};
use crate::registrar::RegisterError;
use crate::wire::{self, BadName};

/// How many flows a namespace's catalogue lists: it is one answer, and that takes 65,535 octets.
/// The others are listed by GET FLOWS.
const MAX_CATALOGUE: usize = 400;

/// The sets at one name.
type Node = BTreeMap<RecordType, Vec<WireRecord>>;

/// One zone's records, in DNSSEC's order (RFC 4034, section 6.1), in which what lies below a name
/// follows it.
#[derive(Debug)]
pub(super) struct Zone {
    origin: LowerName,
    nodes: BTreeMap<LowerName, Node>,
    negative_ttl: u32,
}

/// What a zone says to a question.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// These records.
    Records(Vec<WireRecord>),
    /// The name exists, the type does not.
    NoData,
    /// There is no such name.
    NoName,
}

impl Zone {
    /// An empty zone whose primary is `server`.
    pub(super) fn new(origin: Name, server: Name, ttl: u32, negative_ttl: u32) -> Self {
        let contact = Name::from_labels([b"hostmaster".as_slice()])
            .and_then(|label| label.append_domain(&origin))
            .unwrap_or_else(|_| origin.clone());
        let soa = SOA::new(server, contact, 1, 3600, 600, 86400, negative_ttl);
        let mut zone = Self {
            origin: LowerName::new(&origin),
            nodes: BTreeMap::new(),
            negative_ttl,
        };
        zone.insert(WireRecord::from_rdata(origin, ttl, RData::SOA(soa)));
        zone
    }

    pub(super) fn origin(&self) -> &LowerName {
        &self.origin
    }

    /// How long others remember that a name does not exist, in seconds.
    pub(super) fn negative_ttl(&self) -> u32 {
        self.negative_ttl
    }

    pub(super) fn lookup(&self, name: &LowerName, kind: RecordType) -> Found {
        match self.nodes.get(name) {
            Some(node) if kind == RecordType::ANY => {
                Found::Records(node.values().flatten().cloned().collect())
            }
            Some(node) => match node.get(&kind) {
                Some(set) => Found::Records(set.clone()),
                None => Found::NoData,
            },
            None if self.has_below(name) => Found::NoData,
            None => Found::NoName,
        }
    }

    /// Whether `name` is there only because something lies below it (RFC 4592, section 2.2.2).
    fn has_below(&self, name: &LowerName) -> bool {
        let behind = (Bound::Excluded(name), Bound::Unbounded);
        let next = self.nodes.range::<LowerName, _>(behind).next();
        next.is_some_and(|(next, _)| name.zone_of(next))
    }

    /// The SOA as negative answers carry it (RFC 2308, section 3).
    pub(super) fn negative_soa(&self) -> Option<WireRecord> {
        let mut soa = self.set(&self.origin, RecordType::SOA).first()?.clone();
        soa.ttl = soa.ttl.min(self.negative_ttl);
        Some(soa)
    }

    /// The set at a name; empty when there is none.
    pub(super) fn set(&self, name: &LowerName, kind: RecordType) -> &[WireRecord] {
        let set = self.nodes.get(name).and_then(|node| node.get(&kind));
        set.map_or(&[], Vec::as_slice)
    }

    /// Adds a record to its set; the set takes the record's time to live (RFC 2181, section 5.2).
    pub(super) fn insert(&mut self, record: WireRecord) {
        let node = self.nodes.entry(LowerName::new(&record.name)).or_default();
        let set = node.entry(record.record_type()).or_default();
        set.retain(|member| member.data != record.data);
        set.iter_mut().for_each(|member| member.ttl = record.ttl);
        set.push(record);
    }

    fn remove_set(&mut self, name: &LowerName, kind: RecordType) {
        self.edit(name, |node| {
            node.remove(&kind);
        });
    }

    fn remove(&mut self, record: &WireRecord) {
        self.edit(&LowerName::new(&record.name), |node| {
            if let Some(set) = node.get_mut(&record.record_type()) {
                set.retain(|member| member.data != record.data);
            }
        });
    }

    /// Changes the sets at a name; what has become empty goes.
    fn edit(&mut self, name: &LowerName, edit: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(name) {
            edit(node);
            node.retain(|_, set| !set.is_empty());
            if node.is_empty() {
                self.nodes.remove(name);
            }
        }
    }

    /// Makes `change` true, all of it or nothing.
    ///
    /// # Errors
    /// [`RegisterError::Taken`] when a stranger's records are in the way.
    pub(super) fn apply(&mut self, change: &Change) -> Result<(), RegisterError> {
        match change.unlisted() {
            Some(unlisted) if self.catalogue_is_full(change)? => self.apply_whole(&unlisted),
            _ => self.apply_whole(change),
        }
    }

    /// Whether a flow that is not in its catalogue yet has no room there.
    fn catalogue_is_full(&self, change: &Change) -> Result<bool, BadName> {
        let pointers = change.groups.iter().skip(1).flat_map(|group| &group.shared);
        for pointer in pointers {
            let pointer = wire::record(pointer)?;
            let set = self.set(&LowerName::new(&pointer.name), RecordType::PTR);
            let listed = set.iter().any(|member| member.data == pointer.data);
            if !listed && set.len() >= MAX_CATALOGUE {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn apply_whole(&mut self, change: &Change) -> Result<(), RegisterError> {
        let mut ours = Vec::new();
        for group in &change.groups {
            let holder = self.holder(change, group)?;
            if group.is_wanted() {
                self.refuse_stranger(group, &holder)?;
            }
            ours.push(matches!(holder, Holder::Us(_)));
        }
        let wanted: Result<Vec<_>, BadName> = change
            .groups
            .iter()
            .flat_map(|group| group.wanted.iter().map(wire::record))
            .collect();
        let wanted = wanted?;
        for (group, _) in change.groups.iter().zip(ours).filter(|(_, ours)| *ours) {
            self.remove_group(group)?;
        }
        wanted.into_iter().for_each(|record| self.insert(record));
        self.count_up();
        Ok(())
    }

    fn holder(&self, change: &Change, group: &Group) -> Result<Holder, BadName> {
        let guard = LowerName::new(&wire::name(&group.guard)?);
        let set = self.set(&guard, RecordType::TXT).iter();
        Ok(change.holder(set.map(|record| record.data.clone()).collect()))
    }

    fn refuse_stranger(&self, group: &Group, holder: &Holder) -> Result<(), RegisterError> {
        match holder {
            Holder::Us(_) => Ok(()),
            Holder::Stranger => Err(group.taken()),
            Holder::Nobody => {
                for (name, kind) in &group.sets {
                    let owner = LowerName::new(&wire::name(name)?);
                    if !self.set(&owner, *kind).is_empty() {
                        return Err(RegisterError::Taken { name: name.clone() });
                    }
                }
                Ok(())
            }
        }
    }

    fn remove_group(&mut self, group: &Group) -> Result<(), BadName> {
        for (name, kind) in &group.sets {
            self.remove_set(&LowerName::new(&wire::name(name)?), *kind);
        }
        for shared in &group.shared {
            self.remove(&wire::record(shared)?);
        }
        Ok(())
    }

    /// A new serial number, so that whoever looks sees that the zone has changed.
    fn count_up(&mut self) {
        let origin = self.origin.clone();
        let soa = self.nodes.get_mut(&origin);
        let soa = soa.and_then(|node| node.get_mut(&RecordType::SOA));
        if let Some(RData::SOA(soa)) = soa.and_then(|set| set.first_mut()).map(|soa| &mut soa.data)
        {
            soa.increment_serial();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::publish::FlowRecords;

    fn name(text: &str) -> Name {
        wire::name(text).expect("a name")
    }

    fn lower(text: &str) -> LowerName {
        LowerName::new(&name(text))
    }

    fn zone() -> Zone {
        let mut zone = Zone::new(name("orange.example."), name("fnaa.orange.example."), 60, 5);
        for host in ["a.b.Flows.orange.example.", "flowsx.orange.example."] {
            let address = RData::A(std::net::Ipv4Addr::LOCALHOST.into());
            zone.insert(WireRecord::from_rdata(name(host), 60, address));
        }
        zone
    }

    #[test]
    fn missing_names_missing_types_and_names_in_between_are_told_apart() {
        let zone = zone();
        let look = |text, kind| zone.lookup(&lower(text), kind);
        let found = look("A.b.flows.orange.example.", RecordType::A);
        assert!(matches!(found, Found::Records(set) if set.len() == 1));
        let above = look("a.b.flows.orange.example.", RecordType::SRV);
        assert_eq!(above, Found::NoData);
        assert_eq!(look("flows.orange.example.", RecordType::A), Found::NoData);
        assert_eq!(look("flow.orange.example.", RecordType::A), Found::NoName);
        let below = look("x.a.b.flows.orange.example.", RecordType::A);
        assert_eq!(below, Found::NoName);
    }

    #[test]
    fn a_set_has_one_ttl_and_no_double() {
        let mut zone = zone();
        let owner = lower("flowsx.orange.example.");
        let mut record = zone.set(&owner, RecordType::A)[0].clone();
        record.ttl = 9;
        zone.insert(record.clone());
        assert_eq!(zone.set(&owner, RecordType::A), [record.clone()]);
        zone.remove(&record);
        assert_eq!(zone.lookup(&owner, RecordType::A), Found::NoName);
    }

    #[test]
    fn negative_answers_are_remembered_for_the_negative_ttl() {
        let soa = zone().negative_soa().expect("an SOA");
        assert_eq!(soa.ttl, 5);
        assert!(matches!(soa.data, RData::SOA(soa) if soa.minimum == 5));
    }

    fn flow(number: u8, owner: u8, listed: bool) -> FlowRecords {
        let parse = |text: String| eson_protocol::Name::parse(&text).expect("a name");
        FlowRecords {
            flow: parse(format!("f{number}.flows.orange.example")),
            namespace: parse("flows.orange.example".to_owned()),
            agent: (parse("fnaa.orange.example".to_owned()), 61000).into(),
            agent_tls: number.is_multiple_of(2),
            queue: None,
            owner: format!("owner-{owner}"),
            listed,
            ttl: 60,
        }
    }

    fn content(zone: &Zone) -> BTreeSet<String> {
        let sets = zone.nodes.values().flat_map(Node::values).flatten();
        let changeable = sets.filter(|record| record.record_type() != RecordType::SOA);
        changeable.map(wire::line).collect()
    }

    #[test]
    fn a_full_catalogue_leaves_flows_unlisted() {
        let mut zone = zone();
        let catalogue = lower("_flow._tcp.flows.orange.example.");
        let apply = |zone: &mut Zone, number: u16| {
            let flow = FlowRecords {
                flow: eson_protocol::Name::parse(&format!("n{number}.flows.orange.example"))
                    .expect("a name"),
                ..flow(0, 0, true)
            };
            let change = Change::register(&flow).expect("a change");
            zone.apply(&change).expect("registered");
            zone.set(&lower(&format!("{}.", flow.flow)), RecordType::SRV)
                .len()
        };
        for number in 0..=400 {
            assert_eq!(apply(&mut zone, number), 1);
        }
        assert_eq!(zone.set(&catalogue, RecordType::PTR).len(), 400);
        apply(&mut zone, 0);
        assert_eq!(
            zone.set(&catalogue, RecordType::PTR).len(),
            400,
            "who is listed stays"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Any sequence of registrations and removals leaves the records of those that are
        /// registered, each its first owner's, and nothing else.
        #[test]
        fn the_zone_holds_what_is_registered(
            steps in prop::collection::vec((0u8..3, 0u8..2, any::<bool>(), any::<bool>()), 0..24),
        ) {
            let mut zone = zone();
            let mut expected = BTreeMap::new();
            for (number, owner, listed, register) in steps {
                let records = flow(number, owner, listed);
                let held_by = expected.get(&number).map(|held: &FlowRecords| held.owner.clone());
                let free = held_by.is_none_or(|held_by| held_by == records.owner);
                if register {
                    let change = Change::register(&records).expect("a change");
                    prop_assert_eq!(zone.apply(&change).is_ok(), free);
                } else {
                    let change = Change::unregister(&records).expect("a change");
                    prop_assert!(zone.apply(&change).is_ok());
                }
                match (free, register) {
                    (true, true) => drop(expected.insert(number, records)),
                    (true, false) => drop(expected.remove(&number)),
                    (false, _) => {}
                }
            }
            let registered = expected.values().flat_map(|flow| flow.records().expect("records"));
            let registered = registered.map(|record| wire::record(&record).expect("a record"));
            let mut lines = content(&super::tests::zone());
            lines.extend(registered.map(|record| wire::line(&record)));
            prop_assert_eq!(content(&zone), lines);
        }
    }
}
