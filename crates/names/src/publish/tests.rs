use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn invoices() -> FlowRecords {
    FlowRecords {
        flow: name("notifications.calendar.people.syndeno.com"),
        namespace: name("people.syndeno.com"),
        agent: (name("fnaa.syndeno.com"), 65432).into(),
        agent_tls: true,
        queue: Some(QueueRecords {
            servers: vec![
                (name("kafka.syndeno.com"), 9092).into(),
                (name("kafka2.syndeno.com"), 9093).into(),
            ],
            kind: BrokerKind::Kafka,
            tls: true,
            queue: "notifications.calendar.people.syndeno.com".to_owned(),
            payload: PayloadAttributes {
                content_type: Some("application/json; charset=utf-8".to_owned()),
                schema: Some("https://schemas.syndeno.com/n.json".to_owned()),
                ..PayloadAttributes::default()
            },
        }),
        owner: "test-1".to_owned(),
        listed: true,
        ttl: 875,
    }
}

fn printed(records: Vec<Record>) -> Vec<String> {
    records.iter().map(Record::to_string).collect()
}

#[test]
fn the_drafts_example_with_the_catalogue() {
    let expected = [
        "notifications.calendar.people.syndeno.com. 875 IN PTR _flow._tcp.notifications.calendar.people.syndeno.com.",
        "notifications.calendar.people.syndeno.com. 875 IN SRV 0 0 65432 fnaa.syndeno.com.",
        "_flow._tcp.notifications.calendar.people.syndeno.com. 875 IN SRV 30 30 65432 fnaa.syndeno.com.",
        "_flow._tcp.notifications.calendar.people.syndeno.com. 875 IN TXT \"txtvers=1\" \"tls\" \"owner=test-1\"",
        "_queue._flow._tcp.notifications.calendar.people.syndeno.com. 875 IN SRV 30 30 9092 kafka.syndeno.com.",
        "_queue._flow._tcp.notifications.calendar.people.syndeno.com. 875 IN SRV 30 30 9093 kafka2.syndeno.com.",
        "_queue._flow._tcp.notifications.calendar.people.syndeno.com. 875 IN TXT \"txtvers=1\" \"broker-type=kafka\" \"tls\" \"queue=notifications.calendar.people.syndeno.com\" \"content-type=application/json; charset=utf-8\" \"schema=https://schemas.syndeno.com/n.json\"",
        "_flow._tcp.people.syndeno.com. 875 IN PTR notifications\\.calendar._flow._tcp.people.syndeno.com.",
        "notifications\\.calendar._flow._tcp.people.syndeno.com. 875 IN SRV 30 30 65432 fnaa.syndeno.com.",
        "notifications\\.calendar._flow._tcp.people.syndeno.com. 875 IN TXT \"txtvers=1\" \"tls\" \"owner=test-1\"",
    ];
    assert_eq!(printed(invoices().records().expect("records")), expected);
}

#[test]
fn a_private_flow_without_a_known_queue_has_four_records() {
    let records = FlowRecords {
        queue: None,
        listed: false,
        agent_tls: false,
        ..invoices()
    };
    let printed = printed(records.records().expect("records"));
    assert_eq!(printed.len(), 4, "{printed:?}");
    assert!(printed[3].ends_with("TXT \"txtvers=1\" \"owner=test-1\""));
}

#[test]
fn a_namespace_says_where_its_fnaa_is() {
    let records = NamespaceRecords {
        namespace: name("flows.orange.example"),
        agent: (name("fnaa.orange.example"), 61000).into(),
        agent_tls: false,
        owner: "test-1".to_owned(),
        ttl: 60,
    };
    assert_eq!(
        printed(records.records().expect("records")),
        [
            "_fnaa._tcp.flows.orange.example. 60 IN SRV 30 30 61000 fnaa.orange.example.",
            "_fnaa._tcp.flows.orange.example. 60 IN TXT \"txtvers=1\" \"owner=test-1\"",
        ]
    );
}

#[test]
fn values_that_make_no_records_are_refused_with_the_reason() {
    let outside = FlowRecords {
        namespace: name("syndeno.org"),
        ..invoices()
    };
    assert!(matches!(
        outside.records(),
        Err(RecordError::OutsideNamespace { .. })
    ));
    let nobody = FlowRecords {
        owner: String::new(),
        ..invoices()
    };
    assert!(matches!(nobody.records(), Err(RecordError::BadOwner(_))));
    let mut long = invoices();
    if let Some(queue) = &mut long.queue {
        queue.payload.schema = Some("s".repeat(249));
    }
    assert!(matches!(
        long.records(),
        Err(RecordError::TooLong { attribute, length: 256, .. }) if attribute == "schema"
    ));
}

#[test]
fn an_instance_over_63_octets_is_not_listed() {
    let flow = name(&format!(
        "{}.{}.people.syndeno.com",
        "a".repeat(40),
        "b".repeat(30)
    ));
    let records = FlowRecords { flow, ..invoices() };
    let printed = printed(records.records().expect("records"));
    assert!(
        printed.iter().all(|line| !line.contains('\\')),
        "{printed:?}"
    );
    assert_eq!(records.instance(), None);
}

proptest! {
    /// Whatever a name may be, every owner fits in DNS and every string in TXT.
    #[test]
    fn every_name_that_is_allowed_fits(
        labels in prop::collection::vec("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", 1..8),
        listed: bool,
    ) {
        let namespace = name("orange.example");
        let flow = Name::parse(&format!("{}.{namespace}", labels.join(".")));
        prop_assume!(flow.is_ok());
        let flow = flow.expect("assumed");
        let records = FlowRecords { flow, namespace, listed, ..invoices() };
        for record in records.records().expect("records") {
            prop_assert!(record.owner.len() <= 254, "{record}");
        }
    }
}
