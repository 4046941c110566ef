//! Resolution against embedded name servers, over the wire.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use eson_names::embedded::{EmbeddedServer, EmbeddedZone};
use eson_names::{
    FlowRecords, HostRecords, NamespaceRecords, QueueRecords, Record, RecordData, Registrar,
    ResolveErrorKind, Resolver, ResolverConfig, Security, Step, StubZone, Target, Trace,
};
use eson_protocol::{BrokerKind, Name, PayloadAttributes};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn target(host: &str, port: u16) -> Target {
    (name(host), port).into()
}

fn record(owner: &str, data: RecordData) -> Record {
    Record {
        owner: format!("{owner}.orange.example."),
        ttl: 60,
        data,
    }
}

fn srv(owner: &str, port: u16, target: &str) -> Record {
    record(
        owner,
        RecordData::Srv {
            priority: 0,
            weight: 0,
            port,
            target: target.to_owned(),
        },
    )
}

fn text(owner: &str, strings: &[&str]) -> Record {
    let strings = strings.iter().map(|text| (*text).to_owned()).collect();
    record(owner, RecordData::Txt(strings))
}

fn arrivals() -> FlowRecords {
    FlowRecords {
        flow: name("arrivals.airport.flows.orange.example"),
        namespace: name("flows.orange.example"),
        agent: target("fnaa.orange.example", 61000),
        agent_tls: true,
        queue: Some(QueueRecords {
            servers: vec![target("fnaa.orange.example", 9092)],
            kind: BrokerKind::Kafka,
            tls: false,
            queue: "arrivals_v1".to_owned(),
            payload: PayloadAttributes {
                content_type: Some("application/json; charset=utf-8".to_owned()),
                schema: Some("https://orange.example/arrivals.json".to_owned()),
                schema_digest: Some(format!("sha256:{}", "0".repeat(64))),
                schema_registry: Some("https://registry.orange.example".to_owned()),
            },
        }),
        owner: "orange-1".to_owned(),
        listed: true,
        ttl: 60,
    }
}

/// A participant's name server with the flow `arrivals`, and a resolver that knows it.
struct Orange {
    server: EmbeddedServer,
    resolver: Resolver,
}

fn config(server: SocketAddr) -> ResolverConfig {
    let stub = StubZone {
        zone: name("orange.example"),
        servers: vec![server],
    };
    ResolverConfig {
        stub_zones: vec![stub],
        timeout: Duration::from_secs(20),
        ..ResolverConfig::default()
    }
}

impl Orange {
    async fn start(more: Vec<Record>) -> Self {
        let host = HostRecords {
            agent: target("fnaa.orange.example", 61000),
            addresses: vec![LOOPBACK],
            ttl: 60,
        };
        let zone = |zone: &str, records| EmbeddedZone {
            zone: name(zone),
            server: name("fnaa.orange.example"),
            records,
        };
        let zones = vec![
            zone("orange.example", [host.records(), more].concat()),
            zone("flows.orange.example", Vec::new()),
        ];
        let server = EmbeddedServer::start((LOOPBACK, 0).into(), zones).await;
        let server = server.expect("a server");
        let registered = server.registrar().register(&arrivals()).await;
        registered.expect("registered");
        let resolver = Resolver::new(config(server.address()));
        Self { server, resolver }
    }

    async fn error(&self, flow: &str) -> ResolveErrorKind {
        let resolved = self.resolver.resolve(&name(flow)).await;
        let error = resolved.expect_err(flow);
        let asked = !matches!(error.kind, ResolveErrorKind::NoServer { .. });
        assert_eq!(
            !error.trace.steps().is_empty(),
            asked,
            "the trace comes along"
        );
        error.kind
    }
}

fn questions(trace: &Trace) -> usize {
    let asked = |step: &&Step| matches!(step, Step::Query { .. });
    trace.steps().iter().filter(asked).count()
}

#[tokio::test]
async fn everything_that_is_published_is_found() {
    let orange = Orange::start(Vec::new()).await;
    let flow = name("Arrivals.airport.flows.orange.example.");
    let found = orange.resolver.resolve(&flow).await.expect("found");
    assert_eq!(found.flow, flow);
    assert_eq!(found.zone, name("flows.orange.example"));
    assert!(found.agent_tls);
    let agent = &found.agents[0];
    assert_eq!(
        (agent.host.as_str(), agent.port),
        ("fnaa.orange.example", 61000)
    );
    assert_eq!(agent.addresses, [LOOPBACK]);
    assert!(matches!(&found.security, Security::Insecure { why } if why.contains("trust anchor")));
    let queue = found.queue.expect("a queue");
    let published = arrivals().queue.expect("a queue");
    assert_eq!((queue.kind, queue.tls), (published.kind, published.tls));
    assert_eq!(queue.servers, published.servers);
    assert_eq!(queue.queue, "arrivals_v1");
    assert_eq!(queue.payload, published.payload);
}

#[tokio::test]
async fn the_trace_reads_like_the_drafts_transcripts() {
    let orange = Orange::start(Vec::new()).await;
    let agent = name("fnaa.orange.example");
    let found = orange.resolver.resolve_agent(&agent).await.expect("found");
    let server = orange.server.address().to_string();
    let printed = found.trace.to_string().replace(&server, "127.0.0.1:53");
    let expected = [
        "Resolving SRV for fnaa.orange.example using server 127.0.0.1:53",
        "Executing query fnaa.orange.example. IN 33 using server 127.0.0.1:53",
        "Executing successful: [fnaa.orange.example.\t60\tIN\tSRV\t0 0 61000 fnaa.orange.example.]",
        "Resolving A for fnaa.orange.example using server 127.0.0.1:53",
        "Executing query fnaa.orange.example. IN 1 using server 127.0.0.1:53",
        "Executing successful: [fnaa.orange.example.\t60\tIN\tA\t127.0.0.1]",
    ];
    let lines: Vec<&str> = printed.lines().collect();
    let at = lines.iter().position(|line| *line == expected[0]);
    let at = at.unwrap_or_else(|| panic!("{printed}"));
    assert_eq!(lines[at..at + expected.len()], expected);
}

/// What the proof of concept publishes: SRV at the flow's name, SRV at the FNAA's.
#[tokio::test]
async fn the_proof_of_concepts_records_suffice() {
    let orange = Orange::start(vec![srv("time", 61000, "fnaa.orange.example.")]).await;
    let flow = name("time.orange.example");
    let found = orange.resolver.resolve(&flow).await.expect("found");
    assert_eq!(found.agents[0].port, 61000);
    assert!(!found.agent_tls && found.queue.is_none());
    let agent = name("fnaa.orange.example");
    let found = orange.resolver.resolve_agent(&agent).await.expect("found");
    assert_eq!(found.agents[0].addresses, [LOOPBACK]);
    assert_eq!(found.zone, name("orange.example"));
}

/// The draft's example writes all attributes into one string.
#[tokio::test]
async fn the_drafts_one_string_is_read() {
    let orange = Orange::start(vec![
        record(
            "drafted",
            RecordData::Ptr("_flow._tcp.drafted.orange.example.".to_owned()),
        ),
        srv("_flow._tcp.drafted", 65432, "fnaa.orange.example."),
        text("_flow._tcp.drafted", &["tls"]),
        srv("_queue._flow._tcp.drafted", 9092, "fnaa.orange.example."),
        text("_queue._flow._tcp.drafted", &["broker-type=kafka tls"]),
    ])
    .await;
    let flow = name("drafted.orange.example");
    let found = orange.resolver.resolve(&flow).await.expect("found");
    let queue = found.queue.expect("a queue");
    assert!(found.agent_tls && queue.tls);
    assert_eq!(queue.kind, BrokerKind::Kafka);
    assert_eq!(queue.queue, "drafted.orange.example");
}

#[tokio::test]
async fn a_queue_of_an_unknown_kind_is_left_out_and_noted() {
    let orange = Orange::start(vec![
        record(
            "new",
            RecordData::Ptr("_flow._tcp.new.orange.example.".to_owned()),
        ),
        srv("_flow._tcp.new", 1, "fnaa.orange.example."),
        srv("_queue._flow._tcp.new", 9092, "fnaa.orange.example."),
        text("_queue._flow._tcp.new", &["broker-type=carrier-pigeon"]),
    ])
    .await;
    let flow = name("new.orange.example");
    let found = orange.resolver.resolve(&flow).await.expect("found");
    assert!(found.queue.is_none());
    assert!(found.trace.to_string().contains("carrier-pigeon"));
}

/// A private flow has no records: its namespace tells whom to ask.
#[tokio::test]
async fn a_private_flow_leads_to_its_namespaces_fnaa() {
    let orange = Orange::start(Vec::new()).await;
    let namespace = NamespaceRecords {
        namespace: name("flows.orange.example"),
        agent: target("fnaa.orange.example", 61001),
        agent_tls: true,
        owner: "orange-1".to_owned(),
        ttl: 60,
    };
    let registrar = orange.server.registrar();
    let registered = registrar.register_namespace(&namespace).await;
    registered.expect("registered");
    let flow = name("secret.deep.down.flows.orange.example");
    let found = orange.resolver.resolve(&flow).await.expect("found");
    assert_eq!(found.agents[0].port, 61001);
    assert!(found.agent_tls && found.queue.is_none());
    let agent = orange.resolver.resolve_agent(&namespace.namespace).await;
    assert_eq!(agent.expect("found").agents, found.agents);
}

#[tokio::test]
async fn what_is_missing_or_makes_no_sense_is_said() {
    let orange = Orange::start(vec![
        srv("closed", 0, "."),
        srv("homeless", 1, "nowhere.orange.example."),
        srv("strange", 1, "not_a_host.orange.example."),
    ])
    .await;
    let kind = orange.error("nothing.flows.orange.example").await;
    assert!(
        matches!(&kind, ResolveErrorKind::NotFound { what: "flow", .. }),
        "{kind}"
    );
    let kind = orange.error("closed.orange.example").await;
    assert!(
        matches!(&kind, ResolveErrorKind::NotOffered { .. }),
        "{kind}"
    );
    let kind = orange.error("homeless.orange.example").await;
    assert!(
        matches!(
            &kind,
            ResolveErrorKind::NotFound {
                what: "address",
                ..
            }
        ),
        "{kind}"
    );
    let kind = orange.error("strange.orange.example").await;
    assert!(
        matches!(&kind, ResolveErrorKind::Malformed { .. }),
        "{kind}"
    );
    let kind = orange.error("flow.green.example").await;
    assert!(matches!(&kind, ResolveErrorKind::NoServer { .. }), "{kind}");
    assert!(kind.to_string().contains("nameserver"));
}

#[tokio::test]
async fn answers_are_kept_until_they_are_forgotten() {
    let orange = Orange::start(Vec::new()).await;
    let flow = arrivals().flow;
    let first = orange.resolver.resolve(&flow).await.expect("found");
    assert!(questions(&first.trace) >= 7, "{}", first.trace);
    let second = orange.resolver.resolve(&flow).await.expect("found");
    assert_eq!(questions(&second.trace), 0, "{}", second.trace);
    let moved = FlowRecords {
        agent: target("fnaa.orange.example", 61002),
        ..arrivals()
    };
    let registered = orange.server.registrar().register(&moved).await;
    registered.expect("registered");
    orange.resolver.forget(&flow);
    let third = orange.resolver.resolve(&flow).await.expect("found");
    assert_eq!(third.agents[0].port, 61002);
    assert_eq!(questions(&third.trace), questions(&first.trace));
}

#[tokio::test]
async fn a_server_that_is_down_is_passed_over_or_named() {
    let orange = Orange::start(Vec::new()).await;
    let closed = tokio::net::UdpSocket::bind((LOOPBACK, 0))
        .await
        .expect("a port");
    let nobody = closed.local_addr().expect("an address");
    drop(closed);
    let mut config = config(orange.server.address());
    config.stub_zones[0].servers.insert(0, nobody);
    let found = Resolver::new(config.clone())
        .resolve(&arrivals().flow)
        .await;
    let trace = found.expect("the second answers").trace.to_string();
    assert!(
        trace.contains(&format!("Executing failed at {nobody}")),
        "{trace}"
    );
    config.stub_zones[0].servers.truncate(1);
    let resolved = Resolver::new(config).resolve(&arrivals().flow).await;
    let error = resolved.expect_err("nobody answers");
    assert!(
        matches!(error.kind, ResolveErrorKind::Unreachable { .. }),
        "{error}"
    );
    assert!(error.is_transient() && error.to_string().contains(&nobody.to_string()));
    assert_eq!(questions(&error.trace), 2, "each attempt is in the trace");
}

/// However many questions a name leads to.
#[tokio::test]
async fn a_resolution_ends_at_its_deadline() {
    let silent = tokio::net::UdpSocket::bind((LOOPBACK, 0)).await;
    let silent = silent.expect("a socket");
    let config = ResolverConfig {
        deadline: Duration::from_millis(1),
        ..config(silent.local_addr().expect("an address"))
    };
    let resolver = Resolver::new(config);
    let error = resolver.resolve(&arrivals().flow).await;
    let error = error.expect_err("nobody answers");
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("not resolved within"), "{error}");
    let host = resolver.lookup_host("fnaa.orange.example").await;
    assert!(host.expect_err("nobody answers").is_transient());
}

#[tokio::test]
async fn a_server_that_refuses_is_named_as_failing() {
    let orange = Orange::start(Vec::new()).await;
    let config = ResolverConfig {
        nameservers: vec![orange.server.address()],
        ..ResolverConfig::default()
    };
    let resolved = Resolver::new(config)
        .resolve(&name("flow.green.example"))
        .await;
    let error = resolved.expect_err("not its zone");
    let refused =
        matches!(&error.kind, ResolveErrorKind::Failed { rcode, .. } if rcode == "REFUSED");
    assert!(refused, "{error}");
}

#[tokio::test]
async fn hosts_are_looked_up() {
    let orange = Orange::start(vec![record(
        "six",
        RecordData::Aaaa("2001:db8::1".parse().expect("an address")),
    )])
    .await;
    let resolver = &orange.resolver;
    for (host, expected) in [
        ("fnaa.orange.example", "127.0.0.1"),
        ("six.orange.example", "2001:db8::1"),
        ("192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("localhost", "127.0.0.1"),
    ] {
        let found = resolver.lookup_host(host).await.expect(host);
        assert_eq!(found[0].to_string(), expected);
    }
    let missing = resolver.lookup_host("no.orange.example").await;
    let missing = missing.expect_err("no such host").kind;
    assert!(matches!(
        missing,
        ResolveErrorKind::NotFound {
            what: "address",
            ..
        }
    ));
    let bad = resolver
        .lookup_host("a..b")
        .await
        .expect_err("no name")
        .kind;
    assert!(matches!(bad, ResolveErrorKind::BadName { .. }));
}

/// More than fits in a datagram comes over TCP.
#[tokio::test]
async fn a_long_answer_is_fetched_over_tcp() {
    let filler: Vec<String> = (0..8)
        .map(|n| format!("x{n}={}", "y".repeat(240)))
        .collect();
    let mut strings: Vec<&str> = filler.iter().map(String::as_str).collect();
    strings.push("tls");
    let orange = Orange::start(vec![
        record(
            "long",
            RecordData::Ptr("_flow._tcp.long.orange.example.".to_owned()),
        ),
        srv("_flow._tcp.long", 1, "fnaa.orange.example."),
        text("_flow._tcp.long", &strings),
    ])
    .await;
    let flow = name("long.orange.example");
    let found = orange.resolver.resolve(&flow).await.expect("found");
    assert!(found.agent_tls, "the last string is read");
    let over_tcp = |step: &Step| {
        matches!(
            step,
            Step::Query {
                tcp: true,
                kind: 16,
                ..
            }
        )
    };
    assert!(found.trace.steps().iter().any(over_tcp), "{}", found.trace);
}
