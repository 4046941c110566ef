//! Signals: new events by programs in jq's language, between embedded queues.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use eson_broker::{AppendTo, BrokerError, Epochs};
use eson_processor::client::{Client, ClientError};
use eson_processor::proto::error::Kind;
use eson_processor::proto::start::From;
use eson_processor::proto::{self, State, signal::Program};
use eson_processor::signal::proto::output::Content;
use eson_processor::signal::proto::program_service_server::ProgramService;
use eson_processor::signal::proto::{Outcome, Output, ProcessRequest, ProcessResponse};
use eson_protocol::{Header, Record};
use prost::Message;
use tonic::{Request, Response, Status};

use self::support::faults::Faults;
use self::support::{BLUE, FLOW, Ground, ORANGE, ORANGE_TOO, endpoint, serve, until};

const LARGE: &str = "large.flows.blue.example";
const SMALL: &str = "small.flows.blue.example";
const DEAD: &str = "dlq.signal";

/// From the flow to both destinations.
fn signal(program: &str) -> proto::Spec {
    proto::Spec {
        id: "signal".to_owned(),
        r#type: proto::ProcessorType::Signal.into(),
        sources: vec![endpoint(ORANGE, FLOW)],
        legs: vec![proto::Leg {
            id: "leg".to_owned(),
            ..Default::default()
        }],
        signal: Some(proto::Signal {
            destinations: vec![endpoint(BLUE, LARGE), endpoint(BLUE, SMALL)],
            dead_letters: Some(endpoint(BLUE, DEAD)),
            program: Some(Program::Jq(program.to_owned())),
            ..Default::default()
        }),
        ..Default::default()
    }
}

async fn ground(partitions: u32) -> Ground {
    let ground = Ground::new().await;
    ground.create_queue(ORANGE, FLOW, partitions).await;
    for queue in [LARGE, SMALL, DEAD] {
        ground.create_queue(BLUE, queue, 2).await;
    }
    ground
}

fn number(value: u64) -> Record {
    Record {
        offset: 0,
        timestamp: 1_700_000_000_000 + value as i64,
        key: Some(Bytes::from(format!("key-{}", value % 7))),
        value: Some(Bytes::from(format!("{{\"n\":{value}}}"))),
        headers: vec![Header {
            name: "trace".to_owned(),
            value: None,
        }],
    }
}

async fn produce(ground: &Ground, numbers: std::ops::Range<u64>) {
    let records = numbers.map(number).collect();
    let broker = ground.broker(ORANGE);
    let appended = broker.append(FLOW, AppendTo::Key, records, None).await;
    appended.expect("written");
}

/// Everything in a queue at Blue's, in the order of its times.
async fn all(ground: &Ground, queue: &str) -> Vec<Record> {
    let contents = ground.contents(BLUE, queue).await;
    let mut records: Vec<_> = contents.into_values().flatten().collect();
    records.sort_by_key(|record| record.timestamp);
    records
}

fn values(records: &[Record]) -> Vec<&[u8]> {
    let values = records.iter().map(|record| record.value.as_deref());
    values.map(|value| value.expect("a value")).collect()
}

fn attribute<'a>(record: &'a Record, name: &str) -> &'a str {
    let found = record.headers.iter().find(|header| header.name == name);
    let value = found.and_then(|header| header.value.as_deref());
    std::str::from_utf8(value.expect(name)).expect("text")
}

#[tokio::test]
async fn a_signal_is_held_to_its_rates() {
    let ground = ground(1).await;
    let client = ground.client().await;
    let mut spec = signal(".");
    spec.legs[0].events_per_second = 1;
    client.create(spec.clone()).await.expect("a signal");
    produce(&ground, 0..100).await;
    ground.until_count(BLUE, SMALL, 100).await;
    produce(&ground, 100..200).await;
    let held = until(&client, "signal", "leg", |leg| leg.held_back).await;
    assert!(held.lag > 0 && held.records < 200, "{held:?}");
    // Another rate holds at once.
    spec.legs[0].events_per_second = 0;
    client.update(spec).await.expect("updated");
    ground.until_count(BLUE, SMALL, 200).await;
    ground.until_count(BLUE, LARGE, 200).await;
}

#[tokio::test]
async fn events_are_filtered_and_sent_where_the_program_says() {
    let ground = ground(3).await;
    let client = ground.client().await;
    produce(&ground, 0..100).await;
    let program =
        "if .data.n >= 90 then to(\"large\") elif .data.n < 10 then to(\"small\") else empty end";
    client.create(signal(program)).await.expect("a signal");
    ground.until_count(BLUE, LARGE, 10).await;
    ground.until_count(BLUE, SMALL, 10).await;

    let large = all(&ground, LARGE).await;
    for (record, value) in large.iter().zip(90..) {
        let offset = record.offset;
        let wanted = Record {
            offset,
            ..number(value)
        };
        assert_eq!(*record, wanted, "as it came");
    }
    let status = until(&client, "signal", "leg", |leg| leg.lag == 0).await;
    assert_eq!(status.records, 100);
    assert_eq!(status.stored.values().sum::<u64>(), 100);
    assert_eq!(ground.count(BLUE, DEAD).await, 0);
}

#[tokio::test]
async fn what_a_program_fails_for_goes_to_the_dead_letters() {
    let ground = ground(1).await;
    let client = ground.client().await;
    produce(&ground, 0..20).await;
    let program = "if .data.n == 13 then error(\"unlucky\") else .data.n end";
    client.create(signal(program)).await.expect("a signal");
    ground.until_count(BLUE, SMALL, 19).await;
    ground.until_count(BLUE, DEAD, 1).await;

    let dead = &all(&ground, DEAD).await[0];
    assert_eq!(dead.value, number(13).value);
    assert_eq!(dead.key, number(13).key);
    assert_eq!(attribute(dead, "ce_deadletterreason"), "unlucky");
    assert_eq!(attribute(dead, "ce_sourceflow"), FLOW);
    assert_eq!(attribute(dead, "ce_sourceposition"), "0-13");
    let small = all(&ground, SMALL).await;
    assert_eq!(attribute(&small[3], "ce_id"), format!("{FLOW}/0-3/0"));
    let status = until(&client, "signal", "leg", |leg| leg.dead_letters == 1).await;
    assert_eq!(status.state(), State::Running);
    let error = status.error.expect("told");
    assert!(error.text.contains("unlucky"), "{error:?}");
}

#[tokio::test]
async fn a_program_without_end_or_bound_hurts_only_its_event() {
    let ground = ground(1).await;
    let client = ground.client().await;
    produce(&ground, 0..5).await;
    let program = "if .data.n == 2 then def f: 1 + f; f \
                   elif .data.n == 3 then \"x\" * 2000000000 \
                   else .data.n end";
    client.create(signal(program)).await.expect("a signal");
    ground.until_count(BLUE, LARGE, 3).await;
    ground.until_count(BLUE, DEAD, 2).await;
    for dead in all(&ground, DEAD).await {
        let reason = attribute(&dead, "ce_deadletterreason");
        assert!(reason.contains("the program"), "{reason}");
    }
}

#[tokio::test]
async fn an_event_that_a_destination_does_not_take_goes_to_the_dead_letters() {
    let ground = ground(1).await;
    let client = ground.client().await;
    produce(&ground, 0..4).await;
    let program = "if .data.n == 1 then .data.s = \"x\" * 8000000 else . end | to(\"large\")";
    client.create(signal(program)).await.expect("a signal");
    ground.until_count(BLUE, LARGE, 3).await;
    ground.until_count(BLUE, DEAD, 1).await;
    let dead = &all(&ground, DEAD).await[0];
    assert_eq!(dead.value, number(1).value);
    let reason = attribute(dead, "ce_deadletterreason");
    assert!(reason.contains("larger than the broker takes"), "{reason}");
    assert!(reason.starts_with(LARGE), "{reason}");
}

#[tokio::test]
async fn each_destination_gets_each_output_once_whatever_is_killed() {
    let mut ground = ground(2).await;
    let program = "if .data.n % 3 == 0 then (.data.n, -.data.n) else to(\"large\") end";
    let client = ground.client().await;
    client.create(signal(program)).await.expect("a signal");
    for round in 0..6 {
        produce(&ground, round * 300..(round + 1) * 300).await;
        ground.kill();
        ground.start();
        let client = ground.client().await;
        client.create(signal(program)).await.expect("a signal");
    }
    ground.until_count(BLUE, SMALL, 1_200).await;
    ground.until_count(BLUE, LARGE, 2_400).await;
    let mut small: Vec<i64> = values(&all(&ground, SMALL).await)
        .iter()
        .map(|value| {
            std::str::from_utf8(value)
                .expect("text")
                .parse()
                .expect("a number")
        })
        .collect();
    small.sort_unstable();
    let mut wanted: Vec<i64> = (0..600).flat_map(|n| [n * 3, -n * 3]).collect();
    wanted.sort_unstable();
    assert_eq!(small, wanted);
}

#[tokio::test]
async fn several_flows_are_read_and_told_apart() {
    let ground = ground(1).await;
    let other = "other.flows.orange.example";
    ground.create_queue(ORANGE, other, 1).await;
    produce(&ground, 0..5).await;
    let broker = ground.broker(ORANGE);
    let appended = broker
        .append(other, AppendTo::Key, vec![number(7)], None)
        .await;
    appended.expect("written");
    let mut spec = signal(".sourceflow | to(\"small\")");
    spec.sources.push(endpoint(ORANGE, other));
    spec.legs.push(proto::Leg {
        id: "other".to_owned(),
        source: 1,
        ..Default::default()
    });
    ground.client().await.create(spec).await.expect("a signal");
    ground.until_count(BLUE, SMALL, 6).await;
    let small = all(&ground, SMALL).await;
    let other = format!("\"{other}\"");
    let of_other = values(&small)
        .iter()
        .filter(|it| **it == other.as_bytes())
        .count();
    assert_eq!(of_other, 1);
}

#[tokio::test]
async fn a_mistake_is_answered_with_its_place() {
    let ground = ground(1).await;
    let client = ground.client().await;
    let refused = |error: Result<(), ClientError>| match error {
        Err(ClientError::Invalid(text)) => text,
        other => panic!("refused, and not {other:?}"),
    };
    let text = refused(client.create(signal(".data\n| select(.n > )")).await);
    assert!(text.contains("line 2, column 15"), "{text}");
    type Change = fn(&mut proto::Signal);
    let cases: [(Change, &str); 5] = [
        (|s| s.program = None, "needs a program"),
        (|s| s.destinations.clear(), "at least one destination"),
        (|s| s.dead_letters = None, "dead letters"),
        (
            |s| s.dead_letters = Some(endpoint(BLUE, LARGE)),
            "the same queue",
        ),
        (
            |s| s.program = Some(Program::Grpc("nowhere".into())),
            "no HOST:PORT",
        ),
    ];
    for (change, expected) in cases {
        let mut spec = signal(".");
        change(spec.signal.as_mut().expect("a signal"));
        let text = refused(client.create(spec).await);
        assert!(text.contains(expected), "{text}");
    }
    let mut misplaced = support::bridge();
    misplaced.signal = signal(".").signal;
    assert!(refused(client.create(misplaced).await).contains("type signal"));
}

/// Payments beside the flow, joined or counted in windows.
fn windowed(program: &str, length_ms: u64, tumbling: bool) -> proto::Spec {
    let mut spec = signal(program);
    spec.sources.push(endpoint(ORANGE, PAYMENTS));
    spec.legs.push(proto::Leg {
        id: "payments".to_owned(),
        source: 1,
        ..Default::default()
    });
    let signal = spec.signal.as_mut().expect("a signal");
    signal.window = Some(proto::Window {
        length_ms,
        tumbling,
        by: ".data.n".to_owned(),
        state: "incarnation".to_owned(),
    });
    spec
}

const HOUR: u64 = 3_600_000;
const PAYMENTS: &str = "payments.flows.orange.example";

async fn pay(ground: &Ground, numbers: std::ops::Range<u64>) {
    let records = numbers.map(number).collect();
    let broker = ground.broker(ORANGE);
    let appended = broker.append(PAYMENTS, AppendTo::Key, records, None).await;
    appended.expect("written");
}

#[tokio::test]
async fn events_of_two_flows_are_joined_once_whatever_is_killed() {
    let mut ground = ground(2).await;
    ground.create_queue(ORANGE, PAYMENTS, 3).await;
    let join = windowed(
        "if .sourceflow | startswith(\"payments\") then from(\"time\") else from(\"payments\") end \
         | .data.n | to(\"small\")",
        HOUR,
        false,
    );
    let client = ground.client().await;
    client.create(join.clone()).await.expect("a signal");
    for round in 0..4 {
        produce(&ground, round * 100..(round + 1) * 100).await;
        ground.kill();
        ground.start();
        let client = ground.client().await;
        client.create(join.clone()).await.expect("a signal");
        pay(&ground, round * 100 + 50..(round + 1) * 100 + 50).await;
    }
    ground.until_count(BLUE, SMALL, 350).await;
    let mut joined: Vec<u64> = values(&all(&ground, SMALL).await)
        .iter()
        .map(|value| {
            std::str::from_utf8(value)
                .expect("text")
                .parse()
                .expect("a number")
        })
        .collect();
    joined.sort_unstable();
    assert_eq!(joined, (50..400).collect::<Vec<_>>());
    assert_eq!(ground.count(BLUE, DEAD).await, 0);
}

#[tokio::test]
async fn events_are_counted_by_window_and_key() {
    let mut ground = ground(1).await;
    ground.create_queue(ORANGE, PAYMENTS, 1).await;
    // Numbers are milliseconds too; each key comes from both flows.
    produce(&ground, 0..1_500).await;
    pay(&ground, 0..1_500).await;
    let program = "{count: length, $key, $from} | to(\"small\")";
    let count = windowed(program, 1_000, true);
    for _ in 0..3 {
        let client = ground.client().await;
        client.create(count.clone()).await.expect("a signal");
        ground.kill();
        ground.start();
    }
    ground.client().await.create(count).await.expect("a signal");
    ground.until_count(BLUE, SMALL, 1_500).await;
    for record in all(&ground, SMALL).await {
        let value: serde_json::Value =
            serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
        assert_eq!(value["count"], 2, "{value}");
        let key: i64 = value["key"]
            .as_str()
            .expect("a key")
            .parse()
            .expect("a number");
        let from = 1_700_000_000_000 + key / 1_000 * 1_000;
        assert_eq!(value["from"], from);
        assert_eq!(record.key.as_deref(), Some(key.to_string().as_bytes()));
    }
    assert_eq!(ground.count(BLUE, DEAD).await, 0);
    // What comes when its window has ended is not counted again, and not lost.
    pay(&ground, 0..1).await;
    ground.until_count(BLUE, DEAD, 1).await;
    let dead = &all(&ground, DEAD).await[0];
    assert!(attribute(dead, "ce_deadletterreason").contains("had ended"));
}

/// With windows and without, and though each event goes to one of the two destinations only.
#[tokio::test]
async fn a_source_that_was_cut_off_is_asked_about_again_from_there() {
    let program = "if .data.n % 2 == 0 then to(\"large\") else to(\"small\") end";
    for mut spec in [signal(program), windowed(program, HOUR, false)] {
        // Only this source is cut off.
        spec.sources.truncate(1);
        spec.legs.truncate(1);
        let ground = ground(1).await;
        let faults = ground.inject(ORANGE, Faults::default());
        let client = ground.client().await;
        client.create(spec).await.expect("a signal");
        produce(&ground, 0..10).await;
        ground.until_count(BLUE, LARGE, 5).await;
        ground.until_count(BLUE, SMALL, 5).await;
        faults.cut_off(FLOW, 10, 6);
        ground.until_count(BLUE, LARGE, 7).await;
        ground.until_count(BLUE, SMALL, 7).await;
    }
}

/// A destination that was ahead when the signal ended is not asked for, since only what is read last
/// is; still, it gets what the source has since at the places that it had.
#[tokio::test]
async fn a_destination_ahead_of_the_place_of_a_cut_goes_back_too() {
    let mut ground = ground(1).await;
    let faults = ground.inject(ORANGE, Faults::default());
    *faults.epoch.lock().expect("no panic") = Some(3);
    let client = ground.client().await;
    let program = "to(\"large\")";
    let spec = signal(program);
    client.create(spec.clone()).await.expect("a signal");
    produce(&ground, 0..10).await;
    until(&client, "signal", "leg", |leg| {
        leg.stored.get(&0) == Some(&10)
    })
    .await;
    ground.kill();
    // As where it ended between the two: the one has less, and all that it has is before the cut.
    let mut small = ground.writer_in_place_of_leg(SMALL).await;
    small.rewind(0, 6 << 16).await.expect("gone back");
    drop(small);
    *faults.epoch.lock().expect("no panic") = Some(4);
    ground.start();
    let client = ground.client().await;
    client.create(spec).await.expect("a signal");
    ground.until_count(BLUE, LARGE, 14).await;
}

/// Under which leader the source was written is kept with how far it was read, at the destinations or
/// with the windows, also where nothing came of its last events: the next reader is told.
#[tokio::test]
async fn a_signal_that_goes_on_knows_the_leader_of_what_it_has_read() {
    for spec in [signal("empty"), windowed("empty", HOUR, false)] {
        let mut ground = ground(1).await;
        ground.create_queue(ORANGE, PAYMENTS, 1).await;
        let told = ground.inject(ORANGE, Faults::default());
        *told.epoch.lock().expect("no panic") = Some(3);
        let client = ground.client().await;
        client.create(spec.clone()).await.expect("a signal");
        produce(&ground, 0..5).await;
        until(&client, "signal", "leg", |leg| {
            leg.stored.get(&0) == Some(&5)
        })
        .await;
        assert_eq!(told.known_epochs(FLOW), Some(Epochs::new()));
        ground.kill();
        ground.start();
        let client = ground.client().await;
        client.create(spec).await.expect("a signal");
        until(&client, "signal", "leg", |leg| {
            leg.state() == State::Running
        })
        .await;
        assert_eq!(told.known_epochs(FLOW), Some([(0, 3)].into()));
    }
}

#[tokio::test]
async fn a_threshold_is_crossed_once() {
    let ground = ground(1).await;
    ground.create_queue(ORANGE, PAYMENTS, 1).await;
    let program = "select($window | length == 3) | .data.n | to(\"small\")";
    let mut spec = windowed(program, HOUR, false);
    let signal = spec.signal.as_mut().expect("a signal");
    signal.window.as_mut().expect("a window").by = String::new();
    ground.client().await.create(spec).await.expect("a signal");
    // Seven keys, by turns.
    produce(&ground, 0..70).await;
    ground.until_count(BLUE, SMALL, 7).await;
    let small = all(&ground, SMALL).await;
    assert_eq!(
        values(&small),
        [b"14", b"15", b"16", b"17", b"18", b"19", b"20"]
    );
}

#[tokio::test]
async fn a_window_that_can_not_be_is_refused() {
    let ground = ground(1).await;
    let client = ground.client().await;
    type Change = fn(&mut proto::Window);
    let cases: [(Change, &str); 3] = [
        (|w| w.length_ms = 0, "and not 0"),
        (|w| w.by = "data".into(), "is no path"),
        (|w| w.state = "../up".into(), "can't name"),
    ];
    for (change, expected) in cases {
        let mut spec = windowed(".", HOUR, false);
        let signal = spec.signal.as_mut().expect("a signal");
        change(signal.window.as_mut().expect("a window"));
        match client.create(spec).await {
            Err(ClientError::Invalid(text)) => assert!(text.contains(expected), "{text}"),
            other => panic!("refused, and not {other:?}"),
        }
    }
}

/// A service that gives every event back, and tells how much it was asked for at once.
#[derive(Clone, Default)]
struct Measuring {
    largest: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl ProgramService for Measuring {
    async fn process(
        &self,
        request: Request<ProcessRequest>,
    ) -> Result<Response<ProcessResponse>, Status> {
        let request = request.into_inner();
        self.largest
            .fetch_max(request.encoded_len(), Ordering::Relaxed);
        let outcome = |_| Outcome {
            outputs: vec![Output {
                flow: "small".to_owned(),
                content: Some(Content::Unchanged(true)),
            }],
            failure: None,
        };
        let outcomes = request.inputs.iter().map(outcome).collect();
        Ok(Response::new(ProcessResponse { outcomes }))
    }
}

/// An event of a key with so many octets beside it.
fn padded(key: u64, padding: usize) -> Record {
    let padding = "x".repeat(padding);
    let value = format!("{{\"n\":{key},\"padding\":\"{padding}\"}}");
    Record {
        value: Some(Bytes::from(value)),
        ..number(key)
    }
}

/// Windows are large where they show many events, or many of them end at once.
#[tokio::test]
async fn a_program_is_asked_for_no_more_at_once_than_services_take() {
    const LARGE_EVENT: usize = 100_000;
    let of_one_key = (0..60).map(|at| padded(1, if at < 10 { LARGE_EVENT } else { 0 }));
    let of_each_key = (0..60).map(|key| padded(key, LARGE_EVENT));
    let cases: [(bool, Vec<Record>); 2] =
        [(false, of_one_key.collect()), (true, of_each_key.collect())];
    for (tumbling, records) in cases {
        let ground = ground(1).await;
        let measuring = Measuring::default();
        let mut spec = windowed(".", 1_000, tumbling);
        spec.sources.truncate(1);
        spec.legs.truncate(1);
        let signal = spec.signal.as_mut().expect("a signal");
        signal.program = Some(Program::Grpc(serve(measuring.clone()).await));
        signal.trusted_networks = vec!["127.0.0.0/8".to_owned()];
        let broker = ground.broker(ORANGE);
        let appended = broker.append(FLOW, AppendTo::Key, records, None).await;
        appended.expect("written");
        ground.client().await.create(spec).await.expect("a signal");
        ground.until_count(BLUE, SMALL, 60).await;
        assert_eq!(ground.count(BLUE, DEAD).await, 0);
        let largest = measuring.largest.load(Ordering::Relaxed);
        assert!((1 << 20..4 << 20).contains(&largest), "{largest} at once");
    }
}

/// Beginning at an offset of partition 0.
fn at_offset(from: From, offset: u64) -> Option<proto::Start> {
    Some(proto::Start {
        from: Some(from),
        offsets: [(0, offset)].into(),
    })
}

/// The signal over one source, with windows and without.
fn of_one_source() -> [proto::Spec; 2] {
    let program = ".data.n | to(\"small\")";
    let mut with_windows = windowed(program, HOUR, false);
    with_windows.sources.truncate(1);
    with_windows.legs.truncate(1);
    [signal(program), with_windows]
}

#[tokio::test]
async fn a_cursor_goes_before_the_start() {
    for mut spec in of_one_source() {
        let ground = ground(1).await;
        produce(&ground, 0..20).await;
        spec.legs[0].start = at_offset(From::Latest(true), 15);
        ground.client().await.create(spec).await.expect("a signal");
        ground.until_count(BLUE, SMALL, 5).await;
        assert_eq!(values(&all(&ground, SMALL).await)[0], b"15");
    }
}

#[tokio::test]
async fn a_cursor_behind_the_end_begins_there() {
    for mut spec in of_one_source() {
        let ground = ground(1).await;
        produce(&ground, 0..20).await;
        spec.legs[0].start = at_offset(From::Earliest(true), 1_000);
        let client = ground.client().await;
        client.create(spec).await.expect("a signal");
        support::until_state(&client, "signal", State::Running).await;
        produce(&ground, 20..25).await;
        let read_all = |leg: &proto::LegStatus| leg.stored.get(&0) == Some(&25);
        let status = until(&client, "signal", "leg", read_all).await;
        assert_eq!((status.records, status.lost), (5, 0));
        ground.until_count(BLUE, SMALL, 5).await;
    }
}

/// There is nothing to wait for of a source whose cursor is at its end.
#[tokio::test]
async fn windows_end_without_what_is_before_a_cursor() {
    let ground = ground(1).await;
    ground.create_queue(ORANGE, PAYMENTS, 1).await;
    produce(&ground, 0..20).await;
    pay(&ground, 0..20).await;
    let mut spec = windowed("length | to(\"small\")", 1_000, true);
    spec.legs[1].start = at_offset(From::Earliest(true), 20);
    ground.client().await.create(spec).await.expect("a signal");
    ground.until_count(BLUE, SMALL, 20).await;
    assert_eq!(values(&all(&ground, SMALL).await), [b"1"; 20]);
}

/// An event each second, with a number of its own, all in one partition.
fn each_second(numbers: std::ops::Range<u64>) -> Vec<Record> {
    let record = |value| Record {
        timestamp: 1_700_000_000_000 + 1_000 * value as i64,
        key: Some(Bytes::from_static(b"one")),
        ..number(value)
    };
    numbers.map(record).collect()
}

/// How many events each window has, one window for each number of both flows.
fn counted() -> proto::Spec {
    windowed("length | to(\"small\")", 1_000, true)
}

async fn append(ground: &Ground, queue: &str, numbers: std::ops::Range<u64>) {
    let broker = ground.broker(ORANGE);
    let appended = broker.append(queue, AppendTo::Key, each_second(numbers), None);
    appended.await.expect("written");
}

/// Waits until a leg has so many events of all partitions behind it.
async fn until_stored(client: &Client, leg: &str, wanted: u64) {
    let stored = |leg: &proto::LegStatus| leg.stored.values().sum::<u64>() == wanted;
    until(client, "signal", leg, stored).await;
}

/// Each window has the event of either flow, and none came too late.
async fn check_windows_of_both(ground: &Ground, windows: u64) {
    ground.until_count(BLUE, SMALL, windows).await;
    let small = all(ground, SMALL).await;
    assert!(values(&small).into_iter().all(|count| count == b"2"));
    assert_eq!(ground.count(BLUE, DEAD).await, 0);
}

#[tokio::test]
async fn windows_wait_for_a_source_that_is_held_to_its_rate() {
    let ground = ground(1).await;
    ground.create_queue(ORANGE, PAYMENTS, 1).await;
    let client = ground.client().await;
    let mut spec = counted();
    spec.legs[1].events_per_second = 1;
    for queue in [FLOW, PAYMENTS] {
        append(&ground, queue, 0..10).await;
    }
    client.create(spec.clone()).await.expect("a signal");
    until_stored(&client, "leg", 10).await;
    until_stored(&client, "payments", 10).await;
    append(&ground, PAYMENTS, 10..600).await;
    until(&client, "signal", "payments", |leg| leg.held_back).await;
    append(&ground, FLOW, 10..600).await;
    until_stored(&client, "leg", 600).await;
    spec.legs[1].events_per_second = 0;
    client.update(spec).await.expect("updated");
    check_windows_of_both(&ground, 600).await;
}

#[tokio::test]
async fn windows_wait_for_a_source_that_can_not_be_read() {
    let ground = ground(1).await;
    ground.create_queue(ORANGE, PAYMENTS, 1).await;
    let faults = ground.inject(ORANGE_TOO, Faults::default());
    let client = ground.client().await;
    let mut spec = counted();
    spec.sources[1] = endpoint(ORANGE_TOO, PAYMENTS);
    for queue in [FLOW, PAYMENTS] {
        append(&ground, queue, 0..10).await;
    }
    client.create(spec).await.expect("a signal");
    until_stored(&client, "leg", 10).await;
    until_stored(&client, "payments", 10).await;
    faults.down.store(true, Ordering::Relaxed);
    faults.fail_reading(BrokerError::Unreachable {
        server: ORANGE_TOO.to_owned(),
        cause: "it is away".to_owned(),
    });
    let retries = |leg: &proto::LegStatus| leg.state() == State::Retrying;
    until(&client, "signal", "payments", retries).await;
    append(&ground, PAYMENTS, 10..600).await;
    append(&ground, FLOW, 10..600).await;
    until_stored(&client, "leg", 600).await;
    faults.down.store(false, Ordering::Relaxed);
    check_windows_of_both(&ground, 600).await;
}

#[tokio::test]
async fn windows_wait_for_a_source_that_is_paused() {
    let ground = ground(1).await;
    // One of them stays empty, and holds up nothing.
    ground.create_queue(ORANGE, PAYMENTS, 2).await;
    let client = ground.client().await;
    let mut spec = counted();
    for queue in [FLOW, PAYMENTS] {
        append(&ground, queue, 0..100).await;
    }
    client.create(spec.clone()).await.expect("a signal");
    for leg in ["leg", "payments"] {
        until_stored(&client, leg, 100).await;
    }
    spec.legs[1].paused = true;
    client.update(spec.clone()).await.expect("paused");
    append(&ground, PAYMENTS, 100..600).await;
    append(&ground, FLOW, 100..600).await;
    until_stored(&client, "leg", 600).await;
    spec.legs[1].paused = false;
    client.update(spec).await.expect("resumed");
    check_windows_of_both(&ground, 600).await;
}

/// What windows no longer hold is counted, and told with what to do about it.
#[tokio::test]
async fn events_that_fall_out_of_windows_early_are_counted() {
    let ground = ground(1).await;
    let client = ground.client().await;
    let mut spec = windowed("empty", HOUR, false);
    spec.sources.truncate(1);
    spec.legs.truncate(1);
    client.create(spec).await.expect("a signal");
    let broker = ground.broker(ORANGE);
    for key in 0..80 {
        let records = vec![padded(key, 1_000_000)];
        let appended = broker.append(FLOW, AppendTo::Key, records, None).await;
        appended.expect("written");
    }
    until_stored(&client, "leg", 80).await;
    let status = until(&client, "signal", "leg", |leg| leg.records == 80).await;
    assert_eq!(
        status.crowded_out,
        80 - 67,
        "64 MiB have room for the others"
    );
    let error = status.error.expect("told");
    assert_eq!(error.kind(), Kind::Crowded);
    assert!(error.text.ends_with("at most 64 MiB"), "{error:?}");
}
