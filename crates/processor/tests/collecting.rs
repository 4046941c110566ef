//! Many sources of one destination: who is told where from, and who stops whom.

mod support;

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use eson_broker::{AppendTo, Broker};
use eson_processor::SOURCE_FLOW;
use eson_processor::client::ClientError;
use eson_processor::proto::error::{Kind, Side};
use eson_processor::proto::{Leg, LegStatus, ProcessorType, Spec, State};
use eson_protocol::event::{CloudEvent, ContentMode};
use eson_protocol::{Header, Record};

use support::{BLUE, COPY, Ground, ORANGE, endpoint, event, number, until, without_offsets};

const PARTITIONS: u32 = 2;

fn names(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("source-{number}"))
        .collect()
}

fn collector(sources: &[String]) -> Spec {
    let leg = |(source, id): (u32, &String)| Leg {
        id: id.clone(),
        destination: Some(endpoint(BLUE, COPY)),
        source,
        ..Default::default()
    };
    Spec {
        id: "collector".to_owned(),
        r#type: ProcessorType::Collector.into(),
        sources: sources.iter().map(|name| endpoint(ORANGE, name)).collect(),
        legs: (0..).zip(sources).map(leg).collect(),
        annotate: true,
        ..Default::default()
    }
}

async fn ground(sources: &[String], destination: u32) -> Ground {
    let ground = Ground::new().await;
    for source in sources {
        ground.create_queue(ORANGE, source, PARTITIONS).await;
    }
    ground.create_queue(BLUE, COPY, destination).await;
    ground
}

/// Writes numbered events to one source.
async fn produce(ground: &Ground, source: &str, numbers: Range<u64>) {
    let records = numbers.map(event).collect();
    let broker = ground.broker(ORANGE);
    let appended = broker.append(source, AppendTo::Key, records, None).await;
    appended.expect("written");
}

fn says(record: &Record) -> Vec<&Header> {
    let headers = record.headers.iter();
    headers
        .filter(|header| header.name == SOURCE_FLOW)
        .collect()
}

/// What a record says that it came from, and the record as it was there.
fn taken_apart(mut record: Record) -> (String, Record) {
    let said: Vec<_> = says(&record).into_iter().cloned().collect();
    let [
        Header {
            value: Some(from), ..
        },
    ] = &said[..]
    else {
        panic!("{record:?} comes from one source");
    };
    record.headers.retain(|header| header.name != SOURCE_FLOW);
    (String::from_utf8_lossy(from).into_owned(), record)
}

/// What was collected, by source and partition, each in the order in which it lies there.
async fn collected(ground: &Ground) -> BTreeMap<(String, u32), Vec<Record>> {
    let mut collected: BTreeMap<_, Vec<Record>> = BTreeMap::new();
    for (partition, records) in ground.contents(BLUE, COPY).await {
        for record in without_offsets(&records) {
            let (from, record) = taken_apart(record);
            collected.entry((from, partition)).or_default().push(record);
        }
    }
    collected
}

async fn assert_all_is_there(ground: &Ground, sources: &[String]) {
    let mut expected = BTreeMap::new();
    for source in sources {
        for (partition, records) in ground.contents(ORANGE, source).await {
            expected.insert((source.clone(), partition), without_offsets(&records));
        }
    }
    assert_eq!(collected(ground).await, expected);
}

fn is_running(leg: &LegStatus) -> bool {
    leg.state() == State::Running
}

#[tokio::test]
async fn the_order_of_each_source_is_kept_and_each_event_says_where_it_came_from() {
    let sources = names(3);
    let ground = ground(&sources, PARTITIONS).await;
    produce(&ground, &sources[0], 0..500).await;
    let client = ground.client().await;
    client.create(collector(&sources)).await.expect("created");
    for round in 0..10 {
        for source in &sources {
            produce(&ground, source, 1_000 * round..1_000 * round + 50).await;
        }
    }
    ground.until_count(BLUE, COPY, 2_000).await;
    assert_all_is_there(&ground, &sources).await;
    for (source, expected) in sources.iter().zip([1_000, 500, 500]) {
        let leg = until(&client, "collector", source, |leg| leg.lag == 0).await;
        assert_eq!(leg.stored.values().sum::<u64>(), expected, "{source}");
    }
}

#[tokio::test]
async fn without_annotations_events_stay_as_they_are() {
    let sources = names(2);
    let ground = ground(&sources, PARTITIONS).await;
    let spec = Spec {
        annotate: false,
        ..collector(&sources)
    };
    let client = ground.client().await;
    client.create(spec).await.expect("created");
    for source in &sources {
        produce(&ground, source, 0..100).await;
    }
    ground.until_count(BLUE, COPY, 200).await;
    let all = ground.contents(BLUE, COPY).await.into_values().flatten();
    assert!(all.into_iter().all(|record| says(&record).is_empty()));

    client.update(collector(&sources)).await.expect("updated");
    produce(&ground, &sources[0], 100..101).await;
    ground.until_count(BLUE, COPY, 201).await;
    let all = ground.contents(BLUE, COPY).await.into_values().flatten();
    let said: Vec<_> = all.filter(|record| !says(record).is_empty()).collect();
    assert_eq!(said.len(), 1, "from here on, and nothing once more");
    let (from, _) = taken_apart(said[0].clone());
    assert_eq!(from, sources[0]);
}

#[tokio::test]
async fn an_event_can_not_make_up_where_it_came_from() {
    let sources = names(1);
    let ground = ground(&sources, 1).await;
    let made_up = Header {
        name: SOURCE_FLOW.to_owned(),
        value: Some(Bytes::from_static(b"other.flows.orange.example")),
    };
    let mut record = event(7);
    record.headers.insert(0, made_up);
    let broker = ground.broker(ORANGE);
    let appended = broker
        .append(&sources[0], AppendTo::Key, vec![record], None)
        .await;
    appended.expect("written");
    let client = ground.client().await;
    client.create(collector(&sources)).await.expect("created");
    ground.until_count(BLUE, COPY, 1).await;
    let found = ground.contents(BLUE, COPY).await.remove(&0);
    let (from, record) = taken_apart(found.expect("an event").remove(0));
    assert_eq!((from, number(&record)), (sources[0].clone(), 7));
}

/// An event in structured mode that says where it came from, and is read from a record.
fn structured(mode: ContentMode, source: &str) -> Record {
    let json = format!(
        r#"{{"specversion":"1.0","id":"7","source":"/x","type":"t","data":7,"sourceflow":"{source}"}}"#
    );
    let event = CloudEvent::from_json(&Bytes::from(json)).expect("an event");
    Record {
        key: Some(Bytes::from_static(b"k")),
        timestamp: 1_700_000_000_000,
        ..event.into_record(mode)
    }
}

#[tokio::test]
async fn an_event_in_structured_mode_can_not_make_it_up_either() {
    let sources = names(1);
    let ground = ground(&sources, 1).await;
    let modes = [ContentMode::Json, ContentMode::Protobuf];
    let records = modes.map(|mode| structured(mode, "made.up"));
    let broker = ground.broker(ORANGE);
    let appended = broker
        .append(&sources[0], AppendTo::Partition(0), records.to_vec(), None)
        .await;
    appended.expect("written");
    let client = ground.client().await;
    client.create(collector(&sources)).await.expect("created");
    ground.until_count(BLUE, COPY, 2).await;
    let found = ground.contents(BLUE, COPY).await.remove(&0);
    for (mode, found) in modes.into_iter().zip(found.expect("events")) {
        let read = CloudEvent::read_record(&found).expect("valid");
        let (event, kept) = read.expect("a CloudEvent");
        assert_eq!(kept, mode);
        assert_eq!(event.data().map(|data| &**data), Some(&b"7"[..]));
        let said = event.attribute("sourceflow").map(|value| value.text());
        assert_eq!(said.as_deref(), Some(&*sources[0]), "the attribute");
        let (from, rest) = taken_apart(found);
        assert_eq!(from, sources[0], "the header");
        let read = structured(mode, "made.up");
        assert_eq!((rest.key, rest.timestamp), (read.key, read.timestamp));
        assert_eq!(rest.headers, read.headers);
    }
}

#[tokio::test]
async fn a_source_that_is_gone_stops_no_other() {
    let sources = names(3);
    let ground = ground(&sources, PARTITIONS).await;
    let client = ground.client().await;
    client.create(collector(&sources)).await.expect("created");
    for source in &sources {
        until(&client, "collector", source, is_running).await;
    }
    let broker = ground.broker(ORANGE);
    let id = broker
        .describe_queue(&sources[0])
        .await
        .expect("a queue")
        .id;
    broker
        .delete_queue(&sources[0], &id)
        .await
        .expect("deleted");
    let failed = |leg: &LegStatus| leg.state() == State::Failed;
    let error = until(&client, "collector", &sources[0], failed).await.error;
    let error = error.expect("the reason");
    assert_eq!((error.side(), error.kind()), (Side::Source, Kind::NotFound));

    for source in &sources[1..] {
        produce(&ground, source, 0..100).await;
    }
    ground.until_count(BLUE, COPY, 200).await;
    assert_all_is_there(&ground, &sources[1..]).await;
}

#[tokio::test]
async fn sources_come_and_go_and_one_that_comes_again_goes_on_where_it_was() {
    let sources = names(3);
    let ground = ground(&sources, PARTITIONS).await;
    let client = ground.client().await;
    client
        .create(collector(&sources[..2]))
        .await
        .expect("created");
    for source in &sources {
        produce(&ground, source, 0..100).await;
    }
    ground.until_count(BLUE, COPY, 200).await;
    client
        .update(collector(&sources[1..]))
        .await
        .expect("updated");
    produce(&ground, &sources[0], 100..150).await;
    ground.until_count(BLUE, COPY, 300).await;
    let kept = until(&client, "collector", &sources[1], is_running).await;
    assert_eq!(kept.records, 100, "a source in both goes on undisturbed");

    client.update(collector(&sources)).await.expect("updated");
    ground.until_count(BLUE, COPY, 350).await;
    assert_all_is_there(&ground, &sources).await;
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_when_the_processor_is_killed() {
    let sources = names(3);
    let mut ground = ground(&sources, 3).await;
    for round in 0..3 {
        ground
            .client()
            .await
            .create(collector(&sources))
            .await
            .expect("created");
        for source in &sources {
            produce(&ground, source, round * 500..(round + 1) * 500).await;
        }
        let client = ground.client().await;
        until(&client, "collector", &sources[1], |leg| leg.records > 0).await;
        ground.kill();
        ground.start();
    }
    ground
        .client()
        .await
        .create(collector(&sources))
        .await
        .expect("created");
    ground.until_count(BLUE, COPY, 4_500).await;
    for source in &sources {
        let mut numbers = Vec::new();
        for ((from, _), records) in collected(&ground).await {
            if from == *source {
                numbers.extend(records.iter().map(number));
            }
        }
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..1_500), "{source}");
    }
}

#[tokio::test]
async fn fair_shares_lose_nothing_and_outlast_a_source_that_is_away() {
    let sources = names(3);
    let ground = ground(&sources, PARTITIONS).await;
    for (source, numbers) in sources.iter().zip([0..20_000, 0..10, 0..5_000]) {
        produce(&ground, source, numbers).await;
    }
    let fair = |sources: &[String]| Spec {
        fair: true,
        ..collector(sources)
    };
    let client = ground.client().await;
    client.create(fair(&sources)).await.expect("created");
    until(&client, "collector", &sources[2], |leg| leg.records > 0).await;
    client.update(fair(&sources[..2])).await.expect("updated");
    client.update(fair(&sources)).await.expect("updated");
    ground.until_count(BLUE, COPY, 25_010).await;
    assert_all_is_there(&ground, &sources).await;
}

#[tokio::test]
async fn two_sources_that_are_one_queue_are_refused() {
    let sources = names(2);
    let ground = ground(&sources, 1).await;
    let mut spec = collector(&sources);
    spec.sources[1] = endpoint(ORANGE, &sources[0]);
    let refused = ground.client().await.create(spec).await;
    let refused = refused.expect_err("one queue twice");
    assert!(matches!(refused, ClientError::Invalid(_)), "{refused}");
}
