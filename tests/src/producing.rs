//! A producer in the background that writes no further than it may.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::ClientConfig;

use crate::records::{Sample, produce};
use crate::wait::{check, until};

/// A thread that writes records in their order; none before it is allowed.
#[derive(Debug)]
pub struct Producing {
    progress: Progress,
    patience: Duration,
    thread: JoinHandle<()>,
}

/// How many records are written, and how many may be.
#[derive(Clone, Debug, Default)]
struct Progress {
    written: Arc<AtomicUsize>,
    allowed: Arc<AtomicUsize>,
}

impl Producing {
    /// Begins to write `records` to a topic, `batch` at once. Nobody waits for longer than `patience` for
    /// records to be written, and the thread not for longer than twice that for leave to write more.
    #[must_use]
    pub fn start(
        client: ClientConfig,
        topic: &str,
        records: Arc<Vec<Sample>>,
        batch: usize,
        patience: Duration,
    ) -> Self {
        let (topic, progress) = (topic.to_owned(), Progress::default());
        let of_thread = progress.clone();
        let thread = thread::spawn(move || {
            for batch in records.chunks(batch) {
                of_thread.may_write(batch.len(), 2 * patience);
                produce(&client, &topic, batch);
                of_thread.written.fetch_add(batch.len(), Ordering::Relaxed);
            }
        });
        Self {
            progress,
            patience,
            thread,
        }
    }

    /// How many are written.
    #[must_use]
    pub fn written(&self) -> usize {
        self.progress.written.load(Ordering::Relaxed)
    }

    /// Lets so many be written, all together.
    pub fn allow(&self, count: usize) {
        self.progress.allowed.store(count, Ordering::Relaxed);
    }

    /// Lets `more` be written, and returns when it has begun with them.
    pub fn go_on(&self, more: usize) {
        let before = self.progress.allowed.fetch_add(more, Ordering::Relaxed);
        self.wait_for(before + 1);
    }

    /// Waits until so many are written.
    pub fn wait_for(&self, count: usize) {
        until(&format!("{count} records written"), self.patience, || {
            let written = self.written();
            check(written >= count, || format!("{written} are"))
        });
    }

    /// Waits until all are written.
    ///
    /// # Panics
    /// When they could not be.
    pub fn finish(self) {
        self.thread.join().expect("the producer failed");
    }
}

impl Progress {
    /// Waits until `more` may be written.
    fn may_write(&self, more: usize, patience: Duration) {
        let next = self.written.load(Ordering::Relaxed) + more;
        until(&format!("leave to write {next} records"), patience, || {
            let allowed = self.allowed.load(Ordering::Relaxed);
            check(allowed >= next, || format!("{allowed} may be"))
        });
    }
}
