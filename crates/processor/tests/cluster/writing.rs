//! Events that are written over some time, so that some are on their way whenever something goes wrong.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use eson_tests::records::{Sample, produce};
use rdkafka::ClientConfig;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

/// In how many bursts events are written, and how long a writer rests before the next.
const BURSTS: usize = 20;
const REST: Duration = Duration::from_millis(20);

/// How long events flow when the first burst is written.
pub(crate) const FLOW: Duration = REST.saturating_mul(BURSTS as u32);

/// Events that are being written.
pub(crate) struct Writing(Vec<Writer>);

/// Writes events to one topic: a burst for each permit.
struct Writer {
    permits: Sender<()>,
    written: JoinHandle<()>,
}

impl Writing {
    /// Writes the first burst to each topic.
    pub(crate) fn begin(topics: impl Iterator<Item = (ClientConfig, String, Vec<Sample>)>) -> Self {
        let writing = Self(topics.map(Writer::start).collect());
        writing.permit();
        writing
    }

    /// Writes the others, one after the other, and waits until the cluster has all.
    pub(crate) async fn finish(self) {
        for _ in 1..BURSTS {
            sleep(REST).await;
            self.permit();
        }
        for writer in self.0 {
            writer.written.await.expect("written");
        }
    }

    fn permit(&self) {
        for writer in &self.0 {
            // One that has written all needs no more.
            let _ = writer.permits.send(());
        }
    }
}

impl Writer {
    fn start((client, topic, events): (ClientConfig, String, Vec<Sample>)) -> Self {
        let (permits, permitted) = channel();
        let burst = events.len().div_ceil(BURSTS);
        let written = spawn_blocking(move || {
            let bursts = events.chunks(burst).zip(permitted);
            produce(&client, &topic, bursts.flat_map(|(burst, ())| burst));
        });
        Self { permits, written }
    }
}
