//! MirrorMaker 2 in dedicated mode, tuned: what users pick today.

use std::fs;
use std::process::Command;

use eson_tests::kafka::jars;
use eson_tests::{Process, data_dir};

/// Where a MirrorMaker puts its copy of a topic that calls the source `alias`. Under each alias it
/// begins anew: its positions are stored by it.
pub(crate) fn copy_of(topic: &str, alias: &str) -> String {
    format!("{alias}.{topic}")
}

/// Starts copying `topic` to `copy`, as [`copy_of`] calls it.
pub(crate) fn start(source: &str, destination: &str, topic: &str, copy: &str) -> Process {
    let alias = copy.strip_suffix(&copy_of(topic, "")).unwrap();
    let dir = data_dir("mirror-maker");
    fs::write(
        dir.join("mm2.properties"),
        properties(source, destination, topic, alias),
    )
    .unwrap();
    let mut command = Command::new("java");
    command
        .args([
            "-Xms512m",
            "-Xmx1g",
            "-XX:+UseG1GC",
            "-Djava.awt.headless=true",
        ])
        .arg("-Dlog4j2.level=ERROR")
        .arg("-cp")
        .arg(format!("{}/*", jars().display()))
        .arg("org.apache.kafka.connect.mirror.MirrorMaker")
        .arg(dir.join("mm2.properties"));
    Process::start("MirrorMaker", command, &dir.join("mm2.log"))
}

/// Four tasks, large batches, lz4: what costs it least.
fn properties(source: &str, destination: &str, topic: &str, alias: &str) -> String {
    format!(
        "clusters={alias}, destination
{alias}.bootstrap.servers={source}
destination.bootstrap.servers={destination}
{alias}->destination.enabled=true
{alias}->destination.topics={topic}
destination->{alias}.enabled=false
{alias}->destination.sync.topic.acls.enabled=false
{alias}->destination.emit.heartbeats.enabled=false
tasks.max=4
replication.factor=1
checkpoints.topic.replication.factor=1
heartbeats.topic.replication.factor=1
offset-syncs.topic.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
config.storage.replication.factor=1
destination.producer.acks=all
destination.producer.compression.type=lz4
destination.producer.batch.size=262144
destination.producer.linger.ms=20
{alias}.consumer.fetch.min.bytes=262144
{alias}.consumer.max.poll.records=5000
"
    )
}
