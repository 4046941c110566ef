//! Any command and any reply, for properties.

#![allow(dead_code, reason = "each test file uses a part of it")]

use eson_protocol::{
    Access, Command, ComponentKind, DataLine, Delivery, DeliveryOptions, EventFormat, FlowChanges,
    FlowOptions, Limit, Mode, Name, NamespaceOptions, OnGap, OnUnknownSchema, Overlag,
    PayloadAttributes, Positions, Principal, ProcessorOptions, ProcessorType, Program,
    QualityOptions, ReadOptions, Reason, RegistryOptions, RemoteSubscribe, Reply, Right, Server,
    Start, Status, StorePosition, SubscribeOptions, Validate,
};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn name() -> impl Strategy<Value = Name> + Clone {
    vec("[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", 1..5)
        .prop_filter_map("A-labels are checked", |labels| {
            Name::parse(&labels.join(".")).ok()
        })
}

/// Any text without control characters, quotes, blanks and equal signs included.
fn text() -> impl Strategy<Value = String> + Clone {
    prop_oneof!["[a-z0-9_-]{1,12}", r#"[ "\\=a-z,.;é\t☃-]{0,12}"#]
}

fn label() -> impl Strategy<Value = String> + Clone {
    text().prop_filter("an argument is not empty", |text| !text.is_empty())
}

fn start() -> impl Strategy<Value = Start> + Clone {
    prop_oneof![
        Just(Start::Earliest),
        Just(Start::Latest),
        any::<i64>().prop_map(Start::Timestamp)
    ]
}

fn positions() -> impl Strategy<Value = Positions> + Clone {
    btree_map(any::<u32>(), any::<u64>(), 0..4)
}

fn mode() -> impl Strategy<Value = Mode> + Clone {
    select(vec![Mode::Copy, Mode::Direct])
}

fn delivery() -> impl Strategy<Value = DeliveryOptions> + Clone {
    let delivery = select(vec![Delivery::ExactlyOnce, Delivery::AtLeastOnce]);
    (of(delivery), of(any::<u64>())).prop_map(|(delivery, commit_interval)| DeliveryOptions {
        delivery,
        commit_interval,
    })
}

fn limit() -> impl Strategy<Value = Limit> + Clone {
    prop_oneof![
        Just(Limit::Default),
        Just(Limit::To(Limit::NONE)),
        (1..1_000_000_000u64).prop_map(Limit::To),
        (1..100u64).prop_map(|count| Limit::To(count << 20)),
    ]
}

fn quality() -> impl Strategy<Value = QualityOptions> + Clone {
    let rates = (of(limit()), of(limit()));
    let kept = (of(limit()), of(limit()));
    let overlag = select(vec![Overlag::Pause, Overlag::Drop]);
    (rates, kept, of(limit()), of(overlag)).prop_map(
        |((events_rate, bytes_rate), (copy_retention, copy_bytes), max_lag, overlag)| {
            QualityOptions {
                events_rate,
                bytes_rate,
                copy_retention,
                copy_bytes,
                max_lag,
                overlag,
            }
        },
    )
}

fn modes() -> impl Strategy<Value = Vec<Mode>> + Clone {
    select(vec![
        vec![Mode::Copy],
        vec![Mode::Direct],
        vec![Mode::Copy, Mode::Direct],
        vec![Mode::Direct, Mode::Copy],
    ])
}

fn on_gap() -> impl Strategy<Value = OnGap> + Clone {
    select(vec![OnGap::Earliest, OnGap::Stop])
}

fn format() -> impl Strategy<Value = EventFormat> + Clone {
    select(vec![
        EventFormat::CloudEvents,
        EventFormat::Protobuf,
        EventFormat::Record,
    ])
}

fn principal() -> impl Strategy<Value = Principal> + Clone {
    prop_oneof![
        Just(Principal::Anonymous),
        name()
            .prop_map(Principal::Domain)
            .prop_filter("a word of its own", |p| p.to_string() != "anonymous"),
        name().prop_map(Principal::AnyUserOf),
        ("[a-zé][a-z0-9.+-]{0,8}", name())
            .prop_map(|(user, domain)| Principal::User { user, domain }),
    ]
}

fn flow_options() -> impl Strategy<Value = FlowOptions> {
    let access = select(vec![Access::Public, Access::Private, Access::Approval]);
    let retention = prop_oneof![
        any::<u64>(),
        (0..1000u64).prop_map(|days| days * 86_400_000)
    ];
    let broker = (of(text()), of(text()), of(any::<u32>()), of(retention));
    let payload = (of(text()), of(text()), of(text()), of(text()));
    let payload = payload.prop_map(|(content_type, schema, schema_digest, schema_registry)| {
        PayloadAttributes {
            content_type,
            schema,
            schema_digest,
            schema_registry,
        }
    });
    let policy = (of(access), of(modes()), of(any::<u64>()), quality());
    (broker, policy, payload).prop_map(
        |((broker, queue, partitions, retention), (access, modes, history, quality), payload)| {
            FlowOptions {
                broker,
                queue,
                partitions,
                retention,
                access,
                payload,
                modes,
                history,
                quality: Box::new(quality),
            }
        },
    )
}

fn namespace_options() -> impl Strategy<Value = NamespaceOptions> {
    of(text()).prop_map(|broker| NamespaceOptions { broker })
}

fn remote_subscribe() -> impl Strategy<Value = RemoteSubscribe> {
    let first = (of(text()), of(principal()), of(start()), of(positions()));
    let how = (of(mode()), of(on_gap()), delivery());
    (first, how, of(positions()), any::<bool>()).prop_map(
        |((id, on_behalf_of, from, cursor), how, position, credential_again)| {
            let (mode, on_gap, delivery) = how;
            RemoteSubscribe {
                id,
                on_behalf_of,
                from,
                cursor,
                mode,
                on_gap,
                delivery,
                position,
                credential_again,
            }
        },
    )
}

pub(crate) fn read_options() -> impl Strategy<Value = ReadOptions> {
    let from = (of(start()), of(positions()));
    (from, of(any::<u64>()), any::<bool>(), format()).prop_map(
        |((from, cursor), max, follow, format)| ReadOptions {
            from,
            cursor,
            max,
            follow,
            format,
        },
    )
}

fn store_position() -> impl Strategy<Value = StorePosition> {
    (
        text(),
        any::<u32>(),
        any::<u64>(),
        any::<u64>(),
        any::<u32>(),
        of(0..=i32::MAX),
    )
        .prop_map(
            |(processor, partition, first, next, to, epoch)| StorePosition {
                processor,
                partition,
                first,
                next,
                to,
                epoch,
            },
        )
}

fn flow_changes() -> impl Strategy<Value = FlowChanges> {
    let names = || vec(name(), 0..3);
    (names(), names(), names(), names()).prop_map(|(more, fewer, more_to, fewer_to)| FlowChanges {
        added_sources: more,
        removed_sources: fewer,
        added_destinations: more_to,
        removed_destinations: fewer_to,
    })
}

fn processor_options(least: usize) -> impl Strategy<Value = ProcessorOptions> {
    let kind = select(vec![
        ProcessorType::Bridge,
        ProcessorType::Collector,
        ProcessorType::Distributor,
        ProcessorType::Signal,
    ]);
    (
        kind,
        vec(name(), least..4),
        vec(name(), least..4),
        (of(start()), of(positions()), of(on_gap())),
        of(any::<bool>()),
        of(any::<bool>()),
        delivery(),
        of(program()),
        (
            of(any::<u64>()),
            of(any::<bool>()),
            of(text()),
            registry(),
            of(validate()),
        ),
    )
        .prop_map(
            |(kind, sources, destinations, begin, annotate, fair, delivery, program, window)| {
                let (start, cursor, on_gap) = begin;
                let (window, tumbling, by, registry, validate) = window;
                ProcessorOptions {
                    kind: Some(kind),
                    sources,
                    destinations,
                    flow_changes: Box::default(),
                    start,
                    cursor,
                    on_gap,
                    annotate,
                    fair,
                    delivery,
                    program,
                    window,
                    tumbling,
                    by,
                    validate,
                    registry: Box::new(registry),
                }
            },
        )
}

fn validate() -> impl Strategy<Value = Validate> {
    select(vec![Validate::Off, Validate::Stop, Validate::DeadLetter])
}

fn registry() -> impl Strategy<Value = RegistryOptions> {
    let on_unknown = select(vec![
        OnUnknownSchema::Stop,
        OnUnknownSchema::Pass,
        OnUnknownSchema::DeadLetter,
    ]);
    let options = (of(text()), of(text()), of(any::<bool>()), of(on_unknown));
    options.prop_map(|(from, to, keys, on_unknown)| RegistryOptions {
        from,
        to,
        keys,
        on_unknown,
    })
}

fn program() -> impl Strategy<Value = Program> {
    let server = |port| Server {
        host: "program.example".to_owned(),
        port,
    };
    prop_oneof![
        vec(text(), 1..4).prop_map(|lines| Program::Jq(lines.join("\n"))),
        any::<u16>().prop_map(move |port| Program::Grpc(server(port))),
        any::<u16>().prop_map(move |port| Program::Grpcs(server(port))),
    ]
}

fn session_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(Command::StartTls),
        Just(Command::Capabilities),
        Just(Command::EnableAttributes),
        Just(Command::Noop),
        Just(Command::Help),
        Just(Command::Quit),
        Just(Command::WhoAmI),
        ("[A-Z0-9_-]{1,20}", of(vec(any::<u8>(), 0..40)))
            .prop_map(|(mechanism, initial)| Command::Authenticate { mechanism, initial }),
    ]
}

fn flow_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (name(), namespace_options()).prop_map(|(n, o)| Command::CreateNamespace(n, o)),
        (name(), namespace_options()).prop_map(|(n, o)| Command::UpdateNamespace(n, o)),
        name().prop_map(Command::DescribeNamespace),
        name().prop_map(Command::DeleteNamespace),
        Just(Command::GetNamespaces),
        (name(), flow_options()).prop_map(|(n, o)| Command::CreateFlow(n, o)),
        (name(), flow_options()).prop_map(|(n, o)| Command::UpdateFlow(n, o)),
        name().prop_map(Command::DescribeFlow),
        name().prop_map(Command::DeleteFlow),
        of(name()).prop_map(Command::GetFlows),
        name().prop_map(Command::PauseFlow),
        name().prop_map(Command::ResumeFlow),
        name().prop_map(Command::StopFlow),
        name().prop_map(Command::Resolve),
    ]
}

fn right_command() -> impl Strategy<Value = Command> {
    let right = || select(vec![Right::Read, Right::Write, Right::Admin]);
    prop_oneof![
        (right(), name(), principal()).prop_map(|(r, n, p)| Command::Grant(r, n, p)),
        (right(), name(), principal()).prop_map(|(r, n, p)| Command::Revoke(r, n, p)),
        name().prop_map(Command::GetGrants),
    ]
}

fn subscription_command() -> impl Strategy<Value = Command> {
    let options = (
        of(start()),
        of(positions()),
        of(mode()),
        of(on_gap()),
        delivery(),
        of(validate()),
        registry(),
    );
    let local = (name(), name(), options).prop_map(|(remote, local, options)| {
        let (from, cursor, mode, on_gap, delivery, validate, registry) = options;
        let options = SubscribeOptions {
            from,
            cursor,
            mode,
            on_gap,
            delivery,
            validate,
            registry: Box::new(registry),
        };
        Command::SubscribeLocal {
            remote,
            local,
            options,
        }
    });
    prop_oneof![
        local,
        (name(), remote_subscribe()).prop_map(|(n, o)| Command::SubscribeRemote(n, o)),
        name().prop_map(Command::Unsubscribe),
        (name(), text()).prop_map(|(n, id)| Command::UnsubscribeRemote(n, id)),
        name().prop_map(Command::PauseSubscription),
        name().prop_map(Command::ResumeSubscription),
        name().prop_map(Command::StopSubscription),
        name().prop_map(Command::DescribeSubscription),
        Just(Command::GetSubscriptions),
        of(name()).prop_map(Command::GetSubscribers),
        (name(), label()).prop_map(|(n, l)| Command::RemoveSubscriber(n, l)),
        (name(), label()).prop_map(|(n, l)| Command::ApproveSubscriber(n, l)),
        (name(), label(), quality()).prop_map(|(n, l, q)| Command::UpdateSubscriber(n, l, q)),
        (name(), label()).prop_map(|(n, l)| Command::DescribeSubscriber(n, l)),
        (name(), label()).prop_map(|(n, l)| Command::PauseSubscriber(n, l)),
        (name(), label()).prop_map(|(n, l)| Command::ResumeSubscriber(n, l)),
    ]
}

fn event_command() -> impl Strategy<Value = Command> {
    let write = (name(), format(), of(store_position())).prop_map(|(flow, format, position)| {
        Command::WriteFlow {
            flow,
            format,
            position,
        }
    });
    prop_oneof![
        (name(), read_options()).prop_map(|(n, o)| Command::ReadFlow(n, o)),
        write,
        (name(), label()).prop_map(|(n, l)| Command::GetPositions(n, l)),
    ]
}

fn processor_command() -> impl Strategy<Value = Command> {
    let kind = || {
        select(vec![
            ComponentKind::Broker,
            ComponentKind::Nameserver,
            ComponentKind::Agent,
        ])
    };
    prop_oneof![
        (label(), processor_options(1)).prop_map(|(n, o)| Command::CreateProcessor(n, o)),
        (label(), processor_options(0), flow_changes()).prop_map(|(n, o, changes)| {
            let options = ProcessorOptions {
                flow_changes: Box::new(changes),
                ..o
            };
            Command::UpdateProcessor(n, options)
        }),
        label().prop_map(Command::PauseProcessor),
        label().prop_map(Command::ResumeProcessor),
        label().prop_map(Command::StopProcessor),
        label().prop_map(Command::DeleteProcessor),
        label().prop_map(Command::DescribeProcessor),
        Just(Command::GetProcessors),
        kind().prop_map(Command::GetComponents),
        (kind(), label()).prop_map(|(k, n)| Command::DescribeComponent(k, n)),
    ]
}

/// On the heap: together they would be larger than a test's stack.
pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        session_command().boxed(),
        flow_command().boxed(),
        right_command().boxed(),
        subscription_command().boxed(),
        event_command().boxed(),
        processor_command().boxed(),
    ]
}

/// Any status whose text does not itself begin with a bracketed word, nor says DATA.
pub(crate) fn status() -> impl Strategy<Value = Status> {
    let reason = of("[A-Z]{1,12}".prop_map(Reason));
    (200..600u16, reason, text())
        .prop_map(|(code, reason, text)| Status { code, reason, text })
        .prop_filter("421 ends the session", |status| status.code != 421)
        .prop_map(without_tabs)
}

/// Status and data lines carry no tabulator.
fn without_tabs(status: Status) -> Status {
    Status {
        text: status.text.replace('\t', " "),
        ..status
    }
}

pub(crate) fn data_line() -> impl Strategy<Value = DataLine> {
    let any_text = "[ =a-z0-9é.☃]{0,16}";
    prop_oneof![
        ("[a-zA-Z0-9._-]{1,8}", any_text).prop_map(|(key, value)| DataLine::Attribute(key, value)),
        "[0-9]{3} [a-z=]{0,8}".prop_map(DataLine::Text),
        "=[ =a-z]{0,8}".prop_map(DataLine::Text),
        "[ a-z0-9]{0,16}".prop_map(DataLine::Text),
    ]
    .prop_filter(
        "a text of the form key=value is an attribute",
        |line| match line {
            DataLine::Text(text) => text
                .split_once('=')
                .is_none_or(|(key, _)| key.is_empty() || key.contains(' ')),
            DataLine::Attribute(..) => true,
        },
    )
}

pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        status().prop_map(Reply::Status),
        (vec(data_line(), 0..6), status()).prop_map(|(lines, status)| Reply::Data(lines, status)),
    ]
}
