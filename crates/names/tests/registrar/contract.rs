//! What every registrar promises, checked at its name server over the wire.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use eson_names::{
    FlowRecords, NamespaceRecords, QueueRecords, Record, RegisterError, Registrar, Target,
};
use eson_protocol::{BrokerKind, Name, PayloadAttributes};
use hickory_proto::rr::RecordType;

use crate::question;

/// How long a change may take to be seen.
const VISIBLE: Duration = Duration::from_secs(30);

/// A registrar and the server that it changes. Each test has a namespace of its own.
pub(crate) struct Fixture {
    pub(crate) registrar: Box<dyn Registrar>,
    pub(crate) server: SocketAddr,
    /// A namespace of the server's.
    pub(crate) namespace: Name,
    /// A name that no zone of the server's holds.
    pub(crate) foreign: Name,
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

impl Fixture {
    pub(crate) fn flow(&self, label: &str) -> FlowRecords {
        let flow = self.namespace.prefixed(label).expect("a name");
        FlowRecords {
            queue: Some(QueueRecords {
                servers: vec![broker(1), broker(2)],
                kind: BrokerKind::Kafka,
                tls: false,
                queue: flow.to_string(),
                payload: PayloadAttributes {
                    content_type: Some("application/json".to_owned()),
                    ..PayloadAttributes::default()
                },
            }),
            flow,
            namespace: self.namespace.clone(),
            agent: (name("fnaa.orange.example"), 61000).into(),
            agent_tls: true,
            owner: "orange-1".to_owned(),
            listed: true,
            ttl: 60,
        }
    }

    /// Waits until exactly `expected` is there, at every name that `at` has records at: a server
    /// that signs its zones shows a change a moment later.
    async fn holds(&self, expected: &[Record], at: &[Record]) {
        let sets: BTreeSet<(&str, RecordType)> = at.iter().map(key).collect();
        for (owner, kind) in sets {
            let expected = expected
                .iter()
                .filter(|record| key(record) == (owner, kind));
            let mut expected: Vec<String> = expected.map(Record::to_string).collect();
            expected.sort();
            let deadline = Instant::now() + VISIBLE;
            loop {
                let found = question::set(self.server, owner, kind).await;
                if found == expected {
                    break;
                }
                let late = Instant::now() > deadline;
                assert!(!late, "{owner} {kind}: {found:?} instead of {expected:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    async fn register(&self, records: &FlowRecords) {
        self.registrar.register(records).await.expect("registered");
    }

    async fn unregister(&self, records: &FlowRecords) {
        let done = self.registrar.unregister(records).await;
        done.expect("unregistered");
    }
}

fn broker(number: u16) -> Target {
    (name(&format!("kafka{number}.orange.example")), 9092).into()
}

fn key(record: &Record) -> (&str, RecordType) {
    let kind = record.data.type_name().parse().expect("a type");
    (&record.owner, kind)
}

fn records(flow: &FlowRecords) -> Vec<Record> {
    flow.records().expect("records")
}

/// Registering makes the records be there, again changes nothing, and unregistering takes them.
pub(crate) async fn registers_again_and_unregisters(fixture: &Fixture) {
    let flow = fixture.flow("arrivals.airport");
    let all = records(&flow);
    fixture.register(&flow).await;
    fixture.holds(&all, &all).await;
    fixture.register(&flow).await;
    fixture.holds(&all, &all).await;
    fixture.unregister(&flow).await;
    fixture.holds(&[], &all).await;
    fixture.unregister(&flow).await;
    fixture.holds(&[], &all).await;
}

/// Registering other values replaces the old ones, and unregistering needs not know them.
pub(crate) async fn replaces(fixture: &Fixture) {
    let old = fixture.flow("replaced");
    fixture.register(&old).await;
    let new = FlowRecords {
        agent: (name("fnaa2.orange.example"), 61001).into(),
        agent_tls: false,
        queue: None,
        ..old.clone()
    };
    fixture.register(&new).await;
    fixture.holds(&records(&new), &records(&old)).await;
    fixture.unregister(&old).await;
    fixture.holds(&[], &records(&old)).await;
}

/// A flow can enter the catalogue and leave it.
pub(crate) async fn lists_and_unlists(fixture: &Fixture) {
    let listed = fixture.flow("listed");
    let unlisted = FlowRecords {
        listed: false,
        ..listed.clone()
    };
    for state in [&unlisted, &listed, &unlisted] {
        fixture.register(state).await;
        fixture.holds(&records(state), &records(&listed)).await;
    }
    fixture.unregister(&unlisted).await;
    fixture.holds(&[], &records(&listed)).await;
}

/// The catalogue is shared: one flow's end leaves the others' pointers.
pub(crate) async fn shares_the_catalogue(fixture: &Fixture) {
    let (one, two) = (fixture.flow("one"), fixture.flow("two"));
    fixture.register(&one).await;
    fixture.register(&two).await;
    let both = [records(&one), records(&two)].concat();
    fixture.holds(&both, &both).await;
    fixture.unregister(&one).await;
    fixture.holds(&records(&two), &both).await;
    fixture.unregister(&two).await;
    fixture.holds(&[], &both).await;
}

/// A stranger's records are neither overwritten nor removed.
pub(crate) async fn leaves_a_strangers_records(fixture: &Fixture) {
    let theirs = FlowRecords {
        owner: "blue-1".to_owned(),
        ..fixture.flow("contested")
    };
    fixture.register(&theirs).await;
    let ours = FlowRecords {
        agent: (name("fnaa.mallory.example"), 1).into(),
        ..fixture.flow("contested")
    };
    let error = fixture.registrar.register(&ours).await.expect_err("taken");
    assert!(matches!(&error, RegisterError::Taken { name } if name.contains("contested")));
    assert!(!error.is_transient());
    fixture.unregister(&ours).await;
    fixture.holds(&records(&theirs), &records(&theirs)).await;
    fixture.unregister(&theirs).await;
    fixture.register(&ours).await;
    fixture.holds(&records(&ours), &records(&ours)).await;
    fixture.unregister(&ours).await;
}

/// Many at once don't disturb each other.
pub(crate) async fn takes_many_at_once(fixture: &Fixture) {
    let flows: Vec<FlowRecords> = (0..20)
        .map(|number| fixture.flow(&format!("many-{number}")))
        .collect();
    let all: Vec<Record> = flows.iter().flat_map(records).collect();
    futures::future::join_all(flows.iter().map(|flow| fixture.register(flow))).await;
    fixture.holds(&all, &all).await;
    futures::future::join_all(flows.iter().map(|flow| fixture.unregister(flow))).await;
    fixture.holds(&[], &all).await;
}

/// One that is refused does not spoil the others that are asked for at the same time.
pub(crate) async fn refuses_one_of_many(fixture: &Fixture) {
    let flows: Vec<FlowRecords> = (0..8)
        .map(|number| fixture.flow(&format!("mixed-{number}")))
        .collect();
    let theirs = FlowRecords {
        owner: "blue-1".to_owned(),
        ..flows[5].clone()
    };
    fixture.register(&theirs).await;
    let registering = flows.iter().map(|flow| fixture.registrar.register(flow));
    let outcomes = futures::future::join_all(registering).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(()) => assert_ne!(number, 5),
            Err(error) => assert!(number == 5 && matches!(error, RegisterError::Taken { .. })),
        }
        let there = if number == 5 { &theirs } else { &flows[number] };
        fixture.holds(&own(there), &own(there)).await;
    }
    fixture.unregister(&theirs).await;
    futures::future::join_all(flows.iter().map(|flow| fixture.unregister(flow))).await;
}

/// A flow's records without its pointer in the shared catalogue.
fn own(flow: &FlowRecords) -> Vec<Record> {
    let catalogue = format!("_flow._tcp.{}.", flow.namespace);
    let mut records = records(flow);
    records.retain(|record| record.owner != catalogue);
    records
}

/// The longest names that are allowed.
pub(crate) async fn takes_the_longest_names(fixture: &Fixture) {
    let room = 218 - fixture.namespace.as_str().len() - 1;
    let mut labels = vec!["l".repeat(63); room / 64];
    let rest = room - labels.len() * 64;
    labels.push("r".repeat(rest));
    let flow = fixture.flow(&labels.join("."));
    assert_eq!(flow.flow.as_str().len(), 218);
    let all = records(&flow);
    fixture.register(&flow).await;
    fixture.holds(&all, &all).await;
    fixture.unregister(&flow).await;
    fixture.holds(&[], &all).await;
}

/// A namespace's records come and go, and a stranger's stay.
pub(crate) async fn registers_namespaces(fixture: &Fixture) {
    let records = |owner: &str| NamespaceRecords {
        namespace: fixture.namespace.clone(),
        agent: (name("fnaa.orange.example"), 61000).into(),
        agent_tls: true,
        owner: owner.to_owned(),
        ttl: 60,
    };
    let (ours, theirs) = (records("orange-1"), records("blue-1"));
    let all = ours.records().expect("records");
    let registrar = &fixture.registrar;
    for _ in 0..2 {
        let registered = registrar.register_namespace(&ours).await;
        registered.expect("registered");
        fixture.holds(&all, &all).await;
    }
    let error = registrar
        .register_namespace(&theirs)
        .await
        .expect_err("taken");
    assert!(matches!(error, RegisterError::Taken { .. }), "{error}");
    for (owner, expected) in [(&theirs, all.as_slice()), (&ours, &[]), (&ours, &[])] {
        let removed = registrar.unregister_namespace(owner).await;
        removed.expect("unregistered");
        fixture.holds(expected, &all).await;
    }
}

/// The check finds the zone and changes nothing; names of no zone are refused.
pub(crate) async fn checks_and_refuses(fixture: &Fixture) {
    let check = fixture.registrar.check(&fixture.namespace).await;
    let check = check.expect("a zone");
    assert!(fixture.namespace.is_within(&name(&check.zone)), "{check:?}");
    assert!(check.negative_ttl <= 60, "{check:?}");
    let probe = format!("_fnaa._tcp.{}.", fixture.namespace);
    assert!(
        question::set(fixture.server, &probe, RecordType::TXT)
            .await
            .is_empty()
    );
    let foreign = FlowRecords {
        flow: fixture.foreign.prefixed("f").expect("a name"),
        namespace: fixture.foreign.clone(),
        ..fixture.flow("f")
    };
    let check = fixture.registrar.check(&fixture.foreign).await.map(|_| ());
    for refused in [check, fixture.registrar.register(&foreign).await] {
        let error = refused.expect_err("no such zone");
        let known = matches!(
            error,
            RegisterError::NoZone(_) | RegisterError::Refused { .. }
        );
        assert!(known && !error.is_transient(), "{error}");
        assert!(
            error.to_string().contains(fixture.foreign.as_str()),
            "{error}"
        );
    }
}

/// Declares one test for each promise, against the fixture that `$fixture` makes.
#[macro_export]
macro_rules! contract {
    ($module:ident, $fixture:path) => {
        mod $module {
            $crate::contract! { @tests $fixture:
                registers_again_and_unregisters, replaces, lists_and_unlists,
                shares_the_catalogue, leaves_a_strangers_records, takes_many_at_once, refuses_one_of_many,
                takes_the_longest_names, registers_namespaces, checks_and_refuses,
            }
        }
    };
    (@tests $fixture:path: $($promise:ident,)*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                let fixture = $fixture(stringify!($promise)).await;
                $crate::contract::$promise(&fixture.0).await;
            }
        )*
    };
}
