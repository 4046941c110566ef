//! Topics that are set up as others do it.

use eson_broker::Broker;
use eson_tests::records::plain_client;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};

use crate::support::{admin, kafka, queue, soon};

/// Partitions of a topic with settings of its own.
pub(crate) const PARTITIONS: i32 = 3;

/// Creates a topic with settings of its own.
pub(crate) async fn topic(settings: &'static [(&str, &str)]) -> String {
    let name = queue();
    let topic = name.clone();
    let created = tokio::task::spawn_blocking(move || {
        let admin: AdminClient<_> = plain_client(&kafka().plaintext())
            .create()
            .expect("a client");
        let mut wanted = NewTopic::new(&topic, PARTITIONS, TopicReplication::Fixed(1));
        for (name, value) in settings {
            wanted = wanted.set(name, value);
        }
        let (wanted, options) = ([wanted], AdminOptions::new());
        let done = admin.create_topics(&wanted, &options);
        let done = tokio::runtime::Handle::current().block_on(done);
        done.expect("an answer")[0].clone().expect("created");
    });
    created.await.expect("no panic");
    let broker = admin();
    soon(async { while broker.describe_queue(&name).await.is_err() {} }).await;
    name
}
