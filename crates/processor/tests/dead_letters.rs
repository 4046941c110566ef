//! Events that a destination does not take, between embedded queues.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use eson_broker::AppendTo;
use eson_processor::proto::{self, State};
use eson_protocol::Record;

use self::support::faults::Faults;
use self::support::{
    BLUE, BLUE_TAKES, COPY, FLOW, Ground, ORANGE, bridge, endpoint, event, leg, number, until,
    until_state, without_offsets,
};

const DEAD: &str = "dlq.bridge";

/// From the flow to its copy, with dead letters at one of both.
fn with_dead_letters(at: &str) -> proto::Spec {
    proto::Spec {
        dead_letters: Some(endpoint(at, DEAD)),
        ..bridge()
    }
}

fn attribute<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    let found = record.headers.iter().find(|header| header.name == name);
    let value = found?.value.as_deref().expect("a value");
    Some(std::str::from_utf8(value).expect("text"))
}

/// The event of a number, too large for Blue.
fn large(number: u64) -> Record {
    Record {
        value: Some(Bytes::from(vec![b'x'; BLUE_TAKES])),
        ..event(number)
    }
}

/// Writes events, some of which are too large.
async fn produce(ground: &Ground, numbers: std::ops::Range<u64>, too_large: &[u64]) {
    let event = |number| match too_large.contains(&number) {
        true => large(number),
        false => event(number),
    };
    let records = numbers.map(event).collect();
    let appended = ground.broker(ORANGE);
    let appended = appended.append(FLOW, AppendTo::Key, records, None).await;
    appended.expect("written");
}

/// The letters, by where their events were.
async fn letters(ground: &Ground, server: &str) -> BTreeMap<String, Record> {
    let letters = ground.contents(server, DEAD).await.into_values().flatten();
    let position = |letter: &Record| attribute(letter, "ce_sourceposition").map(str::to_owned);
    letters
        .map(|letter| (position(&letter).expect("a position"), letter))
        .collect()
}

#[tokio::test]
async fn what_is_too_large_goes_to_the_dead_letters_with_the_reason() {
    for (server, partitions) in [(ORANGE, 1), (ORANGE, 3), (BLUE, 1)] {
        let ground = Ground::with_queues(1, partitions).await;
        ground.create_queue(server, DEAD, 2).await;
        let client = ground.client().await;
        produce(&ground, 0..100, &[0, 41, 42, 99]).await;
        let spec = with_dead_letters(server);
        client.create(spec).await.expect("created");
        let status = until(&client, "bridge", "leg", |leg| {
            leg.stored == [(0, 100)].into()
        });
        let status = status.await;
        assert_eq!((status.state(), status.lag), (State::Running, 0));
        assert_eq!((status.dead_letters, status.records), (4, 96));
        ground.until_count(BLUE, COPY, 96).await;

        let letters = letters(&ground, server).await;
        let positions: Vec<_> = letters.keys().map(String::as_str).collect();
        assert_eq!(positions, ["0-0", "0-41", "0-42", "0-99"]);
        let letter = &letters["0-41"];
        let reason = attribute(letter, "ce_deadletterreason").expect("a reason");
        assert!(reason.contains("larger than the broker takes"), "{reason}");
        assert_eq!(attribute(letter, "ce_sourceflow"), Some(FLOW));
        assert_eq!(letter.key, event(41).key);
        // It is too large for Blue's dead letters too.
        let content = letter.value.as_ref().map(Bytes::len);
        assert_eq!(content, (server == ORANGE).then_some(BLUE_TAKES));
    }
}

#[tokio::test]
async fn an_event_of_which_nothing_fits_leaves_a_letter_too() {
    let ground = Ground::with_queues(1, 1).await;
    ground.create_queue(BLUE, DEAD, 1).await;
    let client = ground.client().await;
    let key = Some(Bytes::from(vec![b'k'; BLUE_TAKES]));
    let records = vec![Record { key, ..event(0) }, event(1)];
    let broker = ground.broker(ORANGE);
    let appended = broker.append(FLOW, AppendTo::Key, records, None).await;
    appended.expect("written");
    let spec = with_dead_letters(BLUE);
    client.create(spec).await.expect("created");
    ground.until_count(BLUE, COPY, 1).await;
    let letters = letters(&ground, BLUE).await;
    let letter = &letters["0-0"];
    assert_eq!((&letter.key, &letter.value), (&None, &None));
    assert!(attribute(letter, "ce_deadletterreason").is_some());
    assert_eq!(attribute(letter, "ce_specversion"), Some("1.0"));
}

#[tokio::test]
async fn of_many_destinations_each_has_its_own_letters() {
    let ground = Ground::with_queues(1, 1).await;
    ground.create_queue(ORANGE, "here", 1).await;
    ground.create_queue(ORANGE, DEAD, 1).await;
    let client = ground.client().await;
    produce(&ground, 0..50, &[7]).await;
    let mut spec = with_dead_letters(ORANGE);
    spec.r#type = proto::ProcessorType::Distributor.into();
    let mut here = leg("here", "here");
    here.destination = Some(endpoint(ORANGE, "here"));
    spec.legs.push(here);
    client.create(spec).await.expect("created");
    ground.until_count(ORANGE, "here", 50).await;
    ground.until_count(BLUE, COPY, 49).await;
    ground.until_count(ORANGE, DEAD, 1).await;
    let whole = until(&client, "bridge", "here", |leg| {
        leg.stored == [(0, 50)].into()
    })
    .await;
    assert_eq!(whole.dead_letters, 0);
}

/// A broker that tells of a record after it took it, and took more behind it.
#[tokio::test]
async fn what_is_refused_too_late_is_looked_for_and_nothing_else_is_left_out() {
    let ground = Ground::with_queues(1, 1).await;
    ground.create_queue(ORANGE, DEAD, 1).await;
    let faults = ground.inject(BLUE, Faults::default());
    *faults.refused.lock().expect("no panic") = [5, 6, 1_500].into();
    let client = ground.client().await;
    ground.produce(0..2_000).await;
    let spec = with_dead_letters(ORANGE);
    client.create(spec).await.expect("created");
    let status = until(&client, "bridge", "leg", |leg| {
        leg.stored == [(0, 2_000)].into()
    });
    assert!(status.await.dead_letters >= 3);
    until_state(&client, "bridge", State::Running).await;
    let copy = &ground.contents(BLUE, COPY).await[&0];
    let expected = (0..2_000).filter(|it| ![5, 6, 1_500].contains(it));
    let expected: Vec<_> = expected.map(event).collect();
    assert_eq!(without_offsets(copy), expected);
    let letters = letters(&ground, ORANGE).await;
    let positions: Vec<_> = letters.keys().map(String::as_str).collect();
    assert_eq!(positions, ["0-1500", "0-5", "0-6"]);
    let letter = &letters["0-1500"];
    let reason = attribute(letter, "ce_deadletterreason").expect("a reason");
    assert!(reason.contains("it is not liked"), "{reason}");
    // It goes on, as fast as before.
    ground.produce(2_000..2_100).await;
    ground.until_count(BLUE, COPY, 2_097).await;
    let copy = &ground.contents(BLUE, COPY).await[&0];
    assert_eq!(copy.last().map(number), Some(2_099));
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_when_the_processor_dies_while_it_looks() {
    let mut ground = Ground::with_queues(1, 1).await;
    ground.create_queue(ORANGE, DEAD, 1).await;
    let faults = ground.inject(BLUE, Faults::default());
    let refused = [17, 333, 334, 900];
    *faults.refused.lock().expect("no panic") = refused.into();
    ground.produce(0..1_000).await;
    let refused = refused.map(|it| format!("0-{it}"));
    for _ in 0..=refused.len() {
        let client = ground.client().await;
        let spec = with_dead_letters(ORANGE);
        client.create(spec).await.expect("created");
        until(&client, "bridge", "leg", |leg| {
            leg.dead_letters > 0 || leg.stored == [(0, 1_000)].into()
        })
        .await;
        ground.kill();
        ground.start();
    }
    let client = ground.client().await;
    let spec = with_dead_letters(ORANGE);
    client.create(spec).await.expect("created");
    ground.until_count(BLUE, COPY, 996).await;
    let copy = &ground.contents(BLUE, COPY).await[&0];
    let numbers: Vec<_> = copy.iter().map(number).collect();
    let expected = (0..1_000).filter(|it| !refused.contains(&format!("0-{it}")));
    assert_eq!(numbers, expected.collect::<Vec<_>>());
    let found = letters(&ground, ORANGE).await;
    assert!(found.keys().all(|position| refused.contains(position)));
    assert_eq!(found.len(), refused.len());
}
