//! Finding agents in DNS.

use std::net::{Ipv4Addr, TcpListener};

use eson_names::embedded::{EmbeddedServer, EmbeddedZone};
use eson_names::{FlowRecords, HostRecords, Record, RecordData, Target};
use eson_protocol::Name;
use tokio::runtime::{Builder, Runtime};

use crate::Home;
use crate::script::{QUIT, Script};

const ANONYMOUS: &str = "
    S: 220 fnaa.unix.ar FNAA
    C: AUTHENTICATE ANONYMOUS
    S: 220 OK
    C:
    S: 220 Authenticated
";

/// The zone `unix.ar`, served on 127.0.0.1.
struct Zone {
    server: EmbeddedServer,
    /// What the server runs on.
    _runtime: Runtime,
}

impl Zone {
    fn serve(records: Vec<Record>) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let zone = EmbeddedZone {
            zone: name("unix.ar"),
            server: name("ns.unix.ar"),
            records,
        };
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let server = runtime.block_on(EmbeddedServer::start(address, vec![zone]));
        Self {
            server: server.expect("a name server"),
            _runtime: runtime,
        }
    }

    fn address(&self) -> String {
        self.server.address().to_string()
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

/// `fnaa.unix.ar` at this port of 127.0.0.1.
fn agent(port: u16) -> Vec<Record> {
    let host = HostRecords {
        agent: Target::from((name("fnaa.unix.ar"), port)),
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        ttl: 60,
    };
    host.records()
}

/// `time.flows.unix.ar`, hosted by `fnaa.unix.ar` at this port.
fn flow(port: u16) -> Vec<Record> {
    let flow = FlowRecords {
        flow: name("time.flows.unix.ar"),
        namespace: name("flows.unix.ar"),
        agent: Target::from((name("fnaa.unix.ar"), port)),
        agent_tls: false,
        queue: None,
        owner: "fnaa.unix.ar".to_owned(),
        listed: false,
        ttl: 60,
    };
    flow.records().expect("a flow that fits in DNS")
}

fn home() -> Home {
    Home::with(
        "agents: [{ name: a, fqdn: fnaa.unix.ar, username: test, password: test, \
         mechanism: PLAIN }]",
    )
}

#[test]
fn an_agent_by_its_name_with_each_step() {
    let script = Script::logged_in("C: WHOAMI\n S: 220 OK");
    let zone = Zone::serve(agent(script.port));
    let outcome = home().run(&["-d", "--nameserver", &zone.address(), "whoami"]);
    assert_eq!(
        (outcome.code, outcome.out.as_str()),
        (0, "OK\n"),
        "{}",
        outcome.error
    );
    script.end();
    let asked = zone.address();
    for expected in [
        format!("Resolving SRV for fnaa.unix.ar using server {asked}\n"),
        format!("Executing query fnaa.unix.ar. IN 33 using server {asked}\n"),
        format!("Resolving A for fnaa.unix.ar using server {asked}\n"),
        "C: Connecting to fnaa.unix.ar:".to_owned(),
    ] {
        assert!(
            outcome.error.contains(&expected),
            "{expected} in {}",
            outcome.error
        );
    }
}

#[test]
fn the_next_host_when_one_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = listener.local_addr().expect("bound").port();
    drop(listener);
    let script = Script::logged_in("C: WHOAMI\n S: 220 OK");
    let mut records = agent(script.port);
    for record in &mut records {
        if let RecordData::Srv { priority, .. } = &mut record.data {
            *priority = 10;
        }
    }
    records.push(Record {
        owner: "fnaa.unix.ar.".to_owned(),
        ttl: 60,
        data: RecordData::Srv {
            priority: 0,
            weight: 0,
            port: closed,
            target: "fnaa.unix.ar.".to_owned(),
        },
    });
    let zone = Zone::serve(records);
    let out = home()
        .run(&["--nameserver", &zone.address(), "whoami"])
        .success();
    script.end();
    assert_eq!(out, "OK\n");
}

#[test]
fn a_public_flow_without_any_configuration() {
    let script = Script::play(&format!(
        "{ANONYMOUS}
         C: READ FLOW time.flows.unix.ar
         S: 220 DATA
         S: {{}}
         S: 220 OK
         {QUIT}"
    ));
    let zone = Zone::serve([agent(script.port), flow(script.port)].concat());
    let arguments = [
        "--nameserver",
        &zone.address(),
        "read",
        "flow://time.flows.unix.ar",
    ];
    let out = Home::empty().run(&arguments).success();
    script.end();
    assert_eq!(out, "{}\n");
}

#[test]
fn where_a_flow_is() {
    let zone = Zone::serve([agent(61000), flow(61000)].concat());
    let home = Home::with(&format!("nameserver: {}", zone.address()));
    let out = home
        .run(&["resolve", "time.flows.unix.ar", "-o", "json"])
        .success();
    let found: serde_json::Value = out.parse().expect("JSON");
    assert_eq!(found["flow"], "time.flows.unix.ar");
    assert_eq!(found["zone"], "unix.ar");
    assert_eq!(found["agent"], "fnaa.unix.ar:61000");
    assert_eq!(found["agent-address"], "127.0.0.1");
    assert_eq!(found["agent-tls"], "no");
}

#[test]
fn a_flow_that_is_not_there_is_3() {
    let zone = Zone::serve(agent(61000));
    let home = Home::with(&format!("nameserver: {}", zone.address()));
    let error = home.run(&["resolve", "time.flows.unix.ar"]).failure(3);
    assert!(error.contains("time.flows.unix.ar"), "{error}");
}
