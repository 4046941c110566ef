//! The command `flow-processor`, between topics of a real Kafka.

mod dead_letters;
mod exactly_once;
mod ground;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use eson_broker::{Broker, Lease, QueueUpdate};
use eson_processor::proto::error::{Kind, Side};
use eson_processor::proto::{Delivery, LegStatus, ProcessorType, Spec, State};
use eson_tests::records::{Sample, await_copy, read_topic};
use eson_tests::until;

use ground::{
    DEADLINE, FlowProcessor, admin, authority, bridge, credential, leg, librdkafka, produce,
    samples, sasl_endpoint, sasl_tls_endpoint, source, topic, until_leg, until_state,
};

#[tokio::test]
async fn a_bridge_survives_kill_9_in_the_middle() {
    let (from, to) = (topic(4).await, topic(4).await);
    let samples = samples(40_000, 4);
    produce(&from, &samples).await;
    let mut processor = FlowProcessor::start().await;
    for records in [1, 5_000, 10_000] {
        let client = processor.client().await;
        client.create(bridge(&from, &to)).await.expect("created");
        until_leg(&client, "leg", |leg| leg.records >= records).await;
        processor.kill9();
        processor.restart().await;
    }
    let client = processor.client().await;
    client.create(bridge(&from, &to)).await.expect("created");
    await_copy(&librdkafka(), &to, &samples, DEADLINE);
    let status = until_leg(&client, "leg", |leg| {
        leg.lag == 0 && leg.stored.values().sum::<u64>() == 40_000
    });
    assert_eq!(status.await.lost, 0);
}

#[tokio::test]
async fn a_fan_out_copies_to_topics_of_other_partition_counts() {
    let from = topic(3).await;
    let copies = [topic(3).await, topic(3).await, topic(5).await];
    let samples = samples(6_000, 3);
    let spec = Spec {
        id: "instance".to_owned(),
        r#type: ProcessorType::Distributor.into(),
        sources: vec![source(&from)],
        legs: copies.iter().map(|copy| leg(copy, copy)).collect(),
        ..Default::default()
    };
    let processor = FlowProcessor::start().await;
    let client = processor.client().await;
    client.create(spec).await.expect("created");
    produce(&from, &samples).await;
    for copy in &copies[..2] {
        assert_eq!(await_copy(&librdkafka(), copy, &samples, DEADLINE), 0);
    }
    until_leg(&client, &copies[2], |leg| {
        leg.records == 6_000 && leg.lag == 0
    })
    .await;
    let (client, copy) = (librdkafka(), copies[2].clone());
    until("6,000 records", DEADLINE, move || {
        let arrived = read_topic(&client, &copy)?.len();
        eson_tests::wait::check(arrived == 6_000, || format!("{arrived} are there"))
    });
}

#[tokio::test]
async fn a_revoked_reader_is_told() {
    let (from, to) = (topic(1).await, topic(1).await);
    let alice = credential("alice");
    let granted = admin().grant(&from, &alice, Lease::Granted).await;
    granted.expect("granted");
    let mut spec = bridge(&from, &to);
    spec.sources = vec![sasl_endpoint(&from, &alice)];
    let processor = FlowProcessor::start().await;
    let client = processor.client().await;
    client.create(spec).await.expect("created");
    let samples = samples(200, 1);
    produce(&from, &samples[..100]).await;
    await_copy(&librdkafka(), &to, &samples[..100], DEADLINE);

    admin().revoke(&from, "alice").await.expect("revoked");
    let error = until_state(&client, State::Failed).await.error;
    let error = error.expect("the reason");
    assert_eq!(error.side(), Side::Source);
    let expected = [Kind::Denied, Kind::Unauthenticated];
    assert!(expected.contains(&error.kind()), "{error:?}");
    assert!(!processor.log().contains(alice.password.expose()));

    let granted = admin().grant(&from, &alice, Lease::Granted).await;
    granted.expect("given back");
    produce(&from, &samples[100..]).await;
    client.resume("instance").await.expect("resumed");
    assert_eq!(await_copy(&librdkafka(), &to, &samples, DEADLINE), 0);
}

/// A queue that takes a source's name is another one, though a reader looks on.
#[tokio::test]
async fn a_source_that_is_created_again_is_told_from_the_one_before() {
    let (from, to) = (topic(1).await, topic(1).await);
    let processor = FlowProcessor::start().await;
    let client = processor.client().await;
    client.create(bridge(&from, &to)).await.expect("created");
    let samples = samples(100, 1);
    produce(&from, &samples).await;
    assert_eq!(await_copy(&librdkafka(), &to, &samples, DEADLINE), 0);
    let found = admin().describe_queue(&from).await.expect("a queue");
    let deleted = admin().delete_queue(&from, &found.id).await;
    deleted.expect("deleted");
    ground::create(&admin(), &from, 1).await;
    produce(&from, &samples).await;
    let replaced = |leg: &LegStatus| {
        let error = leg.error.as_ref();
        error.is_some_and(|error| error.kind() == Kind::Replaced)
    };
    let status = until_leg(&client, "leg", replaced).await;
    assert_eq!(status.state(), State::Failed);
    assert_eq!(
        await_copy(&librdkafka(), &to, &samples, DEADLINE),
        0,
        "nothing of it came"
    );
}

/// Partitions that a source gets while it is copied are found and copied.
#[tokio::test]
async fn a_source_that_grows_is_followed() {
    let (from, to) = (topic(2).await, topic(2).await);
    let processor = FlowProcessor::start().await;
    let client = processor.client().await;
    client.create(bridge(&from, &to)).await.expect("created");
    let samples = samples(1_000, 4);
    let (old, new): (Vec<_>, Vec<_>) = samples.into_iter().partition(|it| it.partition < 2);
    produce(&from, &old[..200]).await;
    until_leg(&client, "leg", |leg| leg.records > 0).await;
    let update = QueueUpdate {
        partitions: Some(4),
        ..QueueUpdate::default()
    };
    let grown = admin().update_queue(&from, &update).await;
    grown.expect("grown");
    produce(&from, &old[200..]).await;
    produce(&from, &new).await;
    until_leg(&client, "leg", |leg| {
        leg.stored.values().sum::<u64>() == 1_000
    })
    .await;
    let numbers = |samples: &[Sample]| -> BTreeSet<_> {
        let numbers = samples.iter().map(|sample| sample.headers[0].1.clone());
        numbers.collect()
    };
    let copied = read_topic(&librdkafka(), &to).expect("readable");
    assert_eq!(copied.len(), 1_000);
    assert_eq!(numbers(&copied), numbers(&[old, new].concat()));
}

#[tokio::test]
async fn tls_is_checked_against_the_given_authorities() {
    let (from, to) = (topic(1).await, topic(1).await);
    let rabbit = credential("rabbit");
    let granted = admin().grant(&from, &rabbit, Lease::Granted).await;
    granted.expect("granted");
    let samples = samples(100, 1);
    produce(&from, &samples).await;
    let mut spec = bridge(&from, &to);
    spec.sources = vec![sasl_tls_endpoint(&from, &rabbit)];
    let processor = FlowProcessor::start().await;
    let client = processor.client().await;
    client.create(spec.clone()).await.expect("created");
    let status = until_leg(&client, "leg", |leg| leg.error.is_some()).await;
    let error = status.error.expect("the reason");
    assert_eq!(error.side(), Side::Source);
    assert!(error.text.contains("TLS: "), "{error:?}");

    spec.sources[0].tls_ca = authority().display().to_string();
    client.update(spec).await.expect("updated");
    await_copy(&librdkafka(), &to, &samples, DEADLINE);
    let status = until_state(&client, State::Running).await;
    assert_eq!(status.error, None);
}

#[tokio::test]
async fn the_authorities_may_be_the_processors_own() {
    let (from, to) = (topic(1).await, topic(1).await);
    let hatter = credential("hatter");
    let granted = admin().grant(&from, &hatter, Lease::Granted).await;
    granted.expect("granted");
    let samples = samples(100, 1);
    produce(&from, &samples).await;
    let mut spec = bridge(&from, &to);
    spec.sources = vec![sasl_tls_endpoint(&from, &hatter)];
    let roots = authority();
    let arguments = ["--tls-roots".as_ref(), roots.as_os_str()];
    let processor = FlowProcessor::start_with(&arguments).await;
    let client = processor.client().await;
    client.create(spec).await.expect("created");
    await_copy(&librdkafka(), &to, &samples, DEADLINE);
}

#[tokio::test]
async fn a_leg_may_choose_at_least_once() {
    let (from, to) = (topic(2).await, topic(2).await);
    let samples = samples(1_000, 2);
    produce(&from, &samples).await;
    let mut spec = bridge(&from, &to);
    spec.legs[0].set_delivery(Delivery::AtLeastOnce);
    let processor = FlowProcessor::start().await;
    let client = processor.client().await;
    client.create(spec.clone()).await.expect("created");
    assert_eq!(await_copy(&librdkafka(), &to, &samples, DEADLINE), 0);
    let status = until_leg(&client, "leg", |leg| {
        leg.stored.values().sum::<u64>() == 1_000
    })
    .await;
    assert_eq!(status.delivery(), Delivery::AtLeastOnce);

    spec.legs[0].set_delivery(Delivery::ExactlyOnce);
    client.update(spec).await.expect("updated");
    let status = until_leg(&client, "leg", |leg| {
        leg.delivery() == Delivery::ExactlyOnce
    })
    .await;
    assert_eq!(
        status.stored.values().sum::<u64>(),
        1_000,
        "it goes on from there"
    );
}

#[tokio::test]
async fn addresses_that_are_not_trusted_are_not_connected_to() {
    let (from, to) = (topic(1).await, topic(1).await);
    let mut spec = bridge(&from, &to);
    spec.sources[0].trusted_networks.clear();
    let processor = FlowProcessor::start().await;
    let client = processor.client().await;
    client.create(spec).await.expect("created");
    let error = until_leg(&client, "leg", |leg| leg.error.is_some())
        .await
        .error;
    let error = error.expect("the reason");
    assert!(error.text.contains("trusted-networks"), "{error:?}");
}

#[tokio::test]
async fn term_drains_and_ends_well() {
    let (from, to) = (topic(2).await, topic(2).await);
    let mut processor = FlowProcessor::start().await;
    let client = processor.client().await;
    client.create(bridge(&from, &to)).await.expect("created");
    let samples = samples(20_000, 2);
    produce(&from, &samples).await;
    until_leg(&client, "leg", |leg| leg.records > 0).await;
    // A watcher must not hold the process.
    let watcher = client.watch().await.expect("watching");
    assert!(processor.terminate().success(), "{}", processor.log());
    assert!(!processor.socket().exists(), "the socket is removed");
    drop(watcher);

    processor.restart().await;
    let client = processor.client().await;
    client.create(bridge(&from, &to)).await.expect("created");
    let repeats = await_copy(&librdkafka(), &to, &samples, DEADLINE);
    assert_eq!(repeats, 0, "what was drained is not written again");
}

#[tokio::test]
async fn a_broker_that_was_away_is_caught_up_with() {
    let kafka = &mut ground::own_kafka("processor-away");
    let (from, to) = ("from.flows.orange.example", "to.flows.blue.example");
    kafka.create(from, 2).await;
    kafka.create(to, 2).await;
    let processor = FlowProcessor::start().await;
    let client = processor.client().await;
    let spec = kafka.bridge(from, to);
    client.create(spec).await.expect("created");
    let samples = samples(2_000, 2);
    kafka.produce(from, &samples[..1_000]).await;
    until_leg(&client, "leg", |leg| leg.records > 0).await;
    kafka.restart();
    kafka.produce(from, &samples[1_000..]).await;
    await_copy(&kafka.librdkafka(), to, &samples, DEADLINE);
    until_state(&client, State::Running).await;
}

#[test]
fn it_ends_with_its_standard_input() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("processor.sock");
    let mut child = Command::new(env!("CARGO_BIN_EXE_flow-processor"))
        .args(["--exit-with-stdin", "--listen"])
        .arg(format!("unix:{}", socket.display()))
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    until("the socket", DEADLINE, || {
        eson_tests::wait::check(socket.exists(), || "no socket".to_owned())
    });
    let mut input = child.stdin.take().expect("its standard input");
    input.write_all(b"still here\n").expect("written");
    assert!(child.try_wait().expect("a status").is_none());
    drop(input);
    let status = until("the end", Duration::from_secs(30), || {
        let ended = child.try_wait().expect("a status");
        ended.ok_or_else(|| "it still runs".to_owned())
    });
    assert!(status.success(), "{status}");
}

#[test]
fn what_it_can_not_start_with_is_said() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_flow-processor"))
            .args(arguments)
            .output()
            .expect("started");
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(run(&["--listen", "nowhere"]).contains("neither unix:PATH nor HOST:PORT"));
    assert!(run(&["--listen", "unix:/nowhere/at/all"]).contains("/nowhere/at/all"));
    let said = run(&["--listen", "unix:/tmp", "--log", "flow_processor=loudly"]);
    assert!(said.contains("--log"), "{said}");
    assert!(run(&["--listen", "unix:/"]).contains("no socket"));
}
