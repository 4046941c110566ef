//! What the documents show to type does what they say: the tours, and the programs of signals.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use eson_tests::participant::binary;
use eson_tests::process::data_dir;
use eson_tests::wait::check;
use eson_tests::{Ground, RawFnap, World, until};
use serde_json::{Value, json};

use crate::cli::User;
use crate::events::{Event, write};
use crate::stage::{new_flow, world};

const README: &str = include_str!("../../../README.md");
const ON_KAFKA: &str = include_str!("../../../examples/kafka/README.md");
const COMMAND_LINE: &str = include_str!("../../../docs/fnua.md");
const DEMO: &str = include_str!("../../../scripts/demo");

const PATIENCE: Duration = Duration::from_secs(60);

/// What is indented in a document, as a reader would copy it: all that stands between two texts.
fn blocks(document: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in document.lines() {
        match (line.strip_prefix("    "), blocks.last_mut()) {
            (Some(code), Some(block)) => *block += &format!("{code}\n"),
            (None, Some(block)) if line.is_empty() && !block.is_empty() => block.push('\n'),
            _ => blocks.push(String::new()),
        }
    }
    blocks
}

/// The only block with `part` in it.
fn block_with(document: &str, part: &str) -> String {
    let found = blocks(document);
    let found: Vec<_> = found.iter().filter(|it| it.contains(part)).collect();
    assert_eq!(1, found.len(), "blocks with {part}: {found:?}");
    found[0].clone()
}

/// A text with something else in each of some places, all of which have to be there.
fn moved(text: &str, places: &[(&str, String)]) -> String {
    places.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in {text}");
        text.replace(from, to)
    })
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Types a tour into a shell, at the top of the checkout; gives what was printed.
fn type_in(tour: &str) -> String {
    let done = Command::new("timeout")
        .arg(PATIENCE.as_secs().to_string())
        .args(["bash", "-euxo", "pipefail", "-c", tour])
        .current_dir(top())
        .output()
        .unwrap();
    assert!(done.status.success(), "{tour}\n{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

/// `examples/demo.flow.yml` for these participants, wherever they listen.
fn demo_configuration(world: &World) -> PathBuf {
    let text = fs::read_to_string(top().join("examples/demo.flow.yml")).unwrap();
    let (orange, blue) = (&world.orange().identity, &world.blue().identity);
    let places = [
        ("127.0.0.1:61000", orange.fnap.to_string()),
        ("127.0.0.1:51000", blue.fnap.to_string()),
    ];
    let file = data_dir("tour").join("demo.flow.yml");
    fs::write(&file, moved(&text, &places)).unwrap();
    file
}

/// The first events of the demo, as they are read.
fn first_events(count: usize) -> Vec<Value> {
    let text = fs::read_to_string(top().join("data/flights.jsonl")).unwrap();
    json_lines(text.lines().take(count))
}

fn json_lines<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Value> {
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The events among what a tour has printed.
fn events_in(printed: &str) -> Vec<Value> {
    json_lines(printed.lines().filter(|line| line.starts_with('{')))
}

/// Does what the demo has done before it shows the tour: Blue had a subscription, which Orange has
/// ended.
fn do_the_demo(world: &World) {
    let [flow, local] = ["FLOW=", "LOCAL="].map(|name| {
        let named = DEMO.lines().find_map(|line| line.strip_prefix(name));
        named.unwrap_or_else(|| panic!("the demo has no {name}"))
    });
    let mut orange = world.orange().login();
    orange.ok(&format!("CREATE FLOW {flow} access=public"));
    let subscribed = world
        .blue()
        .login()
        .ok(&format!("SUBSCRIBE {flow} LOCAL {local}"));
    let copy = subscribed.data[0].rsplit(' ').next().unwrap_or_default();
    orange.ok(&format!("REMOVE SUBSCRIBER {flow} {copy}"));
}

#[test]
fn the_tour_goes_on_from_where_the_demo_ends() {
    let world = world(Ground::Embedded);
    do_the_demo(world);
    let places = [
        ("target/debug/fnua", binary("fnua").display().to_string()),
        (
            "examples/demo.flow.yml",
            demo_configuration(world).display().to_string(),
        ),
        ("61053", world.orange().identity.dns.port().to_string()),
    ];
    let printed = type_in(&moved(&block_with(README, "fnua() {"), &places));
    assert_eq!(first_events(3), events_in(&printed));
    let lines: Vec<String> = printed.lines().map(single_spaced).collect();
    for part in ["anonymous active", "SUBSCRIBED TO sub-", "state active"] {
        let shown = lines.iter().any(|line| line.contains(part));
        assert!(shown, "{part} is not in {printed}");
    }
    play_the_telnet_session(world);
}

fn single_spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Says what the person says, and expects what the server said.
fn play_the_telnet_session(world: &World) {
    let typed = block_with(README, "$ telnet");
    let mut session = world.blue().connect();
    for line in typed.trim_end().lines().skip(1) {
        let is_answer = line.starts_with("220 ") || line.contains(SUBSCRIBED);
        match is_answer {
            true => assert_eq!(without_label(line), without_label(&session.line())),
            false => session.send(line),
        }
    }
}

const SUBSCRIBED: &str = " SUBSCRIBED TO ";

/// Each subscription has a label of its own, of the same form.
fn without_label(line: &str) -> String {
    let Some((local, copy)) = line.split_once(SUBSCRIBED) else {
        return line.to_owned();
    };
    let (label, flow) = copy.split_once('.').unwrap_or_default();
    let secret = label.strip_prefix("sub-").unwrap_or_default();
    format!("{local}{SUBSCRIBED}{}-{flow}", secret.len())
}

#[test]
fn the_tour_on_kafka_and_bind_works() {
    let world = world(Ground::Servers);
    let bind = world.bind().address();
    let places = [
        ("target/release/fnua", binary("fnua").display().to_string()),
        (
            "examples/demo.flow.yml",
            demo_configuration(world).display().to_string(),
        ),
        ("127.0.0.1:53053", bind.to_string()),
        ("53053", bind.port().to_string()),
    ];
    let printed = type_in(&moved(&block_with(ON_KAFKA, "fnua() {"), &places));
    assert_eq!(first_events(3), events_in(&printed));
}

/// The programs in jq's language that a document shows, by the names of their files. Each begins
/// with a comment that has the name, and ends with the next one or with an empty line.
fn programs(document: &str) -> BTreeMap<String, String> {
    let mut programs: BTreeMap<String, String> = BTreeMap::new();
    let mut current = None;
    for line in blocks(document).iter().flat_map(|block| block.lines()) {
        let first = line
            .strip_prefix("# ")
            .and_then(|it| it.split([' ', ':']).next());
        match first.filter(|name| name.ends_with(".jq")) {
            Some(name) => current = Some(name.to_owned()),
            None if line.is_empty() => current = None,
            None => {}
        }
        if let Some(name) = &current {
            *programs.entry(name.clone()).or_default() += &format!("{line}\n");
        }
    }
    programs
}

/// What comes in, in its order, and what comes out of a program.
struct Example {
    /// Its file.
    program: &'static str,
    /// Flow, seconds, key, type and content of each event.
    events: Vec<(&'static str, i64, &'static str, &'static str, Value)>,
    /// Each destination with the contents of its events.
    outputs: Vec<(&'static str, Vec<Value>)>,
}

fn examples() -> [Example; 4] {
    let order = |order: u32, amount: u32, price: u32| json!({"order": order, "amount": amount, "price": price});
    let total = |mut data: Value, total: u32| {
        data["total"] = total.into();
        data
    };
    let sale = |shop: &str, amount: u32| json!({"shop": shop, "amount": amount});
    let (right, wrong) = (json!({"ok": true}), json!({"ok": false}));
    let (paid_2, paid_3) = (
        json!({"order": 2, "euro": 9}),
        json!({"order": 3, "euro": 8}),
    );
    [
        Example {
            program: "rich.jq",
            events: vec![
                ("orders", 1, "a", "order", order(1, 2, 501)),
                ("orders", 2, "a", "offer", order(2, 2, 501)),
                ("orders", 3, "a", "order", order(3, 2, 500)),
            ],
            outputs: vec![
                ("large", vec![total(order(1, 2, 501), 1002)]),
                ("small", vec![total(order(3, 2, 500), 1000)]),
            ],
        },
        Example {
            program: "join.jq",
            events: vec![
                ("payments", 1, "a", "payment", paid_3.clone()),
                ("orders", 2, "b", "order", order(1, 1, 1)),
                ("orders", 3, "c", "order", order(2, 1, 9)),
                ("orders", 4, "d", "order", order(3, 1, 8)),
                ("payments", 5, "e", "payment", paid_2.clone()),
            ],
            outputs: vec![(
                "paid",
                vec![
                    json!({"order": order(3, 1, 8), "paid": paid_3}),
                    json!({"order": order(2, 1, 9), "paid": paid_2}),
                ],
            )],
        },
        Example {
            program: "three-failures.jq",
            events: vec![
                ("logins", 1, "ann", "login", wrong.clone()),
                ("logins", 2, "bob", "login", wrong.clone()),
                ("logins", 3, "ann", "login", wrong.clone()),
                ("logins", 4, "bob", "login", wrong.clone()),
                ("logins", 5, "ann", "login", wrong.clone()),
                ("logins", 6, "ann", "login", right.clone()),
                ("logins", 7, "ann", "login", right),
                ("logins", 8, "ann", "login", wrong.clone()),
                ("logins", 9, "bob", "login", wrong),
            ],
            outputs: vec![(
                "alerts",
                vec![
                    json!({"user": "ann", "failures": 3}),
                    json!({"user": "bob", "failures": 3}),
                ],
            )],
        },
        Example {
            program: "count.jq",
            events: vec![
                ("orders", 1, "a", "order", sale("north", 2)),
                ("orders", 2, "b", "order", sale("south", 3)),
                ("orders", 59, "c", "order", sale("north", 4)),
                // It is in a later minute, which goes on.
                ("orders", 180, "d", "order", sale("north", 8)),
            ],
            outputs: vec![(
                "counts",
                vec![
                    json!({"shop": "north", "from": MINUTE, "orders": 2, "sum": 6}),
                    json!({"shop": "south", "from": MINUTE, "orders": 1, "sum": 3}),
                ],
            )],
        },
    ]
}

/// Where a minute begins, in milliseconds since 1970.
const MINUTE: i64 = 28_333_333 * 60_000;

#[test]
fn the_programs_of_signals_do_what_they_say() {
    let shown = programs(COMMAND_LINE);
    let examples = examples();
    let mut tried: Vec<_> = examples.iter().map(|it| it.program).collect();
    tried.sort_unstable();
    assert_eq!(shown.keys().collect::<Vec<_>>(), tried);
    for example in examples {
        run(&example, &shown[example.program]);
    }
}

fn run(example: &Example, program: &str) {
    let world = world(Ground::Embedded);
    let user = User::of(world, world.orange());
    let mut session = world.orange().login();
    let file = data_dir("shown").join(example.program);
    fs::write(&file, program).unwrap();
    let apart = new_flow(world.orange(), "shown");
    let command = command_with(example.program);
    for flow in flows_in(&command) {
        session.ok(&format!("CREATE FLOW {flow}.{apart}"));
    }
    let words = command.split_whitespace().skip(1).map(|word| match word {
        word if is_flow(word) => format!("{word}.{apart}"),
        word if word == example.program => file.display().to_string(),
        word => word.to_owned(),
    });
    let said = user.ok(&words.collect::<Vec<_>>().join(" "));
    let signal = said.trim_end().rsplit(' ').next().unwrap_or_default();
    let mut flow_before = example.events[0].0;
    for (number, event) in example.events.iter().enumerate() {
        // Only within a flow is there an order by itself.
        if std::mem::replace(&mut flow_before, event.0) != event.0 {
            await_records(&mut session, signal, number);
        }
        give(&mut session, &apart, event);
    }
    for (flow, wanted) in &example.outputs {
        let flow = format!("{flow}.{apart}");
        let found = await_contents(&mut session, &flow, wanted.len());
        assert_eq!(*wanted, found, "{} in {flow}", example.program);
    }
    let failed = contents(&mut session, &format!("dlq.{signal}"));
    assert_eq!(Vec::<Value>::new(), failed, "{}", example.program);
    session.ok(&format!("DELETE PROCESSOR {signal}"));
}

/// The command that a document shows for a program.
fn command_with(program: &str) -> String {
    let blocks = blocks(COMMAND_LINE);
    let mut lines = blocks.iter().flat_map(|block| block.lines());
    let ending = format!(" --program {program}");
    let found = lines.find(|line| line.starts_with("fnua signal ") && line.contains(&ending));
    found
        .unwrap_or_else(|| panic!("no command has {ending}"))
        .to_owned()
}

fn flows_in(command: &str) -> impl Iterator<Item = &str> {
    command.split_whitespace().filter(|word| is_flow(word))
}

/// Whether a word of such a command is the name of a flow.
fn is_flow(word: &str) -> bool {
    let plain = word.chars().all(|it| it.is_ascii_lowercase());
    plain && !["fnua", "signal"].contains(&word)
}

fn give(
    session: &mut RawFnap,
    apart: &str,
    (flow, seconds, key, kind, data): &(&str, i64, &str, &str, Value),
) {
    let attributes = [
        ("ce_specversion", "1.0"),
        ("ce_id", "1"),
        ("ce_source", "//shop"),
        ("ce_type", kind),
        ("content-type", "application/json"),
    ];
    let header = |(name, value): (&str, &str)| (name.to_owned(), Some(value.as_bytes().to_vec()));
    let event = Event {
        timestamp: MINUTE + seconds * 1_000,
        key: Some(key.as_bytes().to_vec()),
        value: Some(data.to_string().into_bytes()),
        headers: attributes.map(header).to_vec(),
    };
    let written = write(session, &format!("{flow}.{apart}"), [&event]);
    assert!(written.is_ok(), "{written:?}");
}

fn await_records(session: &mut RawFnap, signal: &str, wanted: usize) {
    until(&format!("{wanted} records of {signal}"), PATIENCE, || {
        let described = session.ok(&format!("DESCRIBE PROCESSOR {signal}"));
        let reached = described.attribute("records") == Some(wanted.to_string().as_str());
        check(reached, || format!("{described:?}"))
    });
}

/// The contents of a flow's events, as soon as there are so many.
fn await_contents(session: &mut RawFnap, flow: &str, count: usize) -> Vec<Value> {
    until(&format!("{count} events in {flow}"), PATIENCE, || {
        let found = contents(session, flow);
        match found.len() >= count {
            true => Ok(found),
            false => Err(format!("{found:?}")),
        }
    })
}

fn contents(session: &mut RawFnap, flow: &str) -> Vec<Value> {
    let answer = session.ok(&format!("READ FLOW {flow} from=earliest"));
    let events = json_lines(answer.data.iter().map(String::as_str));
    events.iter().map(|event| event["data"].clone()).collect()
}
