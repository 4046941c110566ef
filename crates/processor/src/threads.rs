//! The threads on which legs run.
//!
//! A leg stays on one thread with all its tasks, so that handing a batch from one to the next
//! wakes nobody else: between the threads of one scheduler that costs more than moving the batch.

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Threads for legs. When this is dropped the legs end, and then the threads.
pub struct Threads {
    first: Thread,
    others: Vec<Thread>,
}

struct Thread {
    runtime: Handle,
    legs: Arc<()>,
    running: Option<Running>,
}

/// What ends a thread when it is dropped.
struct Running {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// A leg's place on a thread, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) runtime: Handle,
    _leg: Arc<()>,
}

impl Threads {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// Whatever the operating system says when it has no more threads or files to give.
    pub fn start(count: NonZero<usize>) -> io::Result<Self> {
        Ok(Self {
            first: Thread::start(0)?,
            others: (1..count.get())
                .map(Thread::start)
                .collect::<Result<_, _>>()?,
        })
    }

    /// A place on the thread with the fewest legs.
    pub(crate) fn desk(&self) -> Desk {
        let quieter = |one, other| if legs(other) < legs(one) { other } else { one };
        let quietest = self.others.iter().fold(&self.first, quieter);
        Desk {
            runtime: quietest.runtime.clone(),
            _leg: quietest.legs.clone(),
        }
    }
}

fn legs(thread: &Thread) -> usize {
    Arc::strong_count(&thread.legs)
}

impl Thread {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let name = format!("legs-{number}");
        let thread = thread::Builder::new().name(name).spawn(move || {
            // Ends by an error: nobody ever sends.
            drop(runtime.block_on(ended));
            // What blocks must not hold the thread.
            runtime.shutdown_background();
        })?;
        Ok(Self {
            runtime: handle,
            legs: Arc::default(),
            running: Some(Running { end, thread }),
        })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(Running { end, thread }) = self.running.take() {
            drop(end);
            if thread.join().is_err() {
                tracing::error!("a thread of legs broke");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legs_spread_over_the_threads_and_make_room_when_they_go() {
        let threads = Threads::start(NonZero::new(2).expect("two")).expect("threads");
        let ids = |desks: &[Desk]| {
            desks
                .iter()
                .map(|desk| desk.runtime.id())
                .collect::<Vec<_>>()
        };
        let mut desks: Vec<_> = (0..4).map(|_| threads.desk()).collect();
        let all = ids(&desks);
        assert_eq!(all[..2], all[2..]);
        assert_ne!(all[0], all[1]);
        let gone = desks.remove(1);
        let freed = gone.runtime.id();
        drop(gone);
        assert_eq!(threads.desk().runtime.id(), freed);
    }

    #[test]
    fn work_on_a_thread_ends_with_it() {
        let threads = Threads::start(NonZero::<usize>::MIN).expect("threads");
        let (held, mut ended) = oneshot::channel::<()>();
        let task = threads.desk().runtime.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        drop(threads);
        assert_eq!(ended.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert!(task.is_finished());
    }
}
