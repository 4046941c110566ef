//! The draft's use cases by `fnua`, as a person types them.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use eson_tests::participant::{USER, binary};
use eson_tests::process::data_dir;
use eson_tests::wait::check;
use eson_tests::{Ground, Participant, World, until};
use serde_json::Value;

use crate::stage::{new_flow, on_all_grounds, world};

on_all_grounds!(
    the_drafts_use_cases,
    events_are_written_and_read,
    processors_are_run_and_shown,
    the_exchange_is_printed_without_secrets,
);

const PATIENCE: Duration = Duration::from_secs(60);

const BASE64_OF_THE_PASSWORD: &str = "AHRlc3QAdGVzdA==";

/// One user's `.flow.yml` and the name server that he asks.
pub(crate) struct User {
    file: PathBuf,
    nameserver: String,
}

impl User {
    /// Who has an account at the participant, in the draft's keys alone.
    pub(crate) fn of(world: &World, participant: &Participant) -> Self {
        Self::with_password(world, participant, USER.1)
    }

    fn with_password(world: &World, participant: &Participant, password: &str) -> Self {
        let identity = &participant.identity;
        let text = format!(
            "agents:\n  - {{ name: mine, fqdn: {}, username: {}, password: {password}, prefix: my- }}\n\
             namespaces:\n  - {{ name: {}, agent: mine }}\n",
            identity.fnaa(),
            USER.0,
            identity.namespace(),
        );
        let file = data_dir("fnua").join(".flow.yml");
        fs::write(&file, text).unwrap();
        let bind = world.bind.as_ref().map(|bind| bind.address());
        let nameserver = bind.unwrap_or(identity.dns).to_string();
        Self { file, nameserver }
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(binary("fnua"));
        command.arg("--config").arg(&self.file);
        command.args(["--nameserver", &self.nameserver]);
        command.args(arguments.split(' ')).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a command that has to succeed.
    pub(crate) fn ok(&self, arguments: &str) -> String {
        let done = self.run(arguments);
        assert!(done.status.success(), "fnua {arguments}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// Standard error of a command that has to fail with this code.
    pub(crate) fn fails(&self, code: i32, arguments: &str) -> String {
        let done = self.run(arguments);
        assert_eq!(Some(code), done.status.code(), "fnua {arguments}: {done:?}");
        String::from_utf8(done.stderr).unwrap()
    }

    pub(crate) fn write(&self, flow: &str, lines: &str) {
        let mut child = self
            .command(&format!("write {flow}"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(lines.as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success(), "fnua write {flow}");
    }
}

/// Authenticating, creating, describing and subscribing (draft section 6.4).
fn the_drafts_use_cases(ground: Ground) {
    let world = world(ground);
    let (orange, blue) = (
        User::of(world, world.orange()),
        User::of(world, world.blue()),
    );
    let flow = new_flow(world.orange(), "cases");
    orange.ok(&format!("create flow {flow} --access public"));
    let described: Value =
        serde_json::from_str(&orange.ok(&format!("describe flow flow://{flow} -o json"))).unwrap();
    assert!(
        described.to_string().contains(&format!("\"{flow}\"")),
        "{described}"
    );
    assert!(orange.ok("get flows").contains(&flow));
    let local = new_flow(world.blue(), "cases");
    let subscribed = blue.ok(&format!("subscribe {flow} {local}"));
    assert!(
        subscribed.contains(&format!("{local} SUBSCRIBED TO ")),
        "{subscribed}"
    );
    assert!(blue.ok("get subscriptions").contains(&local));
    assert!(
        orange
            .ok(&format!("get subscribers {flow}"))
            .contains("active")
    );
    until("the copy is filled in top", PATIENCE, || {
        let top = orange.ok("top -n 1");
        let row = top.lines().find(|row| row.contains(&format!(".{flow} ")));
        let filled =
            row.is_some_and(|row| row.contains(" subscriber ") && row.contains(" running "));
        check(filled, || top)
    });
    blue.ok(&format!("unsubscribe {local}"));
    assert!(!blue.ok("get subscriptions").contains(&local));
    orange.ok(&format!("delete flow {flow}"));
    assert!(!orange.ok("get flows").contains(&flow));
}

/// Collecting two flows and distributing what was collected, with nothing but `fnua`.
fn processors_are_run_and_shown(ground: Ground) {
    let world = world(ground);
    let orange = User::of(world, world.orange());
    let [one, two, all, copy] = ["one", "two", "all", "copy"].map(|name| {
        let flow = new_flow(world.orange(), name);
        orange.ok(&format!("create flow {flow}"));
        flow
    });
    orange.ok(&format!("collect {one} {two} {all} --fair"));
    orange.ok(&format!("distribute {all} {copy} --name {all}-spread"));
    orange.write(
        &one,
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\"}\n",
    );
    let found = orange.ok(&format!("read {copy} --follow --max 1"));
    let event: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(event["sourceflow"], *one, "{event}");

    let top = orange.ok("top -n 1");
    for name in [format!("{all}-collector"), format!("{all}-spread")] {
        let row = top.lines().find(|row| row.starts_with(&name));
        assert!(row.is_some_and(|row| row.contains(" running ")), "{top}");
    }
    orange.ok(&format!("update processor {all}-spread --to {copy}"));
    orange.ok(&format!("stop processor {all}-collector"));
    let described = orange.ok(&format!("describe processor {all}-collector"));
    assert!(described.contains("stopped"), "{described}");
    let many = vec![&*two; 10_000].join(" ");
    let refused = orange.fails(2, &format!("distribute {one} {many}"));
    assert!(refused.contains("8192"), "{refused}");
    for name in ["collector", "spread"] {
        orange.ok(&format!("delete processor {all}-{name}"));
    }
}

fn events_are_written_and_read(ground: Ground) {
    let world = world(ground);
    let (orange, blue) = (
        User::of(world, world.orange()),
        User::of(world, world.blue()),
    );
    let (flow, local) = (
        new_flow(world.orange(), "typed"),
        new_flow(world.blue(), "typed"),
    );
    orange.ok(&format!("create flow {flow} --access public"));
    blue.ok(&format!("subscribe {flow} {local}"));
    let events: String = (1..=20)
        .map(|id| {
            format!(
                "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"/test\",\"type\":\"example.test\",\"datacontenttype\":\"application/json\",\"data\":{{\"n\":{id}}}}}\n"
            )
        })
        .collect();
    orange.write(&flow, &events);
    let arrived = blue.ok(&format!("read {local} --follow --max 20"));
    let parse = |lines: &str| -> Vec<Value> {
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    assert_eq!(parse(&events), parse(&arrived));
}

fn the_exchange_is_printed_without_secrets(ground: Ground) {
    let world = world(ground);
    let orange = User::of(world, world.orange());
    let flow = new_flow(world.orange(), "debugged");
    let done = orange.run(&format!("-d create flow {flow}"));
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8(done.stderr).unwrap();
    for expected in [
        "Resolving SRV for fnaa.orange.example",
        "C: Connecting to ",
        "C: Got a response: 220 fnaa.orange.example FNAA",
        "C: Got a response: 220 Authenticated",
        &format!("C: Sending command CREATE FLOW {flow}"),
        "C: Sending command QUIT",
    ] {
        assert!(said.contains(expected), "{expected} is not in {said}");
    }
    assert!(!said.contains(BASE64_OF_THE_PASSWORD), "{said}");
}

#[test]
fn exit_codes_tell_what_kind_of_failure_it_was() {
    let world = world(Ground::Embedded);
    let orange = User::of(world, world.orange());
    let unknown = new_flow(world.orange(), "unknown");
    assert!(
        orange
            .fails(1, &format!("describe flow {unknown}"))
            .contains(&unknown)
    );
    orange.fails(2, "create nothing");
    orange.fails(2, "create flow a..b");
    let wrong = User::with_password(world, world.orange(), "wrong");
    wrong.fails(5, "get flows --agent mine");
    let nowhere = User {
        nameserver: world.blue().identity.dns.to_string(),
        ..User::of(world, world.orange())
    };
    nowhere.fails(3, "get flows --agent mine");
}

#[test]
fn nobody_listening_is_told() {
    let mut world = World::beside_others(Ground::Embedded, &["silent.example"], &|text| text);
    let user = User::of(&world, world.orange());
    user.ok("get flows --agent mine");
    let text = fs::read_to_string(&user.file).unwrap();
    let address = world.orange().identity.fnap;
    let with_address = text.replace("username:", &format!("address: '{address}', username:"));
    fs::write(&user.file, with_address).unwrap();
    user.ok("get flows --agent mine");
    world.participants[0].kill9();
    user.fails(4, "get flows --agent mine");
}
