//! Signals as a user runs them: new events by a program of his own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use eson_tests::Certificates;
use eson_tests::ports::free_port;
use eson_tests::process::{data_dir, signal};
use eson_tests::wait::check;
use eson_tests::{Ground, Participant, RawFnap, World, until};
use serde_json::Value;

use crate::cli::User;
use crate::stage::{new_flow, on_all_grounds, world};

const PATIENCE: Duration = Duration::from_secs(60);

on_all_grounds!(
    a_signal_from_create_to_delete,
    what_is_no_signal_is_refused,
    signals_survive_the_end_of_every_part,
    flows_are_joined_and_counted_in_windows,
);

/// So many new flows.
fn flows<const COUNT: usize>(participant: &Participant, name: &str) -> [String; COUNT] {
    let mut session = participant.login();
    [(); COUNT].map(|()| {
        let flow = new_flow(participant, name);
        session.ok(&format!("CREATE FLOW {flow}"));
        flow
    })
}

fn program(text: &str) -> PathBuf {
    let file = data_dir("program").join("program.jq");
    fs::write(&file, text).unwrap();
    file
}

/// Orders with these amounts.
fn orders(amounts: std::ops::Range<u32>) -> String {
    let line = |amount: u32| {
        let id = format!("\"id\":\"{amount}\",\"source\":\"//shop\",\"type\":\"order\"");
        let data = format!("\"data\":{{\"amount\":{amount}}}");
        format!(
            "{{\"specversion\":\"1.0\",{id},\"partitionkey\":\"{}\",{data}}}\n",
            amount % 5
        )
    };
    amounts.map(line).collect()
}

/// The CloudEvents in a flow, by their ids.
fn events(session: &mut RawFnap, flow: &str) -> Vec<Value> {
    let answer = session.ok(&format!("READ FLOW {flow} from=earliest"));
    let events = answer.data.iter().map(|line| serde_json::from_str(line));
    events.collect::<Result<_, _>>().unwrap()
}

fn amounts(session: &mut RawFnap, flow: &str) -> Vec<u64> {
    let events = events(session, flow);
    let mut amounts: Vec<u64> = events
        .iter()
        .map(|event| event["data"]["amount"].as_u64().expect("an amount"))
        .collect();
    amounts.sort_unstable();
    amounts
}

fn await_amounts(session: &mut RawFnap, flow: &str, wanted: impl Iterator<Item = u64>) {
    let wanted: Vec<u64> = wanted.collect();
    until(
        &format!("{} events in {flow}", wanted.len()),
        PATIENCE,
        || {
            let found = amounts(session, flow);
            check(found == wanted, || format!("{} are there", found.len()))
        },
    );
}

fn await_described(session: &mut RawFnap, processor: &str, wanted: &[(&str, &str)]) {
    until(&format!("{processor} to be {wanted:?}"), PATIENCE, || {
        let described = session.ok(&format!("DESCRIBE PROCESSOR {processor}"));
        let is = |(key, value): &(&str, &str)| described.attribute(key) == Some(value);
        check(wanted.iter().all(is), || format!("{described:?}"))
    });
}

fn a_signal_from_create_to_delete(ground: Ground) {
    let world = world(ground);
    let orange = world.orange();
    let user = User::of(world, orange);
    let mut session = orange.login();
    let [source, large, small] = flows::<3>(orange, "sorted");
    let name = new_flow(orange, "sorter");
    user.write(&source, &orders(0..100));
    let file = program(&format!(
        "# Large orders apart; nobody buys for 13.\n\
         if .data.amount == 13 then error(\"unlucky\")\n\
         elif .data.amount >= 90 then to(\"{large}\")\n\
         elif .data.amount < 20 then to(\"{small}\")\n\
         else empty end"
    ));
    let arguments = format!("--program {} --name {name}", file.display());
    user.ok(&format!(
        "signal {source} --to {large} --to {small} {arguments}"
    ));
    await_amounts(&mut session, &large, 90..100);
    await_amounts(&mut session, &small, (0..20).filter(|amount| *amount != 13));

    let dead_letters = format!("dlq.{name}");
    await_amounts(&mut session, &dead_letters, 13..14);
    let dead = &events(&mut session, &dead_letters)[0];
    assert_eq!(dead["deadletterreason"], "unlucky");
    assert_eq!(dead["sourceflow"], source.as_str());
    assert_eq!(dead["id"], "13");
    let wanted = [
        ("type", "signal"),
        ("processor-state", "running"),
        ("records", "100"),
        ("lag", "0"),
        ("dead-letters-to", &dead_letters),
        ("dead-letters", "1"),
    ];
    await_described(&mut session, &name, &wanted);
    let described = user.ok(&format!("describe processor {name} -o json"));
    assert!(described.contains("nobody buys for 13"), "{described}");

    let other = program("select(.data.amount == 5000) | .data.seen = true");
    user.ok(&format!(
        "update processor {name} --program {}",
        other.display()
    ));
    user.write(&source, &orders(4990..5010));
    until("the new program", PATIENCE, || {
        let all = events(&mut session, &large);
        let seen = all.iter().filter(|event| event["data"]["seen"] == true);
        check(seen.count() == 1, || format!("{all:?}"))
    });
    user.ok(&format!("pause processor {name}"));
    user.write(&source, &orders(5000..5001));
    await_described(&mut session, &name, &[("processor-state", "paused")]);
    user.ok(&format!("resume processor {name}"));
    await_described(
        &mut session,
        &name,
        &[("lag", "0"), ("processor-state", "running")],
    );
    user.ok(&format!("stop processor {name}"));
    user.ok(&format!("delete processor {name}"));
    assert_eq!(amounts(&mut session, &dead_letters), [13], "they stay");
}

fn what_is_no_signal_is_refused(ground: Ground) {
    let world = world(ground);
    let orange = world.orange();
    let user = User::of(world, orange);
    let mut session = orange.login();
    let [source, destination] = flows::<2>(orange, "refused");
    let wrong = program(".data\n| select(.amount > )");
    let name = new_flow(orange, "wrong");
    let told = user.fails(
        1,
        &format!(
            "signal {source} {destination} --program {} --name {name}",
            wrong.display()
        ),
    );
    assert!(told.contains("line 2, column 20: expected term"), "{told}");
    until("nothing is left of it", PATIENCE, || {
        let processor = session.ask(&format!("DESCRIBE PROCESSOR {name}"));
        let flow = session.ask(&format!("DESCRIBE FLOW dlq.{name}"));
        let gone = [&processor, &flow]
            .iter()
            .all(|it| it.status.starts_with("550"));
        check(gone, || format!("{processor:?} {flow:?}"))
    });
    user.fails(2, &format!("signal {source} --program {}", wrong.display()));
    user.fails(
        2,
        &format!("signal {source} {destination} --program /nowhere.jq"),
    );
    for (command, code, text) in [
        (
            format!("type=bridge from={source} to={destination} program=."),
            "501 [ARGUMENT]",
            "type=signal only",
        ),
        (
            format!("type=signal from={source} to={source} program=."),
            "555 [LOOP]",
            "read and written",
        ),
        (
            format!("type=signal from={source} to={destination} grpc=nowhere"),
            "501 [ARGUMENT]",
            "HOST:PORT",
        ),
    ] {
        let refused = session.refused(&format!("CREATE PROCESSOR {name} {command}"), code);
        assert!(refused.status.contains(text), "{refused:?}");
    }
    let good = format!("type=signal from={source} to={destination} program=.");
    session.ok(&format!("CREATE PROCESSOR {name} {good}"));
    let describe = format!("DESCRIBE PROCESSOR {name}");
    let before = session.ok(&describe);
    let worse = format!("UPDATE PROCESSOR {name} program=select( program=.x");
    let refused = session.refused(&worse, "501 [ARGUMENT]");
    assert!(refused.status.contains("line 1, column 7"), "{refused:?}");
    let after = session.ok(&describe);
    for key in ["program", "failure", "activity"] {
        assert_eq!(before.attribute(key), after.attribute(key));
    }
    let back = format!("type=bridge from=dlq.{name} to={source}");
    let refused = session.refused(
        &format!("CREATE PROCESSOR {name}-back {back}"),
        "555 [LOOP]",
    );
    assert!(refused.status.contains("go round"), "{refused:?}");
    session.ok(&format!("DELETE PROCESSOR {name}"));
}

fn signals_survive_the_end_of_every_part(ground: Ground) {
    let mut world = World::beside_others(ground, &["signals.example"], &|text| text);
    let [source, even, odd] = flows::<3>(world.orange(), "lasting");
    let mut session = world.orange().login();
    let code = format!("if .data.amount % 2 == 0 then to(\"{even}\") else to(\"{odd}\") end");
    let code = code.replace('"', "\\\"");
    session.ok(&format!(
        "CREATE PROCESSOR sorting type=signal from={source} to={even},{odd} program=\"{code}\""
    ));
    let write = |session: &mut RawFnap, amounts| {
        let lines = orders(amounts);
        session.write_flow(&format!("WRITE FLOW {source}"), lines.lines())
    };
    write(&mut session, 0..1_000);
    for id in world.orange().processors() {
        signal(id, "KILL");
    }
    write(&mut session, 1_000..2_000);
    await_amounts(&mut session, &even, (0..2_000).step_by(2));
    write(&mut session, 2_000..3_000);
    world.participants[0].kill9();
    world.participants[0].restart();
    let mut session = world.orange().login();
    write(&mut session, 3_000..4_000);
    await_amounts(&mut session, &even, (0..4_000).step_by(2));
    await_amounts(&mut session, &odd, (1..4_000).step_by(2));
    let per_key: BTreeMap<String, Vec<u64>> = events(&mut session, &odd).iter().fold(
        BTreeMap::new(),
        |mut all: BTreeMap<String, Vec<u64>>, event| {
            let key = event["partitionkey"].as_str().expect("a key").to_owned();
            let amount = event["data"]["amount"].as_u64().expect("an amount");
            all.entry(key).or_default().push(amount);
            all
        },
    );
    for (key, amounts) in per_key {
        assert!(amounts.is_sorted(), "the order of key {key}");
    }
}

fn flows_are_joined_and_counted_in_windows(ground: Ground) {
    let world = world(ground);
    let orange = world.orange();
    let user = User::of(world, orange);
    let mut session = orange.login();
    let [orders_flow, payments, paid, counts] = flows::<4>(orange, "windows");
    let join = program("$window | select(length == 2) | {amount: .[0].data.amount}");
    let by = "--window 1h --by .data.amount";
    user.ok(&format!(
        "signal {orders_flow} {payments} --to {paid} --program {} {by} --name {paid}-joined",
        join.display()
    ));
    let count = program("{amount: length, $key}");
    user.ok(&format!(
        "signal {orders_flow} {counts} --program {} --window 2s --tumbling --name {counts}-counted",
        count.display()
    ));
    user.write(&orders_flow, &orders(0..50));
    user.write(&payments, &orders(25..75));
    await_amounts(&mut session, &paid, 25..50);
    until("every order is counted", PATIENCE, || {
        let counted: u64 = amounts(&mut session, &counts).iter().sum();
        check(counted == 50, || format!("{counted} are"))
    });
    let described = user.ok(&format!("describe processor {counts}-counted"));
    assert!(described.contains("tumbling"), "{described}");
    for name in [format!("{paid}-joined"), format!("{counts}-counted")] {
        user.ok(&format!("delete processor {name}"));
    }
}

/// A service that is running; it ends with this value.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// What `scripts/setup-tests` has prepared.
fn prepared(path: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache =
        cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    cache.join("eson-test").join(path)
}

/// The Python example.
fn python() -> Command {
    let mut command = Command::new(prepared("python/bin/python"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/signal/python/program.py"));
    command
}

/// The Go example.
fn go() -> Command {
    Command::new(prepared("signal-program-go"))
}

fn start(mut program: Command, port: u16) -> Service {
    program.arg(format!("127.0.0.1:{port}"));
    run(program)
}

fn run(mut program: Command) -> Service {
    Service(program.spawn().expect("run scripts/setup-tests"))
}

#[test]
fn a_program_in_python_is_asked_by_grpc() {
    is_asked_by_grpc("python.example", python);
}

#[test]
fn a_program_in_go_is_asked_by_grpc() {
    is_asked_by_grpc("go.example", go);
}

fn is_asked_by_grpc(zone: &str, program: fn() -> Command) {
    let port = free_port();
    let start = || start(program(), port);
    is_asked(zone, &format!("grpc://127.0.0.1:{port}"), "", start);
}

#[test]
fn a_program_in_python_is_asked_over_tls_once_its_authority_is_trusted() {
    is_asked_over_tls("python-secret.example", python);
}

#[test]
fn a_program_in_go_is_asked_over_tls_once_its_authority_is_trusted() {
    is_asked_over_tls("go-secret.example", go);
}

fn is_asked_over_tls(zone: &str, program: fn() -> Command) {
    let port = free_port();
    let dir = data_dir("program");
    let certificates = Certificates::make(&dir, &["127.0.0.1"]);
    let start = || {
        let mut command = program();
        command.arg(format!("127.0.0.1:{port}"));
        command.args([&certificates.key, &certificates.chain]);
        run(command)
    };
    let trusted = format!(", program-ca: {}", certificates.authority.display());
    let program = format!("grpcs://127.0.0.1:{port}");
    is_asked(zone, &program, &trusted, start);
}

fn is_asked(zone: &str, program: &str, settings: &str, start: impl Fn() -> Service) {
    let trusting = |text: String| {
        format!("{text}processor: {{ program-networks: [127.0.0.0/8]{settings} }}\n")
    };
    let world = World::beside_others(Ground::Embedded, &[zone], &trusting);
    let orange = world.orange();
    let user = User::of(&world, orange);
    let mut session = orange.login();
    let [source] = flows::<1>(orange, "asked");
    let [large, small] = ["large", "small"].map(|label| orange.identity.flow(label));
    for flow in [&large, &small] {
        session.ok(&format!("CREATE FLOW {flow}"));
    }
    let name = new_flow(orange, "asking");
    user.write(&source, &orders(0..200));
    let service = start();
    user.ok(&format!(
        "signal {source} --to {large} {small} --program {program} --name {name}"
    ));
    await_amounts(&mut session, &large, 100..200);
    await_amounts(
        &mut session,
        &small,
        (0..100).filter(|amount| *amount != 13),
    );
    await_amounts(&mut session, &format!("dlq.{name}"), 13..14);
    let dead = &events(&mut session, &format!("dlq.{name}"))[0];
    assert_eq!(dead["deadletterreason"], "nobody buys for 13");

    drop(service);
    user.write(&source, &orders(200..210));
    await_described(&mut session, &name, &[("processor-state", "retrying")]);
    let _service = start();
    await_amounts(&mut session, &large, 100..210);
}

#[test]
fn a_program_is_not_asked_while_nobody_vouches_for_it() {
    let port = free_port();
    let dir = data_dir("program");
    let certificates = Certificates::make(&dir, &["127.0.0.1"]);
    let mut command = python();
    command.arg(format!("127.0.0.1:{port}"));
    command.args([&certificates.key, &certificates.chain]);
    let _service = run(command);
    let trusting =
        |text: String| format!("{text}processor: {{ program-networks: [127.0.0.0/8] }}\n");
    let world = World::beside_others(Ground::Embedded, &["stranger.example"], &trusting);
    let orange = world.orange();
    let user = User::of(&world, orange);
    let [source, copy] = flows::<2>(orange, "asked");
    let name = new_flow(orange, "asking");
    user.write(&source, &orders(0..1));
    user.ok(&format!(
        "signal {source} --to {copy} --program grpcs://127.0.0.1:{port} --name {name}"
    ));
    let mut session = orange.login();
    until("the certificate to be refused", PATIENCE, || {
        let described = session.ok(&format!("DESCRIBE PROCESSOR {name}"));
        let refused = "does not answer: invalid peer certificate: UnknownIssuer";
        let is_told = described.data.iter().any(|line| line.contains(refused));
        check(is_told, || format!("{described:?}"))
    });
    assert!(events(&mut session, &copy).is_empty());
}
