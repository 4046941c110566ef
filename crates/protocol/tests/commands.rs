//! Each command as `docs/fnap.md` spells it.

use eson_protocol::text::{CommandError, SyntaxError, format_command, parse_command, usage};
use eson_protocol::{
    Access, Command, ComponentKind, Delivery, DeliveryOptions, EventFormat, FlowChanges,
    FlowOptions, Limit, Mode, Name, NamespaceOptions, OnGap, OnUnknownSchema, Overlag,
    PayloadAttributes, Positions, Principal, ProcessorOptions, ProcessorType, Program,
    QualityOptions, ReadOptions, RegistryOptions, RemoteSubscribe, Right, Start, StorePosition,
    SubscribeOptions, Validate,
};

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn flow() -> Name {
    name("a.example")
}

/// The line is read as the command, and the command is written as the line.
fn assert_is(line: &str, command: &Command) {
    assert_eq!(parse_command(line).as_ref(), Ok(command), "{line}");
    assert_eq!(format_command(command).as_deref(), Ok(line));
}

/// The line is read as the command, which has a plainer form.
fn assert_reads(line: &str, command: &Command) {
    assert_eq!(parse_command(line).as_ref(), Ok(command), "{line}");
}

fn status(line: &str) -> String {
    let error = parse_command(line).expect_err(line);
    error.status().to_string()
}

#[test]
fn session() {
    for (line, command) in [
        ("STARTTLS", Command::StartTls),
        ("CAPABILITIES", Command::Capabilities),
        ("ENABLE ATTRIBUTES", Command::EnableAttributes),
        ("NOOP", Command::Noop),
        ("HELP", Command::Help),
        ("QUIT", Command::Quit),
        ("WHOAMI", Command::WhoAmI),
    ] {
        assert_is(line, &command);
        assert_reads(&line.to_lowercase(), &command);
    }
}

#[test]
fn authenticate() {
    let authenticate = |mechanism: &str, initial: Option<&[u8]>| Command::Authenticate {
        mechanism: mechanism.to_owned(),
        initial: initial.map(<[u8]>::to_vec),
    };
    assert_is("AUTHENTICATE PLAIN", &authenticate("PLAIN", None));
    let test = authenticate("PLAIN", Some(b"\0test\0test"));
    assert_is("AUTHENTICATE PLAIN AHRlc3QAdGVzdA==", &test);
    assert_reads("authenticate plain AHRlc3QAdGVzdA==", &test);
    assert_is(
        "AUTHENTICATE ANONYMOUS =",
        &authenticate("ANONYMOUS", Some(b"")),
    );
    let scram = authenticate("SCRAM-SHA-256", Some(b"n,,n=t"));
    assert_is("AUTHENTICATE SCRAM-SHA-256 biwsbj10", &scram);
    assert!(status("AUTHENTICATE").starts_with("501 [ARGUMENT] AUTHENTICATE needs a SASL"));
    assert!(status("AUTHENTICATE PLA!N").starts_with("501 [ARGUMENT] `PLA!N` is no SASL"));
    assert!(status("AUTHENTICATE PLAIN YQ== YQ==").starts_with("501 "));
    assert!(!status("AUTHENTICATE PLAIN secret").contains("secret"));
    for misplaced in [
        "test secret",
        "test secret=",
        "secret=x secret=y",
        "test \"secret\"",
    ] {
        let refused = status(&format!("AUTHENTICATE PLAIN {misplaced}"));
        assert!(refused.starts_with("501 "), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }
}

#[test]
fn namespaces() {
    let options = |broker: Option<&str>| NamespaceOptions {
        broker: broker.map(str::to_owned),
    };
    let create = Command::CreateNamespace(flow(), options(Some("main broker")));
    assert_is("CREATE NAMESPACE a.example broker=\"main broker\"", &create);
    let update = Command::UpdateNamespace(flow(), options(None));
    assert_is("UPDATE NAMESPACE a.example", &update);
    assert_is(
        "DESCRIBE NAMESPACE a.example",
        &Command::DescribeNamespace(flow()),
    );
    assert_reads(
        "desc namespace A.Example.",
        &Command::DescribeNamespace(flow()),
    );
    assert_is(
        "DELETE NAMESPACE a.example",
        &Command::DeleteNamespace(flow()),
    );
    assert_is("GET NAMESPACES", &Command::GetNamespaces);
    assert_reads("GET NS", &Command::GetNamespaces);
}

#[test]
fn flows() {
    let all = FlowOptions {
        broker: Some("main".to_owned()),
        queue: Some("orders_v1".to_owned()),
        partitions: Some(4),
        retention: Some(7 * 86_400_000),
        access: Some(Access::Approval),
        payload: PayloadAttributes {
            content_type: Some("text/plain; charset=\"utf-8\"".to_owned()),
            schema: Some("https://a.example/s?v=1".to_owned()),
            schema_digest: Some("sha256:00".to_owned()),
            schema_registry: Some("https://r.example".to_owned()),
        },
        modes: Some(vec![Mode::Copy, Mode::Direct]),
        history: Some(86_400_000),
        quality: Box::new(QualityOptions {
            events_rate: Some(Limit::To(1000)),
            bytes_rate: Some(Limit::To(1 << 20)),
            copy_retention: Some(Limit::To(Limit::NONE)),
            copy_bytes: Some(Limit::Default),
            max_lag: Some(Limit::To(100)),
            overlag: Some(Overlag::Drop),
        }),
    };
    assert_is(
        concat!(
            "CREATE FLOW a.example broker=main queue=orders_v1 partitions=4 retention=7d ",
            r#"access=approval content-type="text/plain; charset=\"utf-8\"" "#,
            "schema=https://a.example/s?v=1 schema-digest=sha256:00 schema-registry=https://r.example modes=copy,direct history=1d ",
            "events-rate=1000 bytes-rate=1MiB copy-retention=none copy-bytes=default ",
            "max-lag=100 overlag=drop",
        ),
        &Command::CreateFlow(flow(), all),
    );
    let forever = FlowOptions {
        retention: Some(u64::MAX),
        payload: PayloadAttributes {
            schema: Some(String::new()),
            ..PayloadAttributes::default()
        },
        ..FlowOptions::default()
    };
    let update = Command::UpdateFlow(flow(), forever);
    assert_is(
        "UPDATE FLOW a.example retention=forever schema=\"\"",
        &update,
    );
    assert_reads("UPDATE FLOW retention=FOREVER schema= a.example", &update);
    assert_is("DESCRIBE FLOW a.example", &Command::DescribeFlow(flow()));
    assert_reads("DESC FLOW flow://a.example", &Command::DescribeFlow(flow()));
    assert_reads("DESC FLOW stream:a.example", &Command::DescribeFlow(flow()));
    assert_is("DELETE FLOW a.example", &Command::DeleteFlow(flow()));
    assert_is("GET FLOWS", &Command::GetFlows(None));
    assert_is("GET FLOWS a.example", &Command::GetFlows(Some(flow())));
    assert_reads("get fl a.example", &Command::GetFlows(Some(flow())));
    assert_is("PAUSE FLOW a.example", &Command::PauseFlow(flow()));
    assert_is("RESUME FLOW a.example", &Command::ResumeFlow(flow()));
    assert_is("STOP FLOW a.example", &Command::StopFlow(flow()));
    assert_is("RESOLVE a.example", &Command::Resolve(flow()));
}

#[test]
fn what_is_wrong_with_a_flow_is_named() {
    for (line, start) in [
        ("CREATE FLOW", "501 [ARGUMENT] CREATE FLOW needs a flow"),
        (
            "CREATE FLOW \"\"",
            "501 [ARGUMENT] CREATE FLOW needs a flow",
        ),
        (
            "CREATE FLOW a.example b",
            "501 [ARGUMENT] CREATE FLOW does not take `b` there",
        ),
        (
            "CREATE FLOW a.example colour=blue",
            "501 [ARGUMENT] CREATE FLOW has no option `colour`",
        ),
        (
            "CREATE FLOW a.example queue=a queue=b",
            "501 [ARGUMENT] the option `queue` is given twice",
        ),
        (
            "CREATE FLOW a.example partitions=-1",
            "501 [ARGUMENT] `-1` is no number",
        ),
        (
            "CREATE FLOW a.example partitions=4294967296",
            "501 [ARGUMENT] `4294967296` is no number",
        ),
        (
            "CREATE FLOW a.example retention=7",
            "501 [ARGUMENT] `7` is no duration; write 7d,",
        ),
        (
            "CREATE FLOW a.example access=all",
            "501 [ARGUMENT] `all` is no kind of access; write public",
        ),
        (
            "CREATE FLOW a..example",
            "501 [ARGUMENT] the name `a..example` has an empty label",
        ),
        (
            "CREATE FLOW flow://a.example:1",
            "501 [ARGUMENT] a flow URI has no port",
        ),
        (
            "CREATE FLOW a.example schema=\"x",
            "500 [SYNTAX] a quoted string is not closed",
        ),
        (
            "CREATE",
            "500 [SYNTAX] CREATE needs one of NAMESPACE, FLOW, PROCESSOR",
        ),
    ] {
        assert!(status(line).starts_with(start), "{line}: {}", status(line));
    }
    let long = "x".repeat(1000);
    assert!(status(&format!("CREATE FLOW a.example {long}")).len() < 150);
}

#[test]
fn rights() {
    let user = Principal::parse("alice@orange.example").expect("a principal");
    let grant = Command::Grant(Right::Read, flow(), user.clone());
    assert_is("GRANT read ON a.example TO alice@orange.example", &grant);
    assert_reads("grant READ on a.example to alice@orange.example", &grant);
    let revoke = Command::Revoke(Right::Write, flow(), user);
    assert_is(
        "REVOKE write ON a.example FROM alice@orange.example",
        &revoke,
    );
    assert_reads("REVOKE write ON a.example TO alice@orange.example", &revoke);
    let everybody = Command::Grant(Right::Admin, flow(), Principal::Anonymous);
    assert_is("GRANT admin ON a.example TO anonymous", &everybody);
    assert_is("GET GRANTS a.example", &Command::GetGrants(flow()));
    assert!(status("GRANT own ON a.example TO b.example").contains("`own` is no right"));
    assert!(status("GRANT read a.example TO b.example").contains("does not take `a.example`"));
    assert!(status("GRANT read ON a.example").contains("GRANT needs TO"));
    assert!(status("GRANT read ON a.example TO @b").contains("no user name"));
}

#[test]
fn subscribe() {
    let local = Command::SubscribeLocal {
        remote: flow(),
        local: name("b.example"),
        options: SubscribeOptions {
            from: Some(Start::Latest),
            cursor: Some(Positions::from([(0, 42)])),
            mode: Some(Mode::Direct),
            on_gap: Some(OnGap::Stop),
            delivery: DeliveryOptions {
                delivery: Some(Delivery::AtLeastOnce),
                commit_interval: Some(50),
            },
            validate: Some(Validate::DeadLetter),
            registry: Box::default(),
        },
    };
    assert_is(
        "SUBSCRIBE a.example LOCAL b.example from=cursor:0-42 from=latest mode=direct on-gap=stop delivery=at-least-once commit-interval=50ms validate=dead-letter",
        &local,
    );
    assert_reads(
        "subscribe a.example local b.example mode=DIRECT on-gap=Stop validate=Dead-Letter commit-interval=50ms from=Latest delivery=At-Least-Once from=cursor:0-42",
        &local,
    );
    let remote = RemoteSubscribe {
        id: Some("7".to_owned()),
        on_behalf_of: Some(Principal::parse("alice@b.example").expect("a principal")),
        from: Some(Start::Timestamp(1_769_860_800_000)),
        mode: Some(Mode::Copy),
        cursor: None,
        on_gap: Some(OnGap::Stop),
        delivery: DeliveryOptions::default(),
        position: Some(Positions::from([(0, 42), (1, 7)])),
        credential_again: true,
    };
    let remote = Command::SubscribeRemote(flow(), remote);
    assert_is(
        "SUBSCRIBE a.example id=7 for=alice@b.example from=1769860800000 mode=copy on-gap=stop position=0-42,1-7 credential=again",
        &remote,
    );
    assert_reads(
        "SUBSCRIBE a.example id=7 for=alice@b.example on-gap=Stop from=2026-01-31T12:00:00Z mode=copy position=1-7,0-42 credential=again",
        &remote,
    );
    let plain = Command::SubscribeRemote(flow(), RemoteSubscribe::default());
    assert_is("SUBSCRIBE a.example", &plain);
    assert!(status("SUBSCRIBE a.example LOCAL").contains("needs a local flow"));
    assert!(status("SUBSCRIBE a.example LOCAL b.example id=7").contains("no option `id`"));
    assert!(status("SUBSCRIBE a.example credential=now").contains("write again"));
    assert!(status("SUBSCRIBE a.example from=yesterday").contains("no starting point"));
}

#[test]
fn subscriptions_and_subscribers() {
    let label = || "c-1".to_owned();
    for (line, command) in [
        ("UNSUBSCRIBE a.example", Command::Unsubscribe(flow())),
        (
            "UNSUBSCRIBE a.example id=7",
            Command::UnsubscribeRemote(flow(), "7".to_owned()),
        ),
        (
            "PAUSE SUBSCRIPTION a.example",
            Command::PauseSubscription(flow()),
        ),
        (
            "RESUME SUBSCRIPTION a.example",
            Command::ResumeSubscription(flow()),
        ),
        (
            "STOP SUBSCRIPTION a.example",
            Command::StopSubscription(flow()),
        ),
        (
            "DESCRIBE SUBSCRIPTION a.example",
            Command::DescribeSubscription(flow()),
        ),
        ("GET SUBSCRIPTIONS", Command::GetSubscriptions),
        ("GET SUBSCRIBERS", Command::GetSubscribers(None)),
        (
            "GET SUBSCRIBERS a.example",
            Command::GetSubscribers(Some(flow())),
        ),
        (
            "REMOVE SUBSCRIBER a.example c-1",
            Command::RemoveSubscriber(flow(), label()),
        ),
        (
            "APPROVE SUBSCRIBER a.example c-1",
            Command::ApproveSubscriber(flow(), label()),
        ),
        (
            "UPDATE SUBSCRIBER a.example c-1 bytes-rate=none",
            Command::UpdateSubscriber(
                flow(),
                label(),
                QualityOptions {
                    bytes_rate: Some(Limit::To(Limit::NONE)),
                    ..QualityOptions::default()
                },
            ),
        ),
        (
            "DESCRIBE SUBSCRIBER a.example c-1",
            Command::DescribeSubscriber(flow(), label()),
        ),
        (
            "PAUSE SUBSCRIBER a.example c-1",
            Command::PauseSubscriber(flow(), label()),
        ),
        (
            "RESUME SUBSCRIBER a.example c-1",
            Command::ResumeSubscriber(flow(), label()),
        ),
    ] {
        assert_is(line, &command);
    }
    assert!(status("REMOVE SUBSCRIBER a.example").contains("needs a subscriber"));
    assert!(status("UPDATE SUBSCRIBER a.example c-1 events-rate=0").contains("above 0"));
    assert!(status("UPDATE FLOW a.example modes=copy,copy").contains("list of modes"));
    assert!(status("UPDATE FLOW a.example modes=").contains("copy or direct"));
}

#[test]
fn read_flow() {
    let read = |options| Command::ReadFlow(flow(), options);
    assert_is("READ FLOW a.example", &read(ReadOptions::default()));
    let all = read(ReadOptions {
        from: Some(Start::Latest),
        cursor: Some(Positions::from([(0, 120), (1, 0)])),
        max: Some(3),
        follow: true,
        format: EventFormat::Record,
    });
    assert_is(
        "READ FLOW a.example from=cursor:0-120,1-0 from=latest max=3 follow=true format=record",
        &all,
    );
    let short = "READ FLOW a.example follow from=latest max=3 from=CURSOR:1-0,0-120 format=Record";
    assert_reads(short, &all);
    let plain = "READ FLOW a.example follow=false format=cloudevents";
    assert_reads(plain, &read(ReadOptions::default()));
    let nowhere = ReadOptions {
        cursor: Some(Positions::new()),
        ..ReadOptions::default()
    };
    assert_is("READ FLOW a.example from=cursor:", &read(nowhere));
    for twice in [
        "from=latest from=earliest",
        "from=cursor:0-1 from=cursor:1-1",
    ] {
        assert!(status(&format!("READ FLOW a.example {twice}")).contains("given twice"));
    }
    assert!(status("READ FLOW a.example follow=yes").contains("write true or false"));
    assert!(status("READ FLOW a.example from=cursor:0").contains("no list of positions"));
}

#[test]
fn write_flow() {
    let write = |format, position| Command::WriteFlow {
        flow: flow(),
        format,
        position,
    };
    assert_is(
        "WRITE FLOW a.example",
        &write(EventFormat::CloudEvents, None),
    );
    let position = StorePosition {
        processor: "bridge-1".to_owned(),
        partition: 0,
        first: 120,
        next: 122,
        to: 3,
        epoch: None,
    };
    assert_is(
        "WRITE FLOW a.example format=record processor=bridge-1 source=0 first=120 next=122 to=3",
        &write(EventFormat::Record, Some(position.clone())),
    );
    let position = StorePosition {
        epoch: Some(7),
        ..position
    };
    assert_is(
        "WRITE FLOW a.example processor=bridge-1 source=0 first=120 next=122 to=3 epoch=7",
        &write(EventFormat::CloudEvents, Some(position)),
    );
    let some = "WRITE FLOW a.example processor=bridge-1 source=0 first=120 to=3";
    assert!(status(some).contains("WRITE FLOW needs next"));
    assert!(status("WRITE FLOW a.example source=0").contains("no option `source`"));
    let positions = Command::GetPositions(flow(), "bridge-1".to_owned());
    assert_is("GET POSITIONS a.example bridge-1", &positions);
}

#[test]
fn processors() {
    let options = ProcessorOptions {
        kind: Some(ProcessorType::Collector),
        sources: vec![flow(), name("b.example")],
        destinations: vec![name("c.example")],
        start: Some(Start::Earliest),
        on_gap: Some(OnGap::Earliest),
        annotate: Some(false),
        fair: Some(true),
        cursor: None,
        delivery: DeliveryOptions {
            delivery: Some(Delivery::ExactlyOnce),
            commit_interval: Some(1000),
        },
        ..ProcessorOptions::default()
    };
    let create = Command::CreateProcessor("p".to_owned(), options);
    assert_is(
        "CREATE PROCESSOR p type=collector from=a.example,b.example to=c.example start=earliest on-gap=earliest annotate=false fair=true delivery=exactly-once commit-interval=1s",
        &create,
    );
    assert_reads(
        "CREATE PROCESSOR p type=Collector from=a.example from=flow://b.example to=c.example start=earliest fair=True annotate=FALSE on-gap=EARLIEST commit-interval=1000ms delivery=Exactly-once",
        &create,
    );
    for (missing, line) in [
        ("type", "from=a.example to=b.example"),
        ("from", "type=bridge to=b.example"),
        ("to", "type=bridge from=a.example"),
    ] {
        let status = status(&format!("CREATE PROCESSOR p {line}"));
        assert!(status.contains(&format!("needs {missing}")), "{status}");
    }
    assert!(status("UPDATE PROCESSOR p annotate=perhaps").contains("truth value"));
    assert!(status("UPDATE PROCESSOR p on-gap=latest").contains("earliest or stop"));
    let update = Command::UpdateProcessor("a b".to_owned(), ProcessorOptions::default());
    assert_is("UPDATE PROCESSOR \"a b\"", &update);
    let changes = FlowChanges {
        added_sources: vec![name("a.example"), name("b.example")],
        removed_sources: vec![name("c.example")],
        added_destinations: vec![name("d.example")],
        removed_destinations: vec![name("e.example")],
    };
    let update = ProcessorOptions {
        flow_changes: Box::new(changes),
        ..ProcessorOptions::default()
    };
    assert_is(
        "UPDATE PROCESSOR p add-from=a.example,b.example remove-from=c.example add-to=d.example remove-to=e.example",
        &Command::UpdateProcessor("p".to_owned(), update),
    );
    let create =
        status("CREATE PROCESSOR p type=bridge from=a.example to=b.example add-to=c.example");
    assert!(create.contains("no option `add-to`"), "{create}");
    let p = || "p".to_owned();
    assert_is("PAUSE PROCESSOR p", &Command::PauseProcessor(p()));
    assert_is("RESUME PROCESSOR p", &Command::ResumeProcessor(p()));
    assert_is("STOP PROCESSOR p", &Command::StopProcessor(p()));
    assert_is("DELETE PROCESSOR p", &Command::DeleteProcessor(p()));
    assert_is("DESCRIBE PROCESSOR p", &Command::DescribeProcessor(p()));
    assert_is("GET PROCESSORS", &Command::GetProcessors);
}

#[test]
fn schema_registries() {
    let registry = RegistryOptions {
        from: Some("http://a.example:8081/api".to_owned()),
        to: Some(String::new()),
        keys: Some(true),
        on_unknown: Some(OnUnknownSchema::Pass),
    };
    let options = ProcessorOptions {
        validate: Some(Validate::DeadLetter),
        registry: Box::new(registry.clone()),
        ..ProcessorOptions::default()
    };
    let words = "registry-from=http://a.example:8081/api registry-to=\"\" registry-keys=true on-unknown-schema=pass";
    let update = Command::UpdateProcessor("p".to_owned(), options);
    assert_is(
        &format!("UPDATE PROCESSOR p validate=dead-letter {words}"),
        &update,
    );
    assert_reads(
        "UPDATE PROCESSOR p on-unknown-schema=PASS validate=Dead-Letter registry-to= registry-keys=True registry-from=http://a.example:8081/api",
        &update,
    );
    let subscribe = Command::SubscribeLocal {
        remote: flow(),
        local: name("b.example"),
        options: SubscribeOptions {
            registry: Box::new(registry),
            ..SubscribeOptions::default()
        },
    };
    assert_is(
        &format!("SUBSCRIBE a.example LOCAL b.example {words}"),
        &subscribe,
    );
    assert!(
        status("UPDATE PROCESSOR p on-unknown-schema=skip").contains("stop, pass or dead-letter")
    );
    assert!(status("SUBSCRIBE a.example registry-to=x").contains("no option `registry-to`"));
}

#[test]
fn signals() {
    let options = |program| ProcessorOptions {
        kind: Some(ProcessorType::Signal),
        sources: vec![flow()],
        destinations: vec![name("c.example")],
        program: Some(program),
        ..ProcessorOptions::default()
    };
    let lines = "# rich ones\nselect(.data.name == \"a b\")\n";
    let signal = options(Program::Jq(lines.to_owned()));
    let create = |options| Command::CreateProcessor("p".to_owned(), options);
    assert_is(
        "CREATE PROCESSOR p type=signal from=a.example to=c.example program=\"# rich ones\" \
         program=\"select(.data.name == \\\"a b\\\")\" program=\"\"",
        &create(signal),
    );
    let server = "program.example:50051".parse().expect("a server");
    let windows = ProcessorOptions {
        window: Some(10_000),
        tumbling: Some(true),
        by: Some(".data.id".to_owned()),
        ..options(Program::Grpc(server))
    };
    assert_is(
        "CREATE PROCESSOR p type=signal from=a.example to=c.example grpc=program.example:50051 \
         window=10s tumbling=true by=.data.id",
        &create(windows),
    );
    assert!(status("UPDATE PROCESSOR p grpc=nowhere").contains("HOST:PORT"));
    for two in ["grpc=a:1 program=.", "grpc=a:1 grpcs=a:1"] {
        assert!(status(&format!("UPDATE PROCESSOR p {two}")).contains("program"));
    }
}

#[test]
fn components() {
    for (kind, one, many) in [
        (ComponentKind::Broker, "BROKER", "BROKERS"),
        (ComponentKind::Nameserver, "NAMESERVER", "NAMESERVERS"),
        (ComponentKind::Agent, "AGENT", "AGENTS"),
    ] {
        assert_is(&format!("GET {many}"), &Command::GetComponents(kind));
        let describe = Command::DescribeComponent(kind, "main".to_owned());
        assert_is(&format!("DESCRIBE {one} main"), &describe);
    }
}

#[test]
fn help_names_every_command_once() {
    let names: Vec<_> = usage().collect();
    for (at, line) in names.iter().enumerate() {
        assert!(!names[at + 1..].contains(line), "{line}");
        let verb = line.split(' ').next().expect("a verb");
        let unknown = |error| matches!(error, CommandError::Syntax(SyntaxError::UnknownCommand(_)));
        assert!(!parse_command(verb).is_err_and(unknown), "{line}");
    }
    assert!(status("FETCH").contains("unknown command FETCH; HELP lists the commands"));
}

#[test]
fn a_command_too_long_for_a_line_is_not_written() {
    let longest = |length| Command::DeleteProcessor("x".repeat(length));
    let overhead = "DELETE PROCESSOR \r\n".len();
    assert!(format_command(&longest(8192 - overhead)).is_ok());
    assert!(format_command(&longest(8193 - overhead)).is_err());
}

#[test]
fn what_shows_who_somebody_is_is_not_printed() {
    for line in [
        "AUTHENTICATE PLAIN AHRlc3QAdGVzdA==",
        "SUBSCRIBE a.example id=AHRlc3QAdGVzdA",
        "UNSUBSCRIBE a.example id=AHRlc3QAdGVzdA",
    ] {
        let command = parse_command(line).expect(line);
        let printed = format!("{command} {command:?}");
        assert!(printed.contains(&line[..15]), "{printed}");
        assert!(
            !printed.contains("AHRlc3QAdGVzdA") && !printed.contains("test"),
            "{printed}"
        );
    }
}
