//! What a flow's events must be: content type, schema, registry.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eson_tests::fnap::Answer;
use eson_tests::wait::check;
use eson_tests::{Ground, RawFnap, World, until};
use serde_json::{Value, json};

use crate::stage::{new_flow, on_all_grounds, world};

on_all_grounds!(
    events_in_three_forms,
    a_flow_stores_events_in_the_mode_of_its_content_type,
    what_does_not_fit_is_refused_and_named,
    a_schema_is_pinned_published_and_outlives_its_server,
    what_makes_no_contract_is_refused,
    framed_values_are_recognised,
    the_local_flow_says_what_the_publisher_says,
    a_processor_judges_when_it_is_asked_to,
    what_a_publisher_sends_is_judged_when_it_is_asked_for,
    a_signal_judges_what_its_program_makes,
);

const ORDER: &str = r#"{
    "type": "object",
    "required": ["amount"],
    "properties": { "amount": { "type": "integer", "minimum": 1 } }
}"#;

/// Serves documents by their paths until the process ends.
fn serve(documents: &[(&str, &str)]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let documents: BTreeMap<String, String> = documents
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &documents);
        }
    });
    address
}

fn answer(mut stream: TcpStream, documents: &BTreeMap<String, String>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
    let path = first.split(' ').nth(1).unwrap();
    let (status, body) = match documents.get(path) {
        Some(text) => ("200 OK", text.as_str()),
        None => ("404 Not Found", ""),
    };
    let length = body.len();
    // Who has gone does not want the answer.
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
}

/// The digest of what is at a URL, as the refusal of a wrong one tells it.
fn digest(session: &mut RawFnap, flow: &str, url: &str) -> String {
    let wrong = format!("sha256:{}", "0".repeat(64));
    let command = format!("CREATE FLOW {flow} schema={url} schema-digest={wrong}");
    let refused = session.refused(&command, "501 [ARGUMENT]");
    let (_, digest) = refused.status.rsplit_once(' ').unwrap();
    assert!(
        digest.starts_with("sha256:") && digest.len() == 71,
        "{refused:?}"
    );
    digest.to_owned()
}

fn event(data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"application/json","data":{data}}}"#
    )
}

fn write(session: &mut RawFnap, flow: &str, format: &str, line: &str) -> Answer {
    let command = format!("WRITE FLOW {flow} format={format}");
    session.write_flow(&command, [line])
}

fn refusal(session: &mut RawFnap, flow: &str, format: &str, line: &str) -> String {
    let answer = write(session, flow, format, line);
    assert_eq!("501 [ARGUMENT]", answer.code(), "{answer:?}");
    answer.status
}

fn taken(session: &mut RawFnap, flow: &str, format: &str, line: &str) {
    let answer = write(session, flow, format, line);
    assert_eq!("220 OK 1", answer.status, "{line}");
}

/// The records of a flow, without what says how far the reading has come.
fn records(session: &mut RawFnap, flow: &str) -> Vec<Value> {
    let answer = session.ok(&format!("READ FLOW {flow} format=record"));
    let records = answer
        .data
        .iter()
        .map(|line| serde_json::from_str(line).unwrap());
    records
        .filter(|it: &Value| it.get("offset").is_some())
        .collect()
}

fn content_type(record: &Value) -> String {
    let headers = record["headers"].as_array().unwrap();
    let header = headers.iter().find(|it| it["name"] == "content-type");
    let value = header.expect("a content type")["value"].as_str().unwrap();
    String::from_utf8(STANDARD.decode(value).unwrap()).unwrap()
}

fn events_in_three_forms(ground: Ground) {
    let world = world(ground);
    let mut session = world.orange().login();
    let (flow, other) = (
        new_flow(world.orange(), "forms"),
        new_flow(world.orange(), "forms"),
    );
    session.ok(&format!("CREATE FLOW {flow}"));
    session.ok(&format!("CREATE FLOW {other}"));
    taken(
        &mut session,
        &flow,
        "cloudevents",
        &event(r#"{"amount":1}"#),
    );
    let protobuf = session
        .ok(&format!("READ FLOW {flow} format=protobuf"))
        .data;
    taken(&mut session, &other, "protobuf", &protobuf[0]);
    let again = session.ok(&format!("READ FLOW {other}")).data;
    assert_eq!(again, session.ok(&format!("READ FLOW {flow}")).data);
    assert_eq!(again, [event(r#"{"amount":1}"#)]);
    let stored = records(&mut session, &other);
    assert_eq!(content_type(&stored[0]), "application/json");
    assert_eq!(stored[0]["value"], STANDARD.encode(r#"{"amount":1}"#));
    let refused = refusal(&mut session, &flow, "protobuf", "{}");
    assert!(
        refused.contains("line 1: the line is not base64"),
        "{refused}"
    );
}

fn a_flow_stores_events_in_the_mode_of_its_content_type(ground: Ground) {
    let world = world(ground);
    let mut session = world.orange().login();
    for (format, media_type) in [
        ("json", "application/cloudevents+json; charset=UTF-8"),
        ("protobuf", "application/cloudevents+protobuf"),
    ] {
        let flow = new_flow(world.orange(), "structured");
        session.ok(&format!(
            "CREATE FLOW {flow} content-type=application/cloudevents+{format}"
        ));
        taken(&mut session, &flow, "cloudevents", &event("1"));
        let stored = records(&mut session, &flow);
        assert_eq!(content_type(&stored[0]), media_type);
        assert_eq!(session.ok(&format!("READ FLOW {flow}")).data, [event("1")]);

        // As it was stored it may be written again, and nothing else may.
        taken(&mut session, &flow, "record", &stored[0].to_string());
        let plain = json!({"value": STANDARD.encode("x")}).to_string();
        let refused = refusal(&mut session, &flow, "record", &plain);
        assert!(refused.contains("takes CloudEvents only"), "{refused}");
        let tombstone = json!({"key": STANDARD.encode("k"), "value": null}).to_string();
        taken(&mut session, &flow, "record", &tombstone);
    }
}

fn what_does_not_fit_is_refused_and_named(ground: Ground) {
    let world = world(ground);
    let mut session = world.orange().login();
    let url = format!("http://{}/order.json", serve(&[("/order.json", ORDER)]));
    let flow = new_flow(world.orange(), "orders");
    let digest = digest(&mut session, &flow, &url);
    session.ok(&format!(
        "CREATE FLOW {flow} content-type=application/json schema={url} schema-digest={digest}"
    ));
    taken(
        &mut session,
        &flow,
        "cloudevents",
        &event(r#"{"amount":7}"#),
    );
    let refused = refusal(
        &mut session,
        &flow,
        "cloudevents",
        &event(r#"{"amount":0}"#),
    );
    assert!(refused.starts_with("501 [ARGUMENT] line 1: "), "{refused}");
    assert!(refused.contains("schema at /amount: "), "{refused}");
    assert!(refused.ends_with("; nothing is written"), "{refused}");
    let refused = refusal(&mut session, &flow, "cloudevents", &event("{}"));
    assert!(refused.contains("schema at /: "), "{refused}");
    let text = event(r#""x""#).replace("application/json", "text/plain");
    let refused = refusal(&mut session, &flow, "cloudevents", &text);
    assert!(
        refused.contains("takes application/json, and this is text/plain"),
        "{refused}"
    );
    let plain = |value: &str| json!({"value": STANDARD.encode(value)}).to_string();
    taken(&mut session, &flow, "record", &plain(r#"{"amount":8}"#));
    let refused = refusal(&mut session, &flow, "record", &plain("{"));
    assert!(refused.contains("the content is no JSON"), "{refused}");

    // All or nothing: a good event beside a bad one is not written either.
    let lines = [event(r#"{"amount":9}"#), event(r#"{"amount":"9"}"#)];
    let answer = session.write_flow(
        &format!("WRITE FLOW {flow}"),
        lines.iter().map(String::as_str),
    );
    assert!(answer.status.contains("line 2: "), "{answer:?}");
    assert_eq!(records(&mut session, &flow).len(), 2);
}

fn a_schema_is_pinned_published_and_outlives_its_server(ground: Ground) {
    let mut world = World::start(ground, &["orange.example"]);
    let mut session = world.orange().login();
    let loose = r#"{"type": "object"}"#;
    let server = serve(&[("/1.json", ORDER), ("/2.json", loose)]);
    let (one, two) = (
        format!("http://{server}/1.json"),
        format!("http://{server}/2.json"),
    );
    let flow = new_flow(world.orange(), "pinned");
    let (first, second) = (
        digest(&mut session, &flow, &one),
        digest(&mut session, &flow, &two),
    );
    let create = format!("CREATE FLOW {flow} access=public schema={one} schema-digest={first}");
    session.ok(&create);
    session.ok(&create);
    for command in ["DESCRIBE FLOW", "RESOLVE"] {
        let told = session.ok(&format!("{command} {flow}"));
        // Who reads a broker without a name has no records of it.
        if told.attribute("type").is_some() {
            assert_eq!(told.attribute("schema"), Some(&*one), "{told:?}");
            assert_eq!(told.attribute("schema-digest"), Some(&*first), "{told:?}");
        }
    }
    // Another server under the same URL could say what it likes.
    let elsewhere = serve(&[("/1.json", loose)]);
    let moved = format!("http://{elsewhere}/1.json");
    session.refused(
        &format!("UPDATE FLOW {flow} schema={moved} schema-digest={first}"),
        "501 [ARGUMENT]",
    );
    refusal(
        &mut session,
        &flow,
        "cloudevents",
        &event(r#"{"amount":0}"#),
    );

    world.participants[0].kill9();
    world.participants[0].restart();
    let mut session = world.orange().login();
    refusal(
        &mut session,
        &flow,
        "cloudevents",
        &event(r#"{"amount":0}"#),
    );
    session.ok(&format!(
        "UPDATE FLOW {flow} schema={two} schema-digest={second}"
    ));
    taken(
        &mut session,
        &flow,
        "cloudevents",
        &event(r#"{"amount":0}"#),
    );
    refusal(&mut session, &flow, "cloudevents", &event("[]"));
    session.ok(&format!("UPDATE FLOW {flow} schema="));
    let told = session.ok(&format!("DESCRIBE FLOW {flow}"));
    assert_eq!(
        (told.attribute("schema"), told.attribute("schema-digest")),
        (None, None)
    );
    taken(&mut session, &flow, "cloudevents", &event("[]"));
}

fn what_makes_no_contract_is_refused(ground: Ground) {
    let world = world(ground);
    let mut session = world.orange().login();
    let flow = new_flow(world.orange(), "refused");
    let server = serve(&[("/order.json", ORDER), ("/text", "no schema")]);
    let zeros = format!("schema-digest=sha256:{}", "0".repeat(64));
    let right = digest(&mut session, &flow, &format!("http://{server}/order.json"));
    let text = digest(&mut session, &flow, &format!("http://{server}/text"));
    for (options, why) in [
        ("content-type=json".to_owned(), "no media type"),
        (
            "content-type=application/cloudevents+avro".to_owned(),
            "not spoken here",
        ),
        (zeros.clone(), "schema-digest"),
        ("schema=order.json".to_owned(), "no URL"),
        (
            format!("schema=http://{server}/order.json"),
            "give schema-digest=",
        ),
        (
            format!("schema=http://{server}/order.json schema-digest=md5:1"),
            "64 hexadecimal",
        ),
        (
            format!("schema=http://{server}/none {zeros}"),
            "answered 404",
        ),
        (
            format!("schema=http://{server}/text schema-digest={text}"),
            "neither a JSON Schema",
        ),
        (
            format!("schema=http://{server}/order.json#a.B schema-digest={right}"),
            "taken as a whole",
        ),
        (
            format!(
                "content-type=text/plain schema=http://{server}/order.json schema-digest={right}"
            ),
            "describes JSON",
        ),
        ("schema-registry=nowhere".to_owned(), "schema-registry"),
        // Networks that nobody trusts: what is there may not even be probed.
        (
            format!("schema=http://192.168.0.1/ {zeros}"),
            "not a public address",
        ),
    ] {
        let refused = session.refused(&format!("CREATE FLOW {flow} {options}"), "501 [ARGUMENT]");
        assert!(refused.status.contains(why), "{options}: {refused:?}");
    }
    session.refused(&format!("DESCRIBE FLOW {flow}"), "550 [NOTFOUND]");
}

fn framed_values_are_recognised(ground: Ground) {
    let world = world(ground);
    let mut session = world.orange().login();
    let flow = new_flow(world.orange(), "framed");
    let registry = "https://registry.orange.example";
    session.ok(&format!("CREATE FLOW {flow} schema-registry={registry}"));
    let told = session.ok(&format!("DESCRIBE FLOW {flow}"));
    assert_eq!(told.attribute("schema-registry"), Some(registry));
    let line = |value: &[u8]| json!({"value": STANDARD.encode(value)}).to_string();
    taken(&mut session, &flow, "record", &line(b"\0\0\0\0\x07abc"));
    let refused = refusal(&mut session, &flow, "record", &line(b"abc"));
    assert!(
        refused.contains("id of a schema in its registry"),
        "{refused}"
    );
}

/// Waits until a flow says just that of its events.
fn await_said(session: &mut RawFnap, flow: &str, said: &[(&str, &str)]) {
    until(
        &format!("{flow} to say it"),
        Duration::from_secs(60),
        || {
            let described = session.ok(&format!("DESCRIBE FLOW {flow}"));
            let keys = ["content-type", "schema", "schema-digest", "schema-registry"];
            let found = keys
                .iter()
                .filter_map(|key| Some((*key, described.attribute(key)?)));
            let found: Vec<_> = found.collect();
            check(found == said, || format!("{found:?}"))
        },
    );
}

fn the_local_flow_says_what_the_publisher_says(ground: Ground) {
    let short = |text: String| text.replace("subscriptions:", "subscriptions:\n  lease: 2s");
    let world = World::beside_others(ground, &["telling.example", "told.example"], &short);
    let (mut orange, mut blue) = (world.orange().login(), world.blue().login());
    let url = format!("http://{}/order.json", serve(&[("/order.json", ORDER)]));
    let flow = new_flow(world.orange(), "orders");
    let local = new_flow(world.blue(), "orders");
    let digest = digest(&mut orange, &flow, &url);
    orange.ok(&format!(
        "CREATE FLOW {flow} access=public content-type=application/json schema={url} schema-digest={digest}"
    ));
    blue.ok(&format!("SUBSCRIBE {flow} LOCAL {local}"));
    let first = [
        ("content-type", "application/json"),
        ("schema", &*url),
        ("schema-digest", &*digest),
    ];
    await_said(&mut blue, &local, &first);
    let zero = event(r#"{"amount":0}"#);
    let refused = refusal(&mut blue, &local, "cloudevents", &zero);
    assert!(refused.contains("schema at /amount: "), "{refused}");

    let registry = "https://registry.telling.example";
    orange.ok(&format!(
        "UPDATE FLOW {flow} content-type=text/plain schema= schema-registry={registry}"
    ));
    let second = [
        ("content-type", "text/plain"),
        ("schema-registry", registry),
    ];
    await_said(&mut blue, &local, &second);

    // What somebody here has said stays, whatever the publisher says.
    blue.ok(&format!("UPDATE FLOW {local} content-type=text/html"));
    orange.ok(&format!("UPDATE FLOW {flow} content-type=text/csv"));
    blue.ok(&format!("PAUSE SUBSCRIPTION {local}"));
    let own = [("content-type", "text/html"), ("schema-registry", registry)];
    await_said(&mut blue, &local, &own);
    // Until it says again what the publisher says.
    blue.ok(&format!("UPDATE FLOW {local} content-type=text/csv"));
    blue.ok(&format!("RESUME SUBSCRIPTION {local}"));
    orange.ok(&format!("UPDATE FLOW {flow} content-type=text/css"));
    let last = [("content-type", "text/css"), ("schema-registry", registry)];
    await_said(&mut blue, &local, &last);
}

fn order(amount: u32) -> String {
    event(&format!(r#"{{"amount":{amount}}}"#))
}

fn await_orders(session: &mut RawFnap, flow: &str, expected: &[String]) {
    until(&format!("{expected:?}"), Duration::from_secs(60), || {
        let found = session.ok(&format!("READ FLOW {flow}")).data;
        check(found == expected, || format!("{found:?}"))
    });
}

fn what_a_publisher_sends_is_judged_when_it_is_asked_for(ground: Ground) {
    let world = world(ground);
    let (mut orange, mut blue) = (world.orange().login(), world.blue().login());
    let url = format!("http://{}/order.json", serve(&[("/order.json", ORDER)]));
    let flow = new_flow(world.orange(), "unjudged");
    let local = new_flow(world.blue(), "judged");
    let digest = digest(&mut blue, &local, &url);
    orange.ok(&format!("CREATE FLOW {flow} access=public"));
    blue.ok(&format!(
        "CREATE FLOW {local} content-type=application/json schema={url} schema-digest={digest}"
    ));
    let subscribe = format!("SUBSCRIBE {flow} LOCAL {local}");
    blue.ok(&format!("{subscribe} validate=stop"));
    let together = [1, 0, 2].map(order);
    let command = format!("WRITE FLOW {flow} format=cloudevents");
    let answer = orange.write_flow(&command, together.iter().map(String::as_str));
    assert_eq!("220 OK 3", answer.status);
    until("the bridge to stop", Duration::from_secs(60), || {
        let described = blue.ok(&format!("DESCRIBE SUBSCRIPTION {local}"));
        let advice = described.attribute("advice").unwrap_or_default();
        let stopped = described.attribute("processor-state") == Some("failed");
        let told = described.attribute("validate") == Some("stop");
        let named = advice.contains("validate=dead-letter") && advice.contains("SUBSCRIBE again");
        check(stopped && told && named, || format!("{described:?}"))
    });
    await_orders(&mut blue, &local, &[order(1)]);

    blue.ok(&format!("{subscribe} validate=dead-letter"));
    await_orders(&mut blue, &local, &[1, 2].map(order));
    let letters = blue.ok(&format!("READ FLOW dlq.{local}")).data;
    let letter: Value = serde_json::from_str(&letters[0]).unwrap();
    assert_eq!((letters.len(), &letter["data"]), (1, &json!({"amount": 0})));
    // What is not said again stays.
    blue.ok(&subscribe);
    let described = blue.ok(&format!("DESCRIBE SUBSCRIPTION {local}"));
    assert_eq!(described.attribute("validate"), Some("dead-letter"));
}

fn a_signal_judges_what_its_program_makes(ground: Ground) {
    let world = world(ground);
    let mut session = world.orange().login();
    let url = format!("http://{}/order.json", serve(&[("/order.json", ORDER)]));
    let (from, anything, orders) = (
        new_flow(world.orange(), "programmed"),
        new_flow(world.orange(), "anything-made"),
        new_flow(world.orange(), "orders-made"),
    );
    let processor = new_flow(world.orange(), "making");
    let digest = digest(&mut session, &orders, &url);
    session.ok(&format!("CREATE FLOW {from}"));
    session.ok(&format!("CREATE FLOW {anything}"));
    session.ok(&format!(
        "CREATE FLOW {orders} content-type=application/json schema={url} schema-digest={digest}"
    ));
    let create = format!(
        "CREATE PROCESSOR {processor} type=signal from={from} to={anything},{orders} program=."
    );
    let refused = session.refused(&format!("{create} validate=stop"), "501 [ARGUMENT]");
    assert!(
        refused.status.contains("validate=dead-letter"),
        "{refused:?}"
    );
    session.ok(&format!("{create} validate=dead-letter"));
    let together = [1, 0, 2].map(order);
    let command = format!("WRITE FLOW {from} format=cloudevents");
    let answer = session.write_flow(&command, together.iter().map(String::as_str));
    assert_eq!("220 OK 3", answer.status);
    await_orders(&mut session, &orders, &[1, 2].map(order));
    await_orders(&mut session, &anything, &[1, 0, 2].map(order));
    let letters = session.ok(&format!("READ FLOW dlq.{processor}")).data;
    let letter: Value = serde_json::from_str(&letters[0]).unwrap();
    assert_eq!((letters.len(), &letter["data"]), (1, &json!({"amount": 0})));
    let reason = letter["deadletterreason"].as_str().unwrap();
    assert!(reason.contains("schema at /amount: "), "{reason}");

    // What the destination says by now counts.
    session.ok(&format!("UPDATE FLOW {orders} schema="));
    until("what was not an order", Duration::from_secs(60), || {
        taken(&mut session, &from, "cloudevents", &order(0));
        let found = session.ok(&format!("READ FLOW {orders}")).data;
        check(found.contains(&order(0)), || format!("{found:?}"))
    });
}

fn a_processor_judges_when_it_is_asked_to(ground: Ground) {
    let world = world(ground);
    let mut session = world.orange().login();
    let url = format!("http://{}/order.json", serve(&[("/order.json", ORDER)]));
    let (from, to) = (
        new_flow(world.orange(), "anything"),
        new_flow(world.orange(), "orders"),
    );
    let processor = new_flow(world.orange(), "judging");
    let digest = digest(&mut session, &to, &url);
    session.ok(&format!("CREATE FLOW {from}"));
    session.ok(&format!(
        "CREATE FLOW {to} content-type=application/json schema={url} schema-digest={digest}"
    ));
    session.ok(&format!(
        "CREATE PROCESSOR {processor} type=bridge from={from} to={to} validate=stop"
    ));
    taken(&mut session, &from, "cloudevents", &order(1));
    await_orders(&mut session, &to, &[order(1)]);
    let together = [2, 0, 3].map(order);
    let command = format!("WRITE FLOW {from} format=cloudevents");
    let answer = session.write_flow(&command, together.iter().map(String::as_str));
    assert_eq!("220 OK 3", answer.status);
    until("the bridge to stop", Duration::from_secs(60), || {
        let described = session.ok(&format!("DESCRIBE PROCESSOR {processor}"));
        let error = described.attribute("processor-error").unwrap_or_default();
        let stopped = described.attribute("processor-state") == Some("failed");
        let named = error.contains("offset 2: ") && error.contains("schema at /amount: ");
        check(stopped && named, || format!("{described:?}"))
    });
    // What stood before it, in the same batch, has passed.
    await_orders(&mut session, &to, &[order(1), order(2)]);

    session.ok(&format!(
        "UPDATE PROCESSOR {processor} validate=dead-letter"
    ));
    await_orders(&mut session, &to, &[1, 2, 3].map(order));
    let letters = session.ok(&format!("READ FLOW dlq.{processor}")).data;
    let letter: Value = serde_json::from_str(&letters[0]).unwrap();
    assert_eq!((letters.len(), &letter["data"]), (1, &json!({"amount": 0})));
    let reason = letter["deadletterreason"].as_str().unwrap();
    assert!(reason.contains("schema at /amount: "), "{reason}");

    // What the destination says by now counts.
    session.ok(&format!("UPDATE FLOW {to} schema="));
    let described = session.ok(&format!("DESCRIBE PROCESSOR {processor}"));
    assert_eq!(described.attribute("validate"), Some("dead-letter"));
    session.ok(&format!("PAUSE PROCESSOR {processor}"));
    session.ok(&format!("RESUME PROCESSOR {processor}"));
    taken(&mut session, &from, "cloudevents", &order(0));
    await_orders(&mut session, &to, &[1, 2, 3, 0].map(order));
}
