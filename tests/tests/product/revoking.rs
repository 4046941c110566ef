//! What a subscriber still gets whose own client waits at Kafka while it is revoked.

use std::time::Duration;

use eson_tests::records::scram_client;
use eson_tests::{Ground, RawFnap, World, until};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::events::write_numbered;
use crate::stage::{new_flow, world};

const PATIENCE: Duration = Duration::from_secs(60);

/// A client of its own, with what a subscriber was granted.
struct Client {
    consumer: BaseConsumer,
    topic: String,
    user: String,
}

impl Client {
    fn subscribe(world: &World, flow: &str, mode: &str) -> Self {
        let mut session = world.orange().login();
        session.ok("ENABLE ATTRIBUTES");
        let granted = session.ok(&format!("SUBSCRIBE {flow} id=own mode={mode}"));
        let of = |key: &str| {
            let value = granted.attribute(key);
            value.unwrap_or_else(|| panic!("{granted:?}")).to_owned()
        };
        let user = of("username");
        let mut config = scram_client(&world.kafkas[0].sasl(), &user, &of("password"));
        // It waits longer than the revocation takes.
        config
            .set("fetch.wait.max.ms", "60000")
            .set("socket.timeout.ms", "300000")
            .set("enable.auto.commit", "false")
            .set("group.id", &user);
        let client = Self {
            consumer: config.create().unwrap(),
            topic: of("topic"),
            user,
        };
        client.begin();
        client
    }

    /// Reads from the beginning, with a new request.
    fn begin(&self) {
        let mut all = TopicPartitionList::new();
        all.add_partition_offset(&self.topic, 0, Offset::Beginning)
            .unwrap();
        self.consumer.assign(&all).unwrap();
    }

    /// The number of the next event; none when the topic may not be read, or is gone.
    fn next(&self) -> Option<u32> {
        use RDKafkaErrorCode::{TopicAuthorizationFailed, UnknownTopicOrPartition};
        until("an event or the end", PATIENCE, || {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => Ok(Some(number(message.payload()))),
                Some(Err(KafkaError::MessageConsumption(
                    TopicAuthorizationFailed | UnknownTopicOrPartition,
                ))) => Ok(None),
                other => Err(format!("{:?}", other.map(|it| it.map(drop)))),
            }
        })
    }

    /// What it gets until it is refused.
    fn rest(&self) -> Vec<u32> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

/// Of `event 7`.
fn number(value: Option<&[u8]>) -> u32 {
    let text = String::from_utf8_lossy(value.unwrap_or_default());
    let number = text.strip_prefix("event ").and_then(|it| it.parse().ok());
    number.unwrap_or_else(|| panic!("{text}"))
}

/// A flow with one event, which the client has and waits for the next.
fn waiting_client(mode: &str) -> (RawFnap, String, Client) {
    let world = world(Ground::Servers);
    let flow = new_flow(world.orange(), "waited-for");
    let mut orange = world.orange().login();
    let options = "access=public partitions=1 modes=copy,direct";
    orange.ok(&format!("CREATE FLOW {flow} {options}"));
    let client = Client::subscribe(world, &flow, mode);
    write_numbered(&mut orange, &flow, 0..1);
    assert_eq!(Some(0), client.next());
    (orange, flow, client)
}

#[test]
fn a_copy_gives_nothing_more() {
    let (mut orange, flow, client) = waiting_client("copy");
    orange.ok(&format!("REMOVE SUBSCRIBER {flow} {}", client.user));
    write_numbered(&mut orange, &flow, 1..2);
    assert_eq!(Vec::<u32>::new(), client.rest());
}

/// As `docs/fnap.md` says of the flow itself, section 12.
#[test]
fn what_waits_at_the_flow_itself_is_answered_once() {
    let (mut orange, flow, client) = waiting_client("direct");
    orange.ok(&format!("REMOVE SUBSCRIBER {flow} {}", client.user));
    write_numbered(&mut orange, &flow, 1..2);
    let rest = client.rest();
    assert!(rest.is_empty() || rest == [1], "{rest:?}");
    client.begin();
    write_numbered(&mut orange, &flow, 2..3);
    assert_eq!(Vec::<u32>::new(), client.rest());
}
