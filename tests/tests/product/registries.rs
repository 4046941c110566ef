//! Schema ids between registries, against a real one.

use std::sync::OnceLock;
use std::time::Duration;

use eson_tests::records::{Sample, admin_client, produce, read_topic};
use eson_tests::registry::PATH;
use eson_tests::wait::check;
use eson_tests::{Fault, Ground, Kafka, Proxy, RawFnap, SchemaRegistry, Seed, until};
use serde_json::{Value, json};

use crate::stage::{new_flow, world};

const PATIENCE: Duration = Duration::from_secs(90);

/// The registry that all tests here share. The ids of one subject are not those of another, so
/// that it stands for the publisher's and for the subscriber's where nothing else matters.
fn registry() -> &'static SchemaRegistry {
    static REGISTRY: OnceLock<SchemaRegistry> = OnceLock::new();
    REGISTRY.get_or_init(|| SchemaRegistry::start("registry"))
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}{PATH}")
}

/// A value or key with an id in front.
fn framed(id: u32, content: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], content].concat()
}

/// The id of a value or key, and what stands behind it.
fn unframed(framed: &[u8]) -> (u32, &[u8]) {
    assert_eq!(framed[0], 0, "{framed:?}");
    let (id, content) = framed[1..].split_at(4);
    (
        u32::from_be_bytes(id.try_into().expect("four octets")),
        content,
    )
}

fn sample(key: Option<&[u8]>, value: Option<Vec<u8>>) -> Sample {
    Sample {
        partition: 0,
        timestamp: 1_700_000_000_000,
        key: key.map(<[u8]>::to_vec),
        value,
        headers: vec![("trace".to_owned(), Some(b"1".to_vec()))],
    }
}

/// What has arrived once it is `count` records.
fn await_records(kafka: &Kafka, topic: &str, count: usize) -> Vec<Sample> {
    let client = admin_client(kafka);
    until(&format!("{count} records in {topic}"), PATIENCE, || {
        let found = read_topic(&client, topic)?;
        check(found.len() == count, || {
            format!("{} are there", found.len())
        })
        .map(|()| found)
    })
}

/// A subscriber's own, which knows none of the publisher's schemas and has given their ids to others.
fn subscribers_registry() -> SchemaRegistry {
    let registry = SchemaRegistry::start("subscribers-registry");
    for number in 0..20 {
        let schema =
            json!({"schema": format!(r#"{{"type":"enum","name":"E{number}","symbols":["A"]}}"#)});
        registry.register(&format!("another-{number}"), &schema);
    }
    registry
}

fn avro() -> Value {
    let address = json!({"schema": r#"{"type":"record","name":"Address","namespace":"shop","fields":[{"name":"street","type":"string"}]}"#});
    registry().register("shop.Address", &address);
    json!({
        "schema": r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"to","type":"shop.Address"}]}"#,
        "references": [{"name": "shop.Address", "subject": "shop.Address", "version": 1}],
    })
}

fn json_schema() -> Value {
    let text = r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"amount":{"type":"integer"}}}"#;
    json!({"schema": text, "schemaType": "JSON"})
}

fn protobuf() -> Value {
    let text =
        "syntax = \"proto3\"; package shop; message Other {} message Order { int32 amount = 1; }";
    json!({"schema": text, "schemaType": "PROTOBUF"})
}

/// The contents are what serializers put behind the id: Avro's binary encoding of a street, JSON,
/// and the index of the second message before a message.
#[test]
fn a_subscriber_gets_the_ids_of_its_own_registry() {
    let world = world(Ground::Servers);
    let (mut orange, mut blue) = (world.orange().login(), world.blue().login());
    let registry_url = url(registry().port());
    let own = subscribers_registry();
    let own_url = url(own.port());
    let cases = [
        ("avro", avro(), &b"\x0cNeedle"[..]),
        ("json", json_schema(), br#"{"amount":7}"#),
        ("protobuf", protobuf(), b"\x02\x02\x08\x07"),
    ];
    for (name, schema, content) in cases {
        let flow = new_flow(world.orange(), name);
        let local = new_flow(world.blue(), name);
        orange.ok(&format!(
            "CREATE FLOW {flow} access=public schema-registry={registry_url}"
        ));
        let id = registry().register(&format!("{flow}-value"), &schema);
        assert!(
            id <= 20,
            "{id}: the subscriber's registry has given it to another"
        );
        let written = [
            sample(Some(b"k"), Some(framed(id, content))),
            sample(Some(b"k"), None),
            sample(None, Some(framed(id, content))),
        ];
        produce(&admin_client(&world.kafkas[0]), &flow, &written);
        blue.ok(&format!(
            "SUBSCRIBE {flow} LOCAL {local} registry-to={own_url}/"
        ));
        let arrived = await_records(&world.kafkas[1], &local, 3);
        let other = own.id(&format!("{local}-value"), 1);
        assert_ne!(other, id, "{name}: it has given that id to another schema");
        let expected = written.map(|sample| Sample {
            value: sample.value.map(|_| framed(other, content)),
            ..sample
        });
        assert_eq!(arrived, expected, "{name}");
        assert_eq!(unframed(&framed(other, content)), (other, content));
        assert_eq!(own.schema(other), registry().schema(id), "{name}");
        let described = blue.ok(&format!("DESCRIBE FLOW {local}"));
        let told = described.attribute("schema-registry");
        assert_eq!(told, Some(&*format!("{own_url}/")), "{described:?}");
    }
    // What the Avro schema refers to came along.
    assert_eq!(own.versions("shop.Address"), json!([1]));
}

/// A bridge at one participant, with a proxy before the registry that it writes for.
struct Bridge {
    name: String,
    from: String,
    to: String,
    proxy: Proxy,
}

impl Bridge {
    fn create(session: &mut RawFnap, more: &str) -> Self {
        let orange = world(Ground::Servers).orange();
        let bridge = Self {
            name: new_flow(orange, "translating"),
            from: new_flow(orange, "framed"),
            to: new_flow(orange, "translated"),
            proxy: Proxy::start(registry().port(), Seed::new(1)),
        };
        session.ok(&format!("CREATE FLOW {}", bridge.from));
        session.ok(&format!("CREATE FLOW {}", bridge.to));
        session.ok(&format!(
            "CREATE PROCESSOR {} type=bridge from={} to={} registry-from={} registry-to={} {more}",
            bridge.name,
            bridge.from,
            bridge.to,
            url(registry().port()),
            url(bridge.proxy.port()),
        ));
        bridge
    }

    fn write(&self, samples: &[Sample]) {
        produce(
            &admin_client(&world(Ground::Servers).kafkas[0]),
            &self.from,
            samples,
        );
    }

    fn await_written(&self, count: usize) -> Vec<Sample> {
        await_records(&world(Ground::Servers).kafkas[0], &self.to, count)
    }

    /// The id that the destination's registry has for a version of the schema of keys or values.
    fn id(&self, what: &str, version: u32) -> u32 {
        registry().id(&format!("{}-{what}", self.to), version)
    }

    fn await_state(&self, session: &mut RawFnap, state: &str, error: &str) {
        until(&format!("{} to be {state}", self.name), PATIENCE, || {
            let described = session.ok(&format!("DESCRIBE PROCESSOR {}", self.name));
            let found = described.attribute("processor-error").unwrap_or_default();
            let is = described.attribute("processor-state") == Some(state) && found.contains(error);
            check(is, || format!("{described:?}"))
        });
    }
}

#[test]
fn a_registry_that_is_away_is_waited_for() {
    let mut session = world(Ground::Servers).orange().login();
    let bridge = Bridge::create(&mut session, "registry-keys=true");
    let key = r#"{"type":"record","name":"Key","fields":[{"name":"name","type":"string"}]}"#;
    let key = registry().register("any-key", &json!({"schema": key}));
    let value = registry().register("any-value", &json_schema());
    let event =
        |key: u32, value: u32| sample(Some(&framed(key, b"\x02a")), Some(framed(value, b"{}")));
    bridge.write(&[event(key, value)]);
    bridge.await_written(1);

    // Schemas that it has met pass all the same; others wait, and so does what comes behind them.
    bridge.proxy.set(Fault::Cut { within: 1 });
    bridge.write(&[event(key, value)]);
    bridge.await_written(2);
    let other = r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}"#;
    let other = json!({"schema": other, "schemaType": "JSON"});
    let other = registry().register("any-other", &other);
    bridge.write(&[event(key, other), event(key, value)]);
    bridge.await_state(
        &mut session,
        "retrying",
        "the Schema Registry does not answer",
    );
    assert_eq!(bridge.await_written(2).len(), 2);
    bridge.proxy.set(Fault::None);
    let arrived = bridge.await_written(4);
    let (key, first, second) = (
        bridge.id("key", 1),
        bridge.id("value", 1),
        bridge.id("value", 2),
    );
    let expected = [first, first, second, first].map(|value| event(key, value));
    assert_eq!(arrived, expected);
    bridge.await_state(&mut session, "running", "");
}

#[test]
fn an_unknown_schema_stops_the_bridge_or_passes_or_is_set_apart() {
    let mut session = world(Ground::Servers).orange().login();
    let bridge = Bridge::create(&mut session, "");
    let source = registry().register("known", &json_schema());
    let unknown = sample(None, Some(framed(4_000_000_000, b"{}")));
    let unframed = sample(None, Some(b"{}".to_vec()));
    let known = |value| sample(None, Some(framed(value, b"{}")));
    bridge.write(&[known(source)]);
    bridge.await_written(1);
    bridge.write(&[unknown.clone(), unframed.clone(), known(source)]);
    bridge.await_state(
        &mut session,
        "failed",
        "offset 1: the value has the schema id 4000000000",
    );
    assert_eq!(bridge.await_written(1).len(), 1);
    session.ok(&format!(
        "UPDATE PROCESSOR {} on-unknown-schema=pass",
        bridge.name
    ));
    let value = bridge.id("value", 1);
    let arrived = bridge.await_written(4);
    assert_eq!(
        arrived,
        [known(value), unknown.clone(), unframed, known(value)]
    );
    until("both to be counted", PATIENCE, || {
        let described = session.ok(&format!("DESCRIBE PROCESSOR {}", bridge.name));
        assert_eq!(described.attribute("on-unknown-schema"), Some("pass"));
        let counted = described.attribute("unknown-schemas") == Some("2");
        check(counted, || format!("{described:?}"))
    });
    let metrics = world(Ground::Servers).orange().web("/metrics").unwrap().1;
    let mut of_bridge = metrics.lines().filter(|line| line.contains(&bridge.name));
    let unknown_schemas = of_bridge.find(|line| line.contains("leg_unknown_schemas_total"));
    assert!(
        unknown_schemas.is_some_and(|line| line.ends_with(" 2")),
        "{metrics}"
    );
    session.ok(&format!(
        "UPDATE PROCESSOR {} on-unknown-schema=dead-letter",
        bridge.name
    ));
    bridge.write(&[unknown, known(source)]);
    let arrived = bridge.await_written(5);
    assert_eq!(arrived[4], known(value));
    let letters = session.ok(&format!("READ FLOW dlq.{}", bridge.name)).data;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].contains("schema id 4000000000"), "{letters:?}");
}

/// The id after the last one that the publisher's registry has given is the next one that it gives.
#[test]
fn a_subscription_that_failed_goes_on_once_it_is_resumed() {
    let world = world(Ground::Servers);
    let (mut orange, mut blue) = (world.orange().login(), world.blue().login());
    let theirs = SchemaRegistry::start("publishers-registry");
    let known = theirs.register("known", &json_schema());
    let flow = new_flow(world.orange(), "unheard-of");
    let local = new_flow(world.blue(), "unheard-of");
    orange.ok(&format!(
        "CREATE FLOW {flow} access=public schema-registry={}",
        url(theirs.port())
    ));
    let written = [
        sample(None, Some(framed(known, b"{}"))),
        sample(None, Some(framed(known + 1, b"{}"))),
    ];
    produce(&admin_client(&world.kafkas[0]), &flow, &written);
    let registry_url = url(registry().port());
    blue.ok(&format!(
        "SUBSCRIBE {flow} LOCAL {local} registry-to={registry_url}"
    ));
    let describe = format!("DESCRIBE SUBSCRIPTION {local}");
    until("it to fail and to say what to do", PATIENCE, || {
        let described = blue.ok(&describe);
        let advice = described.attribute("advice").unwrap_or_default();
        let is_failed = described.attribute("processor-state") == Some("failed");
        check(is_failed && advice.contains("SUBSCRIBE again"), || {
            format!("{described:?}")
        })
    });
    let listed = blue.ok("GET SUBSCRIPTIONS").data;
    let own = listed.iter().find(|line| line.starts_with(&local));
    let told = own.is_some_and(|line| {
        line.contains("processor-state=failed") && line.contains("the value has the schema id")
    });
    assert!(told, "{listed:?}");
    assert_eq!(theirs.register("unheard-of", &protobuf()), known + 1);
    blue.ok(&format!("RESUME SUBSCRIPTION {local}"));
    await_records(&world.kafkas[1], &local, 2);
}

#[test]
fn what_is_no_registry_is_told() {
    let orange = world(Ground::Servers).orange();
    let mut session = orange.login();
    let (from, to) = (new_flow(orange, "framed"), new_flow(orange, "translated"));
    session.ok(&format!("CREATE FLOW {from}"));
    session.ok(&format!("CREATE FLOW {to}"));
    let create = format!("CREATE PROCESSOR {to} type=bridge from={from} to={to}");
    let right = url(registry().port());
    for (options, code, why) in [
        (
            format!("registry-to={right}"),
            "501 [ARGUMENT]",
            "registry-from= has to say it",
        ),
        (
            format!("registry-from={right}"),
            "501 [ARGUMENT]",
            "need registry-to=",
        ),
        (
            "registry-to=ftp://a.example/".to_owned(),
            "501 [ARGUMENT]",
            "only https: and http:",
        ),
        (
            format!("registry-from={right} registry-to=http://192.168.0.1/"),
            "451 [BACKEND]",
            "not a public address",
        ),
    ] {
        let refused = session.refused(&format!("{create} {options}"), code);
        assert!(refused.status.contains(why), "{options}: {refused:?}");
    }
    // It may be let there later, so it is kept, and tried at intervals that grow: three times in
    // these thirty seconds.
    let log = orange.log();
    let failed = |line: &&str| line.contains(": failed leg=") && line.contains(to.as_str());
    let tries = log.lines().filter(failed).count();
    assert!((1..10).contains(&tries), "{tries}: {log}");
    session.ok(&format!("DELETE PROCESSOR {to}"));
}
