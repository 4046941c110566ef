//! Events that the destination does not take, between topics of a real Kafka.

use std::collections::BTreeSet;

use eson_processor::proto::{Delivery, State};
use eson_tests::records::{Sample, await_copy, create_topic_with, noise, read_topic};

use super::ground::{
    DEADLINE, FlowProcessor, bridge, librdkafka, produce, source, topic, until_leg,
};

const COUNT: u32 = 3_000;
const PARTITIONS: u32 = 2;

/// Which are not taken: neighbours, the last, and one in the middle.
const BAD: [u32; 4] = [5, 7, 1_500, 2_999];

/// What is wrong with some records, for a topic with a setting.
struct Case {
    setting: (&'static str, &'static str),
    spoil: fn(&mut Sample),
    reason: &'static str,
    /// Whether it is known before it is written.
    known: bool,
}

const TOO_LARGE: Case = Case {
    setting: ("max.message.bytes", "20000"),
    spoil: |sample| sample.value = Some(noise(30_000)),
    reason: "larger than the broker takes",
    known: true,
};

/// A compacted topic takes no event without key; the broker says so when it has the batch.
const WITHOUT_KEY: Case = Case {
    setting: ("cleanup.policy", "compact"),
    spoil: |sample| sample.key = None,
    reason: "does not take an event",
    known: false,
};

fn samples(case: &Case) -> Vec<Sample> {
    let sample = |number: u32| {
        let mut sample = Sample {
            partition: (number % PARTITIONS) as i32,
            timestamp: 1_700_000_000_000 + i64::from(number),
            key: Some(format!("key-{number}").into_bytes()),
            value: Some(format!("event {number} ").repeat(20).into_bytes()),
            headers: vec![("number".to_owned(), Some(number.to_string().into_bytes()))],
        };
        if BAD.contains(&number) {
            (case.spoil)(&mut sample);
        }
        sample
    };
    (0..COUNT).map(sample).collect()
}

fn text<'a>(sample: &'a Sample, header: &str) -> &'a str {
    let found = sample.headers.iter().find(|(name, _)| name == header);
    let value = found.and_then(|(_, value)| value.as_deref());
    std::str::from_utf8(value.expect(header)).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_goes_to_the_dead_letters_and_the_rest_goes_on() {
    let processor = FlowProcessor::start().await;
    for case in [TOO_LARGE, WITHOUT_KEY] {
        for delivery in [Delivery::ExactlyOnce, Delivery::AtLeastOnce] {
            passes_the_rest(&processor, &case, delivery).await;
        }
    }
}

async fn passes_the_rest(processor: &FlowProcessor, case: &Case, delivery: Delivery) {
    let (from, dead) = (topic(PARTITIONS).await, topic(1).await);
    let to = format!("{}-{:?}.flows.blue.example", case.setting.0, delivery);
    let (client, name, setting) = (librdkafka(), to.clone(), case.setting);
    let creating = move || create_topic_with(&client, &name, PARTITIONS as i32, &[setting]);
    tokio::task::spawn_blocking(creating)
        .await
        .expect("created");
    let samples = samples(case);
    produce(&from, &samples).await;

    let client = processor.client().await;
    let mut spec = bridge(&from, &to);
    spec.legs[0].set_delivery(delivery);
    spec.dead_letters = Some(source(&dead));
    client.create(spec).await.expect("created");
    let all_is_stored = |stored: u64| stored == u64::from(COUNT);
    let status = until_leg(&client, "leg", |leg| {
        leg.state() == State::Running && all_is_stored(leg.stored.values().sum())
    });
    let counted = status.await.dead_letters;
    assert!(counted == 4 || !case.known && counted > 4, "{counted}");

    let (bad, good): (Vec<_>, Vec<_>) = samples.into_iter().partition(|sample| {
        let number = text(sample, "number").parse().expect("a number");
        BAD.contains(&number)
    });
    let read = move || {
        let repeats = await_copy(&librdkafka(), &to, &good, DEADLINE);
        (repeats, read_topic(&librdkafka(), &dead).expect("readable"))
    };
    let (repeats, letters) = tokio::task::spawn_blocking(read).await.expect("read");
    assert!(repeats == 0 || delivery == Delivery::AtLeastOnce);
    let numbers: BTreeSet<_> = letters.iter().map(|it| text(it, "number")).collect();
    assert_eq!(numbers, ["1500", "2999", "5", "7"].into());
    for letter in &letters {
        let number = text(letter, "number");
        let event = bad.iter().find(|it| text(it, "number") == number);
        let event = event.expect("one of them");
        assert_eq!((&letter.key, &letter.value), (&event.key, &event.value));
        let reason = text(letter, "ce_deadletterreason");
        assert!(reason.contains(case.reason), "{reason}");
        let number: u32 = number.parse().expect("a number");
        let position = format!("{}-{}", number % PARTITIONS, number / PARTITIONS);
        assert_eq!(text(letter, "ce_sourceposition"), position);
    }
    client.destroy("instance").await.expect("ended");
}
